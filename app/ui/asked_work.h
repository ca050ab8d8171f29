// What all work in the background that a person asked for has in common: the place where it puts
// what it came to until the UI fetches that, the error that ends it, and its progress step by step.
// SharedResults: any thread; StepProgress: the thread of its unit.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "app/ui/own_priority.h"
#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"

namespace qi {

/// `Results`: what came since the last take(); empty as made.
template <typename Results>
class SharedResults {
 public:
  /// change(results), alone with them.
  template <typename Change>
  void put(const Change& change) {
    const std::lock_guard lock(mutex_);
    change(results_);
  }
  Results take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(results_, {});
  }

 private:
  std::mutex mutex_;
  Results results_;
};

/// A unit's run: work(context) at a lower priority. What it throws ends the unit, whose error the
/// queue lists, and is the results' `error` too.
template <typename Results, typename Work>
std::function<void(UnitContext&)> asked_work(std::shared_ptr<SharedResults<Results>> results,
                                             Work work) {
  return [results = std::move(results), work = std::move(work)](UnitContext& context) {
    lower_own_priority();
    try {
      work(context);
    } catch (...) {
      const Error error = caught_error();
      results->put([&](Results& out) { out.error = error; });
      throw Error(error);
    }
  };
}

/// The progress of a unit whose work is steps one after the other, each of `parts` of its bytes.
class StepProgress {
 public:
  static constexpr std::uint64_t kParts = 1000;

  explicit StepProgress(UnitContext& context, std::uint64_t parts = kParts)
      : context_(context), parts_(parts) {}
  /// `done`: of the step of that name, 0 … 1.
  void follow(std::string_view step, double done) {
    if (step != step_) before_ = told_;
    step_ = step;
    const double share = std::clamp(done, 0.0, 1.0) * static_cast<double>(parts_);
    const std::uint64_t at = before_ + static_cast<std::uint64_t>(share);
    if (at > told_) context_.add_progress(at - told_);
    told_ = std::max(told_, at);
  }

 private:
  UnitContext& context_;
  const std::uint64_t parts_;
  std::string step_;
  std::uint64_t before_ = 0, told_ = 0;
};

}  // namespace qi
