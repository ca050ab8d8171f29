// Reads the texts that a sweep's form names in the background, on the shared job queue: what
// calibrated families look at, and, to see whether that can be done, what configurations are
// evaluated on. Owns no thread; what runs goes on by itself when this is destroyed. Members are
// called on the UI thread.
#pragma once

#include <memory>
#include <optional>

#include "app/options.h"
#include "app/ui/asked_work.h"
#include "eval/calibration/calibration_text.h"

namespace qi {

class SweepTextReader {
 public:
  struct Outcome {
    std::shared_ptr<const CalibrationText> calibration;  // null: none is named
    std::optional<Error> error;
  };

  /// Starts. `queue` must outlive this.
  SweepTextReader(std::shared_ptr<const Model> model, const Options& options, JobQueue& queue);
  ~SweepTextReader() { queue_.cancel(job_); }
  SweepTextReader(const SweepTextReader&) = delete;
  SweepTextReader& operator=(const SweepTextReader&) = delete;

  /// Once, when all is read.
  std::optional<Outcome> take();

 private:
  struct Results {
    std::optional<Outcome> outcome;
  };
  JobQueue& queue_;
  const std::shared_ptr<SharedResults<Results>> results_ =
      std::make_shared<SharedResults<Results>>();
  JobId job_ = 0;
};

}  // namespace qi
