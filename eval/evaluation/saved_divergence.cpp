// Divergence from saved logits. With δ = log p / q, KL(p ‖ q) = Σ p δ = Σ p (e^−δ − 1 + δ), for
// both sum to one. The second form has no term below zero, so that rounding adds up to little and
// few samples tell much.
#include <algorithm>
#include <cmath>
#include <limits>

#include "eval/evaluation/saved_logits.h"

namespace qi {
namespace {

/// e^−δ − 1 + δ.
double excess(double delta) {
  return std::expm1(-delta) + delta;
}

/// Σ exp of the logits of tokens that are not among the likeliest.
class TailSum {
 public:
  void add(std::span<const float> logits) {
    if (!logits.empty()) add(exp_sum(logits));
  }
  void add(const TailSum& other) {
    if (other.sum_.sum > 0) add(other.sum_);
  }
  bool empty() const { return sum_.sum <= 0; }
  double log() const { return static_cast<double>(sum_.max) + std::log(sum_.sum); }

 private:
  void add(const ExpSum& sum) { sum_ = empty() ? sum : joined(sum_, sum); }

  ExpSum sum_;
};

/// The model's logits of the tokens that a position keeps.
struct KeptLogits {
  std::span<const float> top, sampled;
};

void compare_position(const SavedPosition& saved, const KeptLogits& logits, const TailSum& tail,
                      double log_sum, TokenDivergence& out) {
  const auto delta = [&](const KeptTokens& kept, std::span<const float> of, std::size_t k) {
    return static_cast<double>(kept.log_p[k]) - (static_cast<double>(of[k]) - log_sum);
  };
  out.divergence = out.variance = 0;
  for (std::size_t k = 0; k < logits.top.size(); ++k) {
    out.divergence +=
        std::exp(static_cast<double>(saved.top.log_p[k])) * excess(delta(saved.top, logits.top, k));
  }
  if (saved.tail <= 0 || tail.empty()) return;
  // The tail as a whole, then what differs within it.
  const double of_tail = std::log(saved.tail) - (tail.log() - log_sum);
  double sum = 0;
  double squares = 0;
  for (std::size_t k = 0; k < logits.sampled.size(); ++k) {
    const double term = excess(delta(saved.sampled, logits.sampled, k) - of_tail);
    sum += term;
    squares += term * term;
  }
  const auto count = static_cast<double>(std::max<std::size_t>(2, logits.sampled.size()));
  const double mean = sum / count;
  out.divergence += saved.tail * (excess(of_tail) + mean);
  out.variance =
      saved.tail * saved.tail * std::max(0.0, squares / count - mean * mean) / (count - 1);
}

/// Calls `with(k, at)` for every kept token k that is `at` of the block.
template <typename With>
void each_in_block(const std::vector<std::int32_t>& tokens, const Transformer::LogitBlock& block,
                   const With& with) {
  const auto first = static_cast<std::int32_t>(block.first);
  const auto end = static_cast<std::int32_t>(block.first + block.count);
  for (auto it = std::lower_bound(tokens.begin(), tokens.end(), first);
       it != tokens.end() && *it < end; ++it) {
    with(static_cast<std::size_t>(it - tokens.begin()), static_cast<std::size_t>(*it - first));
  }
}

}  // namespace

bool compare_logits(const Transformer& model, std::span<const float> states,
                    std::span<const std::int32_t> targets, std::span<const SavedPosition> saved,
                    std::span<TokenDivergence> out) {
  const std::size_t count = targets.size();
  const std::size_t top = saved.front().top.tokens.size();
  const std::size_t sampled = saved.front().sampled.tokens.size();
  LogitSummaries summaries(model, count);
  std::vector<float> top_logits(count * top);
  std::vector<float> sampled_logits(count * sampled);
  std::vector<TailSum> tails(count * model.logit_blocks());
  const auto sink = [&](const Transformer::LogitBlock& block) {
    summaries.add(block);
    for (std::size_t i = 0; i < count; ++i) {
      const std::span row(block.logits + i * block.count, block.count);
      TailSum& tail = tails[block.index * count + i];
      std::size_t next = 0;  // behind the last of the likeliest
      each_in_block(saved[i].top.tokens, block, [&](std::size_t k, std::size_t at) {
        tail.add(row.subspan(next, at - next));
        next = at + 1;
        top_logits[i * top + k] = row[at];
      });
      tail.add(row.subspan(next));
      each_in_block(saved[i].sampled.tokens, block, [&](std::size_t k, std::size_t at) {
        sampled_logits[i * sampled + k] = row[at];
      });
      // Wraps where it is before the block.
      const std::uint64_t target = static_cast<std::uint64_t>(targets[i]) - block.first;
      if (target < block.count) out[i].nll = -static_cast<double>(row[target]);
    }
  };
  if (!model.logits(states, sink)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    TailSum tail;
    for (std::size_t at = i; at < tails.size(); at += count) tail.add(tails[at]);
    const double log_sum = summaries.log_sum(i);
    const KeptLogits logits{{top_logits.data() + i * top, top},
                            {sampled_logits.data() + i * sampled, sampled}};
    compare_position(saved[i], logits, tail, log_sum, out[i]);
    out[i].nll += log_sum;
    out[i].base_nll = saved[i].nll;
    const std::vector<float>& log_p = saved[i].top.log_p;
    const auto best = std::max_element(log_p.begin(), log_p.end()) - log_p.begin();
    out[i].same_top =
        summaries.best(i) == saved[i].top.tokens[static_cast<std::size_t>(best)] ? 1 : 0;
  }
  return true;
}

}  // namespace qi
