// Background jobs, each a list of units (one weight, one file), on a pool of threads: units of
// higher priority first, then older jobs, then list order. Owns its threads; nothing polls.
// Every member function may be called from any thread, also from inside a unit (but for
// shutdown, wait and the destructor). Refuses nothing: work submitted after shutdown is cancelled,
// ids and indices that do not exist are ignored.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/io/error.h"
#include "engine/jobs/cancel.h"

namespace qi {

using JobId = std::uint64_t;

enum class UnitState : std::uint8_t { kWaiting, kRunning, kDone, kFailed, kCancelled };
enum class JobState : std::uint8_t { kActive, kDone, kCancelled };

/// What a running unit sees of the queue; any thread may use it while the unit runs.
class UnitContext {
 public:
  virtual ~UnitContext() = default;
  virtual const std::atomic<bool>* cancel() const = 0;
  bool cancelled() const { return cancel()->load(std::memory_order_relaxed); }
  /// Adds finished bytes; what a unit has not reported when it returns is added then, and never
  /// more than Unit::bytes is counted.
  virtual void add_progress(std::uint64_t bytes) = 0;
  /// Threads this unit may use by itself: the pool divided by the units there were when it started.
  virtual unsigned threads() const = 0;
};

struct Unit {
  std::string label;
  std::uint64_t bytes = 0;  // for progress, rate and ETA
  std::int32_t priority = 0;
  /// Runs on a pool thread. An exception ends this unit as kFailed, nothing else. When
  /// context.cancelled() became true it should return soon; it then counts as kCancelled.
  std::function<void(UnitContext&)> run;
};

struct UnitError {
  std::size_t unit = 0;  // index in its job
  std::string label;
  Error error;
};

struct JobSnapshot {
  JobId id = 0;
  std::string name;
  JobState state = JobState::kActive;
  bool paused = false;  // of an active job; what `running` names goes on
  std::uint64_t units_total = 0;
  std::uint64_t units_done = 0;  // done, failed or cancelled
  std::uint64_t units_failed = 0;
  std::uint64_t units_cancelled = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_done = 0;
  double elapsed_s = 0;         // since its first unit started, while there was work and no pause
  double bytes_per_s = 0;       // smoothed over the last seconds; 0: not known yet
  std::optional<double> eta_s;  // nothing until a rate is known or while paused; 0: ended
  std::vector<std::string> running;  // labels
};

class JobQueue {
 public:
  struct Options {
    unsigned threads = 0;  // 0: all cores
    /// Something changed that a view may want to draw. Called on pool threads and by submit and
    /// cancel, without locks held; must be quick and thread-safe (write to a pipe, set a flag).
    /// Progress calls it at most every `event_interval_s`, ends of units and jobs always.
    std::function<void()> on_event;
    double event_interval_s = 0.05;
    /// Seconds on a steady clock; tests give their own.
    std::function<double()> clock;
  };

  explicit JobQueue(Options options);
  JobQueue() : JobQueue(Options{}) {}
  ~JobQueue();  // shutdown()
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  JobId submit(std::string name, std::vector<Unit> units);
  /// Appends units to a job, which becomes active again unless it was cancelled; returns the index
  /// of the first one. They are cancelled when the job is.
  std::size_t append(JobId job, std::vector<Unit> units);
  /// Gives waiting units a new priority; indices that no longer wait or do not exist are ignored.
  void prioritise(JobId job, std::span<const std::size_t> units, std::int32_t priority);
  /// Waiting units of a paused job do not start, also those appended meanwhile; running ones go on
  /// to their end (none of them would give its thread back by waiting). Only an active job can be
  /// paused; it stays so until resumed, cancelled or ended by its last running unit. wait() on a
  /// paused job waits for that.
  void pause(JobId job);
  void resume(JobId job);
  /// Waiting units end at once, running ones when they next poll.
  void cancel(JobId job);
  void cancel_all();
  /// Drops a finished job from snapshots; an active one stays.
  void forget(JobId job);

  std::vector<JobSnapshot> snapshot() const;
  std::optional<JobSnapshot> snapshot(JobId job) const;
  /// kCancelled for what does not exist.
  UnitState unit_state(JobId job, std::size_t unit) const;
  /// Errors of a job's failed units, in the order they happened, from the `first`-th on.
  std::vector<UnitError> errors(JobId job, std::size_t first = 0) const;

  /// Blocks until no unit of the job waits or runs.
  void wait(JobId job) const;
  /// Cancels everything and joins the threads: as long as the slowest running unit takes to poll.
  void shutdown();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qi
