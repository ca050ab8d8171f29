#include "engine/quant/coded_matrix.h"

#include <algorithm>

namespace qi {

void CodedMatrix::row_values(std::uint64_t row, float* out) const {
  const std::uint8_t* code = codes.data() + row * cols;
  const float* scale = scales.data() + row * groups;
  const float* zero = zeros.data() + row * groups;
  for (std::uint64_t c = 0; c < cols; ++c) {
    const std::uint32_t g = group_of[c];
    out[c] = scale[g] * (static_cast<float>(code[c]) - zero[g]);
  }
  const auto begin = std::lower_bound(
      outliers.begin(), outliers.end(), row,
      [](const Outlier& outlier, std::uint64_t wanted) { return outlier.row < wanted; });
  for (auto at = begin; at != outliers.end() && at->row == row; ++at) out[at->col] = at->value;
}

}  // namespace qi
