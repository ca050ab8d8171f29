// The kind "speed": what is read and noted around the measures of speed.h.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/io/error.h"
#include "eval/evaluation/eval_context.h"
#include "eval/evaluation/speed.h"
#include "eval/results/machine.h"

namespace qi {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

/// What all measures together may take, about.
constexpr double kSpeedSeconds = 60;

std::vector<std::vector<std::int32_t>> prompts_of(const std::string& file, const Tokenizer& with,
                                                  bool automatic_bos) {
  std::vector<std::vector<std::int32_t>> prompts;
  const std::string text = read_named_file(file, "prompts");
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin = end + 1;
    if (line.empty()) continue;
    std::vector<std::int32_t> tokens = with.encode(line);
    if (automatic_bos && with.add_bos()) tokens.insert(tokens.begin(), with.bos().value());
    if (!tokens.empty()) prompts.push_back(std::move(tokens));
  }
  if (!prompts.empty()) return prompts;
  throw Error(ErrorCode::kBadValue, "no prompts", "one a line", file);
}

/// Seconds from opening the model (where it is found again by its path) to its first token, its
/// files being in memory; nothing: cancelled.
std::optional<double> load_seconds(EvalContext& context) {
  const auto begin = steady_clock::now();
  std::optional<Model> again;
  if (!context.weights().config) {
    const Catalog catalog = find_models(context.model().path);
    if (catalog.models.size() == 1) again = open_model(catalog.models.front());
  }
  const Transformer transformer(again ? *again : context.model(), context.weights().open,
                                context.workers(), context.request().perplexity.activations);
  KvCache cache(transformer.architecture(), 1, KvType::kF32, KvLayers::kAll);
  std::vector<float> states;
  std::vector<std::int32_t> tokens = {0};
  if (!transformer.run(tokens, cache, states)) return std::nullopt;
  if (!likeliest_tokens(transformer, states, tokens)) return std::nullopt;
  return duration<double>(steady_clock::now() - begin).count();
}

}  // namespace

bool evaluate_speed(EvalContext& context) {
  const EvaluationRequest& request = context.request();
  const Transformer& transformer = context.transformer();
  EvalSubject subject{"speed", {}, {}, {}, EvalSubject::Reuse::kNothing};
  std::vector<std::vector<std::int32_t>> prompts;
  if (!request.prompts_path.empty()) {
    const Tokenizer& tokenizer = context.inputs().tokenizer();
    prompts = prompts_of(request.prompts_path, tokenizer, request.automatic_bos);
    subject.dataset = file_name_of(request.prompts_path);
  }
  const auto plan =
      plan_speed(transformer, std::move(prompts), request.perplexity.kv, kSpeedSeconds);
  if (!plan) return false;
  std::size_t longest = 0;
  for (const auto& prompt : plan->prompts) longest = std::max(longest, prompt.size());
  subject.params.set("P", fmt::to_string(longest));
  subject.params.set("G", fmt::to_string(plan->generated));
  subject.params.set("B", fmt::to_string(plan->prompts.size()));
  subject.params.set("threads", fmt::to_string(context.workers().pool->threads()));
  subject.params.set("kv", request.perplexity.kv == KvType::kF32 ? "f32" : "f16");
  subject.params.set("activations",
                     request.perplexity.activations == Activations::kF32 ? "f32" : "q8");

  bool all = true;
  const auto give = [&](std::string_view measure, EvalMeasures measured) {
    measured.peak_memory_bytes = peak_memory_bytes();
    all = context.give(subject, measure, measured) && all;
  };
  const std::optional<double> load = load_seconds(context);
  if (!load) return false;
  give("load", {1e3 * *load, std::nullopt, 1, *load});
  SpeedEvents events;
  events.on_measure = [&](const SpeedMeasure& measure) {
    give(measure.name, {measure.value, measure.standard_error, measure.tokens, measure.seconds});
  };
  events.on_progress = [&](std::uint64_t done, std::uint64_t total) {
    context.progress({"speed", done, total, std::nullopt});
  };
  if (!measure_speed(transformer, *plan, events)) return false;
  EvalMeasures memory;
  memory.value = static_cast<double>(peak_memory_bytes());
  give("memory", memory);
  memory.value = static_cast<double>(private_memory_bytes());
  give("memory.private", memory);
  return all;
}

}  // namespace qi
