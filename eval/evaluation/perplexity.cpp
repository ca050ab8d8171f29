#include "eval/evaluation/perplexity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "eval/evaluation/saved_logits.h"
#include "eval/evaluation/window_work.h"

namespace qi {

void NllSum::add(std::span<const double> nll) {
  for (const double value : nll) {
    sum_ += value;
    squares_ += value * value;
  }
  count_ += nll.size();
}

double NllSum::perplexity() const {
  return std::exp(mean());
}

double NllSum::standard_error() const {
  if (count_ < 2) return 0;
  const auto count = static_cast<double>(count_);
  const double variance = std::max(0.0, squares_ / count - mean() * mean());
  return std::sqrt(variance / (count - 1)) * perplexity();
}

namespace {

/// What the model makes of the last window's tokens; their logits go to `writer`, if any. False:
/// cancelled.
bool score_window(const WindowRunner& model, std::span<const std::int32_t> targets,
                  LogitsWriter* writer, std::vector<double>& nll) {
  const Transformer& transformer = model.transformer();
  if (writer == nullptr) {
    return negative_log_likelihoods(transformer, model.predicting(), targets, nll);
  }
  const std::size_t hidden = transformer.architecture().hidden;
  const std::size_t room = LogitTile::room(transformer.vocab());
  LogitTile tile;
  nll.clear();
  for (std::size_t first = 0; first < targets.size(); first += room) {
    const std::size_t count = std::min(room, targets.size() - first);
    const std::span<const std::int32_t> part = targets.subspan(first, count);
    if (!tile.fill(transformer, model.predicting().subspan(first * hidden, count * hidden))) {
      return false;
    }
    for (std::size_t i = 0; i < count; ++i) nll.push_back(tile.nll(i, part[i]));
    writer->add(tile, part);
  }
  writer->end_window();
  return true;
}

}  // namespace

EvalSubject perplexity_subject(const EvalText& text) {
  return {"ppl", text.dataset, window_params(text), text.token_digest};
}

bool evaluate_perplexity(EvalContext& context) {
  const EvaluationRequest& request = context.request();
  const EvalText& text = context.text();
  const OnWindow& on_window = context.events().on_window;
  EvalSubject subject = perplexity_subject(text);
  if (on_window) subject.reuse = EvalSubject::Reuse::kPieces;
  std::optional<LogitsWriter> writer;
  if (!request.save.path.empty() && !request.asks_for("kld")) {
    const std::optional<std::string> hash = context.hash_of_weights();
    if (!hash) return false;
    writer.emplace(request.save.path, request.save.output,
                   facts_of(context.model().name, *hash, text, context.inputs().stored().vocab(),
                            request.save.top));
    subject.reuse = EvalSubject::Reuse::kNothing;
  }

  const auto measure = [&](KeptPieces& pieces) -> EvalContext::Measured {
    WindowRunner model(context.transformer(), text.plan.options());
    NllSum sum;
    WindowWork work;
    work.kind = subject.kind;
    work.parts = model.layers() + 1;  // the head is one
    work.measure = [&](const TextWindow& window, const auto& part_done, auto& nll) {
      return model.run(window, part_done) &&
             score_window(model, window.targets(), writer ? &*writer : nullptr, nll);
    };
    work.take = [&](const TextWindow& window, std::span<const double> nll) {
      sum.add(nll);
      if (on_window) on_window(window, nll);
    };
    work.value = [&] { return sum.count() > 0 ? std::optional(sum.perplexity()) : std::nullopt; };
    if (!run_windows(context, text.plan, pieces, work)) return std::nullopt;
    return {{{sum.perplexity(), sum.standard_error(), sum.count()}}};
  };
  constexpr std::array<std::string_view, 1> kMeasures = {""};
  const bool ended = context.rows(subject, kMeasures, measure);
  if (ended && writer) writer->commit();
  return ended;
}

}  // namespace qi
