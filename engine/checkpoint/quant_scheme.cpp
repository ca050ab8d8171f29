#include "engine/checkpoint/quant_scheme.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qi {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kGptqFree = "mse,percdamp,true-sequential";

constexpr std::array kSchemes = {
    QuantScheme{.name = "FP8-W8A8",
                .summary = "E4M3 a row, dynamic tokens; compressed-tensors",
                .layout = Layout::kFloat8},
    QuantScheme{.name = "INT8-W8A16",
                .summary = "GPTQ, 8 bits a row; compressed-tensors",
                .family = "gptq",
                .options = "bits=8;group-sizes=row;symmetric;styles=full",
                .free_options = kGptqFree},
    QuantScheme{.name = "INT8-W8A8",
                .summary = "SmoothQuant, 8 bits a row, dynamic tokens; compressed-tensors",
                .layout = Layout::kInt8,
                .family = "smoothquant",
                .free_options = "alpha,smoothing,styles",
                .int8_activations = true},
    QuantScheme{.name = "INT8-W8A16-RTN",
                .summary = "rounded to nearest, 8 bits a row; compressed-tensors"},
    QuantScheme{.name = "INT4-W4A16",
                .summary = "GPTQ, 4 bits, groups of 128; compressed-tensors",
                .bits = 4,
                .group = 128,
                .family = "gptq",
                .options = "act-order;bits=4;group-sizes=128;static-groups;styles=full;symmetric",
                .free_options = kGptqFree,
                .act_order = true},
    QuantScheme{.name = "INT4-W4A16-AWQ",
                .summary = "AWQ, 4 bits, groups of 128; AutoAWQ's gemm",
                .layout = Layout::kAwq,
                .bits = 4,
                .group = 128,
                .symmetric = false,
                .style = RtnStyle::kAwq,
                .family = "awq",
                .options = "bits=4;group-sizes=128",
                .free_options = "apply_clip,duo_scaling,n_grid"},
    QuantScheme{.name = "gptq",
                .summary = "GPTQ, 4 bits, groups of 128; AutoGPTQ's own layout",
                .layout = Layout::kGptq,
                .bits = 4,
                .group = 128,
                .style = RtnStyle::kMinmax,
                .family = "gptq",
                .options = "bits=4;group-sizes=128;symmetric;styles=minmax",
                .free_options = kGptqFree},
    QuantScheme{.name = "spqr",
                .summary = "SpQR, 3 bits, groups of 16, outliers; its exported layout",
                .layout = Layout::kSpqr,
                .bits = 3,
                .group = 16,
                .symmetric = false,
                .family = "spqr",
                .options = "groupsize=16;qq_groupsize=16;qq_scale_bits=3;qq_zero_bits=3;wbits=3",
                .free_options = "outlier_threshold,permutation_order,percdamp,perchannel,"
                                "simplified_outliers,true-sequential"},
    QuantScheme{.name = "llm_int8",
                .summary = "LLM.int8(), a row maximum each; bitsandbytes",
                .layout = Layout::kLlmInt8},
    QuantScheme{.name = "nf4",
                .summary = "NF4 in blocks of 64; bitsandbytes",
                .layout = Layout::kNf4,
                .bits = 4,
                .group = 64},
    QuantScheme{.name = "nf4-nested",
                .summary = "NF4 with double quantization; bitsandbytes",
                .layout = Layout::kNf4Nested,
                .bits = 4,
                .group = 64},
};

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view torch_name(DType type) {
  if (type == DType::kF16) return "float16";
  return type == DType::kBF16 ? "bfloat16" : "float32";
}

// ---- "quantization_config" of each loader
// --------------------------------------------------------

OrderedJson compressed_arguments(std::string_view type, int bits, std::string_view strategy) {
  return {{"num_bits", bits},      {"type", type},
          {"symmetric", true},     {"strategy", strategy},
          {"group_size", nullptr}, {"block_structure", nullptr},
          {"dynamic", false},      {"actorder", nullptr},
          {"observer", "minmax"},  {"observer_kwargs", OrderedJson::object()}};
}

OrderedJson compressed_config(const QuantScheme& scheme, const QuantizedModules& modules) {
  const bool is_float = scheme.layout == Layout::kFloat8;
  const std::string_view type = is_float ? "float" : "int";
  OrderedJson weights =
      compressed_arguments(type, scheme.bits, scheme.group == 0 ? "channel" : "group");
  if (scheme.group != 0) weights["group_size"] = scheme.group;
  if (scheme.act_order) {
    weights["actorder"] = "static";  // groups are runs of columns all the same
  }
  OrderedJson activations = nullptr;
  if (is_float || scheme.int8_activations) {
    activations = compressed_arguments(type, 8, "token");
    activations["dynamic"] = true;
    activations["observer"] = nullptr;
  }
  const std::string_view format = scheme.layout == Layout::kPacked ? "pack-quantized"
                                  : scheme.layout == Layout::kInt8 ? "int-quantized"
                                                                   : "float-quantized";
  OrderedJson group = {{"targets", OrderedJson::array({"Linear"})},
                       {"weights", std::move(weights)},
                       {"input_activations", std::move(activations)},
                       {"output_activations", nullptr}};
  return {{"config_groups", {{"group_0", std::move(group)}}},
          {"format", format},
          {"quant_method", "compressed-tensors"},
          {"quantization_status", "compressed"},
          {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr},
          {"ignore", modules.left}};
}

