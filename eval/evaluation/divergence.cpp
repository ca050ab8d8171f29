#include "eval/evaluation/divergence.h"

#include <algorithm>
#include <cmath>

#include "eval/evaluation/perplexity.h"

namespace qi {
namespace {

/// Of the mean of `count` numbers from their sum and that of their squares.
double error_of_mean(double sum, double squares, double count) {
  const double mean = sum / count;
  return count < 2 ? 0 : std::sqrt(std::max(0.0, squares / count - mean * mean) / (count - 1));
}

/// Σ p (log p − log q) but for the logs of both sums, over a block: p̂ = exp(x − shift), x and y
/// the logits of the base and the model.
double weighted_difference(std::span<const float> x, const float* y, float shift,
                           std::vector<float>& p) {
  p.resize(x.size());
  simd::exp_shifted(x.data(), x.size(), 1, shift, p.data());
  double sums[4] = {};  // in a fixed order, and not one long chain of additions
  std::size_t i = 0;
  const auto term = [&](std::size_t k) {
    return static_cast<double>(p[k]) * (static_cast<double>(x[k]) - static_cast<double>(y[k]));
  };
  for (; i + 4 <= x.size(); i += 4) {
    for (std::size_t k = 0; k < 4; ++k) sums[k] += term(i + k);
  }
  for (; i < x.size(); ++i) sums[0] += term(i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

bool compare_logits(const Transformer& model, std::span<const float> states,
                    std::span<const std::int32_t> targets, const LogitTile& tile,
                    std::span<TokenDivergence> out) {
  const std::size_t count = targets.size();
  LogitSummaries summaries(model, count);
  std::vector<double> differences(count * model.logit_blocks());
  const auto sink = [&](const Transformer::LogitBlock& block) {
    summaries.add(block);
    thread_local std::vector<float> p;
    for (std::size_t i = 0; i < count; ++i) {
      const float* const logits = block.logits + i * block.count;
      differences[block.index * count + i] =
          weighted_difference(tile.row(i).subspan(block.first, block.count), logits,
                              static_cast<float>(tile.log_sum(i)), p);
      // Wraps where it is before the block.
      const std::uint64_t target = static_cast<std::uint64_t>(targets[i]) - block.first;
      if (target < block.count) out[i].nll = -static_cast<double>(logits[target]);
    }
  };
  if (!model.logits(states, sink)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    const double log_sum = summaries.log_sum(i);
    double difference = 0;
    for (std::size_t at = i; at < differences.size(); at += count) difference += differences[at];
    // The shift was rounded to float.
    const double shift = static_cast<double>(static_cast<float>(tile.log_sum(i)));
    difference *= std::exp(shift - tile.log_sum(i));
    TokenDivergence& token = out[i];
    token.nll += log_sum;
    token.base_nll = tile.nll(i, targets[i]);
    // Rounding alone makes it less than nothing.
    token.divergence = std::max(0.0, difference + log_sum - tile.log_sum(i));
    token.same_top = summaries.best(i) == tile.best(i) ? 1 : 0;
    token.variance = 0;
  }
  return true;
}

void DivergenceSum::add(std::span<const TokenDivergence> tokens) {
  for (const TokenDivergence& token : tokens) {
    divergences_.push_back(token.divergence);
    divergence_ += token.divergence;
    divergence_squares_ += token.divergence * token.divergence;
    nll_ += token.nll;
    nll_squares_ += token.nll * token.nll;
    base_nll_ += token.base_nll;
    base_nll_squares_ += token.base_nll * token.base_nll;
    nll_products_ += token.nll * token.base_nll;
    const double change = std::exp(-token.nll) - std::exp(-token.base_nll);
    const double square = change * change;
    change_ += change;
    change_squares_ += square;
    change_fourths_ += square * square;
    same_top_ += token.same_top;
    variance_ += token.variance;
  }
}

double DivergenceSum::mean() const {
  return divergence_ / static_cast<double>(count());
}

EvalMeasures DivergenceSum::quantile(std::span<const double> sorted, double share) const {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double rest = place - static_cast<double>(below);
  return {(1 - rest) * sorted[below] + rest * sorted[above], std::nullopt, count()};
}

std::vector<EvalMeasures> DivergenceSum::measures() const {
  const auto n = static_cast<double>(count());
  std::vector<double> sorted = divergences_;
  std::sort(sorted.begin(), sorted.end());
  std::vector<EvalMeasures> out;
  out.push_back({mean(), error_of_mean(divergence_, divergence_squares_, n), count()});
  for (const double share : {0.5, 0.9, 0.95, 0.99, 0.999, 1.0}) {
    out.push_back(quantile(sorted, share));
  }

  out.push_back({change_ / n, error_of_mean(change_, change_squares_, n), count()});
  // d√m = dm / (2√m), m the mean square.
  const double rms = std::sqrt(change_squares_ / n);
  const double rms_error =
      rms > 0 ? error_of_mean(change_squares_, change_fourths_, n) / (2 * rms) : 0;
  out.push_back({rms, rms_error, count()});
  out.push_back({same_top_ / n, error_of_mean(same_top_, same_top_, n), count()});

  // The two means are of the same tokens: their covariance makes the ratio the surer.
  const double error = error_of_mean(nll_, nll_squares_, n);
  const double base_error = error_of_mean(base_nll_, base_nll_squares_, n);
  const double covariance = n < 2 ? 0 : (nll_products_ / n - nll_ / n * (base_nll_ / n)) / (n - 1);
  const double ratio = std::exp((nll_ - base_nll_) / n);
  const double ratio_error =
      std::sqrt(std::max(0.0, error * error + base_error * base_error - 2 * covariance));
  out.push_back({ratio, ratio * ratio_error, count()});
  const double perplexity = std::exp(nll_ / n);
  const double base_perplexity = std::exp(base_nll_ / n);
  out.push_back({perplexity, perplexity * error, count()});
  out.push_back({base_perplexity, base_perplexity * base_error, count()});
  out.push_back({std::sqrt(variance_) / n, std::nullopt, count()});
  return out;
}

}  // namespace qi
