// How far a model's predictions are from those of another one, its base: the divergence
// KL(base ‖ model) at every token that counts, and what llama.cpp prints of it. Both models run
// side by side, a window at a time; the base may also be a file of saved logits. Refuses bases of
// another vocabulary or another text (kInconsistent). Sums are in double and in order. One thread
// at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "eval/evaluation/eval_context.h"
#include "eval/evaluation/logit_tile.h"

namespace qi {

/// At one token, in nats.
struct TokenDivergence {
  double nll = 0;         // −log of the model's probability of it
  double base_nll = 0;    // … of the base's
  double divergence = 0;  // Σ p log(p / q) over the vocabulary; p: the base, q: the model
  double same_top = 0;    // 1 when both hold the same token for the likeliest
  double variance = 0;    // of `divergence`, where parts of it are estimated: of saved logits
};
static_assert(sizeof(TokenDivergence) == 5 * sizeof(double), "kept as numbers");

/// Where the base's predictions of a window come from.
class DivergenceBase {
 public:
  virtual ~DivergenceBase() = default;
  /// Steps that begin() tells of.
  virtual std::uint64_t parts() const = 0;
  /// Makes ready for a window. False: cancelled.
  virtual bool begin(const TextWindow& window, const std::function<void()>& part_done) = 0;
  /// Compares the model's `states` that predict the window's targets from `first` on, at most
  /// LogitTile::room() of them. False: cancelled.
  virtual bool compare(const Transformer& model, std::span<const float> states, std::size_t first,
                       std::span<TokenDivergence> out) = 0;
};

/// The model's logits of `states` beside those of the base that `tile` holds.
bool compare_logits(const Transformer& model, std::span<const float> states,
                    std::span<const std::int32_t> targets, const LogitTile& tile,
                    std::span<TokenDivergence> out);

class DivergenceSum {
 public:
  void add(std::span<const TokenDivergence> tokens);
  std::uint64_t count() const { return divergences_.size(); }
  double mean() const;
  /// One of each of kDivergenceMeasures, in their order.
  std::vector<EvalMeasures> measures() const;

 private:
  EvalMeasures quantile(std::span<const double> sorted, double share) const;

  std::vector<double> divergences_;
  double divergence_ = 0, divergence_squares_ = 0;
  double nll_ = 0, nll_squares_ = 0, base_nll_ = 0, base_nll_squares_ = 0, nll_products_ = 0;
  double change_ = 0, change_squares_ = 0, change_fourths_ = 0;  // of p of the right token
  double same_top_ = 0, variance_ = 0;
};

/// "" is the mean divergence; "truncation", of saved logits alone, the standard error that the mean
/// has because most tokens were not kept.
inline constexpr std::array<std::string_view, 14> kDivergenceMeasures = {
    "",        "median",      "p90",      "p95",       "p99", "p99.9",    "max",
    "delta_p", "rms_delta_p", "same_top", "ppl_ratio", "ppl", "base_ppl", "truncation"};

/// The kind "kld".
bool evaluate_divergence(EvalContext& context);

}  // namespace qi
