#include <condition_variable>
#include <mutex>
#include <new>

#include "app/progress.h"
#include "app/session.h"
#include "app/signals.h"

namespace qi {
namespace {

struct Outcome {
  bool finished = false;
  std::optional<Error> error;
};

// The failure of one weight is that weight's own; anything that is not an Error is turned into one.
std::optional<Error> failure_of(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    return caught_error();
  }
  return std::nullopt;
}

}  // namespace

void for_each_weight(const std::vector<const Weight*>& weights, const Options& options,
                     const WeightWork& work) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Outcome> outcomes(weights.size());
  std::vector<Unit> units;
  units.reserve(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    Unit unit;
    unit.label = weights[i]->name;
    unit.bytes = weights[i]->size_bytes;
    unit.run = [&, i](UnitContext& context) {
      std::optional<Error> error = failure_of([&] { work.work(i, context); });
      const std::lock_guard lock(mutex);
      outcomes[i].error = std::move(error);
      outcomes[i].finished = true;
      changed.notify_one();
    };
    units.push_back(std::move(unit));
  }
  JobQueue::Options queue_options;
  queue_options.threads = options.threads;
  JobQueue queue(queue_options);
  Progress progress(work.title, options.quiet, options.ascii);
  const JobId job = queue.submit(work.title, std::move(units));
  for (std::size_t next = 0; next < weights.size();) {
    {
      // The timeout is for signals, which cannot notify, and for the bar.
      std::unique_lock lock(mutex);
      const auto ready = [&] { return outcomes[next].finished; };
      if (!ready()) {
        lock.unlock();
        if (work.pause) {
          progress.clear();
          work.pause();
        }
        lock.lock();
        changed.wait_for(lock, std::chrono::milliseconds(100), ready);
      }
    }
    if (cancel_requested()) {
      queue.shutdown();
      throw Interrupted{};
    }
    if (const auto snapshot = queue.snapshot(job)) {
      progress.update({snapshot->bytes_done, snapshot->bytes_total, snapshot->units_done,
                       snapshot->units_total, snapshot->bytes_per_s, snapshot->eta_s});
    }
    for (; next < weights.size(); ++next) {
      std::optional<Error> error;
      {
        const std::lock_guard lock(mutex);
        if (!outcomes[next].finished) break;
        error = std::move(outcomes[next].error);
      }
      if (error) progress.clear();
      work.done(next, error ? &*error : nullptr);
    }
  }
}

}  // namespace qi
