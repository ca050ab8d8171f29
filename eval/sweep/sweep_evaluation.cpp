#include "eval/sweep/sweep_evaluation.h"

#include <algorithm>
#include <mutex>
#include <set>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "eval/evaluation/eval_inputs.h"
#include "eval/sweep/calibrated_measure.h"
#include "eval/sweep/coded_weights.h"

namespace qi {
namespace {

/// Weights were not coded to the end.
struct CodingCancelled {};

/// A configuration's weights, coded when the first of them is opened.
class LazyWeights {
 public:
  LazyWeights(const SweepPlan& plan, const SweepTotal& total, CodingOptions options,
              CalibratedCache& cache)
      : plan_(plan), total_(total), options_(std::move(options)), cache_(cache) {}

  std::unique_ptr<WeightReader> open(const Model& model, const Weight& weight) {
    return opener()(model, weight);
  }

 private:
  const OpenWeight& opener() {
    const std::lock_guard lock(mutex_);
    if (open_) return open_;
    if (is_calibrated(total_.config.family)) {
      open_ = calibrated();
    } else {
      const auto coded = CodedWeights::make(plan_, total_, options_);
      if (coded == nullptr) throw CodingCancelled{};
      open_ = coded->open();
    }
    return open_;
  }

  /// Of the weights that the total covers; the others are as stored.
  OpenWeight calibrated() const {
    std::shared_ptr<const CalibratedWeights> made = cache_.take(total_.config);
    if (made == nullptr) {
      const auto progress = [&](double done) {
        const auto bytes = plan_.model->size_bytes();
        options_.progress(static_cast<std::uint64_t>(done * static_cast<double>(bytes)), bytes);
      };
      made = calibrate(plan_, total_, Workers{options_.threads, options_.cancel}, progress);
    }
    if (made == nullptr) throw CodingCancelled{};
    std::set<std::string_view> covered;
    for (const std::uint32_t u : total_.units) {
      covered.insert(plan_.weights[plan_.units[u].weight]->name);
    }
    return [open = made->open(), covered](const Model& model, const Weight& weight) {
      return covered.contains(weight.name) ? open(model, weight) : open_reader(model, weight);
    };
  }

  const SweepPlan& plan_;
  const SweepTotal& total_;
  CodingOptions options_;
  CalibratedCache& cache_;
  std::mutex mutex_;
  OpenWeight open_;
};

/// Which weights the configuration is applied to, as what, by which version of its codec.
std::string scope_of(const SweepPlan& plan, const SweepTotal& total) {
  std::string text;
  for (const std::uint32_t u : total.units) {
    const SweepUnit& unit = plan.units[u];
    const MethodConfig& config = plan.configs[unit.config];
    text += fmt::format("{} {} {} {}\n", plan.weights[unit.weight]->name, config.family,
                        config.params.text(), find_family(config.family)->version);
  }
  return hex_digest(text, 32);
}

std::string reason_of_failure(const Error& error) {
  std::string text = error.message;
  if (!error.expected.empty()) text += ": " + error.expected;
  return fmt::format("{} [{}]", text, class_word(error.code));
}

}  // namespace

SweepEvaluation::SweepEvaluation(const SweepPlan& plan, EvaluationRequest request)
    : plan_(plan), request_(request), evaluation_(*plan.model, std::move(request)) {
  evaluation_.check();
}

bool SweepEvaluation::run(std::span<const ResultRow> totals, const std::string& database,
                          std::int64_t run, const SweepEvaluationEvents& events) {
  ResultsStore results(database);
  EvalStore store(database, results, [run] { return run; });
  for (std::size_t t = 0; t < plan_.totals.size(); ++t) {
    try {
      if (!evaluate(t, totals[t], store, events)) return false;
    } catch (const CodingCancelled&) {
      return false;
    }
  }
  return true;
}

bool SweepEvaluation::evaluate(std::size_t total, const ResultRow& sums, EvalStore& store,
                               const SweepEvaluationEvents& events) {
  const SweepTotal& asked = plan_.totals[total];
  const auto progress = [&](const EvaluationProgress& now) {
    if (events.on_progress) events.on_progress(total, now);
  };
  CodingOptions coding;
  coding.threads = request_.threads;
  coding.cancel = request_.cancel;
  coding.progress = [&](std::uint64_t done, std::uint64_t all) {
    progress({"coding", done, all, std::nullopt});
  };
  const auto weights = std::make_shared<LazyWeights>(plan_, asked, std::move(coding), *calibrated_);
  EvaluatedWeights evaluated;
  evaluated.open = [weights](const Model& model, const Weight& weight) {
    return weights->open(model, weight);
  };
  evaluated.config = asked.config;
  std::uint64_t numbers = 0;
  for (const Weight& weight : plan_.model->weights) numbers += weight.params;
  evaluated.bits_per_weight =
      8.0 * static_cast<double>(sums.model_bytes.value_or(0)) / static_cast<double>(numbers);
  evaluated.scope = scope_of(plan_, asked);

  std::set<std::string> finished;  // kinds
  EvaluationEvents inner;
  inner.on_progress = progress;
  inner.on_row = [&](const EvalRow& row) {
    finished.insert(row.kind);
    if (events.on_row) events.on_row(row);
  };
  try {
    if (!sums.ok) throw Error(ErrorCode::kBadValue, sums.error);
    return evaluation_.run(evaluated, store, inner);
  } catch (const Error& error) {
    if (error.code == ErrorCode::kDatabase || error.code == ErrorCode::kSpace) throw;
    EvalRow row;
    row.model = plan_.model->name;
    row.family = asked.config.family;
    row.config = asked.config.params.text();
    row.bits_per_weight = evaluated.bits_per_weight;
    row.dataset = file_name_of(request_.text_path);
    row.error = reason_of_failure(error);
    for (const std::string& kind : request_.kinds) {
      if (finished.contains(kind)) continue;
      row.kind = kind;
      store.fail(row);
      if (events.on_row) events.on_row(row);
    }
    return true;
  }
}

std::uint64_t evaluation_memory(const SweepPlan& plan) {
  std::uint64_t largest = 0;
  for (const SweepTotal& total : plan.totals) largest = std::max(largest, coded_bytes(plan, total));
  return plan.model->size_bytes() + largest + kEvaluationFixedBytes;
}

}  // namespace qi
