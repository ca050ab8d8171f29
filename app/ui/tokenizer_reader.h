// Reads what there is to know of a model's tokenizer on the job queue, once. Members are called on
// the UI thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/format/tokenizer_facts.h"
#include "engine/jobs/job_queue.h"
#include "engine/tensor/model.h"

namespace qi {

class TokenizerReader {
 public:
  /// `queue`'s events must wake the event loop.
  TokenizerReader(std::shared_ptr<const Model> model, JobQueue& queue);
  /// What was found; nothing while it is being read.
  std::optional<std::vector<TokenizerFact>> facts() const;

 private:
  // Shared with the job, which may outlive this.
  struct State {
    mutable std::mutex mutex;
    std::optional<std::vector<TokenizerFact>> facts;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace qi
