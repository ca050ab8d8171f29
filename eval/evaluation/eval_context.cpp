#include "eval/evaluation/eval_context.h"

#include <fmt/format.h>

#include "eval/results/machine.h"

namespace qi {
namespace {

using std::chrono::duration;
using std::chrono::steady_clock;

/// Changes whenever the numbers do; part of the key of results.
constexpr int kEvaluationVersion = 1;
/// Of a small model a piece takes less time than keeping it.
constexpr double kKeepSeconds = 0.5;

std::string row_kind(std::string_view kind, std::string_view measure) {
  return measure.empty() ? std::string(kind) : fmt::format("{}.{}", kind, measure);
}

}  // namespace

void KeptPieces::replay(
    const std::function<bool(std::uint64_t index, std::span<const double>)>& take) {
  for (const EvalStore::Window& kept : store_.windows(key_)) {
    if (!take(next_, kept.numbers)) return;
    seconds_ += kept.seconds;
    ++next_;
  }
}

void KeptPieces::start() {
  kept_at_ = began_ = steady_clock::now();
}

void KeptPieces::add(std::span<const double> numbers) {
  const auto now = steady_clock::now();
  waiting_.push_back({duration<double>(now - began_).count(), {numbers.begin(), numbers.end()}});
  seconds_ += waiting_.back().seconds;
  began_ = now;
  if (duration<double>(now - kept_at_).count() >= kKeepSeconds) keep();
}

void KeptPieces::keep() {
  store_.put_windows(key_, next_, waiting_);
  next_ += waiting_.size();
  waiting_.clear();
  kept_at_ = steady_clock::now();
}

EvalContext::EvalContext(EvalInputs& inputs, const EvaluatedWeights& weights, EvalStore& store,
                         const EvaluationEvents& events)
    : inputs_(inputs), weights_(weights), store_(store), events_(events) {}

const Transformer& EvalContext::transformer() {
  if (!transformer_) {
    transformer_.emplace(model(), weights_.open, workers(), request().perplexity.activations);
  }
  return *transformer_;
}

std::optional<std::string> EvalContext::hash_of_weights() {
  const std::optional<std::string> stored = hash_of(model());
  if (!stored || !weights_.config) return stored;
  return hex_digest(fmt::format("{};{};{};{}", *stored, weights_.config->family,
                                weights_.config->params.text(), weights_.scope),
                    32);
}

std::string EvalContext::key_of(const EvalSubject& subject, std::string_view measure) {
  return fmt::format("{} {} {};{};{}", *hash_of_weights(), subject.digest,
                     row_kind(subject.kind, measure), subject.params.text(), kEvaluationVersion);
}

bool EvalContext::rows(const EvalSubject& subject, std::span<const std::string_view> measures,
                       const std::function<Measured(KeptPieces&)>& measure) {
  if (!hash_of(model())) return false;
  Measured measured;
  if (subject.reuse == EvalSubject::Reuse::kRows && !request().redo) {
    measured.emplace();
    for (const std::string_view name : measures) {
      const std::optional<EvalMeasures> known = store_.find(key_of(subject, name));
      if (known) measured->push_back(*known);
    }
    if (measured->size() < measures.size()) measured.reset();
  }
  if (!measured) {
    const std::string key = key_of(subject, {});
    const bool anew = subject.reuse == EvalSubject::Reuse::kNothing || request().redo;
    if (anew && !left_.contains(key)) store_.drop_windows(key);
    KeptPieces pieces(store_, key);
    measured = measure(pieces);
    if (!measured) {
      pieces.keep();
      return false;
    }
    for (EvalMeasures& each : *measured) {
      each.seconds = pieces.seconds();
      each.peak_memory_bytes = peak_memory_bytes();
    }
  }
  for (std::size_t i = 0; i < measures.size(); ++i) finish(subject, measures[i], (*measured)[i]);
  store_.drop_windows(key_of(subject, {}));
  return true;
}

void EvalContext::leave(const EvalSubject& subject, std::span<const EvalStore::Window> pieces) {
  const std::string key = key_of(subject, {});
  store_.drop_windows(key);
  store_.put_windows(key, 0, pieces);
  left_.insert(key);
}

bool EvalContext::give(const EvalSubject& subject, std::string_view measure,
                       const EvalMeasures& measured) {
  if (!hash_of(model())) return false;
  finish(subject, measure, measured);
  return true;
}

void EvalContext::finish(const EvalSubject& subject, std::string_view measure,
                         const EvalMeasures& measured) {
  EvalRow row;
  row.model = model().name;
  if (weights_.config) {
    row.family = weights_.config->family;
    row.config = weights_.config->params.text();
  }
  row.bits_per_weight = weights_.bits_per_weight;
  row.kind = row_kind(subject.kind, measure);
  row.dataset = subject.dataset;
  row.params = subject.params;
  row.measured = measured;
  store_.finish(key_of(subject, measure), row);
  if (events_.on_row) events_.on_row(row);
}

}  // namespace qi
