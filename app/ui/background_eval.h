// Evaluations in the background, as one unit on the shared job queue: of the model as stored, or
// with a configuration applied, whose rows a sweep gives first. Rows and progress are fetched after
// a wake-up. Owns no thread; what runs keeps the model alive by itself. Members are called on the
// UI thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/asked_work.h"
#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "eval/evaluation/evaluation.h"
#include "eval/results/result_row.h"

namespace qi {

/// Those of a model that the database has; none where there is no database. Any thread.
std::vector<EvalRow> evaluations_of(const std::string& model, const std::string& database);

class BackgroundEval {
 public:
  struct What {
    std::shared_ptr<const Model> model;
    std::optional<MethodConfig> config;  // nothing: as stored
    EvaluationRequest request;           // `cancel` is the job's, the base `base_path`'s
    std::string base_path;               // a model, or saved logits; empty: none
    std::string database;
    ResultRun run;  // for the record
  };
  /// What came since the last call.
  struct Results {
    std::vector<EvalRow> earlier;  // of the same model, from the database, before anything is run
    std::vector<EvalRow> rows;
    struct Step {
      std::string kind;
      std::uint64_t done = 0;
      std::uint64_t total = 0;
      std::optional<double> value;
    };
    std::vector<Step> steps;
    std::optional<Error> error;  // what ended it as a whole
  };

  /// Starts. `queue` must outlive this; its events must wake the event loop.
  BackgroundEval(What what, std::string name, JobQueue& queue);
  ~BackgroundEval() { cancel(); }
  BackgroundEval(const BackgroundEval&) = delete;
  BackgroundEval& operator=(const BackgroundEval&) = delete;

  /// It stops at its next block of rows; finished rows and windows stay.
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
