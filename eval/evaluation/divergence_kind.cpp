// The kind "kld": windows of a text through a model and its base, side by side.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "eval/evaluation/divergence.h"
#include "eval/evaluation/perplexity.h"
#include "eval/evaluation/saved_logits.h"
#include "eval/evaluation/window_work.h"

namespace qi {
namespace {

constexpr std::size_t kNumbers = sizeof(TokenDivergence) / sizeof(double);

/// A model that runs beside; its logits may be saved on the way.
class LiveBase final : public DivergenceBase {
 public:
  LiveBase(const Transformer& base, const PerplexityOptions& options, LogitsWriter* writer)
      : runner_(base, options), writer_(writer) {}

  std::uint64_t parts() const override { return runner_.layers(); }
  bool begin(const TextWindow& window, const std::function<void()>& part_done) override {
    targets_ = window.targets();
    return runner_.run(window, part_done);
  }
  bool compare(const Transformer& model, std::span<const float> states, std::size_t first,
               std::span<TokenDivergence> out) override {
    const std::size_t hidden = runner_.transformer().architecture().hidden;
    const std::span<const std::int32_t> targets = targets_.subspan(first, out.size());
    if (!tile_.fill(runner_.transformer(),
                    runner_.predicting().subspan(first * hidden, out.size() * hidden)) ||
        !compare_logits(model, states, targets, tile_, out)) {
      return false;
    }
    if (writer_ == nullptr) return true;
    writer_->add(tile_, targets);
    if (first + out.size() == targets_.size()) writer_->end_window();
    return true;
  }

 private:
  WindowRunner runner_;
  LogitsWriter* writer_;
  std::span<const std::int32_t> targets_;
  LogitTile tile_;
};

class SavedBase final : public DivergenceBase {
 public:
  SavedBase(const SavedLogits& saved, const PerplexityPlan& plan) : saved_(saved), plan_(plan) {}

  std::uint64_t parts() const override { return 0; }
  bool begin(const TextWindow& window, const std::function<void()>&) override {
    targets_ = window.targets();
    positions_ = saved_.window(plan_, window.index);
    return true;
  }
  bool compare(const Transformer& model, std::span<const float> states, std::size_t first,
               std::span<TokenDivergence> out) override {
    return compare_logits(model, states, targets_.subspan(first, out.size()),
                          std::span<const SavedPosition>(positions_).subspan(first, out.size()),
                          out);
  }

