#include "engine/quant/quant_config.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLargest = std::uint64_t{1} << 32;  // of any size a config gives

std::string in_case(std::string text, int (*change)(int)) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [change](unsigned char c) { return static_cast<char>(change(c)); });
  return text;
}

bool is_size(const Json& value) {
  return value.is_number_integer() && value >= 0 && value <= kLargest;
}

/// One JSON object with typed look-ups; a wrong type is noted and reads as absent.
class Fields {
 public:
  Fields(const Json& object, std::string source, std::vector<Warning>& warnings)
      : object_(object), source_(std::move(source)), warnings_(warnings) {}

  const Json* find(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  const Json* object(const char* key) const { return typed(key, &Json::is_object, "an object"); }
  std::string text(const char* key) const {
    const Json* value = typed(key, &Json::is_string, "a string");
    return value == nullptr ? std::string() : value->get<std::string>();
  }
  std::optional<bool> flag(const char* key) const {
    const Json* value = typed(key, &Json::is_boolean, "true or false");
    return value == nullptr ? std::nullopt : std::optional<bool>(value->get<bool>());
  }
  /// A size; −1 ("all") and absent are 0.
  std::uint64_t size(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr || *value == -1) return 0;
    if (is_size(*value)) return value->get<std::uint64_t>();
    complain(key, "a size");
    return 0;
  }
  /// [rows, columns]; zeros when absent.
  std::array<std::uint64_t, 2> pair(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) return {0, 0};
    if (!value->is_array() || value->size() != 2 || !is_size((*value)[0]) ||
        !is_size((*value)[1]) || (*value)[0] == 0 || (*value)[1] == 0) {
      complain(key, "two sizes");
      return {0, 0};
    }
    return {(*value)[0].get<std::uint64_t>(), (*value)[1].get<std::uint64_t>()};
  }
  const std::string& source() const { return source_; }
  std::vector<Warning>& warnings() const { return warnings_; }

 private:
  const Json* typed(const char* key, bool (Json::*is)() const noexcept, const char* what) const {
    const Json* value = find(key);
    if (value == nullptr || (value->*is)()) return value;
    complain(key, what);
    return nullptr;
  }
  void complain(const char* key, const char* what) const {
    warnings_.push_back({source_, fmt::format("{} is not {}: ignored", key, what)});
  }

  const Json& object_;
  std::string source_;
  std::vector<Warning>& warnings_;
};

QuantGroup read_group(const Fields& outer, const Json& arguments, const std::string& format) {
  const Fields fields(arguments, outer.source(), outer.warnings());
  QuantGroup group;
  group.bits = fields.size("num_bits");
  group.group_size = fields.size("group_size");
  const auto block = fields.pair("block_structure");
  group.block_rows = block[0];
  group.block_cols = block[1];
  group.symmetric = fields.flag("symmetric");
  group.is_float = fields.text("type") == "float";
  group.strategy = fields.text("strategy");
  const std::string order = fields.text("actorder");
  group.act_order = order == "group" || order == "dynamic";
  group.format = format;
  return group;
}

struct Preset {
  std::string_view name;
  QuantGroup group;
};

/// Names that may stand for a group's arguments (compressed-tensors presets).
std::optional<QuantGroup> preset(const std::string& name) {
  static const std::array<Preset, 10> kPresets = {{
      {"W8A16", {8, 0, 0, 0, true, false, false, "channel", "pack-quantized"}},
      {"W4A16", {4, 128, 0, 0, true, false, false, "group", "pack-quantized"}},
      {"W4A16_ASYM", {4, 128, 0, 0, false, false, false, "group", "pack-quantized"}},
      {"W8A8", {8, 0, 0, 0, true, false, false, "channel", "int-quantized"}},
      {"INT8", {8, 0, 0, 0, true, false, false, "channel", "int-quantized"}},
      {"W4A8", {4, 128, 0, 0, true, false, false, "group", "pack-quantized"}},
      {"FP8", {8, 0, 0, 0, true, true, false, "tensor", "float-quantized"}},
      {"FP8_DYNAMIC", {8, 0, 0, 0, true, true, false, "channel", "float-quantized"}},
      {"FP8_BLOCK", {8, 0, 128, 128, true, true, false, "block", "float-quantized"}},
      {"NVFP4", {4, 16, 0, 0, true, true, false, "tensor_group", "nvfp4-pack-quantized"}},
  }};
  const std::string wanted = name == "NVFP4A16" ? "NVFP4" : name;
  const auto it = std::find_if(kPresets.begin(), kPresets.end(),
                               [&](const Preset& row) { return row.name == wanted; });
  return it == kPresets.end() ? std::nullopt : std::optional<QuantGroup>(it->group);
}

