#include "app/ui/background_sweep.h"

#include <map>
#include <thread>

#include <fmt/format.h>

#include "app/modes/modes.h"
#include "app/ui/background_eval.h"
#include "eval/sweep/sweep_evaluation.h"

namespace qi {
namespace {

constexpr std::int32_t kAfterAllRows = -2;  // below calibrated rows
constexpr auto kRowPause = std::chrono::milliseconds(20);

using TotalRows = SharedResults<std::map<std::size_t, ResultRow>>;

/// What evaluates the configurations of a sweep, as the last unit of its job.
struct Evaluations {
  std::shared_ptr<Sweep> sweep;
  std::shared_ptr<TotalRows> totals;
  std::shared_ptr<SharedResults<BackgroundSweep::Results>> results;
  EvaluationRequest request;
  SweepOptions options;

  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const SweepUnit& unit : sweep->plan().units) {
      sum += sweep->plan().weights[unit.weight]->size_bytes;
    }
    return sum;
  }

  void operator()(UnitContext& context) const {
    const SweepPlan& plan = sweep->plan();
    while (sweep->finished_units() < plan.units.size()) {  // the last are still at work
      if (context.cancelled() || sweep->failure()) return;
      std::this_thread::sleep_for(kRowPause);
    }
    std::vector<ResultRow> rows;
    for (auto& [total, row] : totals->take()) rows.push_back(std::move(row));
    EvaluationRequest own = request;
    own.cancel = context.cancel();
    const std::uint64_t steps = plan.totals.size() * (own.kinds.size() + 1);  // and coding
    StepProgress progress(context, bytes() / std::max<std::uint64_t>(1, steps));
    SweepEvaluationEvents events;
    events.on_row = [&](const EvalRow& row) {
      results->put([&](BackgroundSweep::Results& out) { out.evaluated.push_back(row); });
    };
    events.on_progress = [&](std::size_t total, const EvaluationProgress& now) {
      if (now.total == 0) return;
      const double done = static_cast<double>(now.done) / static_cast<double>(now.total);
      results->put([&](BackgroundSweep::Results& out) {
        out.step = {plan.totals[total].config, std::string(now.kind), done};
      });
      progress.follow(fmt::format("{} {}", total, now.kind), done);
    };
    SweepEvaluation evaluation(plan, own);
    evaluation.use(options.calibrated);
    evaluation.run(rows, options.database, sweep->run(), events);
  }
};

}  // namespace

BackgroundSweep::BackgroundSweep(What what, std::string name, JobQueue& queue)
    : queue_(queue), name_(std::move(name)) {
  const auto totals = std::make_shared<TotalRows>();
  what.options.on_row = [results = results_](std::size_t, const ResultRow& row) {
    results->put([&](Results& out) { out.rows.push_back(row); });
  };
  what.options.on_total = [results = results_, totals](std::size_t total, const ResultRow& row) {
    results->put([&](Results& out) { out.totals.push_back(row); });
    totals->put([&](auto& all) { all[total] = row; });
  };
  if (what.evaluation) what.options.calibrated = std::make_shared<CalibratedCache>();
  const auto begin = [results = results_, state = state_, totals, what = std::move(what),
                      name = name_, &jobs = queue](UnitContext& context) {
    SweepRequest request = what.request;
    if (request.calibration != nullptr) {
      const auto hash = calibrated_model_hash(*what.model, what.options.database, context.cancel());
      if (!hash) return;
      request.model_hash = *hash;
    }
    auto sweep = std::make_shared<Sweep>(plan_sweep(what.model, request), what.options);
    Results::Begun begun{sweep->plan().units.size(), sweep->warnings(),
                         evaluations_of(what.model->name, what.options.database)};
    if (context.cancelled()) return;
    std::vector<Unit> after;
    if (what.evaluation) {
      const Evaluations last{sweep, totals, results, *what.evaluation, what.options};
      after.push_back({.label = "evaluations",
                       .bytes = last.bytes(),
                       .priority = kAfterAllRows,
                       .run = asked_work(results, last)});
    }
    // Without a lock: the UI thread must not wait for as many units as there are.
    const JobId job = sweep->start(jobs, name, std::move(after));
    bool cancelled = false;
    {
      const std::lock_guard lock(state->mutex);
      state->job = job;
      cancelled = state->cancelled;
      if (!cancelled) state->sweep = sweep;
    }
    if (cancelled) return jobs.cancel(job);
    results->put([&](Results& out) { out.begun = std::move(begun); });
  };
  opening_ = queue_.submit(name_ + ": planning", {{.label = "the plan",
                                                   .bytes = 0,
                                                   .priority = kAskedPriority + 1,
                                                   .run = asked_work(results_, begin)}});
}

void BackgroundSweep::cancel() {
  std::shared_ptr<Sweep> sweep;
  JobId job = 0;
  {
    const std::lock_guard lock(state_->mutex);
    state_->cancelled = true;
    job = state_->job;
    sweep = std::move(state_->sweep);
  }
  queue_.cancel(opening_);
  if (job != 0) queue_.cancel(job);
  if (sweep == nullptr) return;
  // The last one to let go of a sweep writes to the database, which another process may hold.
  const auto last = std::make_shared<std::shared_ptr<Sweep>>(std::move(sweep));
  closing_ = queue_.submit(name_ + ": closing", {{.label = "the results database",
                                                  .bytes = 0,
                                                  .priority = kAskedPriority + 1,
                                                  .run = [last](UnitContext&) { last->reset(); }}});
}

JobId BackgroundSweep::job() const {
  const std::lock_guard lock(state_->mutex);
  return state_->job != 0 ? state_->job : opening_;
}

BackgroundSweep::Results BackgroundSweep::take() {
  Results out = results_->take();
  queue_.forget(closing_);
  const std::lock_guard lock(state_->mutex);
  if (state_->job != 0) queue_.forget(opening_);
  if (state_->sweep != nullptr && !state_->failed) {
    if (auto failure = state_->sweep->failure()) {
      state_->failed = true;
      out.error = std::move(failure);
    }
  }
  return out;
}

}  // namespace qi
