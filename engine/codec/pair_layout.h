// Sizes of the parts of a residual block, for its writer and its reader. Internal to the pair
// codec. Pure functions.
#pragma once

#include "engine/codec/pair_codec.h"

namespace qi {

inline constexpr std::uint8_t kPairRaw = 0;
inline constexpr std::uint8_t kPairCoded = 1;
inline constexpr std::size_t kPairHead = 16;
inline constexpr std::size_t kPairStateBytes = 4 * kPairLanes;
inline constexpr std::size_t kPairEscapeBytes = 6;

/// 2^13/max_radix is 34 for bf16, 4 for fp16: one byte more, or two.
inline int refills_of(const PairFormat& format) {
  return format.max_radix <= 255 ? 1 : 2;
}

struct PairSizes {
  /// No sum overflows: the counts are below 2^32.
  PairSizes(const PairBlock& low, const PairCost& cost)
      : mask((low.rows + 7) / 8),
        zeros((cost.zero_bits + 7) / 8),
        total(kPairHead + mask + kPairStateBytes + cost.digit_bytes + zeros +
              kPairEscapeBytes * cost.escapes + 2 * low.cols * cost.stored_rows) {}

  std::uint64_t mask;
  std::uint64_t zeros;
  std::uint64_t total;
};

}  // namespace qi
