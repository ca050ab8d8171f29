// Perplexity of a text: what a model makes of the tokens that count in each of its windows. Sums
// are in double and in order. One thread at a time; the model's work is shared by its own threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "eval/evaluation/eval_context.h"

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

/// Its pieces are the −log p of each window's targets.
EvalSubject perplexity_subject(const EvalText& text);

/// The kind "ppl": the perplexity of the text's windows and its standard error. Throws as
/// Transformer and EvalInputs::text().
bool evaluate_perplexity(EvalContext& context);

}  // namespace qi
