#include "app/ui/opener.h"

#include <new>
#include <thread>
#include <utility>

#include "engine/text/glob.h"

namespace qi {

Opener::Opener(std::shared_ptr<Wake> wake) : state_(std::make_shared<State>()) {
  state_->wake = std::move(wake);
}

template <typename Work>
void Opener::start(Work work) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->busy = true;
    state_->outcome.reset();
  }
  // Detached: a disk that does not answer must not keep the program from ending.
  std::thread([state = state_, work = std::move(work)] {
    Outcome outcome;
    try {
      work(outcome);
    } catch (...) {
      outcome.error = caught_error();
    }
    {
      const std::lock_guard lock(state->mutex);
      state->outcome = std::move(outcome);
      state->busy = false;
    }
    state->wake->signal();
  }).detach();
}

void Opener::find(const std::string& path) {
  start([path](Outcome& outcome) { outcome.catalog = find_models(path); });
}

void Opener::open(const Candidate& candidate, const OpenOptions& options,
                  const std::vector<std::string>& tensors, MakeScreen make_screen) {
  start([candidate, options, tensors, make_screen = std::move(make_screen)](Outcome& outcome) {
    Model model = open_model(candidate, options);
    const NameFilter filter(tensors);
    if (!filter.empty()) {
      std::erase_if(model.weights,
                    [&](const Weight& weight) { return !filter.matches(weight.name); });
    }
    outcome.screen = make_screen(std::make_shared<const Model>(std::move(model)));
  });
}

bool Opener::busy() const {
  const std::lock_guard lock(state_->mutex);
  return state_->busy;
}

std::optional<Opener::Outcome> Opener::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->outcome, std::nullopt);
}

}  // namespace qi
