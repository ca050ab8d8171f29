// The kinds of evaluation and the one table of them: the command line, the sweep and the interface
// list them from here. A kind is a file pair with one function, and one line of the table.
// Constant, any thread.
#pragma once

#include <span>
#include <string_view>

namespace qi {

class EvalContext;

struct EvalKind {
  std::string_view name;         // "kld"; its further measures are "kld.median" …
  std::string_view description;  // for people
  bool needs_text = false;       // EvaluationRequest::text_path
  bool needs_base = false;       // … base, or saved logits
  bool needs_task = false;       // … task
  /// Measures and hands out rows as they are finished. False: cancelled.
  bool (*run)(EvalContext& context);
};

/// In the order they are run.
std::span<const EvalKind> evaluation_kinds();
/// Null where none is called so.
const EvalKind* find_evaluation_kind(std::string_view name);

}  // namespace qi
