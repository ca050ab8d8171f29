// Logits as evaluations look at them: what a row of the vocabulary comes to while it arrives in
// blocks, and whole rows of as many positions as may be held at once (64 MiB). Refuses what
// Transformer::logits() refuses. add() is for several threads, each block once; all else for one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "eval/transformer/kernels.h"
#include "eval/transformer/transformer.h"

namespace qi {

/// log Σ exp and the first largest logit of each of `count` positions.
class LogitSummaries {
 public:
  LogitSummaries(const Transformer& transformer, std::size_t count);
  void add(const Transformer::LogitBlock& block);
  /// After the last add().
  double log_sum(std::size_t position) const;
  std::int32_t best(std::size_t position) const;

 private:
  struct OfBlock {
    ExpSum sum;
    std::int32_t best = 0;
  };
  std::size_t count_, blocks_;
  std::vector<OfBlock> of_blocks_;  // [blocks, count]
};

class LogitTile {
 public:
  /// Positions whose logits may be held at once; at least one.
  static std::size_t room(std::uint64_t vocab);

  /// The logits of at most room() states. False: cancelled.
  bool fill(const Transformer& transformer, std::span<const float> states);

  std::size_t positions() const { return log_sums_.size(); }
  std::size_t vocab() const { return vocab_; }
  std::span<const float> row(std::size_t position) const {
    return {logits_.data() + position * vocab_, vocab_};
  }
  double log_sum(std::size_t position) const { return log_sums_[position]; }
  std::int32_t best(std::size_t position) const { return best_[position]; }
  /// −log p of a token.
  double nll(std::size_t position, std::int32_t token) const {
    return log_sum(position) - static_cast<double>(row(position)[static_cast<std::size_t>(token)]);
  }

 private:
  std::size_t vocab_ = 0;
  std::vector<float> logits_;
  std::vector<double> log_sums_;
  std::vector<std::int32_t> best_;
};

}  // namespace qi
