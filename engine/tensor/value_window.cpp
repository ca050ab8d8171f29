#include "engine/tensor/value_window.h"

namespace qi {

ValueWindow read_window(WeightReader& reader, const Tile& tile) {
  ValueWindow out;
  out.tile = tile;
  const std::uint64_t count = tile.rows * tile.cols;
  if (count == 0) return out;
  out.values.resize(count);
  reader.values(tile, out.values.data());
  out.code_bits = reader.code_bits();
  if (out.code_bits > 0) {
    out.codes.resize(count);
    reader.codes(tile, out.codes.data());
  }
  for (std::uint64_t r = 0; r < tile.rows; ++r) {
    const std::uint64_t first = (tile.row + r) * reader.weight().cols() + tile.col;
    const auto bytes = reader.stored(first, tile.cols);
    if (bytes.empty()) return out;
    out.stored.insert(out.stored.end(), bytes.begin(), bytes.end());
  }
  reader.check();
  out.element_bytes = static_cast<int>(out.stored.size() / count);
  return out;
}

}  // namespace qi
