#include "eval/results/model_damage.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace qi {
namespace {

/// One kind of evaluation of one model, made in one way.
class Measured {
 public:
  Measured(std::span<const EvalRow> evaluations, std::string_view kind) {
    const auto counts = [&](const EvalRow& row) { return row.kind == kind && row.error.empty(); };
    std::map<std::string, std::pair<std::string, std::string>> newest;  // of each model
    for (const EvalRow& row : evaluations) {
      if (counts(row)) newest[row.model] = way_of(row);
    }
    for (const EvalRow& row : evaluations) {
      if (!counts(row) || newest[row.model] != way_of(row)) continue;
      values_[{row.model, row.family, row.config}] = row.measured.value;
    }
  }

  std::optional<double> find(const std::string& model, const std::string& family,
                             const std::string& config) const {
    const auto at = values_.find(std::tuple(model, family, config));
    return at == values_.end() ? std::nullopt : std::optional(at->second);
  }

 private:
  static std::pair<std::string, std::string> way_of(const EvalRow& row) {
    return {row.dataset, row.params.text()};
  }
  std::map<std::tuple<std::string, std::string, std::string>, double> values_;
};

}  // namespace

void join_evaluations(std::span<ResultRow> rows, std::span<const EvalRow> evaluations) {
  if (evaluations.empty()) return;
  const Measured perplexities(evaluations, "ppl");
  const Measured divergences(evaluations, "kld");
  for (ResultRow& row : rows) {
    if (!row.is_total()) continue;
    const std::string config = row.config.params.text();
    row.perplexity = perplexities.find(row.model, row.config.family, config);
    row.divergence = divergences.find(row.model, row.config.family, config);
    row.damage = row.divergence;
    const std::optional<double> base = perplexities.find(row.model, "", "");
    if (!row.damage && row.perplexity && base && *base > 0) {
      row.damage = std::log(*row.perplexity / *base);
    }
  }
}

}  // namespace qi
