// The plain loops: the same operations in the same order as the vectors' lanes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/calibrated/column_kernels.h"
#include "engine/calibrated/real_grid.h"

namespace qi {
namespace {

constexpr float kInfinite = std::numeric_limits<float>::infinity();

float between(float x, float low, float high) {
  return std::min(std::max(x, low), high);
}

void ranges(const float* columns, std::size_t count, std::size_t rows, float* low, float* high) {
  for (std::size_t r = 0; r < rows; ++r) {
    low[r] = high[r] = columns[r];
    for (std::size_t c = 1; c < count; ++c) {
      low[r] = std::min(low[r], columns[c * rows + r]);
      high[r] = std::max(high[r], columns[c * rows + r]);
    }
  }
}

float quantized(const ColumnGrid& grid, float x, float scale, float zero) {
  if (grid.rounded) return between(std::nearbyint(x / scale) + zero, 0, grid.top);
  const float code = x / std::max(scale, grid.least) + (zero - grid.shift);
  return std::nearbyint(between(code, -grid.shift, grid.top - grid.shift)) + grid.shift;
}

bool code(const ColumnGrid& grid, const float* column, std::size_t rows, float weight,
          float threshold, const ColumnResult& out, std::uint8_t* outlier) {
  bool any = false;
  for (std::size_t r = 0; r < rows; ++r) {
    const float scale = grid.scale[r], zero = grid.zero[r];
    float q = quantized(grid, column[r], scale, zero);
    float value = scale * (q - zero);
    float error = (column[r] - value) * weight;
    outlier[r] = error * error > threshold ? 1 : 0;
    if (outlier[r] != 0) {
      any = true;
      q = quantized(grid, 0, scale, zero);
      value = column[r];
      error = 0;
    }
    out.codes[r] = static_cast<std::uint8_t>(static_cast<int>(q));
    out.change[r] -= value;
    out.error[r] = error;
    out.loss[r] += error * error;
  }
  return any;
}

void subtract(const float* factors, const float* error, std::size_t count, std::size_t rows,
              float* columns) {
  for (std::size_t c = 0; c < count; ++c) {
    for (std::size_t r = 0; r < rows; ++r) columns[c * rows + r] -= factors[c] * error[r];
  }
}

// x^2.4 of x ≥ 0: x² · (x^(1/5))², the root by three of Newton's steps from a guess by the
// exponent.
float power_2_4(float x) {
  const float least = std::max(x, 1e-30f);
  const float fifth = static_cast<float>(std::bit_cast<std::int32_t>(least)) * 0.2f;
  float root = std::bit_cast<float>(static_cast<std::int32_t>(fifth) + 0x32CA0000);
  for (int step = 0; step < 3; ++step) {
    const float square = root * root;
    root = 0.2f * (4.0f * root + least / (square * square));
  }
  return (x * x) * (root * root);
}

void shrunk_grids(const float* columns, std::size_t count, std::size_t rows, const float* lows,
                  const float* highs, float top, bool symmetric, float* scales, float* zeros) {
  for (std::size_t r = 0; r < rows; ++r) {
    float low = std::min(lows[r], 0.0f), high = std::max(highs[r], 0.0f);
    if (symmetric) {
      high = std::max(std::abs(low), high);
      low = low < 0 ? -high : low;
    }
    if ((high - low) / top == 0) low = -1, high = 1;
    float best = kInfinite;
    for (int i = 0; i < 80; ++i) {
      const float p = 1.0f - static_cast<float>(i) / 100.0f;
      const float scale = (p * high - p * low) / top;
      const float zero = symmetric ? (top + 1) / 2 : std::nearbyint(-(p * low) / scale);
      float sum = 0;
      for (std::size_t c = 0; c < count; ++c) {
        const float x = columns[c * rows + r];
        const float q = between(std::nearbyint(x / scale) + zero, 0, top);
        sum += power_2_4(std::abs(scale * (q - zero) - x));
      }
      if (i == 0 || sum < best) scales[r] = scale, zeros[r] = zero;
      best = std::min(best, sum);
    }
  }
}

float squared_error(const RealGrid& grid, int bits, float x, float weight) {
  const float q = static_cast<float>(real_code(grid, x, bits));
  const float error = (grid.scale * (q - grid.zero) - x) * weight;
  return error * error;
}

void inlier_ranges(const float* columns, std::size_t count, std::size_t rows, const float* weights,
                   int bits, bool symmetric, float threshold, float* low, float* high) {
  for (std::size_t r = 0; r < rows; ++r) {
    const auto number = [&](std::size_t c) { return columns[c * rows + r]; };
    // Without one number the grid is another only if that is the least or the greatest.
    float least = kInfinite, second_least = kInfinite, most = -kInfinite, second_most = -kInfinite;
    std::size_t at_least = 0, at_most = 0;
    for (std::size_t c = 0; c < count; ++c) {
      const float x = number(c);
      second_least = x < least ? least : std::min(second_least, x);
      if (x < least) least = x, at_least = c;
      second_most = x > most ? most : std::max(second_most, x);
      if (x > most) most = x, at_most = c;
    }
    const bool same = at_least == at_most;
    const RealGrid all = real_grid(least, most, bits, symmetric);
    const RealGrid without_least =
        real_grid(second_least, same ? second_most : most, bits, symmetric);
    const RealGrid without_most =
        real_grid(same ? second_least : least, second_most, bits, symmetric);
    float base = 0, low_sum = 0, high_sum = 0;
    for (std::size_t c = 0; c < count; ++c) {
      base += squared_error(all, bits, number(c), weights[c]);
      low_sum += c == at_least ? 0.0f : squared_error(without_least, bits, number(c), weights[c]);
      high_sum += c == at_most ? 0.0f : squared_error(without_most, bits, number(c), weights[c]);
    }
    float kept = 0, sum = 0;
    low[r] = kInfinite, high[r] = -kInfinite;
    for (std::size_t c = 0; c < count; ++c) {
      const float gain = c == at_least  ? base - low_sum
                         : c == at_most ? base - high_sum
                                        : squared_error(all, bits, number(c), weights[c]);
      if (gain > threshold) continue;
      kept += 1, sum += number(c);
      low[r] = std::min(low[r], number(c)), high[r] = std::max(high[r], number(c));
    }
    if (kept < static_cast<float>(count)) {
      const float mean = sum / std::max(kept, 1.0f);
      low[r] = std::min(low[r], mean), high[r] = std::max(high[r], mean);
    }
  }
}

}  // namespace

const ColumnKernels& plain_column_kernels() {
  static constexpr ColumnKernels kKernels{ranges, code, subtract, shrunk_grids, inlier_ranges};
  return kKernels;
}

}  // namespace qi
