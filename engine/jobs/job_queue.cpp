#include "engine/jobs/job_queue.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "engine/jobs/rate.h"

namespace qi {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Waiting units of one job in the order they will start.
using WaitKey = std::pair<std::int64_t, std::size_t>;  // −priority, unit

struct UnitEntry {
  Unit unit;
  UnitState state = UnitState::kWaiting;
};

struct Job {
  JobId id = 0;
  std::string name;
  CancelFlag cancel;
  std::deque<UnitEntry> units;  // grows without moving what is there
  std::vector<UnitError> errors;
  std::set<WaitKey> waiting;  // in the order they will start
  std::uint64_t ended = 0;
  std::uint64_t cancelled = 0;  // of those
  std::uint64_t bytes_total = 0;
  std::set<std::size_t> running;
  std::atomic<std::uint64_t> bytes_done{0};

  // Guarded by the queue's mutex, like all above but bytes_done.
  bool started = false;
  bool paused = false;
  double elapsed = 0;
  RateEstimate rate;      // bytes, or units where the job has no bytes
  double sampled_at = 0;  // of the last sample of `rate` and `elapsed`
  double sampled_work = 0;

  bool active() const { return !waiting.empty() || !running.empty(); }
  bool resting() const { return paused && running.empty(); }
  WaitKey wait_key(std::size_t unit) const {
    return {-std::int64_t{units[unit].unit.priority}, unit};
  }
  double work_done() const {
    return bytes_total > 0 ? static_cast<double>(bytes_done.load(std::memory_order_relaxed))
                           : static_cast<double>(ended);
  }
  double work_total() const {
    return bytes_total > 0 ? static_cast<double>(bytes_total) : static_cast<double>(units.size());
  }
  /// Called before each change of what waits, runs or is paused. Time counts for the speed only
  /// while something of the job runs: waiting behind others says nothing about it.
  void sample(double now) {
    const double work = work_done();
    if (!running.empty()) rate.add(work - sampled_work, now - sampled_at);
    if (started && active() && !resting()) elapsed += now - sampled_at;
    sampled_work = work;
    sampled_at = now;
  }
};

}  // namespace

struct JobQueue::State {
  explicit State(Options options_in) : options(std::move(options_in)) {
    if (!options.clock) options.clock = steady_seconds;
    if (options.threads == 0) options.threads = std::max(1u, std::thread::hardware_concurrency());
  }

  void event() {
    if (options.on_event) options.on_event();
  }
  void work();
  void run_unit(const std::shared_ptr<Job>& job, std::size_t index, unsigned threads);
  void on_progress(Job& job);
  std::shared_ptr<Job> next_job() const;
  void set_paused(Job& job, bool paused);
  std::size_t add_units(Job& job, std::vector<Unit> added);
  void cancel_locked(Job& job);
  void end_if_idle(Job& job);
  JobSnapshot describe(Job& job);
  Job* find(JobId id) const {
    const auto at = jobs.find(id);
    return at == jobs.end() ? nullptr : at->second.get();
  }

  Options options;
  mutable std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable job_ended;
  std::map<JobId, std::shared_ptr<Job>> jobs;
  std::size_t startable = 0;  // waiting units of all jobs that are not paused
  JobId next_id = 1;
  unsigned busy = 0;
  bool stopping = false;
  std::mutex join_mutex;
  std::vector<std::thread> threads;
  std::atomic<double> next_progress_event{0};
};

namespace {

class RunningUnit : public UnitContext {
 public:
  RunningUnit(Job& job, std::uint64_t bytes, unsigned threads, std::function<void()> on_progress)
      : job_(job), bytes_(bytes), threads_(threads), on_progress_(std::move(on_progress)) {}

