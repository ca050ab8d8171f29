#include "app/ui/background_analysis.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "app/ui/own_priority.h"
#include "engine/format/open.h"
#include "eval/check/verify.h"

namespace qi {
namespace {

constexpr std::size_t kFeed = 2048;  // weights: a few milliseconds

}  // namespace

BackgroundAnalysis::BackgroundAnalysis(std::shared_ptr<const Model> model, JobQueue& queue)
    : model_(std::move(model)),
      states_(model_->weights.size(), State::kIdle),
      unit_of_(model_->weights.size(), 0),
      next_(model_->weights.size()),
      queue_(queue) {}

BackgroundAnalysis::~BackgroundAnalysis() {
  cancel();
  for (const JobId job : cancelled_) queue_.wait(job);
}

void BackgroundAnalysis::run(std::uint32_t index, UnitContext& context) {
  lower_own_priority();
  const Weight& weight = model_->weights[index];
  Result result{.weight = index, .statistics = nullptr, .failure = {}};
  std::optional<Error> failed;
  try {
    AnalyseOptions options;
    options.threads = context.threads();
    options.cancel = context.cancel();
    options.progress = [&](std::uint64_t bytes) { context.add_progress(bytes); };
    Statistics statistics = analyse(
        *model_, weight, [&] { return open_reader(*model_, weight); }, options);
    if (statistics.cancelled) return;
    // Nothing from a file that changed meanwhile is shown or kept.
    check_files_unchanged(*model_, weight);
    result.statistics = std::make_shared<const Statistics>(std::move(statistics));
  } catch (...) {
    failed = caught_error();
  }
  if (failed) result.failure = failed->message;
  {
    const std::lock_guard lock(mutex_);
    results_.push_back(std::move(result));
  }
  if (failed) throw Error(*failed);  // the queue lists it among the job's errors
}

void BackgroundAnalysis::want(std::span<const std::uint32_t> weights) {
  std::vector<Unit> units;
  std::vector<std::uint32_t> added;
  for (const std::uint32_t index : weights) {
    if (states_[index] != State::kIdle) continue;
    states_[index] = State::kWanted;
    added.push_back(index);
    const Weight& weight = model_->weights[index];
    units.push_back({.label = weight.name,
                     .bytes = weight.size_bytes,
                     .priority = 0,
                     .run = [this, index](UnitContext& context) { run(index, context); }});
  }
  if (units.empty()) return;
  if (!job_) job_ = queue_.submit("stats " + model_->name, {});
  const std::size_t first = queue_.append(*job_, std::move(units));
  for (std::size_t i = 0; i < added.size(); ++i) unit_of_[added[i]] = first + i;
}

void BackgroundAnalysis::feed() {
  std::array<std::uint32_t, kFeed> some;
  std::size_t count = 0;
  while (count < kFeed && feeding()) some[count++] = static_cast<std::uint32_t>(next_++);
  want({some.data(), count});
}

void BackgroundAnalysis::hurry(std::span<const std::uint32_t> weights) {
  if (!job_) return;
  std::vector<std::size_t> units;
  for (const std::uint32_t index : weights) {
    if (states_[index] == State::kWanted) units.push_back(unit_of_[index]);
  }
  if (!units.empty()) queue_.prioritise(*job_, units, ++hurry_);
}

void BackgroundAnalysis::cancel() {
  next_ = states_.size();
  if (!job_) return;
  queue_.cancel(*job_);
  cancelled_.push_back(*job_);
  job_.reset();
  for (State& state : states_) {
    if (state == State::kWanted) state = State::kIdle;
  }
}

std::vector<BackgroundAnalysis::Result> BackgroundAnalysis::take() {
  std::vector<Result> out;
  {
    const std::lock_guard lock(mutex_);
    out = std::exchange(results_, {});
  }
  for (const Result& result : out) states_[result.weight] = State::kDone;
  return out;
}

JobStatus BackgroundAnalysis::status() {
  JobStatus out;
  if (!job_) return out;
  const std::optional<JobSnapshot> now = queue_.snapshot(*job_);
  if (!now) return out;
  out.active = feeding() || (now->state == JobState::kActive && now->units_done < now->units_total);
  out.done = now->units_done;
  out.total = now->units_total +
              static_cast<std::uint64_t>(std::count(states_.begin() + static_cast<long>(next_),
                                                    states_.end(), State::kIdle));
  out.bytes_per_s = now->bytes_per_s;
  out.eta_s = now->eta_s;
  out.tick = ++tick_;
  out.paused = now->paused;
  return out;
}

}  // namespace qi
