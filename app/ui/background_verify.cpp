#include "app/ui/background_verify.h"

#include <algorithm>
#include <new>
#include <utility>

#include "app/ui/own_priority.h"

namespace qi {
namespace {

constexpr std::size_t kVerifyFeed = 2048;  // weights: a few milliseconds

}  // namespace

BackgroundVerify::BackgroundVerify(std::shared_ptr<const Model> model, JobQueue& queue)
    : queue_(queue), state_(std::make_shared<State>()) {
  state_->model = std::move(model);
  job_ = queue_.submit("verify " + state_->model->name, {});
  feed();
}

void BackgroundVerify::feed() {
  const std::vector<Weight>& weights = state_->model->weights;
  const std::size_t end = std::min(weights.size(), next_ + kVerifyFeed);
  std::vector<Unit> units;
  units.reserve(end - next_);
  for (; next_ < end; ++next_) {
    const auto index = static_cast<std::uint32_t>(next_);
    units.push_back(
        {.label = weights[index].name,
         .bytes = weights[index].size_bytes,
         .priority = kAskedPriority,
         .run = [state = state_, index](UnitContext& context) { run(*state, index, context); }});
  }
  if (!units.empty()) queue_.append(job_, std::move(units));
}

void BackgroundVerify::run(State& state, std::uint32_t index, UnitContext& context) {
  lower_own_priority();
  Result result{.weight = index, .faults = {}, .error = {}};
  try {
    auto faults = verify_weight(*state.model, state.model->weights[index], context.cancel(),
                                [&](std::uint64_t bytes) { context.add_progress(bytes); });
    if (!faults) return;
    result.faults = std::move(*faults);
  } catch (...) {
    result.error = caught_error();
  }
  const std::optional<Error> error = result.error;
  {
    const std::lock_guard lock(state.mutex);
    state.results.push_back(std::move(result));
  }
  if (error) throw Error(*error);  // the queue lists it among the job's errors
}

void BackgroundVerify::cancel() {
  next_ = state_->model->weights.size();
  queue_.cancel(job_);
}

std::vector<BackgroundVerify::Result> BackgroundVerify::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->results, {});
}

}  // namespace qi
