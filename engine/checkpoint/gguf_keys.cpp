#include "engine/checkpoint/gguf_keys.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf_header.h"
#include "engine/format/gguf_values.h"

namespace qi {

template <typename T>
void GgufKeys::put(T value) {
  std::array<char, sizeof(T)> raw;
  std::memcpy(raw.data(), &value, sizeof value);
  bytes_.append(raw.data(), raw.size());
}

void GgufKeys::put_text(std::string_view value) {
  put<std::uint64_t>(value.size());
  bytes_ += value;
}

void GgufKeys::begin(std::string_view key, std::uint32_t type) {
  put_text(key);
  put(type);
  ++count_;
}

void GgufKeys::text(std::string_view key, std::string_view value) {
  begin(key, kGgufString);
  put_text(value);
}

void GgufKeys::u32(std::string_view key, std::uint64_t value) {
  begin(key, kGgufU32);
  put(static_cast<std::uint32_t>(std::min<std::uint64_t>(value, UINT32_MAX)));
}

void GgufKeys::i32(std::string_view key, std::int32_t value) {
  begin(key, kGgufI32);
  put(value);
}

void GgufKeys::f32(std::string_view key, double value) {
  begin(key, kGgufF32);
  put(static_cast<float>(value));
}

void GgufKeys::boolean(std::string_view key, bool value) {
  begin(key, kGgufBool);
  put<std::uint8_t>(value ? 1 : 0);
}

void GgufKeys::texts(std::string_view key, std::span<const std::string> values) {
  begin(key, kGgufArray);
  put<std::uint32_t>(kGgufString);
  put<std::uint64_t>(values.size());
  for (const std::string& value : values) put_text(value);
}

void GgufKeys::floats(std::string_view key, std::span<const float> values) {
  begin(key, kGgufArray);
  put<std::uint32_t>(kGgufF32);
  put<std::uint64_t>(values.size());
  for (const float value : values) put(value);
}

void GgufKeys::numbers(std::string_view key, std::span<const std::int32_t> values) {
  begin(key, kGgufArray);
  put<std::uint32_t>(kGgufI32);
  put<std::uint64_t>(values.size());
  for (const std::int32_t value : values) put(value);
}

void GgufKeys::copy(const MetaEntry& entry) {
  if (const auto* array = std::get_if<MetaArray>(&entry.value)) {
    const std::uint32_t size = gguf_value_bytes(array->element_type);
    if (array->element_type == kGgufString) {
      const std::vector<std::string> values = array_elements(*array, array->count);
      return texts(entry.key, values);
    }
    if (size == 0) return;  // arrays of arrays: ggml does not read them
    begin(entry.key, kGgufArray);
    put(array->element_type);
    put(array->count);
    Buffer scratch;
    const auto raw =
        array->file->bytes(array->offset, static_cast<std::size_t>(array->size_bytes), scratch);
    std::string values(reinterpret_cast<const char*>(raw.data()), raw.size());
    if (array->big_endian) {
      for (std::size_t i = 0; i + size <= values.size(); i += size) {
        std::reverse(values.begin() + static_cast<std::ptrdiff_t>(i),
                     values.begin() + static_cast<std::ptrdiff_t>(i + size));
      }
    }
    bytes_ += values;
    return;
  }
  if (const auto* value = std::get_if<std::string>(&entry.value)) return text(entry.key, *value);
  if (const auto* value = std::get_if<bool>(&entry.value)) return boolean(entry.key, *value);
  if (const auto* value = std::get_if<double>(&entry.value)) {
    if (entry.type == "f32") return f32(entry.key, *value);
    begin(entry.key, kGgufF64);
    return put(*value);
  }
  // A whole number: its low bytes are the narrower type's, signed or not.
  std::uint32_t type = 0;
  while (meta_type_name(type) != entry.type) ++type;
  const auto* natural = std::get_if<std::uint64_t>(&entry.value);
  const std::uint64_t number =
      natural != nullptr ? *natural
                         : static_cast<std::uint64_t>(std::get<std::int64_t>(entry.value));
  begin(entry.key, type);
  std::array<char, sizeof number> raw;
  std::memcpy(raw.data(), &number, sizeof number);
  bytes_.append(raw.data(), gguf_value_bytes(type));
}

namespace {

using Json = nlohmann::json;

constexpr std::array kArchitectures = {
    GgufArchitecture{"LlamaForCausalLM", "llama", true},
    GgufArchitecture{"MistralForCausalLM", "llama", true},
    GgufArchitecture{"MixtralForCausalLM", "llama", true},
    GgufArchitecture{"Qwen2ForCausalLM", "qwen2"},
    GgufArchitecture{"Qwen3ForCausalLM", "qwen3", false, false, true},
    GgufArchitecture{"Gemma2ForCausalLM", "gemma2", false, true, true},
    GgufArchitecture{"Gemma3ForCausalLM", "gemma3", false, true, true},
    GgufArchitecture{"Gemma3ForConditionalGeneration", "gemma3", false, true, true},
};

/// config.json of the language model: of one with towers its text_config.
class TextConfig {
 public:
  explicit TextConfig(const Model& model) : path_(model.path), config_(*model.config) {
    const auto text = config_.find("text_config");
    if (text != config_.end() && text->is_object()) {
      const Json inner = *text;
      config_ = inner;
    }
  }

