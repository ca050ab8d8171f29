// The evaluations of a sweep (--with): every configuration of its plan is applied to the whole
// model in memory and evaluated, one after the other; rows join the sweep's run. Weights are coded
// only when an evaluation needs them, so what the database has costs nothing. What fails is a row
// with its error. Refuses what Evaluation refuses of model and text. One thread at a time; the work
// is shared by threads of its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "eval/evaluation/evaluation.h"
#include "eval/sweep/calibrated_cache.h"
#include "eval/sweep/sweep.h"

namespace qi {

struct SweepEvaluationEvents {
  /// A row is finished and on the disk, or failed.
  std::function<void(const EvalRow& row)> on_row;
  /// `total`: of the plan, the configuration that is at work. Its kind is "coding" while weights
  /// are coded, in bytes as stored.
  std::function<void(std::size_t total, const EvaluationProgress& progress)> on_progress;
};

class SweepEvaluation {
 public:
  /// `plan` must outlive it. Throws at once for a model, tokenizer or text that cannot be
  /// evaluated.
  SweepEvaluation(const SweepPlan& plan, EvaluationRequest request);
  /// Where the sweep left what calibrated configurations made; without it they are made again.
  void use(std::shared_ptr<CalibratedCache> cache) { calibrated_ = std::move(cache); }

  /// `totals`: the sweep's rows of plan.totals, from which sizes are taken; `database` and `run`
  /// are the sweep's. False: cancelled, finished rows and windows are kept. Throws what the
  /// database throws.
  bool run(std::span<const ResultRow> totals, const std::string& database, std::int64_t run,
           const SweepEvaluationEvents& events);

 private:
  bool evaluate(std::size_t total, const ResultRow& sums, EvalStore& store,
                const SweepEvaluationEvents& events);

  const SweepPlan& plan_;
  EvaluationRequest request_;
  Evaluation evaluation_;
  std::shared_ptr<CalibratedCache> calibrated_ = std::make_shared<CalibratedCache>();
};

/// What an evaluation holds besides weights.
inline constexpr std::uint64_t kEvaluationFixedBytes = std::uint64_t{256} << 20;
/// Upper estimate of bytes held while the plan's configurations are evaluated: the model as stored,
/// the largest of them coded, and the rest.
std::uint64_t evaluation_memory(const SweepPlan& plan);

}  // namespace qi
