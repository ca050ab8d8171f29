#include "eval/evaluation/window_work.h"

#include <fmt/format.h>

namespace qi {

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

WindowRunner::WindowRunner(const Transformer& transformer, const PerplexityOptions& options)
    : transformer_(transformer),
      cache_(transformer.architecture(), options.context, options.kv, KvLayers::kCurrent) {}

bool WindowRunner::run(const TextWindow& window, const std::function<void()>& after_layer) {
  cache_.clear();
  if (!transformer_.run(window.tokens, cache_, states_, after_layer)) return false;
  // The state of a token predicts the next one.
  const std::size_t hidden = transformer_.architecture().hidden;
  predicting_ = std::span<const float>(states_).subspan((window.scored_from - 1) * hidden,
                                                        window.targets().size() * hidden);
  return true;
}

bool run_windows(const EvalContext& context, const PerplexityPlan& plan, KeptPieces& pieces,
                 const WindowWork& work) {
  pieces.replay([&](std::uint64_t index, std::span<const double> numbers) {
    if (index == plan.windows()) return false;
    const TextWindow window = plan.window(index);
    if (numbers.size() != window.targets().size() * work.numbers) return false;
    work.take(window, numbers);
    return true;
  });
  const std::uint64_t first = pieces.pieces();
  const std::uint64_t tokens = plan.options().context;
  std::uint64_t parts = 0;
  const auto part_done = [&] {
    context.progress({work.kind, ++parts * tokens / work.parts, (plan.windows() - first) * tokens,
                      work.value()});
  };
  std::vector<double> numbers;
  pieces.start();
  for (std::uint64_t index = first; index < plan.windows(); ++index) {
    const TextWindow window = plan.window(index);
    if (!work.measure(window, part_done, numbers)) return false;
    work.take(window, numbers);
    pieces.add(numbers);
    parts = (index + 1 - first) * work.parts - 1;
    part_done();
  }
  return true;
}

}  // namespace qi
