// What a model says of its own shape, in config.json or a GGUF's keys, as one description that the
// forward pass follows: Llama 2 and 3, Mistral, Qwen 2, 2.5 and 3, Gemma 2 and 3. Refuses every
// other architecture by name, and what it does not know of these (experts, other rotary scalings).
// Believes no number: sizes are held against the weights (weights.h). Plain data, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor/model.h"
#include "eval/transformer/kernels.h"

namespace qi {

struct Architecture {
  std::string name;  // as the model calls it
  std::uint64_t hidden = 0;
  std::uint64_t intermediate = 0;
  std::uint64_t heads = 0;
  std::uint64_t kv_heads = 0;
  std::uint64_t head_dim = 0;
  std::uint64_t vocab = 0;    // 0: not said
  std::uint64_t context = 0;  // positions it was made for; 0: not said
  double norm_epsilon = 1e-5;
  Activation activation = Activation::kSilu;
  bool tied_head = false;     // the head is the embedding, whatever else is stored
  bool may_lack_head = true;  // where there is none, it is the embedding
  bool qk_norms = false;      // q and k are normalized head by head (Qwen 3, Gemma 3)
  bool post_norms = false;    // the outputs of attention and MLP are normalized too (Gemma)
  bool qkv_biases = false;    // must be there (Qwen 2); others are used where they are
  double norm_offset = 0;     // added to the weights of norms (Gemma as Hugging Face stores it)
  double embedding_scale = 1;
  double attention_scale = 0;  // of q · k
  double attention_cap = 0;    // soft cap of q · k; 0: none
  double logit_cap = 0;

  /// Rotary pairs of a head are rows (2i, 2i + 1) of q and k, as a GGUF of "llama" stores them.
  bool rotary_neighbours = false;
  /// Of each pair, in radians a position; the scaling is in them. `local` is of layers that look
  /// back over a sliding window where that differs (Gemma 3).
  std::vector<double> frequencies, local_frequencies;
  /// One a layer: how many positions back a position sees, itself among them; 0: all of them.
  std::vector<std::uint64_t> windows;

  std::uint64_t layers() const { return windows.size(); }
};

/// Throws kBadSchema for an architecture that is not known (naming it), kMissing and kBadValue for
/// a description that lacks or contradicts itself; the file is the model's path.
Architecture read_architecture(const Model& model);

}  // namespace qi
