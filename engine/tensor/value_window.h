// The part of a weight that a grid of values shows: its numbers in every form, read from the rows
// and columns asked for and no others (a scheme may need the rest of a code's word or block).
// Refuses nothing that the reader does not. A function of its reader's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/tensor/weight_reader.h"

namespace qi {

/// All row-major, tile.rows · tile.cols elements.
struct ValueWindow {
  Tile tile;
  std::vector<float> values;
  std::vector<std::uint16_t> codes;  // empty: the scheme has no scalar codes
  std::vector<std::byte> stored;     // element_bytes each, little-endian; empty: packed
  int code_bits = 0;
  int element_bytes = 0;
};

/// Reads at most tile.rows · tile.cols elements in each form. Throws what the reader throws.
ValueWindow read_window(WeightReader& reader, const Tile& tile);

}  // namespace qi
