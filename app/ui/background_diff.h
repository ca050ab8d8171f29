// Comparing the open model with another one in the background, on the shared job queue at a lower
// priority than the UI: opens the other model, aligns the two, compares pair by pair. Results are
// fetched after a wake-up. Owns no thread; what runs keeps both models alive by itself, so
// destroying this never waits, not even for a disk. Members are called on the UI thread.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/open.h"
#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "engine/text/glob.h"
#include "eval/check/diff.h"
#include "views/diff_screen.h"

namespace qi {

class BackgroundDiff {
 public:
  /// A row that was compared, or why that failed.
  struct Compared {
    std::size_t row = 0;
    DiffRow result;
    std::optional<Error> error;
  };
  /// What came since the last call; `opened` comes before the first of `compared`.
  struct Results {
    std::shared_ptr<DiffReport> opened;  // once the other model is: begun, nothing compared yet
    std::optional<Error> open_error;
    std::vector<Compared> compared;
  };

  /// Starts. `tensors`: --tensors globs; rows that do not match are left out. `queue` must outlive
  /// this; its events must wake the event loop.
  BackgroundDiff(std::shared_ptr<const Model> a, std::string path_b, const OpenOptions& options,
                 const std::vector<std::string>& tensors, JobQueue& queue);
  ~BackgroundDiff() { cancel(); }
  BackgroundDiff(const BackgroundDiff&) = delete;
  BackgroundDiff& operator=(const BackgroundDiff&) = delete;

  /// Drops what waits and stops what runs at its next tile; nothing comes from it any more.
  void cancel() { queue_.cancel(job_); }
  Results take();
  JobId job() const { return job_; }

 private:
  struct State {
    State(std::shared_ptr<const Model> a_in, std::string path, const OpenOptions& options_in,
          const std::vector<std::string>& tensors, JobQueue& queue_in)
        : a(std::move(a_in)),
          path_b(std::move(path)),
          options(options_in),
          filter(tensors),
          queue(queue_in) {}
    std::shared_ptr<const Model> a;
    std::string path_b;
    OpenOptions options;
    NameFilter filter;
    JobQueue& queue;
    JobId job = 0;                   // set before the first unit
    std::shared_ptr<const Model> b;  // set by the opening unit, before the others exist
    std::vector<DiffRow> rows;       // the same
    std::mutex mutex;
    Results results;
  };
  static void open(const std::shared_ptr<State>& state, UnitContext& context);
  static void compare(State& state, std::size_t row, UnitContext& context);

  JobQueue& queue_;
  const std::shared_ptr<State> state_;  // outlives this while a unit still runs
  JobId job_ = 0;
};

}  // namespace qi
