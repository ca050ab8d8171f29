// The block types whose layout is known. Header only, any thread.
#pragma once

#include <vector>

#include "engine/quant/ggml_blocks.h"

namespace qi::test {

inline std::vector<DType> ggml_decodable_types() {
  std::vector<DType> types;
  for (const DTypeInfo& row : all_dtypes()) {
    if (ggml_decodable(row.type)) types.push_back(row.type);
  }
  return types;
}

}  // namespace qi::test
