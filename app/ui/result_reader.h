// Reads the results database in the background, on the shared job queue: all rows, made into the
// set that screens show. Owns no thread; what runs goes on by itself when this is destroyed.
// Members are called on the UI thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "engine/io/error.h"
#include "engine/jobs/job_queue.h"
#include "views/result_set.h"

namespace qi {

class ResultReader {
 public:
  struct Outcome {
    std::shared_ptr<const ResultSet> set;
    std::optional<Error> error;
  };

  /// Starts. A database that does not exist has no rows. `queue` must outlive this.
  ResultReader(std::string path, JobQueue& queue);
  ~ResultReader() { queue_.cancel(job_); }
  ResultReader(const ResultReader&) = delete;
  ResultReader& operator=(const ResultReader&) = delete;

  /// Once, when it is there.
  std::optional<Outcome> take();

 private:
  struct State {
    std::mutex mutex;
    std::optional<Outcome> outcome;
  };
  JobQueue& queue_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
  JobId job_ = 0;
};

}  // namespace qi