 private:
  const SavedLogits& saved_;
  const PerplexityPlan& plan_;
  std::span<const std::int32_t> targets_;
  std::vector<SavedPosition> positions_;
};

/// One window's tokens, as many at a time as their logits may be held. False: cancelled.
bool compare_window(const WindowRunner& model, DivergenceBase& base,
                    std::span<TokenDivergence> out) {
  const std::size_t hidden = model.transformer().architecture().hidden;
  const std::size_t room = LogitTile::room(model.transformer().vocab());
  for (std::size_t first = 0; first < out.size(); first += room) {
    const std::size_t count = std::min(room, out.size() - first);
    if (!base.compare(model.transformer(),
                      model.predicting().subspan(first * hidden, count * hidden), first,
                      out.subspan(first, count))) {
      return false;
    }
  }
  return true;
}

EvalContext::Measured measure_divergence(EvalContext& context, const EvalText& text,
                                         DivergenceBase& base, KeptPieces& pieces,
                                         std::size_t measures) {
  WindowRunner model(context.transformer(), text.plan.options());
  DivergenceSum sum;
  std::vector<TokenDivergence> tokens;
  WindowWork work;
  work.kind = "kld";
  work.numbers = kNumbers;
  work.parts = model.layers() + base.parts() + 1;  // the heads are one
  // What the model alone makes of each window, and about how long that took: its perplexity, if
  // that is asked for too.
  std::vector<EvalStore::Window> alone;
  double model_seconds = 0;
  work.measure = [&](const TextWindow& window, const auto& part_done, auto& numbers) {
    tokens.resize(window.targets().size());
    if (!base.begin(window, part_done)) return false;
    const auto began = std::chrono::steady_clock::now();
    if (!model.run(window, part_done) || !compare_window(model, base, tokens)) return false;
    model_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    numbers.resize(tokens.size() * kNumbers);
    std::memcpy(numbers.data(), tokens.data(), numbers.size() * sizeof(double));
    return true;
  };
  work.take = [&](const TextWindow&, std::span<const double> numbers) {
    tokens.clear();
    for (std::size_t i = 0; i < numbers.size(); i += kNumbers) {
      tokens.push_back(
          {numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3], numbers[i + 4]});
    }
    sum.add(tokens);
    alone.push_back({std::exchange(model_seconds, 0), {}});
    for (const TokenDivergence& token : tokens) alone.back().numbers.push_back(token.nll);
  };
  work.value = [&] { return sum.count() > 0 ? std::optional(sum.mean()) : std::nullopt; };
  if (!run_windows(context, text.plan, pieces, work)) return std::nullopt;
  if (context.request().asks_for("ppl")) context.leave(perplexity_subject(text), alone);
  std::vector<EvalMeasures> out = sum.measures();
  out.resize(measures);
  return out;
}

/// Throws kInconsistent and kUsage unless `base` can run the windows and its tokens are the
/// model's.
void check_base(const Transformer& base, const Model& model, const Transformer& beside,
                const PerplexityPlan& plan) {
  if (base.vocab() != beside.vocab()) {
    throw Error(ErrorCode::kInconsistent, fmt::format("a vocabulary of {}", base.vocab()),
                fmt::format("{}, that of the model beside it", beside.vocab()), model.path);
  }
  const std::uint64_t limit = base.architecture().context;
  if (limit > 0 && plan.options().context > limit) {
    throw Error(ErrorCode::kUsage, fmt::format("windows of {} tokens", plan.options().context),
                fmt::format("--context of at most {}, as the base was made for", limit));
  }
}

}  // namespace

bool evaluate_divergence(EvalContext& context) {
  const EvaluationRequest& request = context.request();
  const Transformer& model = context.inputs().stored();
  const EvalText& text = context.text();
  const PerplexityPlan& plan = text.plan;
  EvalSubject subject{"kld", text.dataset, window_params(text), text.token_digest};

  std::optional<SavedLogits> saved;
  std::optional<Transformer> other;
  std::optional<LogitsWriter> writer;
  std::unique_ptr<DivergenceBase> base;
  std::string base_hash;
  if (!request.saved_base.empty()) {
    saved.emplace(request.saved_base);
    saved->check(text, model.vocab());
    base = std::make_unique<SavedBase>(*saved, plan);
    base_hash = saved->facts().model_hash;
    subject.params.set("top", std::to_string(saved->facts().top));
  } else {
    const Model& of = request.base != nullptr ? *request.base : context.model();
    if (request.base != nullptr) {
      other.emplace(of, open_reader, context.workers());
      check_base(*other, of, model, plan);
    }
    const Transformer& live = other ? *other : model;
    const std::optional<std::string> hash = context.hash_of(of);
    if (!hash) return false;
    base_hash = *hash;
    if (!request.save.path.empty()) {
      writer.emplace(request.save.path, request.save.output,
                     facts_of(of.name, base_hash, text, live.vocab(), request.save.top));
      subject.reuse = EvalSubject::Reuse::kNothing;
    }
    base = std::make_unique<LiveBase>(live, plan.options(), writer ? &*writer : nullptr);
  }
  subject.params.set("base", base_hash.substr(0, 16));
  subject.digest += " " + base_hash;

  // Only saved logits leave something out.
  const std::size_t count = kDivergenceMeasures.size() - (saved ? 0 : 1);
  const bool ended = context.rows(
      subject, std::span(kDivergenceMeasures).first(count),
      [&](KeptPieces& pieces) { return measure_divergence(context, text, *base, pieces, count); });
  if (ended && writer) writer->commit();
  return ended;
}

}  // namespace qi
