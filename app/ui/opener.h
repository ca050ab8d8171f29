// Finds and opens models on a thread of its own, so that the first frame never waits for a disk.
// The results are fetched by the UI thread after a wake-up.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "app/ui/wake.h"
#include "engine/format/open.h"

namespace qi {

class Opener {
 public:
  /// What one request came to: exactly one of the three.
  struct Outcome {
    std::optional<Catalog> catalog;
    std::shared_ptr<const Model> model;
    std::optional<Error> error;
  };

  explicit Opener(std::shared_ptr<Wake> wake);

  void find(const std::string& path);
  /// `tensors`: --tensors globs; weights that do not match are left out.
  void open(const Candidate& candidate, const OpenOptions& options,
            const std::vector<std::string>& tensors);
  bool busy() const;
  /// The outcome of the request, once.
  std::optional<Outcome> take();

 private:
  struct State {
    std::mutex mutex;
    bool busy = false;
    std::optional<Outcome> outcome;
    std::shared_ptr<Wake> wake;
  };
  template <typename Work>
  void start(Work work);

  std::shared_ptr<State> state_;  // outlives this while a thread still works
};

}  // namespace qi
