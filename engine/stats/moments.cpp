#include "engine/stats/moments.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <type_traits>

namespace qi {
namespace {

template <typename T>
using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
template <typename T>
constexpr Bits<T> kSignless = std::numeric_limits<Bits<T>>::max() >> 1;
template <typename T>
constexpr Bits<T> kInfinityBits = std::bit_cast<Bits<T>>(std::numeric_limits<T>::infinity());
template <typename T>
constexpr Bits<T> kSmallestNormal = std::bit_cast<Bits<T>>(std::numeric_limits<T>::min());

// Sixteen independent sums of each kind: the compiler keeps them in vector registers, and the order
// of additions, hence the result, is the same on every machine.
constexpr std::size_t kSumLanes = 16;
constexpr std::size_t kPiece = 1024;

struct Lanes {
  std::array<double, kSumLanes> sum{};
  std::array<double, kSumLanes> squares{};
};

template <typename T>
void add_finite(std::span<const T> values, double shift, Lanes& lanes, TileMoments& tile) {
  T low = values[0];
  T high = values[0];
  for (const T x : values) {
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  tile.min = std::min(tile.min, static_cast<double>(low));
  tile.max = std::max(tile.max, static_cast<double>(high));
  tile.finite += values.size();
  std::size_t i = 0;
  for (; i + kSumLanes <= values.size(); i += kSumLanes) {
    for (std::size_t k = 0; k < kSumLanes; ++k) {
      const double d = static_cast<double>(values[i + k]) - shift;
      lanes.sum[k] += d;
      lanes.squares[k] += d * d;
    }
  }
  for (std::size_t k = 0; i < values.size(); ++i, ++k) {
    const double d = static_cast<double>(values[i]) - shift;
    lanes.sum[k] += d;
    lanes.squares[k] += d * d;
  }
}

template <typename T>
TileMoments moments_of(std::span<const T> values) {
  TileMoments tile;
  const auto finite = [](T x) {
    return (std::bit_cast<Bits<T>>(x) & kSignless<T>) < kInfinityBits<T>;
  };
  const auto first = std::find_if(values.begin(), values.end(), finite);
  if (first != values.end()) tile.shift = static_cast<double>(*first);
  Lanes lanes;
  std::array<T, kPiece> kept;
  for (std::size_t begin = 0; begin < values.size(); begin += kPiece) {
    const auto piece = values.subspan(begin, std::min(kPiece, values.size() - begin));
    Bits<T> largest = 0;
    Bits<T> smallest = kSignless<T>;
    for (const T x : piece) {
      const Bits<T> magnitude = std::bit_cast<Bits<T>>(x) & kSignless<T>;
      largest = magnitude > largest ? magnitude : largest;
      smallest = magnitude < smallest ? magnitude : smallest;
    }
    if (smallest < kSmallestNormal<T>) {
      for (const T x : piece) {
        const Bits<T> magnitude = std::bit_cast<Bits<T>>(x) & kSignless<T>;
        tile.zeros += magnitude == 0;
        tile.subnormal += magnitude != 0 && magnitude < kSmallestNormal<T>;
      }
    }
    if (largest < kInfinityBits<T>) {
      add_finite(piece, tile.shift, lanes, tile);
      continue;
    }
    std::size_t count = 0;
    for (const T x : piece) {
      const Bits<T> magnitude = std::bit_cast<Bits<T>>(x) & kSignless<T>;
      tile.inf += magnitude == kInfinityBits<T>;
      tile.nan += magnitude > kInfinityBits<T>;
      if (magnitude < kInfinityBits<T>) kept[count++] = x;
    }
    if (count > 0) add_finite(std::span<const T>(kept.data(), count), tile.shift, lanes, tile);
  }
  for (std::size_t k = 0; k < kSumLanes; ++k) {
    tile.sum += lanes.sum[k];
    tile.sum_squares += lanes.squares[k];
  }
  return tile;
}

// The spread from Σ of squares about the mean; −0 becomes 0 in the extremes.
void finish(Moments& all, double low, double high, double squares) {
  all.min = low + 0.0;
  all.max = high + 0.0;
  // Rounding may leave a little less than nothing; what is not a number stays visible.
  all.std = std::sqrt(squares < 0 ? 0.0 : squares / static_cast<double>(all.finite));
}

}  // namespace

void CompensatedSum::add(double term) {
  const double total = sum_ + term;
  correction_ += std::abs(sum_) >= std::abs(term) ? (sum_ - total) + term : (term - total) + sum_;
  sum_ = total;
}

TileMoments tile_moments(std::span<const float> values) {
  return moments_of(values);
}
TileMoments tile_moments(std::span<const double> values) {
  return moments_of(values);
}

Moments merge(std::span<const TileMoments> tiles) {
  Moments all;
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  CompensatedSum sum;
  for (const TileMoments& tile : tiles) {
    all.finite += tile.finite;
    all.zeros += tile.zeros;
    all.nan += tile.nan;
    all.inf += tile.inf;
    all.subnormal += tile.subnormal;
    low = std::min(low, tile.min);
    high = std::max(high, tile.max);
    sum.add(tile.sum);
    sum.add(static_cast<double>(tile.finite) * tile.shift);
  }
  if (all.finite == 0) return all;
  all.mean = sum.value() / static_cast<double>(all.finite);
  CompensatedSum squares;
  for (const TileMoments& tile : tiles) {
    if (tile.finite == 0) continue;
    // Σ(x − mean)² = Σ(x − shift)² − n·(tile mean − shift)² + n·(tile mean − mean)²
    const auto n = static_cast<double>(tile.finite);
    const double offset = tile.sum / n;
    const double distance = tile.shift - all.mean + offset;
    squares.add(tile.sum_squares - tile.sum * offset);
    squares.add(n * distance * distance);
  }
  finish(all, low, high, squares.value());
  return all;
}

Moments histogram_moments(std::span<const double> values, std::span<const std::uint64_t> counts) {
  Moments all;
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  CompensatedSum sum;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (counts[i] == 0) continue;
    const double x = values[i];
    if (std::isnan(x)) {
      all.nan += counts[i];
    } else if (std::isinf(x)) {
      all.inf += counts[i];
    } else {
      all.finite += counts[i];
      if (x == 0) all.zeros += counts[i];
      low = std::min(low, x);
      high = std::max(high, x);
      sum.add(static_cast<double>(counts[i]) * x);
    }
  }
  if (all.finite == 0) return all;
  all.mean = sum.value() / static_cast<double>(all.finite);
  CompensatedSum squares;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (counts[i] == 0 || !std::isfinite(values[i])) continue;
    const double distance = values[i] - all.mean;
    squares.add(static_cast<double>(counts[i]) * distance * distance);
  }
  finish(all, low, high, squares.value());
  return all;
}

}  // namespace qi
