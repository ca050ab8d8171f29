// How a tensor of scales covers a weight: per tensor, expert, channel, group or block, told from
// the two shapes with hints from the config. Pure arithmetic on shapes, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/tensor/tensor.h"

namespace qi {

/// The scale of (expert e, row o, column i) of a weight [E, out, in] is number
///   (per_expert ? e : 0)·rows·cols + (o / block_rows)·cols + i / block_cols
/// of the scale tensor. All four sizes are at least 1.
struct ScaleGrid {
  std::uint64_t block_rows = 1;
  std::uint64_t block_cols = 1;
  std::uint64_t rows = 1;
  std::uint64_t cols = 1;
  bool per_expert = false;

  enum class Kind : std::uint8_t { kTensor, kChannel, kGroup, kBlock };
  Kind kind = Kind::kTensor;
};

std::string_view grid_name(ScaleGrid::Kind kind);

/// A weight as a stack of matrices: [E, out, in] with E the product of all leading dimensions.
struct Matrices {
  std::uint64_t experts = 1;
  std::uint64_t rows = 1;
  std::uint64_t cols = 1;
};
/// Nothing when a dimension is 0 or their product does not fit.
std::optional<Matrices> matrices(const Shape& shape);

/// What the config says a block is; 0: nothing.
struct BlockHint {
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
};

/// Nothing when the shapes do not fit together. Ragged last blocks are legal (⌈·⌉).
std::optional<ScaleGrid> scale_grid(const Shape& weight, const Shape& scales, BlockHint hint);

/// The block size for which ⌈length / size⌉ = parts: the hint, a usual size, else the even split.
std::optional<std::uint64_t> block_size(std::uint64_t length, std::uint64_t parts,
                                        std::uint64_t hint);

}  // namespace qi
