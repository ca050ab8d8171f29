// The windows of a text on their way through a model: those that earlier runs finished are handed
// out again, the rest is run, every step of it told to whoever waits. What is measured in a window
// is the caller's. Refuses what Transformer refuses. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "eval/evaluation/eval_context.h"

namespace qi {

/// What the numbers over a text depend on, as rows show it.
Params window_params(const EvalText& text);

/// One window after the other through one model, each alone from position 0.
class WindowRunner {
 public:
  /// `transformer` must outlive it.
  WindowRunner(const Transformer& transformer, const PerplexityOptions& options);

  /// False: cancelled. `after_layer`: layers() times a window.
  bool run(const TextWindow& window, const std::function<void()>& after_layer);
  std::uint64_t layers() const { return transformer_.architecture().layers(); }
  const Transformer& transformer() const { return transformer_; }
  /// Those of the last window that predict its targets: [targets, hidden].
  std::span<const float> predicting() const { return predicting_; }

 private:
  const Transformer& transformer_;
  KvCache cache_;
  std::vector<float> states_;
  std::span<const float> predicting_;
};

struct WindowWork {
  std::string_view kind;
  std::size_t numbers = 1;  // of each token that counts
  std::uint64_t parts = 1;  // that measure() tells of, a window
  /// One window's numbers into `out`, [targets, numbers]. False: cancelled.
  std::function<bool(const TextWindow& window, const std::function<void()>& part_done,
                     std::vector<double>& out)>
      measure;
  /// Every window's numbers, in order, of this run or an earlier one.
  std::function<void(const TextWindow& window, std::span<const double> numbers)> take;
  /// What comes of those taken so far; nothing yet.
  std::function<std::optional<double>()> value;
};

/// False: cancelled.
bool run_windows(const EvalContext& context, const PerplexityPlan& plan, KeptPieces& pieces,
                 const WindowWork& work);

}  // namespace qi
