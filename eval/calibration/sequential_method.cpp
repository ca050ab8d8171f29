// GPTQ and SpQR: the columns of each matrix with the Hessian of its inputs.
#include <optional>

#include "engine/calibrated/spqr_solver.h"
#include "engine/methods/calibrated_options.h"
#include "eval/calibration/block_method.h"
#include "eval/calibration/stopwatch.h"

namespace qi {
namespace {

class GptqMethod {
 public:
  explicit GptqMethod(const Params& params) : options_(gptq_options(params)) {}

  HessianFactor factor(const Hessian& hessian, const MatrixView&, const Workers& workers) const {
    return factor_gptq(hessian, options_, workers);
  }
  /// Whether matrices with the same inputs have the same factor.
  bool shares_factor() const { return true; }
  CodedMatrix solve(const MatrixView& w, const HessianFactor& factor, const Workers& workers,
                    SolverReport& report) const {
    return gptq(w.data, w.rows, factor, options_, workers, report);
  }

 private:
  GptqOptions options_;
};

class SpqrMethod {
 public:
  explicit SpqrMethod(const Params& params) : options_(spqr_options(params)) {}

  HessianFactor factor(const Hessian& hessian, const MatrixView& w, const Workers& workers) const {
    return factor_spqr(hessian, w.data, w.rows, options_, workers);
  }
  bool shares_factor() const { return options_.order != ColumnOrder::kSpearman; }
  CodedMatrix solve(const MatrixView& w, const HessianFactor& factor, const Workers& workers,
                    SolverReport& report) const {
    return spqr(w.data, w.rows, factor, options_, workers, report);
  }

 private:
  SpqrOptions options_;
};

template <typename Solver>
class SequentialMethod : public BlockMethod {
 public:
  explicit SequentialMethod(const Params& params)
      : solver_(params), true_sequential_(params.get("true_sequential") == "yes") {}

  bool sequential() const override { return true; }
  bool true_sequential() const override { return true_sequential_; }

  bool quantize(const BlockWork& work) override {
    std::optional<HessianFactor> factor;
    std::optional<LayerInput> factor_of;
    for (const BlockLinear linear : work.linears) {
      const Stopwatch watch;
      const LayerInput input = input_of(linear);
      const Weight& weight = work.block.weight(linear);
      const MatrixView numbers = work.block.view(linear);
      CalibratedMatrix matrix{weight, {}, {}, {}, {}};
      SolverReport report;
      about(weight, [&] {
        if (factor_of != input || !solver_.shares_factor()) {
          factor.reset();  // two of them would not be needed, nor perhaps fit
          factor = solver_.factor(work.inputs.hessian(input), numbers, work.workers);
          factor_of = input;
        }
        matrix.coded = solver_.solve(numbers, *factor, work.workers, report);
      });
      if (work.workers.cancelled()) return false;
      matrix.errors.seconds = watch.seconds();
      matrix.errors.note = report.warning;
      work.block.set(linear, hand_out(work, linear, std::move(matrix)));
      if (work.workers.cancelled()) return false;
    }
    return true;
  }

 private:
  Solver solver_;
  bool true_sequential_;
};

}  // namespace

std::unique_ptr<BlockMethod> sequential_method(const MethodConfig& config) {
  if (config.family == "spqr") return std::make_unique<SequentialMethod<SpqrMethod>>(config.params);
  return std::make_unique<SequentialMethod<GptqMethod>>(config.params);
}

}  // namespace qi
