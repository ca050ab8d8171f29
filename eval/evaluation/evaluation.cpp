#include "eval/evaluation/evaluation.h"

#include "eval/evaluation/eval_context.h"
#include "eval/evaluation/eval_inputs.h"
#include "eval/evaluation/eval_kind.h"
#include "eval/evaluation/task.h"

namespace qi {

Evaluation::Evaluation(const Model& model, EvaluationRequest request)
    : inputs_(std::make_unique<EvalInputs>(model, std::move(request))) {}

Evaluation::~Evaluation() = default;

void Evaluation::check() {
  const std::vector<std::string>& asked = inputs_->request().kinds;
  const auto needs_text = [](const std::string& name) {
    const EvalKind* const kind = find_evaluation_kind(name);
    return kind != nullptr && kind->needs_text;
  };
  if (std::any_of(asked.begin(), asked.end(), needs_text)) inputs_->text();
  if (inputs_->request().asks_for("task")) check_task(inputs_->request().task);
}

bool Evaluation::run(const EvaluatedWeights& weights, EvalStore& store,
                     const EvaluationEvents& events) {
  EvalContext context(*inputs_, weights, store, events);
  for (const EvalKind& kind : evaluation_kinds()) {
    if (inputs_->request().asks_for(kind.name) && !kind.run(context)) return false;
  }
  return true;
}

std::string Evaluation::model_hash() const {
  return inputs_->known_hash();
}

}  // namespace qi