  const std::atomic<bool>* cancel() const override { return job_.cancel.get(); }
  unsigned threads() const override { return threads_; }
  void add_progress(std::uint64_t bytes) override {
    // Never counts more than the unit has, whoever else adds at the same time.
    std::uint64_t left = left_.load(std::memory_order_relaxed);
    std::uint64_t taken = 0;
    do {
      taken = std::min(left, bytes);
    } while (!left_.compare_exchange_weak(left, left - taken, std::memory_order_relaxed));
    if (taken == 0) return;
    job_.bytes_done.fetch_add(taken, std::memory_order_relaxed);
    on_progress_();
  }
  /// What was not reported while running.
  std::uint64_t take_rest() { return left_.exchange(0, std::memory_order_relaxed); }

 private:
  Job& job_;
  std::uint64_t bytes_;
  unsigned threads_;
  std::function<void()> on_progress_;
  std::atomic<std::uint64_t> left_{bytes_};
};

}  // namespace

// Throttled without a lock; the winner of an interval samples the rate and wakes the view.
void JobQueue::State::on_progress(Job& job) {
  const double now = options.clock();
  double due = next_progress_event.load(std::memory_order_relaxed);
  if (now < due) return;
  if (!next_progress_event.compare_exchange_strong(due, now + options.event_interval_s,
                                                   std::memory_order_relaxed)) {
    return;
  }
  {
    const std::lock_guard lock(mutex);
    job.sample(now);
  }
  event();
}

void JobQueue::State::work() {
  std::unique_lock lock(mutex);
  while (true) {
    work_ready.wait(lock, [this] { return stopping || startable > 0; });
    if (stopping) return;
    const std::shared_ptr<Job> job = next_job();
    // The pool is shared by what runs and what could run now.
    const std::size_t sharing = busy + startable;
    const auto share = static_cast<unsigned>(std::max<std::size_t>(1, options.threads / sharing));
    job->sample(options.clock());
    job->started = true;
    const std::size_t index = job->waiting.begin()->second;
    job->waiting.erase(job->waiting.begin());
    --startable;
    job->running.insert(index);
    job->units[index].state = UnitState::kRunning;
    ++busy;
    lock.unlock();
    event();
    run_unit(job, index, share);
    event();
    lock.lock();
  }
}

// There are few jobs, so they are looked through; of equal ones the older is found first.
std::shared_ptr<Job> JobQueue::State::next_job() const {
  std::shared_ptr<Job> best;
  for (const auto& [id, job] : jobs) {
    if (job->paused || job->waiting.empty()) continue;
    if (best == nullptr || job->waiting.begin()->first < best->waiting.begin()->first) best = job;
  }
  return best;
}

void JobQueue::State::run_unit(const std::shared_ptr<Job>& job, std::size_t index, unsigned share) {
  std::function<void(UnitContext&)> run;
  std::uint64_t bytes = 0;
  {
    const std::lock_guard lock(mutex);
    // Moved out: what it captured is let go of when it ends.
    run = std::move(job->units[index].unit.run);
    bytes = job->units[index].unit.bytes;
  }
  RunningUnit context(*job, bytes, share, [this, &job] { on_progress(*job); });
  std::optional<Error> error;
  if (!job->cancel.is_set()) {
    try {
      run(context);
    } catch (...) {
      error = caught_error();
    }
  }
  run = nullptr;
  const bool cancelled = job->cancel.is_set();
  const std::lock_guard lock(mutex);
  if (!cancelled) job->bytes_done.fetch_add(context.take_rest(), std::memory_order_relaxed);
  UnitEntry& entry = job->units[index];
  entry.state = cancelled ? UnitState::kCancelled : error ? UnitState::kFailed : UnitState::kDone;
  ++job->ended;
  if (cancelled) ++job->cancelled;
  if (entry.state == UnitState::kFailed) {
    job->errors.push_back({index, entry.unit.label, std::move(*error)});
  }
  job->sample(options.clock());
  job->running.erase(index);
  --busy;
  end_if_idle(*job);
}

