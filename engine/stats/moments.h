// Moments of numbers: NaN and infinities are counted and left out of everything else.
// Partial results of tiles are merged in tile order, so the result is the same for any number of
// threads. Plain data and pure functions, any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

namespace qi {

/// Of one tile. The sums are of deviations from `shift`, the tile's first finite value, so that a
/// large mean does not swallow a small spread.
struct TileMoments {
  double shift = 0;
  double sum = 0;          // Σ (x − shift)
  double sum_squares = 0;  // Σ (x − shift)²
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  std::uint64_t finite = 0;
  std::uint64_t zeros = 0;  // +0 and −0
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;
  std::uint64_t subnormal = 0;  // non-zero, exponent field 0
};

TileMoments tile_moments(std::span<const float> values);
TileMoments tile_moments(std::span<const double> values);

struct Moments {
  double mean = 0;
  double std = 0;  // of the population: divided by n; these two not finite: beyond doubles
  double min = 0;
  double max = 0;
  std::uint64_t finite = 0;  // 0: the four above mean nothing
  std::uint64_t zeros = 0;
  std::uint64_t nan = 0;
  std::uint64_t inf = 0;
  std::uint64_t subnormal = 0;
};

/// Over all tiles, in order: compensated sums, then the spread about the common mean.
Moments merge(std::span<const TileMoments> tiles);
/// Of values that occur counts[i] times each, in compensated double sums.
Moments histogram_moments(std::span<const double> values, std::span<const std::uint64_t> counts);

/// Neumaier's compensated sum: the error does not grow with the number of terms.
class CompensatedSum {
 public:
  void add(double term);
  double value() const { return sum_ + correction_; }

 private:
  double sum_ = 0;
  double correction_ = 0;
};

}  // namespace qi
