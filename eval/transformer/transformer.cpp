#include "eval/transformer/transformer.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "eval/transformer/kernels.h"

namespace qi {
namespace {

// Rows of the head that are decoded and multiplied at a time.
constexpr std::uint64_t kLogitRows = 512;

}  // namespace

Transformer::Transformer(const Model& model, const OpenWeight& open, Workers workers,
                         Activations activations)
    : model_(model),
      architecture_(read_architecture(model)),
      weights_(load_weights(model, architecture_, open)),
      workers_(std::move(workers)),
      activations_(activations) {}

bool Transformer::run(std::span<const std::int32_t> ids, KvCache& cache, std::vector<float>& states,
                      const std::function<void()>& after_layer) const {
  const LayerSequence whole{&cache, ids.size()};
  return run(ids, {&whole, 1}, states, after_layer);
}

bool Transformer::run(std::span<const std::int32_t> ids, std::span<KvCache* const> caches,
                      std::vector<float>& states) const {
  assert(ids.size() == caches.size());
  std::vector<LayerSequence> sequences;
  for (KvCache* const cache : caches) sequences.push_back({cache, 1});
  return run(ids, sequences, states, {});
}

bool Transformer::run(std::span<const std::int32_t> ids, std::span<const LayerSequence> sequences,
                      std::vector<float>& states, const std::function<void()>& after_layer) const {
  states.resize(ids.size() * architecture_.hidden);
  embed(ids, states.data());
  check_finite(states, "the embedding", model_.path);
  LayerRun run(architecture_, sequences, activations_, workers_, model_.path);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    if (!run.run(weights_.layers[layer], layer, states)) return false;
    if (after_layer) after_layer();
  }
  for (const LayerSequence& sequence : sequences) sequence.cache->advance(sequence.count);
  run.normalize(weights_.final_norm, ids.size(), architecture_.hidden, states.data(),
                states.data());
  return true;
}

void Transformer::embed(std::span<const std::int32_t> ids, float* out) const {
  const auto scale = static_cast<float>(architecture_.embedding_scale);
  for (const std::int32_t id : ids) {
    if (id < 0 || static_cast<std::uint64_t>(id) >= vocab()) {
      throw Error(ErrorCode::kBadValue, fmt::format("token id {}", id),
                  fmt::format("less than {}, the size of the vocabulary", vocab()), model_.path);
    }
    weights_.embedding->read(static_cast<std::uint64_t>(id), 1, out);
    for (std::uint64_t i = 0; i < architecture_.hidden; ++i) *out++ *= scale;
  }
}

std::uint64_t Transformer::logit_blocks() const {
  const std::uint64_t step = rows_of_block(*weights_.head.matrix, kLogitRows);
  return (vocab() + step - 1) / step;
}

bool Transformer::logits(std::span<const float> states,
                         const std::function<void(const LogitBlock&)>& sink) const {
  const std::uint64_t step = rows_of_block(*weights_.head.matrix, kLogitRows);
  const std::size_t count = states.size() / architecture_.hidden;
  ProductInput input(activations_);
  const DotVectors x =
      input.set(states.data(), count, architecture_.hidden).vectors(*weights_.head.matrix);
  return workers_.each(logit_blocks(), states.size() * vocab(),
                       [&](WorkBuffers& buffers, std::uint64_t i) {
                         const std::uint64_t first = i * step;
                         const std::uint64_t n = std::min(step, vocab() - first);
                         std::vector<float>& logits = buffers.second;
                         logits.resize(count * n);
                         multiply_rows(weights_.head, first, n, x, buffers.first, logits.data(), n);
                         check_finite(logits, "the head", model_.path);
                         if (architecture_.logit_cap > 0) {
                           soft_cap(logits, static_cast<float>(architecture_.logit_cap));
                         }
                         sink({i, first, n, logits.data()});
                       });
}

bool negative_log_likelihoods(const Transformer& transformer, std::span<const float> states,
                              std::span<const std::int32_t> targets, std::vector<double>& out) {
  const std::size_t count = targets.size();
  std::vector<ExpSum> sums(count * transformer.logit_blocks());
  out.assign(count, 0);
  const auto sink = [&](const Transformer::LogitBlock& block) {
    for (std::size_t i = 0; i < count; ++i) {
      const float* const logits = block.logits + i * block.count;
      sums[block.index * count + i] = exp_sum({logits, block.count});
      // Wraps where it is before the block.
      const std::uint64_t target = static_cast<std::uint64_t>(targets[i]) - block.first;
      if (target < block.count) out[i] = -static_cast<double>(logits[target]);
    }
  };
  if (!transformer.logits(states, sink)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    ExpSum all = sums[i];
    for (std::size_t at = count + i; at < sums.size(); at += count) all = joined(all, sums[at]);
    out[i] += static_cast<double>(all.max) + std::log(all.sum);
  }
  return true;
}

bool likeliest_tokens(const Transformer& transformer, std::span<const float> states,
                      std::vector<std::int32_t>& out) {
  struct Best {
    float logit = 0;
    std::uint64_t token = 0;
  };
  const std::size_t count = states.size() / transformer.architecture().hidden;
  std::vector<Best> best(count * transformer.logit_blocks());
  const auto sink = [&](const Transformer::LogitBlock& block) {
    for (std::size_t i = 0; i < count; ++i) {
      const float* const logits = block.logits + i * block.count;
      const float* const largest = std::max_element(logits, logits + block.count);
      best[block.index * count + i] = {*largest,
                                       block.first + static_cast<std::uint64_t>(largest - logits)};
    }
  };
  if (!transformer.logits(states, sink)) return false;
  out.clear();
  for (std::size_t i = 0; i < count; ++i) {
    Best of_all = best[i];
    for (std::size_t at = count + i; at < best.size(); at += count) {
      if (best[at].logit > of_all.logit) of_all = best[at];
    }
    out.push_back(static_cast<std::int32_t>(of_all.token));
  }
  return true;
}

}  // namespace qi
