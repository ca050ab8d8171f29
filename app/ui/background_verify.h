// Looking for faults in a model's weights in the background, on the shared job queue at a lower
// priority than the UI. Results are fetched after a wake-up. Owns no thread; what runs keeps the
// model alive by itself, so destroying this never waits. Members are called on the UI thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "engine/tensor/model.h"
#include "eval/check/verify.h"

namespace qi {

class BackgroundVerify {
 public:
  /// What one weight came to: its faults, or why it could not be read to its end.
  struct Result {
    std::uint32_t weight = 0;
    std::vector<Fault> faults;
    std::optional<Error> error;
  };

  /// Starts. `queue` must outlive this; its events must wake the event loop.
  BackgroundVerify(std::shared_ptr<const Model> model, JobQueue& queue);
  ~BackgroundVerify() { cancel(); }
  BackgroundVerify(const BackgroundVerify&) = delete;
  BackgroundVerify& operator=(const BackgroundVerify&) = delete;

  /// Not all weights go in at once: as long as feeding(), call feed() after each look at the keys.
  bool feeding() const { return next_ < state_->model->weights.size(); }
  void feed();
  /// Drops what waits and stops what runs at its next tile; nothing comes from it any more.
  void cancel();
  /// What finished since the last call.
  std::vector<Result> take();
  JobId job() const { return job_; }

 private:
  struct State {
    std::shared_ptr<const Model> model;
    std::mutex mutex;
    std::vector<Result> results;
  };
  static void run(State& state, std::uint32_t weight, UnitContext& context);

  JobQueue& queue_;
  const std::shared_ptr<State> state_;  // outlives this while a unit still runs
  std::size_t next_ = 0;                // weights that went in
  JobId job_ = 0;
};

}  // namespace qi
