// The second half of decoding zfp blocks: from bit planes to floats, many blocks at a time. Owns
// the order of coefficients, negabinary numbers, the inverse transform and the block's exponent.
// Refuses nothing: sizes are the caller's. Any thread.
//
// A batch is 8 lanes of 256 numbers: 4^(4-d) blocks of 4^d each, one after the other. Bit c of a
// lane's plane is coefficient c mod 4^d, in the order it is coded, of block c / 4^d.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qi {

inline constexpr std::size_t kZfpLanes = 8;
inline constexpr std::size_t kZfpLaneNumbers = 256;
inline constexpr std::size_t kZfpBatchNumbers = kZfpLanes * kZfpLaneNumbers;

struct ZfpPlanes {
  /// planes[0] holds bit 31 of every coefficient, little-endian.
  alignas(64) std::uint8_t planes[32][kZfpLanes][kZfpLaneNumbers / 8];
  /// 2^(e - 30) of the block that number v of a lane is of: scales[v / 4^d][lane].
  alignas(64) float scales[kZfpLaneNumbers / 4][kZfpLanes];
};

/// Only the first `used` planes are read, but those up to the next multiple of 8 must be zero where
/// they are not used. out: [lane][number].
void zfp_floats(int dims, const ZfpPlanes& planes, unsigned used, float* out);
/// The same, one number after the other.
void zfp_floats_plain(int dims, const ZfpPlanes& planes, unsigned used, float* out);

}  // namespace qi
