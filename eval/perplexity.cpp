#include "eval/perplexity.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

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

Params window_params(const EvalText& text) {
  const PerplexityOptions& options = text.plan.options();
  Params params;
  params.set("protocol", protocol_name(options.protocol));
  params.set("context", fmt::to_string(options.context));
  params.set("stride", fmt::to_string(options.stride));
  params.set("bos", options.bos ? fmt::to_string(*options.bos) : "none");
  params.set("kv", options.kv == KvType::kF32 ? "f32" : "f16");
  if (options.activations == Activations::kQ8) params.set("activations", "q8");
  params.set("text", text.digest);
  if (options.limit > 0) params.set("limit", fmt::to_string(options.limit));
  return params;
}

WindowProgress::WindowProgress(const EvalContext& context, std::string_view kind,
                               const PerplexityPlan& plan, std::uint64_t first, std::uint64_t parts)
    : context_(context), window_(plan.options().context), parts_(parts) {
  now_.kind = kind;
  now_.total = (plan.windows() - first) * window_;
}

void WindowProgress::part_done(std::optional<double> value) {
  now_.done = ++done_ * window_ / parts_;
  now_.value = value;
  context_.progress(now_);
}

bool evaluate_perplexity(EvalContext& context) {
  const EvalText& text = context.text();
  const PerplexityPlan& plan = text.plan;
  const OnWindow& on_window = context.events().on_window;
  EvalSubject subject{"ppl", text.dataset, window_params(text), text.token_digest};
  if (on_window) subject.reuse = EvalSubject::Reuse::kPieces;

  const auto measure = [&](KeptPieces& pieces) -> EvalContext::Measured {
    const Transformer& transformer = context.transformer();
    NllSum sum;
    const auto take = [&](const TextWindow& window, std::span<const double> nll) {
      sum.add(nll);
      if (on_window) on_window(window, nll);
    };
    pieces.replay([&](std::uint64_t index, std::span<const double> nll) {
      if (index == plan.windows()) return false;
      const TextWindow window = plan.window(index);
      if (nll.size() != window.tokens.size() - window.scored_from) return false;
      take(window, nll);
      return true;
    });
    const Architecture& architecture = transformer.architecture();
    const std::uint64_t first = pieces.pieces();
    // Every layer is a part, and the head.
    WindowProgress progress(context, "ppl", plan, first, architecture.layers() + 1);
    const auto part_done = [&] {
      progress.part_done(sum.count() > 0 ? std::optional(sum.perplexity()) : std::nullopt);
    };
    KvCache cache(architecture, plan.options().context, plan.options().kv, KvLayers::kCurrent);
    std::vector<float> states;
    std::vector<double> nll;
    pieces.start();
    for (std::uint64_t index = first; index < plan.windows(); ++index) {
      const TextWindow window = plan.window(index);
      cache.clear();
      if (!transformer.run(window.tokens, cache, states, part_done)) return std::nullopt;
      if (!negative_log_likelihoods(transformer, window.predicting(states), window.targets(),
                                    nll)) {
        return std::nullopt;
      }
      take(window, nll);
      pieces.add(nll);
      part_done();
    }
    return {{{sum.perplexity(), sum.standard_error(), sum.count()}}};
  };
  constexpr std::array<std::string_view, 1> kMeasures = {""};
  return context.rows(subject, kMeasures, measure);
}

}  // namespace qi
