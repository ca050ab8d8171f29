#include "engine/quant/scale_parts.h"

#include <algorithm>

#include "engine/io/checked.h"
#include "engine/tensor/numbers.h"

namespace qi {

bool is_scale(const Tensor& tensor) {
  return is_float(tensor.dtype) && element_bits(tensor.dtype) >= 8;
}

std::optional<Shape> widened(Shape shape, std::uint64_t factor) {
  if (shape.empty()) return std::nullopt;
  const auto last = checked_mul(shape.back(), factor);
  if (!last) return std::nullopt;
  shape.back() = *last;
  if (!element_count(shape)) return std::nullopt;
  return shape;
}

const QuantGroup* config_group(const QuantConfig& config, std::uint64_t bits, bool is_float_code) {
  const auto it =
      std::find_if(config.groups.begin(), config.groups.end(), [&](const QuantGroup& group) {
        return group.bits == bits && group.is_float == is_float_code;
      });
  return it == config.groups.end() ? nullptr : &*it;
}

BlockHint config_hint(const QuantConfig& config, const QuantGroup* group) {
  if (group == nullptr) return {config.block_rows, config.block_cols};
  if (group->block_rows != 0) return {group->block_rows, group->block_cols};
  return {0, group->group_size};
}

bool add_scales(Grouping& grouping, Weight& weight, std::uint32_t scales, BlockHint hint) {
  const Tensor& tensor = grouping.tensor(scales);
  const auto grid = scale_grid(weight.shape, tensor.shape, hint);
  if (!grid) {
    grouping.warn(kOddScales, weight.parts.front().tensor);
    return false;
  }
  weight.parts.push_back({scales, PartRole::kScales});
  describe_scales(weight, *grid, tensor);
  // A row of one whole group looks like a channel: here the config knows better.
  const bool one_group = grid->kind == ScaleGrid::Kind::kChannel && hint.rows == 0;
  if (one_group && hint.cols >= weight.cols()) weight.group_size = hint.cols;
  return true;
}

bool add_zeros(Grouping& grouping, Weight& weight, std::uint32_t zeros, std::uint32_t scales) {
  const Tensor& tensor = grouping.tensor(zeros);
  const Shape& shape = grouping.tensor(scales).shape;
  const bool plain = has_float_value(tensor.dtype) && element_bits(tensor.dtype) >= 8 &&
                     element_count(tensor.shape) == element_count(shape);
  const std::uint64_t fields = 32u / std::max<unsigned>(1, weight.bits);
  const bool packed = tensor.dtype == DType::kI32 && shape.size() == 2 &&
                      grouping.tensor(weight.parts.front().tensor).dtype == DType::kI32 &&
                      tensor.shape == Shape{ceil_div(shape[0], fields), shape[1]};
  if (!plain && !packed) {
    grouping.warn("zero points do not fit the scales: listed as stored", zeros);
    return false;
  }
  weight.parts.push_back({zeros, PartRole::kZeros});
  weight.zero_point = ZeroPoint::kInt;
  return true;
}

void set_symmetric(Weight& weight) {
  weight.symmetric = true;
  weight.zero_point = ZeroPoint::kNone;
}

bool config_expects_scales(const QuantConfig& config) {
  return config.method == "fp8" || config.method == "fbgemm_fp8" || config.method == "modelopt" ||
         config.method == "compressed-tensors";
}

}  // namespace qi
