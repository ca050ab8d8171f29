// How often each value of a weight occurs, finely enough for a histogram of any part of its range:
// what zooming into the values looks at. A value is told apart by the top 19 bits of its float32:
// exactly for BF16, F16 and everything smaller, else to a relative 2^−10.
// Refuses NaN and infinities: they are left out. Plain data and pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qi {

inline constexpr int kValueTopBits = 19;

/// Rising values and how often each occurs; parallel arrays. −0 counts as 0.
struct ValueCounts {
  std::vector<float> values;
  std::vector<std::uint64_t> counts;
  std::uint64_t total = 0;
  bool operator==(const ValueCounts&) const = default;
};

/// From counts[top] of all 2^kValueTopBits patterns.
ValueCounts value_counts(std::span<const std::uint64_t> tops);

/// Counts in `bins` bins of equal width over [low, high], high in the last one; what lies outside
/// is not counted. All zero when bins ≤ 0 or the range is empty or not finite.
std::vector<std::uint64_t> histogram_of(const ValueCounts& counted, double low, double high,
                                        int bins);

}  // namespace qi
