#include "engine/quant/scale_grid.h"

#include <array>

#include "engine/io/checked.h"

namespace qi {

std::string_view grid_name(ScaleGrid::Kind kind) {
  constexpr std::array<std::string_view, 4> kNames = {"tensor", "channel", "group", "block"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::optional<Matrices> matrices(const Shape& shape) {
  Matrices result;
  const auto count = element_count(shape);
  if (!count || *count == 0) return std::nullopt;
  if (!shape.empty()) result.cols = shape.back();
  if (shape.size() >= 2) result.rows = shape[shape.size() - 2];
  result.experts = *count / result.cols / result.rows;
  return result;
}

std::optional<std::uint64_t> block_size(std::uint64_t length, std::uint64_t parts,
                                        std::uint64_t hint) {
  if (parts == 0 || length == 0) return std::nullopt;
  if (parts == 1) return length;
  if (parts == length) return 1;
  for (const std::uint64_t size :
       {hint, std::uint64_t{128}, std::uint64_t{64}, std::uint64_t{32}, std::uint64_t{16},
        std::uint64_t{256}, std::uint64_t{512}, std::uint64_t{1024}, ceil_div(length, parts)}) {
    if (size != 0 && ceil_div(length, size) == parts) return size;
  }
  return std::nullopt;
}

std::optional<ScaleGrid> scale_grid(const Shape& weight, const Shape& scales, BlockHint hint) {
  const auto shape = matrices(weight);
  const auto count = element_count(scales);
  if (!shape || !count || *count == 0) return std::nullopt;
  ScaleGrid grid;
  grid.block_rows = shape->rows;
  grid.block_cols = shape->cols;
  if (*count == 1) return grid;

  const auto leading = matrices(scales);
  const std::uint64_t stack = shape->experts * shape->rows;
  if (scales.size() >= 2 && leading->experts == shape->experts) {
    grid.rows = leading->rows;
    grid.cols = leading->cols;
    grid.per_expert = shape->experts > 1;
  } else if (*count == stack) {
    grid.rows = shape->rows;  // [out], [E, out] or [E·out]
    grid.per_expert = shape->experts > 1;
  } else if (*count == shape->experts) {
    grid.per_expert = true;  // [E]: one scale an expert
  } else {
    return std::nullopt;
  }
  const auto rows = block_size(shape->rows, grid.rows, hint.rows);
  const auto cols = block_size(shape->cols, grid.cols, hint.cols);
  if (!rows || !cols) return std::nullopt;
  grid.block_rows = *rows;
  grid.block_cols = *cols;
  if (grid.rows == 1 && grid.cols == 1) {
    grid.kind = ScaleGrid::Kind::kTensor;
  } else if (grid.rows == shape->rows) {
    grid.kind = grid.cols == 1 ? ScaleGrid::Kind::kChannel : ScaleGrid::Kind::kGroup;
  } else {
    grid.kind = ScaleGrid::Kind::kBlock;
  }
  return grid;
}

}  // namespace qi
