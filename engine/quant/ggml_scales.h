// The scales inside a ggml block, and the minima of the types that add one: what statistics of the
// scales are made of. Effective numbers: a super-block's scale times that of the group. Plain
// loops. Refuses nothing: a type without scales has none. Stateless, any thread; any address.
#pragma once

#include <cstddef>

#include "engine/tensor/dtype.h"

namespace qi {

inline constexpr std::size_t kMostBlockScales = 16;  // of one block, or one unit of mixed rows

struct BlockScales {
  std::size_t count = 0;    // written to `scales`, and to `minima` where there are any
  bool has_minima = false;  // value = code · scale + minimum
};

/// The scales of one little-endian block (interleaved types: one block of each mixed row), at most
/// kMostBlockScales. FP4 types count in units of E2M1, as other formats store them.
BlockScales block_scales(DType type, const std::byte* block, float* scales, float* minima);

}  // namespace qi
