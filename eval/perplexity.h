// Perplexity of a text: what a model makes of the tokens that count in each of its windows. Sums
// are in double and in order. One thread at a time; the model's work is shared by its own threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "eval/eval_context.h"
#include "eval/text_windows.h"

namespace qi {

/// Mean negative log-likelihood (nats) of tokens, and exp() of it.
class NllSum {
 public:
  void add(std::span<const double> nll);
  std::uint64_t count() const { return count_; }
  double mean() const { return sum_ / static_cast<double>(count_); }
  double perplexity() const;
  /// Of the perplexity: that of the mean times exp(mean). As llama-perplexity has it.
  double standard_error() const;

 private:
  std::uint64_t count_ = 0;
  double sum_ = 0;
  double squares_ = 0;
};

/// The kind "ppl": the perplexity of the text's windows and its standard error. Throws as
/// Transformer and EvalInputs::text().
bool evaluate_perplexity(EvalContext& context);

/// What the numbers over the windows of a text depend on, as rows show it.
Params window_params(const EvalText& text);

/// Tells whoever runs windows how far they are: a window is worth its tokens, and each of its
/// `parts` the same share of them.
class WindowProgress {
 public:
  WindowProgress(const EvalContext& context, std::string_view kind, const PerplexityPlan& plan,
                 std::uint64_t first, std::uint64_t parts);
  /// One more part is done; `value` is that of all windows so far.
  void part_done(std::optional<double> value);

 private:
  const EvalContext& context_;
  EvaluationProgress now_;
  std::uint64_t window_, parts_, done_ = 0;
};

}  // namespace qi
