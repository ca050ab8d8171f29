// The inner loops of the pair codec's residual layer, one set for each kind of machine: the same
// bytes from all. Owns nothing; the caller has checked sizes and keeps streams in bounds.
// Any thread.
//
// Given a row's scale and q, a weight is one of K consecutive numbers of its type, the first of
// which is `first` (PairRow has both). Its place r among them is a digit of mixed radix:
//   encode, last weight first: v ← v·K + r;   decode: r = v mod K, v ← ⌊v/K⌋.
// Both sides follow m, v < m, which depends on the radices alone: m ← ⌊m/K⌋, and while m < 2^13:
//   m ← 256·m, decode: v ← 256·v + next byte, encode: the inverse. v starts with 0 at the last
//   weight, m with 2^21 − 1 at the first. (r < K and v < ⌊m/K⌋ give K·v + r < m.)
// K ≤ 240 (bf16) needs one such refill at most, K ≤ 2040 (fp16) two. 64 lanes, weight i of a row in
// lane i mod 64; of every 16 lanes the first refills come first, then the second ones. A weight of
// K = 1 changes nothing, so rows may be filled up to whole groups.
// ⌊v/K⌋ in floats: trunc(fl(v·ρ)) with ρ the float above fl(1/K), at most 1.5·2^−23/K more
// than 1/K. At v = q·K the product is no less than q; below, at q·K − 1, it exceeds q − 1/K by
// less than 1.5·2^−23·v/K < ⅜/K, and floats there are no further than ¼/K apart.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "engine/codec/models.h"
#include "engine/codec/plane_kernels.h"

namespace qi {

inline constexpr std::size_t kPairLanes = 64;
inline constexpr std::uint32_t kPairStart = (1u << 21) - 1;
inline constexpr std::uint32_t kRefillBelow = 1u << 13;
/// A group takes 64 bytes of each refill at most; vector loads read 16 bytes.
inline constexpr std::size_t kPairAhead = 2 * kPairLanes + 64;

/// The float above fl(1/radix).
inline float reciprocal_above(std::uint32_t radix) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(1.0f / static_cast<float>(radix)) + 1);
}

/// What a row says about a weight, by q as a byte.
struct PairEntry {
  std::uint16_t first;  // with the sign of q
  std::uint16_t radix;
  float reciprocal;  // reciprocal_above(radix)
};
using PairEntries = std::array<PairEntry, 256>;

/// The plain definition; q = 0 and −128 have one number of their own. The row must be usable.
void fill_pair_entries(const PairFormat& format, const PairRow& row, PairEntries& entries);

struct PairDecodeCursor {
  alignas(64) std::array<std::uint32_t, kPairLanes> value{};
  alignas(64) std::array<std::uint32_t, kPairLanes> bound{};
  const std::byte* bytes = nullptr;
  const std::byte* limit = nullptr;  // no group starts past it
};

/// What the forward pass leaves for the backward one.
struct PairSteps {
  std::uint32_t* radix_digit;  // radix << 16 | digit, one a weight
  std::uint8_t* refills;       // lanes of 8 that refill, `refills` a vector
};

struct PairKernels {
  /// fill_pair_entries().
  void (*entries)(const PairFormat& format, const PairRow& row, PairEntries& entries);
  /// Decodes up to `groups` groups of 64 weights; stops before one that would start past the limit.
  /// Bit i of zeros[g]: q of weight i is 0, and its number is not yet known.
  std::size_t (*decode)(PairDecodeCursor& cursor, const PairEntries& entries, int refills,
                        const std::int8_t* q, std::size_t groups, std::byte* out,
                        std::uint64_t* zeros);
  /// Forward pass over a row. Bit i of missed[g]: weight i is not where q says.
  void (*plan)(std::array<std::uint32_t, kPairLanes>& bound, const PairEntries& entries,
               int refills, const std::byte* high, const std::int8_t* q, std::size_t groups,
               const PairSteps& steps, std::uint64_t* zeros, std::uint64_t* missed);
  /// Backward pass over all groups; bytes are written below `end`. Returns their start.
  std::byte* (*encode)(std::array<std::uint32_t, kPairLanes>& value, const PairSteps& steps,
                       int refills, std::size_t groups, std::byte* end);
};

const PairKernels& pair_kernels(CodecPath path);

namespace portable {
extern const PairKernels kPairKernels;
}
namespace avx2 {
extern const PairKernels kPairKernels;
}
namespace avx512 {
extern const PairKernels kPairKernels;
}

}  // namespace qi
