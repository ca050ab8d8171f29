// What a file stores: name, dtype, shape, byte range. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/tensor/dtype.h"

namespace qi {

/// Outermost dimension first (row-major), for every format. Empty: a scalar, one element.
using Shape = std::vector<std::uint64_t>;

/// Product of the dimensions, left to right; nothing when it overflows 64 bits on the way (a 0
/// further right does not mend that).
std::optional<std::uint64_t> element_count(const Shape& shape);
/// "4096x14336"; "scalar" is written as the empty product "1".
std::string shape_text(const Shape& shape);

struct Tensor {
  std::string name;
  /// How an unknown type calls itself ("F128", "type 142"); empty when `dtype` is known.
  std::string dtype_text;
  Shape shape;
  std::uint64_t offset = 0;  // absolute in its file
  std::uint64_t size_bytes = 0;
  std::uint32_t file = 0;  // index into Model::files
  DType dtype = DType::kUnknown;
};

/// The word of the dtype column.
std::string_view dtype_name(const Tensor& tensor);

}  // namespace qi
