#include "app/ui/result_reader.h"

#include <unistd.h>

#include "app/ui/own_priority.h"
#include "eval/results/model_damage.h"
#include "eval/results/results.h"

namespace qi {

ResultReader::ResultReader(std::string path, JobQueue& queue) : queue_(queue) {
  const auto read = [state = state_, path](UnitContext&) {
    lower_own_priority();
    Outcome outcome;
    try {
      std::vector<ResultRow> rows;
      if (!path.empty() && access(path.c_str(), F_OK) == 0) {
        Results results(path);
        rows = results.rows();
        join_evaluations(rows, results.evaluations());
      }
      outcome.set = std::make_shared<const ResultSet>(std::move(rows));
    } catch (...) {
      outcome.error = caught_error();
    }
    const std::lock_guard lock(state->mutex);
    state->outcome = std::move(outcome);
  };
  job_ = queue_.submit("results",
                       {{.label = path, .bytes = 0, .priority = kAskedPriority + 1, .run = read}});
}

std::optional<ResultReader::Outcome> ResultReader::take() {
  std::optional<Outcome> out;
  {
    const std::lock_guard lock(state_->mutex);
    out = std::exchange(state_->outcome, std::nullopt);
  }
  if (out) queue_.forget(job_);
  return out;
}

}  // namespace qi