void JobQueue::State::end_if_idle(Job& job) {
  if (job.active()) return;
  job.paused = false;
  job_ended.notify_all();
}

std::size_t JobQueue::State::add_units(Job& job, std::vector<Unit> added) {
  const std::size_t first = job.units.size();
  const bool refused = stopping || job.cancel.is_set();
  job.sample(options.clock());
  for (Unit& unit : added) {
    job.bytes_total += unit.bytes;
    job.units.push_back({std::move(unit), UnitState::kWaiting});
    const std::size_t index = job.units.size() - 1;
    if (refused) {
      job.units[index].state = UnitState::kCancelled;
      job.units[index].unit.run = nullptr;
      ++job.ended;
      ++job.cancelled;
    } else {
      job.waiting.insert(job.wait_key(index));
      if (!job.paused) ++startable;
    }
  }
  if (refused) job.cancel.set();
  end_if_idle(job);
  return first;
}

void JobQueue::State::cancel_locked(Job& job) {
  if (!job.active()) return;
  job.sample(options.clock());
  job.cancel.set();
  if (!job.paused) startable -= job.waiting.size();
  for (const auto& [priority, index] : job.waiting) {
    UnitEntry& entry = job.units[index];
    entry.state = UnitState::kCancelled;
    entry.unit.run = nullptr;
    ++job.ended;
    ++job.cancelled;
  }
  job.waiting.clear();
  job.paused = false;
  end_if_idle(job);
}

void JobQueue::State::set_paused(Job& job, bool paused) {
  if (job.paused == paused || !job.active() || job.cancel.is_set()) return;
  job.sample(options.clock());
  job.paused = paused;
  if (paused) {
    startable -= job.waiting.size();
  } else {
    startable += job.waiting.size();
  }
}

JobSnapshot JobQueue::State::describe(Job& job) {
  const double now = options.clock();
  job.sample(now);
  JobSnapshot out;
  out.id = job.id;
  out.name = job.name;
  out.state = job.active()          ? JobState::kActive
              : job.cancel.is_set() ? JobState::kCancelled
                                    : JobState::kDone;
  out.units_total = job.units.size();
  out.units_done = job.ended;
  out.units_failed = job.errors.size();
  out.units_cancelled = job.cancelled;
  out.bytes_total = job.bytes_total;
  out.bytes_done = job.bytes_done.load(std::memory_order_relaxed);
  out.paused = job.paused;
  out.elapsed_s = job.elapsed;
  const double rate = job.rate.per_second();
  if (job.bytes_total > 0) out.bytes_per_s = rate;
  if (!job.active()) {
    out.eta_s = 0;
  } else if (rate > 0 && !job.paused) {
    out.eta_s = (job.work_total() - job.work_done()) / rate;
  }
  for (const std::size_t unit : job.running) out.running.push_back(job.units[unit].unit.label);
  return out;
}

