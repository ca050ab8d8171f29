#include "engine/format/hf_config.h"

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/hf_directory.h"
#include "engine/format/json_document.h"
#include "engine/io/error.h"
#include "engine/io/file.h"

namespace qi {
namespace {

using Json = nlohmann::json;

// Sizes that views and quantizers may use. No real model comes near the limit; anything above it is
// a mistake or an attack.
constexpr std::uint64_t kLargestSize = std::uint64_t{1} << 40;
constexpr std::array<std::string_view, 14> kSizes = {
    "hidden_size",           "num_hidden_layers", "vocab_size",       "num_attention_heads",
    "num_key_value_heads",   "intermediate_size", "head_dim",         "max_position_embeddings",
    "num_experts",           "num_local_experts", "n_routed_experts", "num_experts_per_tok",
    "moe_intermediate_size", "sliding_window"};
constexpr std::array<std::string_view, 3> kObjects = {"quantization_config", "text_config",
                                                      "compression_config"};

/// The file as an object; nothing when it is absent.
std::optional<Json> read_object(const std::string& path, const FileOpener& open, Model& model) {
  const std::optional<std::string> text = read_text_file(path, kMaxConfigBytes, open);
  if (!text) return std::nullopt;
  std::vector<std::string> odd;
  Json object = parse_json(*text, path, odd);
  for (const std::string& name : odd) {
    model.warnings.push_back(
        {path, fmt::format("field \"{}\" is given twice or is a number out of range", name)});
  }
  if (!object.is_object()) {
    throw Error(ErrorCode::kBadSchema,
                fmt::format("configuration is of type {}", object.type_name()), "a JSON object",
                path, 0);
  }
  return object;
}

bool is_size(const Json& value) {
  if (value.is_array()) {  // some models give one number a layer
    for (const Json& element : value) {
      if (!element.is_null() && (element.is_array() || !is_size(element))) return false;
    }
    return true;
  }
  return value.is_number_unsigned() && value.get<std::uint64_t>() <= kLargestSize;
}

bool is_text_list(const Json& value) {
  if (!value.is_array()) return false;
  for (const Json& element : value) {
    if (!element.is_string()) return false;
  }
  return true;
}

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  constexpr std::size_t kShown = 60;
  if (text.size() > kShown) text = text.substr(0, kShown) + "…";
  return text;
}

/// Removes known fields whose value cannot be what their name says.
void remove_odd_fields(Json& config, const std::string& path, std::string_view prefix,
                       Model& model) {
  const auto check = [&](std::string_view name, auto&& fits, std::string_view want) {
    const auto it = config.find(std::string(name));
    if (it == config.end() || it->is_null() || fits(*it)) return;
    model.warnings.push_back(
        {path, fmt::format("{}{} is {}, not {}: ignored", prefix, name, shown(*it), want)});
    config.erase(it);
  };
  for (const std::string_view name : kSizes) check(name, is_size, "a size");
  for (const std::string_view name : kObjects) {
    check(
        name, [](const Json& value) { return value.is_object(); }, "an object");
  }
  check(
      "model_type", [](const Json& value) { return value.is_string(); }, "a string");
  check("architectures", is_text_list, "a list of strings");
  if (const auto it = config.find("text_config"); it != config.end() && it->is_object()) {
    // Its own text_config, if it had one, would mean nothing: one level down is enough.
    if (prefix.empty()) remove_odd_fields(*it, path, "text_config.", model);
  }
}

std::string architecture_of(const Json& config) {
  if (const auto it = config.find("architectures");
      it != config.end() && it->is_array() && !it->empty()) {
    return it->front().get<std::string>();
  }
  if (const auto it = config.find("model_type"); it != config.end() && it->is_string()) {
    return it->get<std::string>();
  }
  return {};
}

void read_adapter_facts(const Json& adapter, const std::string& path, Model& model) {
  if (const auto it = adapter.find("r"); it != adapter.end() && !it->is_null()) {
    if (it->is_number_unsigned() && it->get<std::uint64_t>() <= kLargestSize) {
      model.adapter_rank = it->get<std::uint64_t>();
    } else {
      model.warnings.push_back({path, fmt::format("r is {}, not a rank: ignored", shown(*it))});
    }
  }
  const auto base = adapter.find("base_model_name_or_path");
  if (base != adapter.end() && base->is_string()) model.base_model = base->get<std::string>();
}

}  // namespace

void read_configuration(const HuggingFaceSource& source, Model& model) {
  const std::string& folder = source.folder;
  Json merged = Json::object();
  const auto read = [&](std::string_view name) -> std::optional<Json> {
    const std::string path = folder + "/" + std::string(name);
    try {
      return read_object(path, source.open, model);
    } catch (const Error& error) {
      if (source.whole_folder) throw;
      model.warnings.push_back({path, fmt::format("ignored: {}", error.message)});
      return std::nullopt;
    }
  };
  bool has_config = false;
  if (auto config = read("config.json")) {
    has_config = true;
    remove_odd_fields(*config, folder + "/config.json", {}, model);
    model.architecture = architecture_of(*config);
    merged = std::move(*config);
  }
  for (const std::string_view name : {"quantize_config", "quant_config", "hf_quant_config"}) {
    if (auto object = read(fmt::format("{}.json", name))) {
      merged[std::string(name)] = std::move(*object);
    }
  }
  if (auto adapter = read("adapter_config.json")) {
    read_adapter_facts(*adapter, folder + "/adapter_config.json", model);
    merged["adapter_config"] = std::move(*adapter);
    has_config = true;
  }
  if (source.whole_folder && !has_config) model.warnings.push_back({folder, "no config.json"});
  model.config = std::make_shared<const Json>(std::move(merged));
}

}  // namespace qi
