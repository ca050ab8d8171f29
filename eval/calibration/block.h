// One block of the model while it is calibrated: its linear layers held as float32, so that they
// can be changed one by one, with the norms and biases around them. Refuses what weights.h refuses.
// One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "engine/matrix/blas.h"
#include "eval/transformer/layer.h"

namespace qi {

using Numbers = std::vector<float>;

/// The linear layers of a block, in the order of its forward pass.
enum class BlockLinear : std::uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr std::size_t kBlockLinears = 7;
LayerInput input_of(BlockLinear linear);

class Block {
 public:
  /// Reads the block's weights with `open`. `model` must outlive it.
  Block(const Model& model, const Architecture& architecture, std::size_t layer,
        const OpenWeight& open, const Workers& workers);
  /// Copies share nothing that can be changed.
  Block(const Block&) = default;

  std::size_t layer() const { return layer_; }
  const LayerWeights& weights() const { return weights_; }
  LayerWeights& weights() { return weights_; }

  const Weight& weight(BlockLinear linear) const;
  const Numbers& numbers(BlockLinear linear) const;
  MatrixView view(BlockLinear linear) const;
  /// Puts other numbers [rows, cols] in the place of a matrix.
  void set(BlockLinear linear, Numbers numbers);

 private:
  const Model& model_;
  std::size_t layer_;
  LayerWeights weights_;
  std::array<const Weight*, kBlockLinears> sources_{};
  std::array<std::shared_ptr<const Numbers>, kBlockLinears> numbers_;
};

}  // namespace qi
