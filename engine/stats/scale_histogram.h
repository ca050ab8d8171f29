// The scales and zero points of a quantized weight, counted: what their histograms on the Weight
// screen are made of. Reads them through WeightReader::scales(), twice, in runs; memory is bounded
// by kMostDistinct. A cancelled count has no meaning. Any thread, one a call.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "engine/tensor/weight_reader.h"

namespace qi {

/// Beyond this many different numbers they are no longer told apart.
inline constexpr std::size_t kMostDistinct = std::size_t{1} << 18;

/// Numbers in 64 bins of equal width over [low, high], or of equal ratio when `logarithmic` (then
/// only of those above 0, low being the least of them). NaN and infinities are in `count` alone.
struct NumberHistogram {
  std::uint64_t count = 0;
  std::uint64_t not_finite = 0;
  std::uint64_t not_positive = 0;  // finite ones
  double low = 0;
  double high = 0;
  double mean = 0;
  bool logarithmic = false;
  std::array<std::uint64_t, 64> bins{};
  /// How many different bit patterns there are, and their order-0 entropy in bits a number;
  /// nothing when there are more than kMostDistinct.
  std::optional<std::uint64_t> distinct;
  std::optional<double> entropy_bits;
  bool operator==(const NumberHistogram&) const = default;
};

struct ScaleHistograms {
  NumberHistogram scales;
  NumberHistogram zeros;  // count 0: the codes have none
  bool added = false;     // ScaleRun::added
  bool operator==(const ScaleHistograms&) const = default;
};

/// Nothing when the weight has no scales, or when cancelled. Throws what the reader throws.
std::optional<ScaleHistograms> count_scales(WeightReader& reader,
                                            const std::atomic<bool>* cancel = nullptr);

}  // namespace qi
