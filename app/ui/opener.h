// Finds and opens models on a thread of its own, so that the first frame never waits for a disk.
// The results are fetched by the UI thread after a wake-up.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/wake.h"
#include "engine/format/open.h"
#include "views/model_screen.h"

namespace qi {

class Opener {
 public:
  /// What one request came to: exactly one of the three.
  struct Outcome {
    std::optional<Catalog> catalog;
    std::unique_ptr<ModelScreen> screen;  // of the opened model
    std::optional<Error> error;
  };

  explicit Opener(std::shared_ptr<Wake> wake);

  void find(const std::string& path);
  /// Runs on the opener's thread: sorting 100,000 names into a tree takes longer than a frame.
  using MakeScreen = std::function<std::unique_ptr<ModelScreen>(std::shared_ptr<const Model>)>;
  /// `tensors`: --tensors globs; weights that do not match are left out.
  void open(const Candidate& candidate, const OpenOptions& options,
            const std::vector<std::string>& tensors, MakeScreen make_screen);
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
