#include "engine/tensor/value_window.h"

namespace qi {

ValueWindow read_window(WeightReader& reader, const Tile& tile) {
  ValueWindow out;
  out.tile = tile;
  const std::uint64_t count = tile.rows * tile.cols;
  if (count == 0) return out;
  out.values.resize(count);
  out.code_bits = reader.code_bits();
  if (out.code_bits > 0) out.codes.resize(count);
  // Row by row in all forms: a reader that has just read these bytes has them still.
  for (std::uint64_t r = 0; r < tile.rows; ++r) {
    const Tile row{tile.row + r, 1, tile.col, tile.cols};
    reader.values(row, out.values.data() + r * tile.cols);
    if (out.code_bits > 0) reader.codes(row, out.codes.data() + r * tile.cols);
    const auto bytes = reader.stored(row.row * reader.weight().cols() + row.col, row.cols);
    out.stored.insert(out.stored.end(), bytes.begin(), bytes.end());
  }
  reader.check();
  out.element_bytes = static_cast<int>(out.stored.size() / count);  // 0: no bytes of their own
  return out;
}

}  // namespace qi
