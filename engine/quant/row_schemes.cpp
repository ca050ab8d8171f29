#include "engine/quant/row_schemes.h"

#include <array>

#include <fmt/format.h>

#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_parts.h"
#include "engine/quant/scaled.h"

namespace qi {
namespace {

bool is_float8(DType type) {
  return is_float(type) && element_bits(type) == 8 && type != DType::kF8E8M0;
}

}  // namespace

bool build_llm_int8(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  if (tensor.dtype != DType::kI8 || tensor.shape.size() != 2) return false;
  const auto scales = grouping.find(module, ".SCB");
  if (!scales) return false;
  Weight weight = start_weight(Scheme::kLlmInt8, tensor.name, tensor.shape, codes);
  const Tensor& maxima = grouping.tensor(*scales);
  if (!is_scale(maxima) || element_count(maxima.shape) != tensor.shape[0] ||
      !add_scales(grouping, weight, *scales, {})) {
    if (element_count(maxima.shape) != tensor.shape[0]) grouping.warn(kOddScales, codes);
    return false;
  }
  grouping.take(weight, PartRole::kState, module, ".weight_format");
  weight.bits = 8;
  weight.format = "int8";
  set_symmetric(weight);
  grouping.add(std::move(weight));
  return true;
}

std::unique_ptr<WeightReader> open_llm_int8_reader(const Model& model, const Weight& weight) {
  if (const Part* part = find_part(weight, PartRole::kState)) {
    PartBytes bytes(model, model.tensor(*part));
    const auto raw = bytes.bytes(0, bytes.tensor().size_bytes);
    // 0 is row-major; 1 to 3 are tilings of old GPU kernels.
    if (raw.empty() || raw.front() != std::byte{0}) {
      bytes.fail(ErrorCode::kBadValue, 0,
                 fmt::format("weight_format {}", raw.empty() ? -1 : std::to_integer<int>(raw[0])),
                 "0, row-major");
    }
  }
  return open_scaled_reader(model, weight);
}

bool build_fp8(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  if (!is_float8(tensor.dtype) || tensor.shape.size() < 2) return false;
  const bool stack = module.size() == tensor.name.size();
  if (stack && tensor.name.ends_with(".weight")) return false;
  // Modules say "M.weight_scale"; stacks of experts without ".weight" "P_scale_inv".
  constexpr std::array<std::string_view, 4> kOfModule = {".weight_scale_inv", ".weight_scale",
                                                         ".scale", ".scale_weight"};
  constexpr std::array<std::string_view, 5> kOfStack = {"_scale_inv", "_scale", "_weight_scale_inv",
                                                        "_weight_scale", ".scale"};
  std::optional<std::uint32_t> scales;
  if (!stack) {
    for (const auto suffix : kOfModule) {
      if (!scales) scales = grouping.find(module, suffix);
    }
  } else {
    for (const auto suffix : kOfStack) {
      if (!scales) scales = grouping.find(tensor.name, suffix);
    }
  }
  const QuantConfig& config = grouping.config();
  if (!scales || !is_scale(grouping.tensor(*scales))) {
    if (config_expects_scales(config) && !stack) {
      grouping.warn("no scale beside 8-bit floats: listed as stored", codes);
    }
    return false;
  }
  const bool compressed = config.method == "compressed-tensors";
  const QuantGroup* group = compressed ? config_group(config, 8, true) : nullptr;
  Weight weight = start_weight(Scheme::kFP8, tensor.name, tensor.shape, codes);
  if (!add_scales(grouping, weight, *scales, config_hint(config, group))) return false;
  const auto grid = scale_grid(weight.shape, grouping.tensor(*scales).shape, block_hint(weight));
  weight.format = grid_name(grid->kind);
  if (weight.block_rows != 0) weight.scheme = Scheme::kFP8Block;
  if (compressed) {
    weight.scheme = Scheme::kCompressedTensors;
    weight.format = group != nullptr && !group->format.empty() ? group->format : "float-quantized";
  }
  weight.bits = 8;
  set_symmetric(weight);
  grouping.add(std::move(weight));
  return true;
}

bool build_nvfp4(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  if (tensor.dtype != DType::kU8 || tensor.shape.size() < 2) return false;
  const auto scales = grouping.find(module, ".weight_scale");
  const auto second = grouping.find(module, ".weight_scale_2");
  if (!scales || grouping.tensor(*scales).dtype != DType::kF8E4M3) return false;
  if (!second) {
    grouping.warn("no weight_scale_2 beside 4-bit floats: listed as stored", codes);
    return false;
  }
  const auto shape = widened(tensor.shape, 2);
  const Tensor& global = grouping.tensor(*second);
  const bool fits = shape && is_scale(global) && matrices(*shape) &&
                    (element_count(global.shape) == 1 ||
                     element_count(global.shape) == matrices(*shape)->experts);
  if (!fits) {
    grouping.warn(kOddScales, codes);
    return false;
  }
  Weight weight = start_weight(Scheme::kNVFP4, tensor.name, *shape, codes);
  if (!add_scales(grouping, weight, *scales, {0, 16})) return false;
  weight.parts.push_back({*second, PartRole::kSecondScales});
  weight.format = "modelopt";
  weight.bits = 4;
  set_symmetric(weight);
  grouping.add(std::move(weight));
  return true;
}

bool build_mxfp4(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& tensor = grouping.tensor(codes);
  const Shape& stored = tensor.shape;
  if (tensor.dtype != DType::kU8 || stored.size() < 3 || stored.back() != 16) return false;
  const bool dotted = tensor.name[module.size()] == '.';
  const auto scales = grouping.find(module, dotted ? ".scales" : "_scales");
  if (!scales) {
    grouping.warn("blocks without scales: listed as stored", codes);
    return false;
  }
  const Tensor& powers = grouping.tensor(*scales);
  const bool is_power = powers.dtype == DType::kU8 || powers.dtype == DType::kF8E8M0;
  Shape blocks(stored.begin(), stored.end() - 1);
  const auto shape = widened(blocks, 32);
  if (!is_power || powers.shape != blocks || !shape || !matrices(*shape)) {
    grouping.warn(kOddScales, codes);
    return false;
  }
  Weight weight = start_weight(Scheme::kMXFP4, std::string(module), *shape, codes);
  if (!add_scales(grouping, weight, *scales, {0, 32})) return false;
  weight.group_size = 32;
  weight.format = "blocks";
  weight.bits = 4;
  set_symmetric(weight);
  grouping.add(std::move(weight));
  return true;
}

}  // namespace qi