void read_groups(QuantConfig& config, const Fields& fields) {
  const Json* groups = fields.object("config_groups");
  if (groups == nullptr) return;
  for (const auto& [name, value] : groups->items()) {
    if (const auto known = preset(name); known && !value.is_object()) {
      config.groups.push_back(*known);
      continue;
    }
    const Fields group(value, fields.source(), fields.warnings());
    const std::string own = group.text("format");
    if (const Json* weights = group.object("weights")) {
      config.groups.push_back(read_group(fields, *weights, own.empty() ? config.format : own));
    }
  }
  config.per_module = config.per_module || config.groups.size() > 1;
}

/// Reads one quantization object; false when it names neither a method nor an algorithm and
/// `default_method` is empty.
bool read_object(QuantConfig& config, const Json& object, const std::string& source,
                 const std::string& default_method) {
  const Fields fields(object, source, config.warnings);
  config.method = in_case(fields.text("quant_method"), std::tolower);
  config.algo = in_case(fields.text("quant_algo"), std::toupper);
  if (config.method.empty()) config.method = default_method;
  if (config.method.empty() && config.algo.empty()) return false;
  config.source = source;
  config.bits = fields.size(fields.find("bits") != nullptr ? "bits" : "w_bit");
  config.group_size =
      fields.size(fields.find("group_size") != nullptr ? "group_size" : "q_group_size");
  config.symmetric = fields.flag("sym");
  if (const auto zero_point = fields.find("zero_point"); zero_point && !config.symmetric) {
    if (const auto has_zero = fields.flag("zero_point")) config.symmetric = !*has_zero;
  }
  if (const auto order = fields.flag("desc_act")) {
    config.act_order = *order && !fields.flag("static_groups").value_or(false);
  }
  config.checkpoint_format = in_case(fields.text("checkpoint_format"), std::tolower);
  config.version = in_case(fields.text("version"), std::tolower);
  config.format = fields.text("format");
  const auto block = fields.pair("weight_block_size");
  config.block_rows = block[0];
  config.block_cols = block[1];
  const Json* dynamic = fields.find("dynamic");
  config.per_module = (dynamic != nullptr && dynamic->is_object() && !dynamic->empty()) ||
                      config.algo == "MIXED_PRECISION";
  read_groups(config, fields);
  if (config.method == "auto-round") {
    const std::string packing = fields.text("packing_format");
    if (packing.find("gptq") != std::string::npos) config.method = "gptq";
    if (packing.find("awq") != std::string::npos) config.method = "awq";
  }
  if (config.method.rfind("modelopt", 0) == 0) config.method = "modelopt";
  return true;
}

const Json* member(const Json* object, const char* key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto it = object->find(key);
  return it == object->end() || !it->is_object() ? nullptr : &*it;
}

}  // namespace

QuantConfig read_quant_config(const Model& model) {
  QuantConfig config;
  const Json* root = model.config.get();
  struct Place {
    const Json* object;
    const char* source;
    const char* method;
  };
  const Json* modelopt = member(root, "hf_quant_config");
  const Json* nested = member(modelopt, "quantization");
  const Place places[] = {
      {member(root, "quantization_config"), "config.json", ""},
      {member(member(root, "text_config"), "quantization_config"), "config.json", ""},
      {member(root, "compression_config"), "config.json", "compressed-tensors"},
      {nested != nullptr ? nested : modelopt, "hf_quant_config.json", "modelopt"},
      {member(root, "quantize_config"), "quantize_config.json", "gptq"},
      {member(root, "quant_config"), "quant_config.json", "awq"},
  };
  for (const Place& place : places) {
    if (place.object != nullptr && read_object(config, *place.object, place.source, place.method)) {
      return config;
    }
  }
  if (model.metadata.find("tensor_names") != nullptr) {
    config.method = "torchao";
    config.source = "__metadata__";
  }
  return config;
}

}  // namespace qi
