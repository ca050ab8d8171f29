// What compression does to a model, from a text file to a row in the results database: tokenizes,
// runs the model, keeps finished windows so that an interrupted run goes on where it was, and finds
// what was measured before. Refuses what the tokenizer, the transformer, the plan and the database
// refuse. One thread at a time; the model's work is shared by threads of its own.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "eval/eval_row.h"
#include "eval/perplexity.h"

namespace qi {

struct EvaluationRequest {
  std::string text_path;
  PerplexityOptions perplexity;  // without BOS: the tokenizer says which
  bool automatic_bos = true;     // as the tokenizer begins a text; else none
  std::string database;          // path
  bool redo = false;             // measures also what the database already has
  unsigned threads = 0;          // 0: all cores
  const std::atomic<bool>* cancel = nullptr;
  std::string options;   // as given, for the record of the run
  std::string versions;  // of program and libraries, for the record of the run
};

struct EvaluationEvents {
  /// The numbers of every window, in order, those that an earlier run left among them. With it a
  /// finished evaluation is run again: the database has its sums alone. May be empty.
  OnWindow on_window;
  /// Tokens that this run is through with, and the perplexity of the windows so far (0: none yet).
  std::function<void(std::uint64_t done, std::uint64_t total, double perplexity)> on_progress;
  std::function<void(const Warning&)> on_warning;
};

/// The perplexity of `model` over the text. Nothing: cancelled.
/// Throws kBadEncoding and kBadValue for the text (empty, not UTF-8, shorter than a window),
/// kMissing without a tokenizer, kInconsistent when it has more tokens than the model.
std::optional<EvalRow> evaluate_perplexity(const Model& model, const EvaluationRequest& request,
                                           const EvaluationEvents& events);

}  // namespace qi
