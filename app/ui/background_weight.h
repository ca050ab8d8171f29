// The details of the one weight that the Weight screen shows, and the windows of its grid of
// values. Details are a job of the shared queue, before everything else in it; windows are read on
// a thread of their own, so that scrolling waits neither for jobs nor for the disk.
// Members are called on the UI thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "app/ui/wake.h"
#include "engine/format/qstore_facts.h"
#include "engine/jobs/job_queue.h"
#include "engine/stats/weight_details.h"
#include "engine/tensor/value_window.h"

namespace qi {

class BackgroundWeight {
 public:
  struct Result {
    std::uint32_t weight = 0;
    std::shared_ptr<const WeightDetails> details;  // nullptr: failed
    std::vector<StoredPart> stored;                // of a container
    std::string failure;                           // raw
  };
  struct Window {
    std::uint32_t weight = 0;
    std::shared_ptr<const ValueWindow> window;  // nullptr: failed
    std::string failure;                        // raw
  };

  /// `queue` must outlive this; its events must wake the event loop.
  BackgroundWeight(std::shared_ptr<const Model> model, JobQueue& queue, std::shared_ptr<Wake> wake);
  ~BackgroundWeight();  // cancels, and waits for what runs: as long as the slowest tile
  BackgroundWeight(const BackgroundWeight&) = delete;
  BackgroundWeight& operator=(const BackgroundWeight&) = delete;

  /// Another model whose aligned weights are the reference of errors by row from now on; nullptr:
  /// none.
  void set_reference(std::shared_ptr<const Model> reference);
  /// Asks for the details of a weight instead of those of any other, unless they are known. What
  /// was cancelled is not tried again until another weight was asked for.
  void show(std::uint32_t weight);
  /// Stops what runs.
  void cancel();
  /// 0 … 1 of the details asked for; nothing when they do not run.
  std::optional<double> progress() const;
  /// Asks for a window; only the last one asked for is read.
  void read(std::uint32_t weight, const Tile& tile);

  /// What is known of a weight; the last few are kept. Valid until the next show() or known().
  const Result* known(std::uint32_t weight);
  /// The last window that was read since the last call.
  std::optional<Window> take_window();

 private:
  struct WindowAsk {
    std::uint32_t weight = 0;
    Tile tile;
    bool operator==(const WindowAsk&) const = default;
  };
  void run(std::uint32_t weight, const std::shared_ptr<const Model>& other, UnitContext& context);
  void add_reference(const Weight& weight, const std::shared_ptr<const Model>& other,
                     DetailsOptions& options) const;
  void read_windows();

  const std::shared_ptr<const Model> model_;
  std::shared_ptr<const Model> reference_;
  JobQueue& queue_;
  const std::shared_ptr<Wake> wake_;
  std::optional<std::uint32_t> shown_;
  std::optional<JobId> job_;
  std::vector<JobId> stopped_;      // may still run to their next tile
  std::list<Result> kept_;          // the latest first
  std::optional<WindowAsk> asked_;  // and not read yet

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::optional<Result> result_;
  std::optional<WindowAsk> ask_;
  std::optional<Window> window_;
  bool ending_ = false;
  std::thread reader_;  // started by the first read()
};

}  // namespace qi
