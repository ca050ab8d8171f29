// A checkpoint of one scheme written in the background, as one unit on the shared job queue. What
// was finished and how far it is are fetched after a wake-up. Owns no thread; what runs keeps the
// model alive by itself. Members are called on the UI thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/asked_work.h"
#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "eval/quantize/quantize_model.h"
#include "eval/quantize/quantized_facts.h"

namespace qi {

class BackgroundQuantize {
 public:
  struct What {
    std::shared_ptr<const Model> model;
    QuantizeRequest request;  // without model and calibration; `cancel` is the job's
    /// Reads the calibration text, in the background; empty: there is none.
    std::function<std::shared_ptr<const CalibrationText>(const Model& model)> calibration;
  };
  /// What came since the last call.
  struct Results {
    std::vector<QuantizedFacts> weights;
    std::vector<std::string> notes;
    struct Step {
      std::string stage;
      std::uint64_t block = 0;
      std::uint64_t blocks = 0;
      double done = 0;  // of the stage
    };
    std::optional<Step> step;  // the last
    std::optional<QuantizeResult> result;
    std::optional<Error> error;  // what ended it
  };

  /// Starts. `queue` must outlive this; its events must wake the event loop.
  BackgroundQuantize(What what, std::string name, JobQueue& queue);
  ~BackgroundQuantize() { cancel(); }
  BackgroundQuantize(const BackgroundQuantize&) = delete;
  BackgroundQuantize& operator=(const BackgroundQuantize&) = delete;

  /// It stops soon; finished blocks stay.
  void cancel() { queue_.cancel(job_); }
  Results take() { return results_->take(); }
  JobId job() const { return job_; }

 private:
  JobQueue& queue_;
  const std::shared_ptr<SharedResults<Results>> results_ =
      std::make_shared<SharedResults<Results>>();
  JobId job_ = 0;
};

}  // namespace qi
