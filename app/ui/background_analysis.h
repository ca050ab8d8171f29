// The analysis of a model's weights in the background: which ones are wanted, in which order, what
// came out. Runs on the job queue's threads at a lower priority than the UI.
// Members are called on the UI thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "engine/stats/statistics.h"
#include "views/model_screen.h"

namespace qi {

class BackgroundAnalysis {
 public:
  struct Result {
    std::uint32_t weight = 0;
    std::shared_ptr<const Statistics> statistics;  // nullptr: failed
    std::string failure;                           // raw
  };

  /// `queue` must outlive this; its events must wake the event loop.
  BackgroundAnalysis(std::shared_ptr<const Model> model, JobQueue& queue);
  ~BackgroundAnalysis();  // cancels, and waits for what runs: as long as the slowest tile
  BackgroundAnalysis(const BackgroundAnalysis&) = delete;
  BackgroundAnalysis& operator=(const BackgroundAnalysis&) = delete;

  /// The weight needs no analysis: it is known already, or cannot be read.
  void skip(std::uint32_t weight) { states_[weight] = State::kDone; }
  /// Asks for weights; those asked for before or done are left alone.
  void want(std::span<const std::uint32_t> weights);
  /// Asks for every weight. That many do not go in at once: as long as feeding(), call feed() after
  /// each look at the keys.
  void want_all() { next_ = 0; }
  bool feeding() const { return next_ < states_.size(); }
  void feed();
  /// These come before everything wanted so far.
  void hurry(std::span<const std::uint32_t> weights);
  /// Drops what waits and stops what runs; the weights may be wanted again.
  void cancel();
  /// What finished since the last call.
  std::vector<Result> take();
  JobStatus status();
  /// The job that runs or ran last; nothing after cancel() until something is wanted again.
  std::optional<JobId> job() const { return job_; }

 private:
  enum class State : std::uint8_t { kIdle, kWanted, kDone };
  void run(std::uint32_t weight, UnitContext& context);

  const std::shared_ptr<const Model> model_;
  std::vector<State> states_;
  std::vector<std::size_t> unit_of_;
  std::size_t next_;  // want_all() has come this far
  std::optional<JobId> job_;
  std::vector<JobId> cancelled_;  // may still run to their next tile
  std::int32_t hurry_ = 0;
  unsigned tick_ = 0;
  std::mutex mutex_;
  std::vector<Result> results_;
  JobQueue& queue_;
};

}  // namespace qi
