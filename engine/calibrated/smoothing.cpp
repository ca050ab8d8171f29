#include "engine/calibrated/smoothing.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/calibrated/checks.h"
#include "engine/calibrated/column_sweep.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr float kLeastSmooth = 1e-5f;  // of a column's largest weight, and of a scale
constexpr std::uint64_t kRoundRows = 16;

std::vector<float> column_absmax(std::span<const MatrixView> weights, std::uint64_t cols) {
  std::vector<float> most(cols);
  for (const MatrixView& weight : weights) {
    refuse_non_finite_weights(weight.data, weight.rows, cols, 0);
    for (std::uint64_t r = 0; r < weight.rows; ++r) {
      const float* const row = weight.data + r * cols;
      for (std::uint64_t c = 0; c < cols; ++c) {
        const float size = std::abs(row[c]);
        most[c] = size > most[c] ? size : most[c];
      }
    }
  }
  return most;
}

}  // namespace

std::vector<float> smooth_scales(const ColumnRanges& inputs, std::span<const MatrixView> weights,
                                 const SmoothOptions& options) {
  if (!(options.alpha >= 0 && options.alpha <= 1)) {
    throw Error(ErrorCode::kUsage, fmt::format("smoothquant alpha {}", options.alpha), "0 to 1");
  }
  const std::uint64_t cols = inputs.low.size();
  check_same_input(weights, cols);
  std::vector<float> activity = inputs.absmax();
  if (options.style == SmoothStyle::kRange && inputs.tokens != 0) {
    for (std::uint64_t j = 0; j < cols; ++j) activity[j] = inputs.high[j] - inputs.low[j];
  }
  refuse_non_finite_columns(activity, "the range of inputs");
  const std::vector<float> most = column_absmax(weights, cols);
  const auto alpha = static_cast<float>(options.alpha);
  const float times = options.style == SmoothStyle::kRange ? 2 : 1;
  std::vector<float> scales(cols);
  for (std::uint64_t j = 0; j < cols; ++j) {
    const float size = std::max(times * most[j], kLeastSmooth);
    scales[j] = std::max(std::pow(activity[j], alpha) / std::pow(size, 1 - alpha), kLeastSmooth);
  }
  return scales;
}

void scale_columns(float* weight, std::uint64_t rows, std::uint64_t cols,
                   std::span<const float> scales) {
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint64_t c = 0; c < cols; ++c) weight[r * cols + c] *= scales[c];
  }
}

void unscale_columns(float* values, std::uint64_t rows, std::uint64_t cols,
                     std::span<const float> scales) {
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint64_t c = 0; c < cols; ++c) values[r * cols + c] /= scales[c];
  }
}

CodedMatrix rtn_matrix(const float* weight, std::uint64_t rows, std::uint64_t cols,
                       const RtnFormat& format, std::uint64_t group, const Workers& workers) {
  CodedMatrix coded = empty_codes(rows, cols, format.bits, group);
  coded.symmetric = format.symmetric || format.style == RtnStyle::kRestricted;
  const std::uint64_t width = group == 0 ? cols : group;
  workers.each(ceil_div(rows, kRoundRows), rows * cols, [&](WorkBuffers&, std::uint64_t piece) {
    const std::uint64_t first = piece * kRoundRows, end = std::min(rows, first + kRoundRows);
    refuse_non_finite_weights(weight + first * cols, end - first, cols, first);
    for (std::uint64_t r = first; r < end; ++r) {
      for (std::uint64_t g = 0; g < coded.groups; ++g) {
        const std::uint64_t at = r * cols + g * width, count = std::min(width, cols - g * width);
        const RtnGrid grid = rtn_grid(format, rtn_range(weight + at, count));
        rtn_codes(format, grid, weight + at, count, coded.codes.data() + at);
        coded.scales[r * coded.groups + g] = grid.scale;
        coded.zeros[r * coded.groups + g] = static_cast<float>(grid.zero);
      }
    }
  });
  return coded;
}

void round_tokens(const float* x, std::uint64_t tokens, std::uint64_t cols, float* out) {
  const RtnFormat format{RtnStyle::kRestricted, 8, true};
  std::vector<std::uint8_t> codes(cols);
  for (std::uint64_t t = 0; t < tokens; ++t) {
    const RtnGrid grid = rtn_grid(format, rtn_range(x + t * cols, cols));
    rtn_codes(format, grid, x + t * cols, cols, codes.data());
    rtn_values(grid, codes.data(), cols, out + t * cols);
  }
}

}  // namespace qi
