#include "eval/evaluation/eval_kind.h"

#include <algorithm>
#include <array>

#include "eval/evaluation/divergence.h"
#include "eval/evaluation/perplexity.h"
#include "eval/evaluation/speed.h"
#include "eval/evaluation/task.h"

namespace qi {
namespace {

constexpr std::array kEvaluationKinds = {
    EvalKind{"kld", "its divergence from a base", true, true, false, evaluate_divergence},
    EvalKind{"ppl", "its perplexity", true, false, false, evaluate_perplexity},
    EvalKind{"task", "its right answers to questions", false, false, true, evaluate_task},
    EvalKind{"speed", "its speed and memory", false, false, false, evaluate_speed},
};

}  // namespace

std::span<const EvalKind> evaluation_kinds() {
  return kEvaluationKinds;
}

const EvalKind* find_evaluation_kind(std::string_view name) {
  const auto* const kind = std::find_if(kEvaluationKinds.begin(), kEvaluationKinds.end(),
                                        [&](const EvalKind& each) { return each.name == name; });
  return kind == kEvaluationKinds.end() ? nullptr : kind;
}

}  // namespace qi
