// One layer of the transformer over the positions of a run: attention and MLP with whatever weights
// are given, and a look at what their matrices are multiplied with. Owns the memory that layers of
// a run share. Refuses layers whose numbers are not finite (kBadValue, naming them). One thread at
// a time; the work is shared by the workers. The same numbers for any number of threads.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/transformer/kv_cache.h"
#include "eval/transformer/products.h"

namespace qi {

/// Positions of a run that follow one another, behind those of the cache.
struct LayerSequence {
  KvCache* cache;
  std::size_t count;
};

/// What the matrices of a layer are multiplied with: those of one input share it.
enum class LayerInput : std::uint8_t { kQkv, kO, kGateUp, kDown };
inline constexpr std::size_t kLayerInputs = 4;
/// x [count, cols] before its products; perhaps several times a layer, positions in order.
using LayerTap =
    std::function<void(LayerInput input, const float* x, std::size_t count, std::size_t cols)>;

/// Throws kBadValue, saying `where` numbers are not finite.
void check_finite(std::span<const float> numbers, std::string_view where, const std::string& file);

class LayerRun {
 public:
  /// Positions whose MLP is computed at a time: it is several times as wide as the state.
  static constexpr std::size_t kMlpPositions = 512;

  /// What is given must outlive it; `file` is for errors.
  LayerRun(const Architecture& architecture, std::span<const LayerSequence> sequences,
           Activations activations, const Workers& workers, const std::string& file,
           std::size_t mlp_positions = kMlpPositions);

  /// Takes `states` [positions, hidden] through a layer, whose keys and values go into the caches.
  /// False: cancelled, and `states` are anything.
  bool run(const LayerWeights& weights, std::size_t layer, std::span<float> states,
           const LayerTap& tap = {});

  /// From what stands behind the norm before it to the product of its last matrix, biases and all,
  /// [positions, hidden] each; `out` may be `x`. False: cancelled.
  bool attention(const LayerWeights& weights, std::size_t layer, const float* x, float* out,
                 const LayerTap& tap = {});
  /// The same of `positions` ≤ mlp_positions.
  bool mlp(const LayerWeights& weights, const float* x, std::size_t positions, float* out,
           const LayerTap& tap = {});

  /// out = norm of each row of x [count, width]; `out` may be `x`.
  void normalize(const std::vector<float>& weight, std::size_t count, std::size_t width,
                 const float* x, float* out) const;

 private:
  /// Cosines and sines of the angles of positions: [positions, pairs] each.
  struct Angles {
    void add(const std::vector<double>& frequencies, std::size_t position);
    std::vector<float> cosines, sines;
  };

  const Architecture& a_;
  std::vector<LayerSequence> sequences_;
  const Workers& workers_;
  const std::string& file_;
  std::size_t mlp_positions_;
  std::size_t count_ = 0;  // positions
  Angles angles_, local_angles_;
  std::vector<float> normed_, q_, k_, v_, gate_, up_;
  ProductInput input_;
};

}  // namespace qi
