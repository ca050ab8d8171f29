#include "engine/tensor/weight_reader.h"

#include <algorithm>
#include <cassert>

#include "engine/io/checked.h"

namespace qi {

void WeightReader::values(const Tile& tile, float* out) {
  assert(tile.row + tile.rows <= weight_.rows() && tile.col + tile.cols <= weight_.cols());
  if (tile.rows == 0 || tile.cols == 0) return;
  read_values(tile, out);
  check();
}

void WeightReader::codes(const Tile& tile, std::uint16_t* out) {
  assert(code_bits() > 0);
  assert(tile.row + tile.rows <= weight_.rows() && tile.col + tile.cols <= weight_.cols());
  if (tile.rows == 0 || tile.cols == 0) return;
  read_codes(tile, out);
  check();
}

std::span<const std::byte> WeightReader::stored(std::uint64_t, std::uint64_t) {
  return {};
}

StoredRows WeightReader::stored_rows(std::uint64_t, std::uint64_t) {
  assert(false);
  return {};
}

void WeightReader::read_codes(const Tile&, std::uint16_t*) {
  assert(false);
}

void WeightReader::scales(const ScaleSink& sink) {
  if (weight_.params == 0) return;
  read_scales(sink);
  check();
}

void WeightReader::check() const {
  for (const Part& part : weight_.parts) model_.file(model_.tensor(part)).check();
}

TileWalk::TileWalk(std::uint64_t rows, std::uint64_t cols, std::uint64_t max_elements)
    : rows_(rows), cols_(cols) {
  cols_per_tile_ = std::max<std::uint64_t>(1, std::min(cols, max_elements));
  pieces_ = ceil_div(cols, cols_per_tile_);
  rows_per_tile_ = std::max<std::uint64_t>(1, max_elements / std::max<std::uint64_t>(1, cols));
  tiles_ = rows == 0 || cols == 0 ? 0 : ceil_div(rows, rows_per_tile_) * pieces_;
}

Tile TileWalk::operator[](std::uint64_t index) const {
  const std::uint64_t row = index / pieces_ * rows_per_tile_;
  const std::uint64_t col = index % pieces_ * cols_per_tile_;
  return {row, std::min(rows_per_tile_, rows_ - row), col, std::min(cols_per_tile_, cols_ - col)};
}

}  // namespace qi
