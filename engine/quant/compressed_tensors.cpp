#include "engine/quant/compressed_tensors.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_parts.h"

namespace qi {
namespace {

/// Bits for which ⌈cols / ⌊32/bits⌋⌋ = words: the config's first, then the usual ones; 0: none.
std::uint8_t packed_bits(const QuantConfig& config, std::uint64_t cols, std::uint64_t words) {
  const auto fits = [&](std::uint64_t bits) {
    return bits >= 1 && bits <= 8 && ceil_div(cols, 32 / bits) == words;
  };
  for (const QuantGroup& group : config.groups) {
    if (!group.is_float && fits(group.bits)) return static_cast<std::uint8_t>(group.bits);
  }
  for (const std::uint64_t bits : {4, 8, 3, 2, 6, 5, 1}) {
    if (fits(bits)) return static_cast<std::uint8_t>(bits);
  }
  return 0;
}

/// weight_shape: two integers of 8 or 4 bytes.
std::optional<Shape> decode_shape(const Tensor& tensor, std::span<const std::byte> raw) {
  Shape shape;
  const std::size_t width = raw.size() / 2;
  if ((tensor.dtype != DType::kI64 && tensor.dtype != DType::kI32) ||
      raw.size() != 2 * static_cast<std::size_t>(element_bits(tensor.dtype)) / 8) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < 2; ++i) {
    std::uint64_t value = 0;
    std::memcpy(&value, raw.data() + i * width, width);
    shape.push_back(value);
  }
  return shape;
}

/// Stored rows and words against the shape the file states.
bool shape_fits(const Shape& shape, const Shape& stored, std::uint64_t bits) {
  return shape.size() == 2 && stored.size() == 2 && shape[0] == stored[0] && shape[1] != 0 &&
         bits != 0 && shape[1] <= stored[1] * 32 && ceil_div(shape[1], 32 / bits) == stored[1];
}

void finish_group(Grouping& grouping, Weight& weight, const QuantGroup* group,
                  std::string_view module) {
  if (group != nullptr && group->symmetric) weight.symmetric = group->symmetric;
  if (weight.group_size != 0 &&
      grouping.take(weight, PartRole::kGroupIndex, module, ".weight_g_idx")) {
    const Tensor& index = grouping.tensor(weight.parts.back().tensor);
    if (index.dtype != DType::kI32 || index.shape != Shape{weight.cols()}) {
      grouping.warn("group index does not fit the columns: listed as stored",
                    weight.parts.back().tensor);
      weight.parts.pop_back();
    } else {
      weight.act_order = group == nullptr || group->act_order;
    }
  }
}

bool build_packed_ints(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  const Shape& stored = tensor.shape;
  if (stored.size() != 2 || !matrices(stored)) return false;
  const QuantConfig& config = grouping.config();
  const auto scales = grouping.find(module, ".weight_scale");
  if (!scales || !is_scale(grouping.tensor(*scales))) {
    grouping.warn("packed codes without scales: listed as stored", codes);
    return false;
  }
  const auto shape_part = grouping.find(module, ".weight_shape");
  std::optional<Shape> shape;
  std::uint8_t bits = 0;
  if (shape_part) {
    shape = decode_shape(grouping.tensor(*shape_part), grouping.read(*shape_part, true));
    if (shape && (*shape)[1] != 0) bits = packed_bits(config, (*shape)[1], stored[1]);
  }
  if (!shape || !shape_fits(*shape, stored, bits)) {
    // The words alone say how many columns there may be; the reader refuses a wrong weight_shape.
    bits =
        config.groups.empty() || config.groups.front().bits == 0 || config.groups.front().bits > 8
            ? std::uint8_t{4}
            : static_cast<std::uint8_t>(config.groups.front().bits);
    shape = widened(stored, 32u / bits);
    grouping.warn(shape_part ? "weight_shape does not fit the packed words"
                             : "no weight_shape: the number of columns is taken from the words",
                  codes);
    if (!shape) return false;
  }
  const QuantGroup* group = config_group(config, bits, false);
  if (group == nullptr && !config.groups.empty()) {
    grouping.warn(fmt::format("stored words hold {} bits, {} says otherwise", +bits, config.source),
                  codes);
  }
  Weight weight =
      start_weight(Scheme::kCompressedTensors, std::string(module) + ".weight", *shape, codes);
  weight.bits = bits;
  if (!add_scales(grouping, weight, *scales, config_hint(config, group))) return false;
  if (shape_part) weight.parts.push_back({*shape_part, PartRole::kShape});
  set_symmetric(weight);
  if (const auto zeros = grouping.find(module, ".weight_zero_point")) {
    if (add_zeros(grouping, weight, *zeros, *scales)) weight.symmetric = false;
  }
  weight.format = "pack-quantized";
  finish_group(grouping, weight, group, module);
  grouping.add(std::move(weight));
  return true;
}

bool build_packed_floats(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  const auto scales = grouping.find(module, ".weight_scale");
  const auto shape = widened(tensor.shape, 2);
  if (!scales || !shape || tensor.shape.size() < 2 || !matrices(*shape)) {
    grouping.warn("packed codes without scales: listed as stored", codes);
    return false;
  }
  const DType scale_type = grouping.tensor(*scales).dtype;
  const auto global = grouping.find(module, ".weight_global_scale");
  Weight weight =
      start_weight(Scheme::kCompressedTensors, std::string(module) + ".weight", *shape, codes);
  weight.bits = 4;
  std::uint64_t group_size = 0;
  if (global && scale_type == DType::kF8E4M3) {
    group_size = 16;
    weight.format = "nvfp4-pack-quantized";
  } else if (scale_type == DType::kU8 || scale_type == DType::kF8E8M0) {
    group_size = 32;
    weight.format = "mxfp4-pack-quantized";
  } else {
    grouping.warn("packed codes without scales: listed as stored", codes);
    return false;
  }
  if (!add_scales(grouping, weight, *scales, {0, group_size})) return false;
  if (group_size == 16) {
    const Tensor& second = grouping.tensor(*global);
    const auto count = element_count(second.shape);
    if (!is_scale(second) || (count != 1 && count != matrices(*shape)->experts)) {
      grouping.warn(kOddScales, codes);
      return false;
    }
    weight.parts.push_back({*global, PartRole::kSecondScales});
  }
  weight.group_size = group_size;
  set_symmetric(weight);
  grouping.add(std::move(weight));
  return true;
}

}  // namespace

