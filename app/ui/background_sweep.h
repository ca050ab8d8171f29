// A sweep in the background, on the shared job queue: plans, opens the results database and starts
// it in a first unit, then hands rows over as they are finished; once all are there its
// configurations are evaluated, where that was asked for. Results are fetched after a wake-up.
// Owns no thread. Members are called on the UI thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/ui/asked_work.h"
#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "eval/evaluation/evaluation.h"
#include "eval/results/eval_row.h"
#include "eval/sweep/sweep.h"

namespace qi {

class BackgroundSweep {
 public:
  struct What {
    std::shared_ptr<const Model> model;
    SweepRequest request;  // the model's hash is found in the background
    SweepOptions options;
    /// Of every configuration, over the whole model; `cancel` is the job's.
    std::optional<EvaluationRequest> evaluation = {};
  };
  /// What came since the last call.
  struct Results {
    /// Once it is planned and the database open.
    struct Begun {
      std::uint64_t units = 0;
      std::vector<Warning> warnings;
      std::vector<EvalRow> evaluations;  // of the same model, from the database
    };
    std::optional<Begun> begun;
    std::vector<ResultRow> rows;
    std::vector<ResultRow> totals;
    std::vector<EvalRow> evaluated;
    /// The evaluation at work, last seen.
    struct Step {
      MethodConfig config;
      std::string kind;
      double done = 0;  // 0 … 1
    };
    std::optional<Step> step;
    std::optional<Error> error;  // what ended it as a whole
  };

  /// Starts. `queue` must outlive this; its events must wake the event loop.
  BackgroundSweep(What what, std::string name, JobQueue& queue);
  ~BackgroundSweep() { cancel(); }
  BackgroundSweep(const BackgroundSweep&) = delete;
  BackgroundSweep& operator=(const BackgroundSweep&) = delete;

  /// What waits is dropped, what runs stops at its next strip; finished rows stay. Returns at once:
  /// what that writes to the database is written on the queue.
  void cancel();
  Results take();
  /// The job that measures; before it began the one that plans.
  JobId job() const;

 private:
  struct State {
    std::mutex mutex;
    std::shared_ptr<Sweep> sweep;
    JobId job = 0;
    bool cancelled = false;
    bool failed = false;
  };
  JobQueue& queue_;
  // What a finished row is put into: without the sweep, which holds on to it.
  const std::shared_ptr<SharedResults<Results>> results_ =
      std::make_shared<SharedResults<Results>>();
  const std::shared_ptr<State> state_ = std::make_shared<State>();
  const std::string name_;
  JobId opening_ = 0;
  JobId closing_ = 0;
};

}  // namespace qi
