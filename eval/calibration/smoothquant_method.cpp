// SmoothQuant on a block: scales move from the inputs of q, k and v, and of gate and up, into them;
// then every matrix is rounded to 8 bits row by row.
#include "engine/calibrated/smoothing.h"
#include "engine/methods/calibrated_options.h"
#include "eval/calibration/scaled_block.h"
#include "eval/calibration/stopwatch.h"

namespace qi {
namespace {

using enum BlockLinear;

class SmoothQuantMethod : public BlockMethod {
 public:
  explicit SmoothQuantMethod(const Params& params) : options_(smoothquant_options(params)) {}

  Gathering gathering() const override {
    Gathering gathering;
    gathering.ranges = true;
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

  SmoothOptions options_;
};

}  // namespace

std::unique_ptr<BlockMethod> smoothquant_method(const MethodConfig& config) {
  return std::make_unique<SmoothQuantMethod>(config.params);
}

}  // namespace qi
