#include "app/ui/tokenizer_reader.h"

#include <exception>
#include <utility>

namespace qi {

TokenizerReader::TokenizerReader(std::shared_ptr<const Model> model, JobQueue& queue) {
  std::vector<Unit> units;
  // Before the analysis: someone looks at an empty place.
  units.push_back({.label = "tokenizer",
                   .bytes = 0,
                   .priority = 1 << 30,
                   .run = [state = state_, model = std::move(model)](UnitContext&) {
                     std::vector<TokenizerFact> found;
                     try {
                       found = tokenizer_facts(*model);
                     } catch (const std::exception& other) {
                       found = {{"tokenizer", "tokenizer", "fault", other.what(), true}};
                     }
                     const std::lock_guard lock(state->mutex);
                     state->facts = std::move(found);
                   }});
  queue.submit("tokenizer", std::move(units));
}

std::optional<std::vector<TokenizerFact>> TokenizerReader::facts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->facts;
}

}  // namespace qi
