// SmoothQuant on a block: scales move from the inputs of q, k and v, and of gate and up, into them;
// then every matrix is rounded to 8 bits row by row.
#include <algorithm>
#include <cmath>

#include "engine/calibrated/smoothing.h"
#include "engine/methods/calibrated_options.h"
#include "eval/calibration/scaled_block.h"
#include "eval/calibration/stopwatch.h"

namespace qi {
namespace {

using enum BlockLinear;

constexpr std::uint64_t kRowsAtATime = 64;

class SmoothQuantMethod : public BlockMethod {
 public:
  explicit SmoothQuantMethod(const Params& params) : options_(smoothquant_options(params)) {}

  Gathering gathering() const override {
    Gathering gathering;
    gathering.ranges = gathering.tokens = true;
    gathering.hessians = false;
    return gathering;
  }
  bool sequential() const override { return false; }

  bool quantize(const BlockWork& work) override {
    ScaledBlock scaled(work.block, work.runs.model(), work.runs.architecture());
    smooth(work, LayerInput::kQkv, {kQ, kK, kV}, scaled);
    smooth(work, LayerInput::kGateUp, {kGate, kUp}, scaled);
    for (const BlockLinear linear : work.linears) {
      const Stopwatch watch;
      const MatrixView view = scaled.view(linear);
      CalibratedMatrix matrix{work.block.weight(linear), {}, {}, {}, {}};
      const RtnFormat format{options_.grid, 8, true};
      about(matrix.weight, [&] {
        matrix.coded = rtn_matrix(view.data, view.rows, view.cols, format, 0, work.workers);
      });
      matrix.column_scales = scaled.at(linear).columns;
      matrix.errors.seconds = watch.seconds();
      matrix.errors.output_error = simulated_error(work, linear, matrix);
      hand_out(work, linear, std::move(matrix));
      if (work.workers.cancelled()) return false;
    }
    scaled.hand_out_changes(work.events);
    return true;
  }

 private:
  void smooth(const BlockWork& work, LayerInput input, std::initializer_list<BlockLinear> linears,
              ScaledBlock& scaled) const {
    std::vector<MatrixView> views;
    for (const BlockLinear linear : linears) views.push_back(work.block.view(linear));
    about(work.block.weight(*linears.begin()), [&] {
      scaled.scale_behind_norm(input, smooth_scales(work.inputs.ranges(input), views, options_));
    });
  }

  /// ‖X Wᵀ − X̂ Ŵᵀ‖ / ‖X Wᵀ‖ over some of the tokens, X̂ rounded to 8 bits as W8A8 rounds it.
  static double simulated_error(const BlockWork& work, BlockLinear linear,
                                const CalibratedMatrix& matrix) {
    const MatrixView w = work.block.view(linear);
    const Numbers& x = work.inputs.tokens(input_of(linear));
    const std::uint64_t tokens = x.size() / w.cols;
    Numbers rounded = x;
    if (!matrix.column_scales.empty()) {
      unscale_columns(rounded.data(), tokens, w.cols, matrix.column_scales);
    }
    round_tokens(rounded.data(), tokens, w.cols, rounded.data());
    const std::uint64_t pieces = (w.rows + kRowsAtATime - 1) / kRowsAtATime;
    std::vector<std::pair<double, double>> sums(pieces);  // lost, whole
    work.workers.each(pieces, tokens * w.rows * w.cols, [&](WorkBuffers& buffers, std::uint64_t i) {
      const std::uint64_t first = i * kRowsAtATime, rows = std::min(kRowsAtATime, w.rows - first);
      buffers.first.resize(rows * w.cols);
      buffers.second.resize(2 * tokens * rows);
      for (std::uint64_t r = 0; r < rows; ++r) {
        matrix.coded.row_values(first + r, buffers.first.data() + r * w.cols);
      }
      float* const y = buffers.second.data();
      float* const simulated = y + tokens * rows;
      multiply_transposed({x.data(), tokens, w.cols, w.cols},
                          {w.data + first * w.cols, rows, w.cols, w.cols}, y, rows);
      multiply_transposed({rounded.data(), tokens, w.cols, w.cols},
                          {buffers.first.data(), rows, w.cols, w.cols}, simulated, rows);
      for (std::uint64_t j = 0; j < tokens * rows; ++j) {
        const double value = y[j], lost = static_cast<double>(simulated[j]) - value;
        sums[i].first += lost * lost;
        sums[i].second += value * value;
      }
    });
    double lost = 0, whole = 0;
    for (const auto& [part_lost, part_whole] : sums) {
      lost += part_lost;
      whole += part_whole;
    }
    return lost > 0 ? std::sqrt(lost / whole) : 0;
  }

  SmoothOptions options_;
};

}  // namespace

std::unique_ptr<BlockMethod> smoothquant_method(const MethodConfig& config) {
  return std::make_unique<SmoothQuantMethod>(config.params);
}

}  // namespace qi
