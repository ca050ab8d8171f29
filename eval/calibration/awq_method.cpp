// AWQ on a block: scales for every input by what they do to the module around it, then clips, then
// codes.
#include "engine/calibrated/awq_search.h"
#include "engine/calibrated/smoothing.h"
#include "engine/methods/calibrated_options.h"
#include "eval/calibration/scaled_block.h"
#include "eval/calibration/stopwatch.h"

namespace qi {
namespace {

using enum BlockLinear;

class AwqBlock {
 public:
  AwqBlock(const AwqOptions& options, const BlockWork& work)
      : options_(options),
        work_(work),
        scaled_(work.block, work.runs.model(), work.runs.architecture()) {}

  /// False: cancelled.
  bool run() {
    const Stopwatch watch;
    search(LayerInput::kQkv, {kQ, kK, kV});
    // Grouped heads: rows of v serve several columns of o, which need scales of their own.
    if (rows(kV) == work_.block.view(kO).cols) search_behind(kO, kV);
    search(LayerInput::kGateUp, {kGate, kUp});
    search_behind(kDown, kUp);
    const double searching = watch.seconds() / kBlockLinears;
    for (const BlockLinear linear : work_.linears) {
      if (work_.workers.cancelled()) return false;
      finish(linear, searching);
    }
    if (work_.workers.cancelled()) return false;
    scaled_.hand_out_changes(work_.events);
    return true;
  }

 private:
  std::uint64_t rows(BlockLinear linear) const { return work_.block.view(linear).rows; }

  std::vector<float> scales_of(std::span<const BlockLinear> linears, const AwqLoss& loss) const {
    if (work_.workers.cancelled()) return {};
    std::vector<MatrixView> views;
    for (const BlockLinear linear : linears) views.push_back(work_.block.view(linear));
    const std::vector<float> mean = work_.inputs.ranges(input_of(linears.front())).mean_abs();
    return about(work_.block.weight(linears.front()),
                 [&] { return awq_scales(views, mean, options_, work_.workers, loss).scales; });
  }

  /// Behind a norm: measured on what the attention or the MLP makes of it.
  void search(LayerInput input, std::initializer_list<BlockLinear> linears) {
    const Numbers& x = work_.inputs.all(input);
    const Numbers y = work_.runs.module_outputs(work_.block, input, x);
    Block changed = work_.block;
    const AwqLoss loss = [&](std::span<const std::vector<float>> numbers) {
      std::size_t i = 0;
      for (const BlockLinear linear : linears) changed.set(linear, numbers[i++]);
      return work_.runs.module_error(changed, input, x, y).value_or(0);
    };
    const std::vector<float> scales = scales_of(linears, loss);
    if (!work_.workers.cancelled()) scaled_.scale_behind_norm(input, scales);
  }

  /// Behind another matrix: measured on its own output, ‖X ΔWᵀ‖² by the Hessian.
  void search_behind(BlockLinear linear, BlockLinear before) {
    const Hessian& hessian = work_.inputs.hessian(input_of(linear));
    const AwqLoss loss = [&](std::span<const std::vector<float>> numbers) {
      return hessian.error(work_.block.numbers(linear).data(), numbers.front().data(), rows(linear),
                           work_.workers);
    };
    const std::vector<float> scales = scales_of({&linear, 1}, loss);
    if (!work_.workers.cancelled()) scaled_.scale_behind_rows(linear, before, scales);
  }

  void finish(BlockLinear linear, double searching) {
    const Stopwatch watch;
    ScaledBlock::Scaled& scaled = scaled_.at(linear);
    const MatrixView view = scaled_.view(linear);
    CalibratedMatrix matrix{work_.block.weight(linear), {}, {}, {}, {}};
    about(matrix.weight, [&] {
      // Products of q and k go through a softmax: clips of single matrices do not tell there.
      if (options_.clip && linear != kQ && linear != kK) {
        Numbers x = work_.inputs.tokens(input_of(linear));
        const std::uint64_t tokens = x.size() / view.cols;
        if (!scaled.columns.empty()) unscale_columns(x.data(), tokens, view.cols, scaled.columns);
        const std::vector<float> clips =
            awq_clips(view, {x.data(), tokens, view.cols, view.cols}, options_, work_.workers);
        if (work_.workers.cancelled()) return;
        awq_clamp(scaled.numbers.data(), view.rows, view.cols, options_.group, clips);
      }
      matrix.coded = awq_codes(view, options_, work_.workers);
    });
    if (work_.workers.cancelled()) return;
    matrix.column_scales = scaled.columns;
    matrix.row_scales = scaled.rows;
    matrix.errors.seconds = searching + watch.seconds();
    hand_out(work_, linear, std::move(matrix));
  }

  const AwqOptions& options_;
  const BlockWork& work_;
  ScaledBlock scaled_;
};

class AwqMethod : public BlockMethod {
 public:
  explicit AwqMethod(const Params& params) : options_(awq_options(params)) {}

  Gathering gathering() const override {
    Gathering gathering;
    gathering.ranges = gathering.modules = true;
    gathering.tokens = options_.clip;
    return gathering;
  }
  bool sequential() const override { return false; }
  bool quantize(const BlockWork& work) override { return AwqBlock(options_, work).run(); }

 private:
  AwqOptions options_;
};

}  // namespace

std::unique_ptr<BlockMethod> awq_method(const MethodConfig& config) {
  return std::make_unique<AwqMethod>(config.params);
}

}  // namespace qi