JobQueue::JobQueue(Options options) : state_(std::make_unique<State>(std::move(options))) {
  // Signals that end or resize the program belong to the threads that were there before: new
  // threads inherit a mask that blocks them. Faults stay with the thread that made them.
  sigset_t blocked, before;
  sigemptyset(&blocked);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT, SIGPIPE}) {
    sigaddset(&blocked, signal);
  }
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  State* const state = state_.get();
  try {
    for (unsigned i = 0; i < state->options.threads; ++i) {
      state->threads.emplace_back([state] { state->work(); });
    }
  } catch (const std::system_error&) {
    // Fewer threads do the same work; none at all cannot.
    if (state->threads.empty()) throw Error(ErrorCode::kMemory, "no thread can be started");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

JobQueue::~JobQueue() {
  shutdown();
}

JobId JobQueue::submit(std::string name, std::vector<Unit> units) {
  JobId id = 0;
  {
    const std::lock_guard lock(state_->mutex);
    id = state_->next_id++;
    auto job = std::make_shared<Job>();
    job->id = id;
    job->name = std::move(name);
    state_->jobs.emplace(id, job);
    state_->add_units(*job, std::move(units));
  }
  state_->work_ready.notify_all();
  state_->event();
  return id;
}

std::size_t JobQueue::append(JobId id, std::vector<Unit> units) {
  std::size_t first = 0;
  {
    const std::lock_guard lock(state_->mutex);
    Job* const job = state_->find(id);
    if (job == nullptr) return 0;
    first = state_->add_units(*job, std::move(units));
  }
  state_->work_ready.notify_all();
  state_->event();
  return first;
}

void JobQueue::prioritise(JobId id, std::span<const std::size_t> units, std::int32_t priority) {
  const std::lock_guard lock(state_->mutex);
  Job* const job = state_->find(id);
  if (job == nullptr) return;
  for (const std::size_t unit : units) {
    if (unit >= job->units.size() || job->units[unit].state != UnitState::kWaiting) continue;
    if (job->units[unit].unit.priority == priority) continue;
    job->waiting.erase(job->wait_key(unit));
    job->units[unit].unit.priority = priority;
    job->waiting.insert(job->wait_key(unit));
  }
}

void JobQueue::pause(JobId id) {
  {
    const std::lock_guard lock(state_->mutex);
    if (Job* const job = state_->find(id)) state_->set_paused(*job, true);
  }
  state_->event();
}

void JobQueue::resume(JobId id) {
  {
    const std::lock_guard lock(state_->mutex);
    if (Job* const job = state_->find(id)) state_->set_paused(*job, false);
  }
  state_->work_ready.notify_all();
  state_->event();
}

void JobQueue::cancel(JobId id) {
  {
    const std::lock_guard lock(state_->mutex);
    if (Job* const job = state_->find(id)) state_->cancel_locked(*job);
  }
  state_->event();
}

void JobQueue::cancel_all() {
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [id, job] : state_->jobs) state_->cancel_locked(*job);
  }
  state_->event();
}

void JobQueue::forget(JobId id) {
  const std::lock_guard lock(state_->mutex);
  const Job* const job = state_->find(id);
  if (job != nullptr && !job->active()) state_->jobs.erase(id);
}

std::vector<JobSnapshot> JobQueue::snapshot() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<JobSnapshot> out;
  for (const auto& [id, job] : state_->jobs) out.push_back(state_->describe(*job));
  return out;
}

std::optional<JobSnapshot> JobQueue::snapshot(JobId id) const {
  const std::lock_guard lock(state_->mutex);
  Job* const job = state_->find(id);
  if (job == nullptr) return std::nullopt;
  return state_->describe(*job);
}

UnitState JobQueue::unit_state(JobId id, std::size_t unit) const {
  const std::lock_guard lock(state_->mutex);
  const Job* const job = state_->find(id);
  if (job == nullptr || unit >= job->units.size()) return UnitState::kCancelled;
  return job->units[unit].state;
}

std::vector<UnitError> JobQueue::errors(JobId id, std::size_t first) const {
  const std::lock_guard lock(state_->mutex);
  const Job* const job = state_->find(id);
  if (job == nullptr || first >= job->errors.size()) return {};
  return {job->errors.begin() + static_cast<std::ptrdiff_t>(first), job->errors.end()};
}

void JobQueue::wait(JobId id) const {
  std::unique_lock lock(state_->mutex);
  const auto at = state_->jobs.find(id);
  if (at == state_->jobs.end()) return;
  const std::shared_ptr<Job> job = at->second;  // forget() may drop it
  state_->job_ended.wait(lock, [&] { return !job->active(); });
}

void JobQueue::shutdown() {
  const std::lock_guard join_lock(state_->join_mutex);
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    for (const auto& [id, job] : state_->jobs) state_->cancel_locked(*job);
  }
  state_->work_ready.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
  state_->threads.clear();
}

}  // namespace qi
