#include "engine/calibrated/checks.h"

#include <bit>
#include <cassert>
#include <cmath>

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {

void refuse_non_finite_weights(const float* rows, std::uint64_t count, std::uint64_t cols,
                               std::uint64_t first_row) {
  constexpr std::uint32_t kExponent = 0x7F800000;
  for (std::uint64_t r = 0; r < count; ++r) {
    const float* const row = rows + r * cols;
    bool bad = false;
    for (std::uint64_t c = 0; c < cols; ++c) {
      bad |= (std::bit_cast<std::uint32_t>(row[c]) & kExponent) == kExponent;
    }
    if (!bad) continue;
    std::uint64_t c = 0;
    while (std::isfinite(row[c])) ++c;
    throw Error(ErrorCode::kBadValue,
                fmt::format("{} in row {}, column {}", row[c], first_row + r, c),
                "weights that are finite");
  }
}

void refuse_non_finite_columns(std::span<const float> values, const char* what) {
  for (std::size_t j = 0; j < values.size(); ++j) {
    if (std::isfinite(values[j])) continue;
    throw Error(ErrorCode::kBadValue, fmt::format("{} in {} of column {}", values[j], what, j),
                "calibration inputs that are finite");
  }
}

void check_same_input(std::span<const MatrixView> weights, std::uint64_t cols) {
  if (weights.empty()) throw Error(ErrorCode::kBadShape, "no matrix", "at least one");
  for (const MatrixView& weight : weights) {
    assert(weight.stride == weight.cols);
    if (weight.cols == cols) continue;
    throw Error(ErrorCode::kBadShape,
                fmt::format("a matrix of {} columns on an input of {}", weight.cols, cols),
                "as many");
  }
}

}  // namespace qi
