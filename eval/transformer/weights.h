// The weights of a model by what they do in the forward pass, under Hugging Face's or GGUF's names.
// Matrices stay where they are and are read in blocks of rows when they are multiplied; norms and
// biases are held. Refuses (kMissing, kInconsistent) what is absent or of another shape than the
// architecture says. Built by one thread; then read by any.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/tensor/weight_reader.h"
#include "eval/transformer/architecture.h"
#include "eval/transformer/row_dots.h"

namespace qi {

/// Where the values of a weight come from: what is stored (open_reader()), or what a quantizer made
/// of it in memory. Any thread.
using OpenWeight =
    std::function<std::unique_ptr<WeightReader>(const Model& model, const Weight& weight)>;

/// How many rows dots() decodes at a time, where it has to: few, and what a coder made into one
/// (4-D blocks of zfp) stays together.
inline constexpr std::uint64_t kDecodedRows = 64;

/// A stored matrix [rows, cols]. Any number of threads read it at once.
class Matrix {
 public:
  Matrix(const Model& model, const Weight& weight, OpenWeight open);

  std::uint64_t rows() const { return weight_.rows(); }
  std::uint64_t cols() const { return weight_.cols(); }
  const Weight& weight() const { return weight_; }
  const std::string& name() const { return weight_.name; }
  /// Rows [first, first + count) as count · cols floats. Throws as WeightReader::values().
  void read(std::uint64_t first, std::uint64_t count, float* out) const;

  /// Products of rows [first, first + count) as row_dots() has them: of their stored form where
  /// that can be multiplied, else of values decoded some rows at a time into `buffer`. Throws as
  /// WeightReader::values().
  void dots(std::uint64_t first, std::uint64_t count, const DotVectors& vectors,
            std::vector<float>& buffer, float* out, std::size_t stride) const;
  /// What dots() asks of x in 8 bits (row_dots.h); 0: it takes none.
  std::size_t q8_block() const { return q8_block_; }
  /// dots() decodes rows before it multiplies them.
  bool decodes() const { return dots_type_ == DType::kUnknown; }
  /// Of a row, as stored.
  std::uint64_t row_bytes() const;

 private:
  template <typename Use>
  void with_reader(const Use& use) const;

  const Model& model_;
  const Weight& weight_;
  OpenWeight open_;
  DType dots_type_ = DType::kUnknown;  // of the stored rows, where those can be multiplied
  std::size_t q8_block_ = 0;
  mutable std::mutex mutex_;  // guards idle_
  mutable std::vector<std::unique_ptr<WeightReader>> idle_;
};

/// y = W x + b.
struct Linear {
  std::shared_ptr<const Matrix> matrix;
  std::vector<float> bias;  // empty: none
};

struct LayerWeights {
  std::vector<float> attention_norm, mlp_norm;
  std::vector<float> q_norm, k_norm;                      // [head_dim], or empty
  std::vector<float> post_attention_norm, post_mlp_norm;  // or empty
  Linear q, k, v, o, gate, up, down;
};

struct TransformerWeights {
  std::shared_ptr<const Matrix> embedding;  // [vocab, hidden]
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;
  Linear head;  // [vocab, hidden]: the embedding itself where there is none
};

/// The weight that GGUF calls so ("blk.0.attn_norm.weight"), whatever `model` does; null: none.
const Weight* find_by_gguf_name(const Model& model, const std::string& gguf_name);

/// Those of one layer alone. Throws as load_weights(); `model` must outlive the result.
LayerWeights load_layer_weights(const Model& model, const Architecture& architecture,
                                std::size_t layer, const OpenWeight& open);

/// Also divides `architecture`'s frequencies by the model's rope_freqs, where it has them.
/// `model` must outlive the result.
TransformerWeights load_weights(const Model& model, Architecture& architecture,
                                const OpenWeight& open);

}  // namespace qi