bool build_packed(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  if (const auto meta = grouping.find(module, ".meta")) {
    Weight weight = start_weight(Scheme::kCompressedTensors, std::string(module) + ".weight",
                                 tensor.shape, codes);
    weight.parts.push_back({*meta, PartRole::kOther});
    grouping.take(weight, PartRole::kScales, module, ".scale_packed");
    weight.format = "marlin-24";
    weight.undecodable = "marlin-24: 2:4 sparse in a GPU kernel's order, not decoded";
    grouping.add(std::move(weight));
    return true;
  }
  if (tensor.dtype == DType::kI32) return build_packed_ints(grouping, codes, module);
  if (tensor.dtype == DType::kU8) return build_packed_floats(grouping, codes, module);
  return false;
}

bool build_int_quantized(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  if (tensor.dtype != DType::kI8 || tensor.shape.size() < 2) return false;
  const auto scales = grouping.find(module, ".weight_scale");
  if (!scales || !is_scale(grouping.tensor(*scales))) {
    if (config_expects_scales(grouping.config())) {
      grouping.warn("no scale beside 8-bit integers: listed as stored", codes);
    }
    return false;
  }
  const QuantConfig& config = grouping.config();
  const QuantGroup* group = config_group(config, 8, false);
  if (group == nullptr) group = config_group(config, 4, false);  // 4 bits stored a byte each
  Weight weight = start_weight(Scheme::kCompressedTensors, tensor.name, tensor.shape, codes);
  weight.bits = 8;
  if (!add_scales(grouping, weight, *scales, config_hint(config, group))) return false;
  set_symmetric(weight);
  if (const auto zeros = grouping.find(module, ".weight_zero_point")) {
    if (add_zeros(grouping, weight, *zeros, *scales)) weight.symmetric = false;
  }
  weight.format = group != nullptr && !group->format.empty() ? group->format : "int-quantized";
  finish_group(grouping, weight, group, module);
  if (config.method == "modelopt") {
    weight.scheme = Scheme::kUnknown;
    weight.format = "W8A8_SQ_PER_CHANNEL";
    weight.undecodable = "ModelOpt's int8 with smoothed activations is not decoded";
  }
  grouping.add(std::move(weight));
  return true;
}

std::unique_ptr<WeightReader> open_packed_reader(const Model& model, const Weight& weight) {
  const Tensor& codes = model.tensor(weight.parts.front());
  if (const Part* part = find_part(weight, PartRole::kShape)) {
    PartBytes bytes(model, model.tensor(*part));
    const Tensor& tensor = bytes.tensor();
    const auto shape = decode_shape(tensor, bytes.bytes(0, tensor.size_bytes));
    if (!shape) bytes.fail(ErrorCode::kBadSchema, 0, "weight_shape is not two integers");
    if (!shape_fits(*shape, codes.shape, weight.bits) || *shape != weight.shape) {
      bytes.fail(ErrorCode::kBadValue, 0, fmt::format("weight_shape {}", shape_text(*shape)),
                 fmt::format("a shape for {} packed words", shape_text(codes.shape)));
    }
  }
  return open_scaled_reader(model, weight);
}

}  // namespace qi