  std::optional<double> number(const Json& object, const char* name) const {
    const auto it = object.find(name);
    if (it == object.end() || !it->is_number()) return std::nullopt;
    return it->get<double>();
  }
  std::optional<double> number(const char* name) const { return number(config_, name); }
  std::optional<std::uint64_t> size(const char* name) const {
    const auto it = config_.find(name);
    if (it == config_.end() || !it->is_number_unsigned()) return std::nullopt;
    return it->get<std::uint64_t>();
  }
  std::uint64_t needed(const char* name) const {
    if (const auto value = size(name)) return *value;
    throw Error(ErrorCode::kMissing, fmt::format("config.json does not say {}", name),
                "the configuration of a language model", path_);
  }
  std::uint64_t head_size() const {
    const auto own = size("head_dim");
    const std::uint64_t heads = std::max<std::uint64_t>(needed("num_attention_heads"), 1);
    return own && *own > 0 ? *own : needed("hidden_size") / heads;
  }
  /// Its rotary scaling in the newer or the older form; an empty object for none.
  Json rotary() const {
    for (const char* name : {"rope_parameters", "rope_scaling"}) {
      const auto it = config_.find(name);
      if (it == config_.end() || !it->is_object()) continue;
      // Gemma 3 has one for each kind of layer.
      const auto full = it->find("full_attention");
      return full != it->end() && full->is_object() ? *full : *it;
    }
    return Json::object();
  }
  std::string rotary_type() const {
    const Json scaling = rotary();
    for (const char* name : {"rope_type", "type"}) {
      const auto it = scaling.find(name);
      if (it != scaling.end() && it->is_string()) return it->get<std::string>();
    }
    return "default";
  }

