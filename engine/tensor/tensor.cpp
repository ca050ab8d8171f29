#include "engine/tensor/tensor.h"

#include "engine/io/checked.h"

namespace qi {

std::optional<std::uint64_t> element_count(const Shape& shape) {
  std::uint64_t count = 1;
  for (std::uint64_t dim : shape) {
    const auto product = checked_mul(count, dim);
    if (!product) return std::nullopt;
    count = *product;
  }
  return count;
}

std::string shape_text(const Shape& shape) {
  if (shape.empty()) return "1";
  std::string text;
  for (std::uint64_t dim : shape) {
    if (!text.empty()) text += 'x';
    text += std::to_string(dim);
  }
  return text;
}

std::string_view dtype_name(const Tensor& tensor) {
  return tensor.dtype == DType::kUnknown ? std::string_view(tensor.dtype_text)
                                         : info(tensor.dtype).name;
}

}  // namespace qi