/// A module's name as a regular expression that matches it alone.
std::string exactly(const std::string& module) {
  std::string text = "-:^";
  for (const char c : module) {
    if (c == '.') text += '\\';
    text += c;
  }
  return text + "$";
}

OrderedJson gptq_config(const QuantScheme& scheme, const QuantizedModules& modules) {
  OrderedJson config = {
      {"bits", scheme.bits},     {"group_size", scheme.group}, {"damp_percent", 0.01},
      {"desc_act", false},       {"static_groups", false},     {"sym", scheme.symmetric},
      {"true_sequential", true}, {"quant_method", "gptq"},     {"checkpoint_format", "gptq"}};
  OrderedJson without = OrderedJson::object();
  for (const std::string& module : modules.left) {
    if (module != "lm_head") without[exactly(module)] = OrderedJson::object();
  }
  if (!without.empty()) config["dynamic"] = std::move(without);
  return config;
}

OrderedJson awq_config(const QuantScheme& scheme, const QuantizedModules& modules) {
  OrderedJson config = {{"quant_method", "awq"},      {"bits", scheme.bits},
                        {"group_size", scheme.group}, {"zero_point", true},
                        {"version", "gemm"},          {"modules_to_not_convert", nullptr}};
  const bool head_alone = modules.left.size() == 1 && modules.left.front() == "lm_head";
  if (!modules.left.empty() && !head_alone) config["modules_to_not_convert"] = modules.left;
  return config;
}

OrderedJson spqr_config(const QuantScheme& scheme, const QuantizedModules& modules) {
  OrderedJson shapes = OrderedJson::object();
  for (const auto& [name, count] : modules.part_sizes) shapes[name + ".shape"] = count;
  return {{"quant_method", "spqr"},
          {"beta1", 16},
          {"beta2", scheme.group},
          {"bits", scheme.bits},
          {"modules_to_not_convert", modules.plain_weights},
          {"shapes", std::move(shapes)}};
}

OrderedJson bitsandbytes_config(const QuantScheme& scheme, DType model_type,
                                const QuantizedModules& modules) {
  const bool int8 = scheme.layout == Layout::kLlmInt8;
  return {{"_load_in_4bit", !int8},
          {"_load_in_8bit", int8},
          {"bnb_4bit_compute_dtype", torch_name(model_type)},
          {"bnb_4bit_quant_storage", "uint8"},
          {"bnb_4bit_quant_type", "nf4"},
          {"bnb_4bit_use_double_quant", scheme.layout == Layout::kNf4Nested},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false},
          {"llm_int8_skip_modules", modules.left},
          {"llm_int8_threshold", 6.0},
          {"load_in_4bit", !int8},
          {"load_in_8bit", int8},
          {"quant_method", "bitsandbytes"}};
}

OrderedJson quantization_config(const QuantScheme& scheme, DType model_type,
                                const QuantizedModules& modules) {
  switch (scheme.layout) {
    case Layout::kGptq:
      return gptq_config(scheme, modules);
    case Layout::kAwq:
      return awq_config(scheme, modules);
    case Layout::kSpqr:
      return spqr_config(scheme, modules);
    case Layout::kLlmInt8:
    case Layout::kNf4:
    case Layout::kNf4Nested:
      return bitsandbytes_config(scheme, model_type, modules);
    default:
      return compressed_config(scheme, modules);
  }
}

}  // namespace

std::span<const QuantScheme> quant_schemes() {
  return kSchemes;
}

const QuantScheme* find_quant_scheme(std::string_view name) {
  const auto* found =
      std::find_if(kSchemes.begin(), kSchemes.end(),
                   [&](const QuantScheme& scheme) { return same_word(scheme.name, name); });
  return found == kSchemes.end() ? nullptr : found;
}

LayoutFormat layout_format(const QuantScheme& scheme, DType model_type) {
  const DType type = float_part_type(model_type);
  LayoutFormat format{scheme.layout, scheme.bits, scheme.group, type, type};
  const bool is_f16 = scheme.layout == Layout::kGptq || scheme.layout == Layout::kAwq;
  if (is_f16) format.scale_type = DType::kF16;
  const bool is_f32 = scheme.layout == Layout::kFloat8 || scheme.layout == Layout::kInt8;
  if (is_f32) format.scale_type = DType::kF32;
  return format;
}

std::string quantized_config(const QuantScheme& scheme, const std::string& original,
                             DType model_type, const QuantizedModules& modules) {
  OrderedJson config = original.empty() ? OrderedJson::object() : OrderedJson::parse(original);
  config["quantization_config"] = quantization_config(scheme, model_type, modules);
  return config.dump(2) + "\n";
}

std::optional<std::pair<std::string, std::string>> quantized_side_config(
    const QuantScheme& scheme, DType model_type, const QuantizedModules& modules) {
  if (scheme.layout != Layout::kGptq) return std::nullopt;
  return std::pair(std::string("quantize_config.json"),
                   quantization_config(scheme, model_type, modules).dump(2) + "\n");
}

}  // namespace qi
