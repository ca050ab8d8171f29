#include "eval/calibration/block_method.h"

#include <algorithm>
#include <cmath>

namespace qi {
namespace {

constexpr std::uint64_t kDecodedAtATime = 64;

double output_error_of(const Hessian& hessian, const Numbers& before, const Numbers& after,
                       std::uint64_t rows, const Workers& workers) {
  const double lost = hessian.error(before.data(), after.data(), rows, workers);
  const Numbers nothing(before.size());
  const double whole = hessian.error(before.data(), nothing.data(), rows, workers);
  return lost <= 0 ? 0 : std::sqrt(lost / whole);
}

std::vector<float> column_errors(const Numbers& before, const Numbers& after, std::uint64_t rows,
                                 std::uint64_t cols) {
  std::vector<float> out(cols);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const float lost = before[i] - after[i];
    out[i % cols] += lost * lost;
  }
  for (float& sum : out) sum /= static_cast<float>(rows);
  return out;
}

}  // namespace

void CalibratedMatrix::row_values(std::uint64_t row, float* out) const {
  coded.row_values(row, out);
  const float times = row_scales.empty() ? 1.0f : row_scales[row];
  for (std::uint64_t c = 0; c < coded.cols; ++c) {
    out[c] = out[c] * times / (column_scales.empty() ? 1.0f : column_scales[c]);
  }
}

Numbers hand_out(const BlockWork& work, BlockLinear linear, CalibratedMatrix matrix) {
  const Numbers& before = work.block.numbers(linear);
  const std::uint64_t rows = matrix.coded.rows, cols = matrix.coded.cols;
  if (work.events.hold) work.events.hold(matrix.coded);
  Numbers after(before.size());
  work.workers.each((rows + kDecodedAtATime - 1) / kDecodedAtATime, before.size(),
                    [&](WorkBuffers&, std::uint64_t i) {
                      const std::uint64_t end = std::min(rows, (i + 1) * kDecodedAtATime);
                      for (std::uint64_t row = i * kDecodedAtATime; row < end; ++row) {
                        matrix.row_values(row, after.data() + row * cols);
                      }
                    });
  ErrorAccumulator sums;
  sums.add(before, after);
  matrix.errors.weight = sums.metrics();
  const Hessian& hessian = work.inputs.hessian(input_of(linear));
  if (!matrix.errors.output_error) {
    matrix.errors.output_error = output_error_of(hessian, before, after, rows, work.workers);
  }
  matrix.columns = {hessian.diagonal(), column_errors(before, after, rows, cols)};
  if (!work.workers.cancelled() && work.events.on_weight) work.events.on_weight(std::move(matrix));
  return after;
}

}  // namespace qi
