// The forward pass of a decoder-only transformer: token ids → the state behind its last norm → the
// logits, a block of the vocabulary at a time, so that those of a whole window are never held.
// Weights stay mapped: they are decoded in blocks of rows, or multiplied as they are stored where
// few positions are run (row_dots.h). What is held at once grows with the window and the model's
// width, not with its size. The same numbers for any number of threads.
// Refuses what architecture.h and weights.h refuse, ids beyond the vocabulary and layers whose
// numbers are not finite (kBadValue, naming them). One thread at a time calls it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "eval/transformer/layer.h"

namespace qi {

class Transformer {
 public:
  /// `model` must outlive it. Reads norms and biases; throws for whatever keeps it from running.
  /// With kQ8 the products of weights that are stored in 8 bits or less are of x in 8 bits, too.
  Transformer(const Model& model, const OpenWeight& open, Workers workers,
              Activations activations = Activations::kF32);

  const Architecture& architecture() const { return architecture_; }
  std::uint64_t vocab() const { return architecture_.vocab; }

  /// Runs `ids` at the positions behind the cache's and adds their keys and values to it. `states`
  /// gets [ids.size(), hidden]. `after_layer` may be empty. False: cancelled, the cache is as
  /// before. Throws kBadValue, and what reading weights throws.
  bool run(std::span<const std::int32_t> ids, KvCache& cache, std::vector<float>& states,
           const std::function<void()>& after_layer = {}) const;
  /// Runs a token of each of several sequences, ids[i] at the position behind those of caches[i]
  /// (no cache twice), which share each look at the weights. Otherwise as the other run().
  bool run(std::span<const std::int32_t> ids, std::span<KvCache* const> caches,
           std::vector<float>& states) const;

  /// What the first layer gets: [ids.size(), hidden]. Throws kBadValue for ids beyond the
  /// vocabulary.
  void embed(std::span<const std::int32_t> ids, float* out) const;

  /// A block of the logits of all positions: tokens [first, first + count) of the vocabulary.
  struct LogitBlock {
    std::uint64_t index = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    const float* logits = nullptr;  // [positions, count]
  };
  std::uint64_t logit_blocks() const;
  /// Hands the logits of `positions` states to `sink`, block by block, on several threads in no
  /// order. False: cancelled, not all blocks came. Throws kBadValue when some are not finite.
  bool logits(std::span<const float> states,
              const std::function<void(const LogitBlock&)>& sink) const;

 private:
  bool run(std::span<const std::int32_t> ids, std::span<const LayerSequence> sequences,
           std::vector<float>& states, const std::function<void()>& after_layer) const;

  const Model& model_;
  Architecture architecture_;
  TransformerWeights weights_;
  Workers workers_;
  Activations activations_;
};

/// −log p of the next token for each state: p = softmax of its logits, in double. False: cancelled.
/// `targets`: one a state, below vocab(). Throws as Transformer::logits().
bool negative_log_likelihoods(const Transformer& transformer, std::span<const float> states,
                              std::span<const std::int32_t> targets, std::vector<double>& out);

/// The likeliest next token for each state, of equals the first. False: cancelled. Throws as
/// Transformer::logits().
bool likeliest_tokens(const Transformer& transformer, std::span<const float> states,
                      std::vector<std::int32_t>& out);

}  // namespace qi