 private:
  std::string path_;
  Json config_;
};

void add_rotary_keys(const TextConfig& config, const std::string& prefix, GgufKeys& keys) {
  const Json scaling = config.rotary();
  auto base = config.number(scaling, "rope_theta");
  if (!base) base = config.number("rope_theta");
  if (base) keys.f32(prefix + "rope.freq_base", *base);
  const std::string type = config.rotary_type();
  if (type == "linear") {
    keys.text(prefix + "rope.scaling.type", "linear");
    keys.f32(prefix + "rope.scaling.factor", config.number(scaling, "factor").value_or(1));
  } else if (type != "default" && type != "llama3") {
    throw Error(ErrorCode::kUsage, fmt::format("rotary scaling {} for a GGUF", type),
                "default, linear or llama3");
  }
}

}  // namespace

const GgufArchitecture& gguf_architecture(const Model& model) {
  const auto* found =
      std::find_if(kArchitectures.begin(), kArchitectures.end(),
                   [&](const auto& known) { return known.hugging_face == model.architecture; });
  if (found != kArchitectures.end()) return *found;
  std::vector<std::string_view> names;
  for (const GgufArchitecture& known : kArchitectures) names.push_back(known.hugging_face);
  throw Error(ErrorCode::kUsage,
              model.architecture.empty()
                  ? "a GGUF of a model that says nothing of its architecture"
                  : fmt::format("architecture {} for a GGUF", model.architecture),
              fmt::format("one of {}", fmt::join(names, ", ")), model.path);
}

void add_model_keys(const Model& model, const GgufArchitecture& architecture, GgufKeys& keys) {
  const TextConfig config(model);
  const std::string prefix = std::string(architecture.name) + ".";
  keys.text("general.architecture", architecture.name);
  keys.text("general.type", "model");
  keys.text("general.name", model.name);
  const auto size = [&](const char* key, const char* name) {
    keys.u32(prefix + key, config.needed(name));
  };
  const auto optional_size = [&](const char* key, const char* name) {
    if (const auto value = config.size(name); value && *value > 0) keys.u32(prefix + key, *value);
  };
  optional_size("vocab_size", "vocab_size");
  optional_size("context_length", "max_position_embeddings");
  size("embedding_length", "hidden_size");
  size("block_count", "num_hidden_layers");
  size("feed_forward_length", "intermediate_size");
  size("attention.head_count", "num_attention_heads");
  keys.u32(prefix + "attention.head_count_kv",
           config.size("num_key_value_heads").value_or(config.needed("num_attention_heads")));
  keys.f32(prefix + "attention.layer_norm_rms_epsilon",
           config.number("rms_norm_eps").value_or(1e-6));
  const bool own_heads =
      config.head_size() * config.needed("num_attention_heads") != config.needed("hidden_size");
  if (architecture.key_length || own_heads) {
    keys.u32(prefix + "attention.key_length", config.head_size());
    keys.u32(prefix + "attention.value_length", config.head_size());
  }
  keys.u32(prefix + "rope.dimension_count", config.head_size());
  add_rotary_keys(config, prefix, keys);
  optional_size("expert_count", "num_local_experts");
  optional_size("expert_used_count", "num_experts_per_tok");
  if (architecture.norm_plus_one) {  // Gemma
    optional_size("attention.sliding_window", "sliding_window");
    for (const char* name : {"attn_logit_softcapping", "final_logit_softcapping"}) {
      if (const auto cap = config.number(name)) keys.f32(prefix + name, *cap);
    }
  }
}

std::vector<float> rotary_factors(const Model& model) {
  const TextConfig config(model);
  if (config.rotary_type() != "llama3") return {};
  const Json scaling = config.rotary();
  auto base = config.number(scaling, "rope_theta");
  if (!base) base = config.number("rope_theta");
  const double factor = config.number(scaling, "factor").value_or(8);
  const double low = config.number(scaling, "low_freq_factor").value_or(1);
  const double high = config.number(scaling, "high_freq_factor").value_or(4);
  const double context = config.number(scaling, "original_max_position_embeddings").value_or(8192);
  const std::uint64_t half = config.head_size() / 2;
  std::vector<float> factors(half);
  for (std::uint64_t i = 0; i < half; ++i) {
    const double wave =
        2 * std::numbers::pi *
        std::pow(base.value_or(10000), static_cast<double>(i) / static_cast<double>(half));
    // Long waves are stretched whole, short ones not at all, gradually between.
    const double kept = std::clamp((context / wave - low) / (high - low), 0.0, 1.0);
    factors[i] = static_cast<float>(1 / ((1 - kept) / factor + kept));
  }
  return factors;
}

}  // namespace qi
