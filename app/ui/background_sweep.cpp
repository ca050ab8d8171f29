#include "app/ui/background_sweep.h"

#include "app/ui/background_eval.h"

namespace qi {

BackgroundSweep::BackgroundSweep(std::shared_ptr<const Model> model, SweepRequest request,
                                 SweepOptions options, std::string name, JobQueue& queue)
    : queue_(queue), name_(std::move(name)) {
  options.on_row = [results = results_](std::size_t, const ResultRow& row) {
    results->put([&](Results& out) { out.rows.push_back(row); });
  };
  options.on_total = [results = results_](std::size_t, const ResultRow& row) {
    results->put([&](Results& out) { out.totals.push_back(row); });
  };
  const auto begin = [results = results_, state = state_, model = std::move(model),
                      request = std::move(request), options = std::move(options), name = name_,
                      &jobs = queue](UnitContext& context) {
    auto sweep = std::make_shared<Sweep>(plan_sweep(model, request), options);
    Results::Begun begun{sweep->plan().units.size(), sweep->warnings(),
                         evaluations_of(model->name, options.database)};
    if (context.cancelled()) return;
    // Without a lock: the UI thread must not wait for as many units as there are.
    const JobId job = sweep->start(jobs, name);
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
  opening_ = queue_.submit(name + ": planning", {{.label = "the plan",
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
