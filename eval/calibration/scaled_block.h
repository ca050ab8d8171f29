// A block whose input scales are moved from activations into weights (AWQ, SmoothQuant): matrices
// as they are after that, with what was multiplied into their columns and out of their rows, and
// the norms and biases before them changed alike, so that the block stays the same function.
// One thread at a time.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "eval/calibration/block_method.h"

namespace qi {

class ScaledBlock {
 public:
  /// Both must outlive it.
  ScaledBlock(const Block& block, const Model& model, const Architecture& architecture);

  struct Scaled {
    Numbers numbers;                   // W[r, c] · columns[c] / rows[r]
    std::vector<float> columns, rows;  // empty: ones
  };
  Scaled& at(BlockLinear linear) { return scaled_[static_cast<std::size_t>(linear)]; }
  MatrixView view(BlockLinear linear) const;

  /// Matrices that the attention's or the MLP's norm stands before: columns · scale, norm / scale.
  void scale_behind_norm(LayerInput input, std::span<const float> scales);
  /// o behind v, down behind up: columns · scale, rows and bias of the one before / scale.
  void scale_behind_rows(BlockLinear linear, BlockLinear before, std::span<const float> scales);

  /// Hands out norms and biases that changed, in the form they are stored in.
  void hand_out_changes(const CalibratedEvents& events) const;

 private:
  void scale_columns_of(BlockLinear linear, std::span<const float> scales);
  void changed(std::string_view module, Numbers values);

  const Block& block_;
  const Model& model_;
  const Architecture& architecture_;
  std::array<Scaled, kBlockLinears> scaled_;
  struct Change {
    const Weight* weight;
    Numbers values;
  };
  std::vector<Change> changes_;
};

}  // namespace qi
