// The kind "task": questions put to a model as lm-evaluation-harness puts them. Of choices the
// likeliest continuation counts (acc, acc_norm, acc_bytes), of generated answers the number in
// them (exact_match, flexible_match). Refuses what task_file.h and Transformer refuse, and examples
// of another form than the questions. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "eval/evaluation/eval_context.h"

namespace qi {

/// A text and what may follow it, as tokens.
struct Continuation {
  std::vector<std::int32_t> tokens;
  std::size_t scored = 0;  // of them, at the end: one at least
};

/// `context` and `continuation` encoded as one; white space at the context's end is the
/// continuation's. What does not fit into `room` tokens is cut off at the front; something always
/// stands before what is scored. Throws kBadValue when there is nothing that could.
Continuation encode_pair(const Tokenizer& tokenizer, std::optional<std::int32_t> bos,
                         std::string_view context, std::string_view continuation, std::size_t room);

bool evaluate_task(EvalContext& context);
/// Throws what keeps a task's files from being read.
void check_task(const EvaluationRequest::Task& task);

}  // namespace qi
