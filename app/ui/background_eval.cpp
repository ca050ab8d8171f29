#include "app/ui/background_eval.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "eval/evaluation/saved_logits.h"
#include "eval/results/results.h"
#include "eval/sweep/sweep_evaluation.h"

namespace qi {
namespace {

constexpr auto kLook = std::chrono::milliseconds(20);

/// The plan's rows, measured or found: sizes come from them, and the evaluations join their run.
std::optional<std::vector<ResultRow>> rows_of(const SweepPlan& plan,
                                              const BackgroundEval::What& what,
                                              UnitContext& context, std::int64_t& run) {
  std::vector<ResultRow> totals(plan.totals.size());
  SweepOptions options;
  options.database = what.database;
  options.threads = what.run.threads;
  options.options = what.run.options;
  options.versions = what.run.versions;
  options.on_total = [&](std::size_t total, const ResultRow& row) { totals[total] = row; };
  Sweep sweep(plan, options);
  JobQueue::Options threads;
  threads.threads = what.run.threads;
  JobQueue own(threads);
  const JobId job = sweep.start(own, "rows");
  for (auto now = own.snapshot(job); now && now->state == JobState::kActive;
       now = own.snapshot(job)) {
    if (context.cancelled()) return std::nullopt;  // `own` ends what runs
    std::this_thread::sleep_for(kLook);
  }
  if (const auto failure = sweep.failure()) throw Error(*failure);
  run = sweep.run();
  return totals;
}

std::shared_ptr<const Model> base_model(const std::string& path) {
  const Catalog catalog = find_models(path);
  if (catalog.models.size() != 1) {
    throw Error(ErrorCode::kUsage, fmt::format("{} models", catalog.models.size()),
                "one, as the base", path);
  }
  return std::make_shared<const Model>(open_model(catalog.models.front()));
}

void evaluate(const BackgroundEval::What& what, UnitContext& context,
              const EvaluationEvents& events) {
  EvaluationRequest request = what.request;
  request.cancel = context.cancel();
  if (SavedLogits::is_one(what.base_path)) {
    request.saved_base = what.base_path;
  } else if (!what.base_path.empty()) {
    request.base = base_model(what.base_path);
  }
  if (what.config) {
    SweepRequest covered;
    covered.configs = {*what.config};
    const SweepPlan plan = plan_sweep(what.model, covered);
    SweepEvaluation evaluation(plan, request);
    std::int64_t run = 0;
    const auto totals = rows_of(plan, what, context, run);
    if (!totals) return;
    SweepEvaluationEvents inner;
    inner.on_row = events.on_row;
    inner.on_progress = [&](std::size_t, const EvaluationProgress& now) {
      events.on_progress(now);
    };
    evaluation.run(*totals, what.database, run, inner);
    return;
  }
  ResultsStore results(what.database);
  EvalStore store(what.database, results, [&] { return results.begin_run(what.run, {}); });
  Evaluation evaluation(*what.model, request);
  const EvaluatedWeights as_stored{open_reader, std::nullopt, what.model->bits_per_weight(), {}};
  if (evaluation.run(as_stored, store, events)) results.end_run(evaluation.model_hash());
}

}  // namespace

std::vector<EvalRow> evaluations_of(const std::string& model, const std::string& database) {
  if (access(database.c_str(), F_OK) != 0) return {};
  std::vector<EvalRow> rows = Results(database).evaluations();
  std::erase_if(rows, [&](const EvalRow& row) { return row.model != model; });
  return rows;
}

BackgroundEval::BackgroundEval(What what, std::string name, JobQueue& queue) : queue_(queue) {
  const std::uint64_t kinds = what.request.kinds.size() + (what.config ? 1 : 0);
  const auto work = [results = results_, what = std::move(what)](UnitContext& context) {
    std::vector<EvalRow> earlier = evaluations_of(what.model->name, what.database);
    results->put([&](Results& out) { out.earlier = std::move(earlier); });
    EvaluationEvents events;
    events.on_row = [&](const EvalRow& row) {
      results->put([&](Results& out) { out.rows.push_back(row); });
    };
    StepProgress progress(context);
    events.on_progress = [&](const EvaluationProgress& now) {
      results->put([&](Results& out) {
        out.steps.push_back({std::string(now.kind), now.done, now.total, now.value});
      });
      if (now.total == 0) return;
      progress.follow(now.kind, static_cast<double>(now.done) / static_cast<double>(now.total));
    };
    evaluate(what, context, events);
  };
  job_ = queue_.submit(name, {{.label = name,
                               .bytes = kinds * StepProgress::kParts,
                               .priority = kAskedPriority,
                               .run = asked_work(results_, work)}});
}

}  // namespace qi
