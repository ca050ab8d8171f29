#include "eval/evaluation/logit_tile.h"

#include <algorithm>
#include <cmath>

namespace qi {
namespace {

constexpr std::size_t kTileBytes = std::size_t{64} << 20;

}  // namespace

LogitSummaries::LogitSummaries(const Transformer& transformer, std::size_t count)
    : count_(count), blocks_(transformer.logit_blocks()), of_blocks_(count * blocks_) {}

void LogitSummaries::add(const Transformer::LogitBlock& block) {
  for (std::size_t i = 0; i < count_; ++i) {
    const std::span row(block.logits + i * block.count, block.count);
    OfBlock& of = of_blocks_[block.index * count_ + i];
    of.sum = exp_sum(row);
    const auto at = std::find(row.begin(), row.end(), of.sum.max) - row.begin();
    of.best = static_cast<std::int32_t>(block.first) + static_cast<std::int32_t>(at);
  }
}

double LogitSummaries::log_sum(std::size_t position) const {
  ExpSum all = of_blocks_[position].sum;
  for (std::size_t block = 1; block < blocks_; ++block) {
    all = joined(all, of_blocks_[block * count_ + position].sum);
  }
  return static_cast<double>(all.max) + std::log(all.sum);
}

std::int32_t LogitSummaries::best(std::size_t position) const {
  const OfBlock* best = &of_blocks_[position];
  for (std::size_t block = 1; block < blocks_; ++block) {
    const OfBlock& other = of_blocks_[block * count_ + position];
    if (other.sum.max > best->sum.max) best = &other;
  }
  return best->best;
}

std::size_t LogitTile::room(std::uint64_t vocab) {
  return std::max<std::size_t>(1, kTileBytes / (vocab * sizeof(float)));
}

bool LogitTile::fill(const Transformer& transformer, std::span<const float> states) {
  const std::size_t count = states.size() / transformer.architecture().hidden;
  vocab_ = transformer.vocab();
  logits_.resize(count * vocab_);
  LogitSummaries summaries(transformer, count);
  const auto sink = [&](const Transformer::LogitBlock& block) {
    for (std::size_t i = 0; i < count; ++i) {
      std::copy_n(block.logits + i * block.count, block.count,
                  logits_.data() + i * vocab_ + block.first);
    }
    summaries.add(block);
  };
  if (!transformer.logits(states, sink)) return false;
  log_sums_.resize(count);
  best_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    log_sums_[i] = summaries.log_sum(i);
    best_[i] = summaries.best(i);
  }
  return true;
}

}  // namespace qi
