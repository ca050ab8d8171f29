#include "eval/transformer/architecture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "engine/io/error.h"
#include "engine/tensor/name_map.h"

namespace qi {
namespace {

using Json = nlohmann::json;

enum class Family : std::uint8_t { kLlama, kMistral, kQwen2, kQwen3, kGemma2, kGemma3 };

struct KnownName {
  std::string_view name;
  Family family;
};
constexpr std::array kHuggingFace = {
    KnownName{"LlamaForCausalLM", Family::kLlama},
    KnownName{"MistralForCausalLM", Family::kMistral},
    KnownName{"Qwen2ForCausalLM", Family::kQwen2},
    KnownName{"Qwen3ForCausalLM", Family::kQwen3},
    KnownName{"Gemma2ForCausalLM", Family::kGemma2},
    KnownName{"Gemma3ForCausalLM", Family::kGemma3},
    KnownName{"Gemma3ForConditionalGeneration", Family::kGemma3},
};
constexpr std::array kGguf = {
    KnownName{"llama", Family::kLlama},   KnownName{"qwen2", Family::kQwen2},
    KnownName{"qwen3", Family::kQwen3},   KnownName{"gemma2", Family::kGemma2},
    KnownName{"gemma3", Family::kGemma3},
};

// More layers than any model has; what is really there is seen from the weights.
constexpr std::uint64_t kMostLayers = 10'000;
constexpr std::uint64_t kLargestSize = std::uint64_t{1} << 24;  // of a vector of activations

/// The facts of one model, wherever they stand: a name in config.json, one among a GGUF's keys.
class Facts {
 public:
  explicit Facts(const Model& model) : model_(model), config_(*model.config) {
    if (const auto text = config_.find("text_config"); text != config_.end()) config_ = *text;
    prefix_ = std::string(model.metadata.text("general.architecture").value_or(""));
  }

  bool gguf() const { return !prefix_.empty(); }
  const std::string& architecture() const { return gguf() ? prefix_ : model_.architecture; }

  std::optional<double> number(std::string_view name, std::string_view key) const {
    if (gguf()) return model_.metadata.number(fmt::format("{}.{}", prefix_, key));
    return number_in(config_, name);
  }
  std::optional<std::uint64_t> size(std::string_view name, std::string_view key) const {
    const std::optional<double> value = number(name, key);
    if (!value || *value <= 0) return std::nullopt;  // null, or 0 for "none"
    if (*value > static_cast<double>(kLargestSize) || *value != std::floor(*value)) {
      fail(ErrorCode::kBadValue, fmt::format("{} is {}", gguf() ? key : name, *value),
           fmt::format("a size of at most {}", kLargestSize));
    }
    return static_cast<std::uint64_t>(*value);
  }
  std::uint64_t needed(std::string_view name, std::string_view key) const {
    const std::optional<std::uint64_t> value = size(name, key);
    if (!value) {
      fail(ErrorCode::kMissing, fmt::format("{} is not said", gguf() ? key : name),
           gguf() ? "the keys of a language model" : "the config.json of a language model");
    }
    return *value;
  }
  std::optional<bool> flag(std::string_view name) const {
    const Json* value = found(config_, name);
    return value != nullptr && value->is_boolean() ? std::optional(value->get<bool>())
                                                   : std::nullopt;
  }
  std::string text(std::string_view name) const { return text_in(config_, name); }
  /// An object of config.json; empty when there is none.
  Json object(std::string_view name) const {
    const Json* value = found(config_, name);
    return value != nullptr && value->is_object() ? *value : Json::object();
  }
  /// A list of words, one a layer (layer_types).
  std::vector<std::string> words(std::string_view name) const {
    const Json* value = found(config_, name);
    std::vector<std::string> out;
    if (value == nullptr || !value->is_array()) return out;
    for (const Json& word : *value) out.push_back(word.is_string() ? word.get<std::string>() : "");
    return out;
  }

  static std::optional<double> number_in(const Json& object, std::string_view name) {
    const Json* value = found(object, name);
    return value != nullptr && value->is_number() ? std::optional(value->get<double>())
                                                  : std::nullopt;
  }
  static std::string text_in(const Json& object, std::string_view name) {
    const Json* value = found(object, name);
    return value != nullptr && value->is_string() ? value->get<std::string>() : "";
  }

  [[noreturn]] void fail(ErrorCode code, std::string message, std::string expected) const {
    throw Error(code, std::move(message), std::move(expected), model_.path);
  }

 private:
  static const Json* found(const Json& object, std::string_view name) {
    const auto it = object.find(std::string(name));
    return it == object.end() ? nullptr : &*it;
  }

  const Model& model_;
  Json config_;
  std::string prefix_;
};

Family family_of(const Facts& facts) {
  const std::span<const KnownName> table =
      facts.gguf() ? std::span<const KnownName>(kGguf) : std::span<const KnownName>(kHuggingFace);
  std::vector<std::string_view> names;
  for (const KnownName& known : table) {
    if (known.name == facts.architecture()) return known.family;
    names.push_back(known.name);
  }
  facts.fail(ErrorCode::kBadSchema,
             facts.architecture().empty()
                 ? "says nothing of its architecture"
                 : fmt::format("architecture {} is not known", facts.architecture()),
             fmt::format("one of {}", fmt::join(names, ", ")));
}

void read_heads(const Facts& facts, Family family, Architecture& out) {
  // The folders of Gemma 3 leave out what is as in its smallest model with a vision tower.
  const bool defaults = family == Family::kGemma3 && !facts.gguf();
  const auto heads = facts.size("num_attention_heads", "attention.head_count");
  const auto kv_heads = facts.size("num_key_value_heads", "attention.head_count_kv");
  const auto head_dim = facts.size("head_dim", "attention.key_length");
  out.heads = defaults && !heads ? 8 : facts.needed("num_attention_heads", "attention.head_count");
  out.kv_heads = kv_heads.value_or(defaults ? 4 : out.heads);
  out.head_dim = head_dim.value_or(defaults ? 256 : out.hidden / out.heads);
}

/// θ^(−2i/d): the plain rotary frequencies (Su et al., RoFormer, section 3.2).
std::vector<double> plain_frequencies(double theta, std::uint64_t head_dim) {
  std::vector<double> out(head_dim / 2);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  }
  return out;
}

/// Llama 3.1's scaling: waves longer than the old context are stretched by `factor`, those that fit
/// it often stay, and between the two the change is gradual.
void scale_as_llama3(const Json& scaling, double factor, const Facts& facts,
                     std::vector<double>& frequencies) {
  const auto low = Facts::number_in(scaling, "low_freq_factor");
  const auto high = Facts::number_in(scaling, "high_freq_factor");
  const auto old_context = Facts::number_in(scaling, "original_max_position_embeddings");
  if (!low || !high || !old_context || !(*low < *high)) {
    facts.fail(ErrorCode::kBadValue, "rotary scaling llama3 is incomplete",
               "low_freq_factor < high_freq_factor and original_max_position_embeddings");
  }
  for (double& frequency : frequencies) {
    const double waves = *old_context * frequency / (2 * std::numbers::pi);
    const double kept = std::clamp((waves - *low) / (*high - *low), 0.0, 1.0);
    frequency *= kept + (1 - kept) / factor;
  }
}

/// Frequencies from a Hugging Face description of them, by its older or newer form.
std::vector<double> described_frequencies(const Json& scaling, double theta, std::uint64_t head_dim,
                                          const Facts& facts) {
  theta = Facts::number_in(scaling, "rope_theta").value_or(theta);
  std::vector<double> out = plain_frequencies(theta, head_dim);
  std::string type = Facts::text_in(scaling, "rope_type");
  if (type.empty()) type = Facts::text_in(scaling, "type");
  if (type.empty() || type == "default") return out;
  const double factor = Facts::number_in(scaling, "factor").value_or(0);
  if (!(factor >= 1)) {
    facts.fail(ErrorCode::kBadValue, fmt::format("rotary scaling by {}", factor),
               "a factor of at least 1");
  }
  if (type == "linear") {
    for (double& frequency : out) frequency /= factor;
  } else if (type == "llama3") {
    scale_as_llama3(scaling, factor, facts, out);
  } else {
    facts.fail(ErrorCode::kBadSchema, fmt::format("rotary scaling {} is not known", type),
               "default, linear or llama3");
  }
  return out;
}

void read_rotary(const Facts& facts, const Model& model, Family family, Architecture& out) {
  const double theta = facts.number("rope_theta", "rope.freq_base")
                           .value_or(family == Family::kGemma3 ? 1'000'000 : 10'000);
  constexpr double kGemma3LocalTheta = 10000;
  if (facts.gguf()) {
    out.rotary_neighbours = rotary_heads(model).has_value();
    out.frequencies = plain_frequencies(theta, out.head_dim);
    const std::string type(
        model.metadata.text(facts.architecture() + ".rope.scaling.type").value_or("none"));
    if (type == "linear") {
      const double factor = facts.number("", "rope.scaling.factor").value_or(1);
      for (double& frequency : out.frequencies) frequency /= factor;
    } else if (type != "none") {
      facts.fail(ErrorCode::kBadSchema, fmt::format("rotary scaling {} is not known", type),
                 "none or linear");
    }
    if (facts.size("", "rope.dimension_count").value_or(out.head_dim) != out.head_dim) {
      facts.fail(ErrorCode::kBadSchema, "a part of each head is rotary", "whole heads");
    }
    if (family == Family::kGemma3) {
      out.local_frequencies = plain_frequencies(kGemma3LocalTheta, out.head_dim);
    }
    return;
  }
  const Json newer = facts.object("rope_parameters");
  const Json scaling = newer.empty() ? facts.object("rope_scaling") : newer;
  if (family != Family::kGemma3) {
    out.frequencies = described_frequencies(scaling, theta, out.head_dim, facts);
    return;
  }
  const auto of_kind = [&](const char* kind, const Json& older, double older_theta) {
    const auto it = newer.find(kind);
    const bool described = it != newer.end() && it->is_object();
    return described_frequencies(described ? *it : older, older_theta, out.head_dim, facts);
  };
  out.frequencies = of_kind("full_attention", scaling, theta);
  out.local_frequencies =
      of_kind("sliding_attention", Json::object(),
              facts.number("rope_local_base_freq", "").value_or(kGemma3LocalTheta));
}

/// Which layers look back over a window alone.
void read_windows(const Facts& facts, Family family, std::uint64_t layers, Architecture& out) {
  std::uint64_t window = facts.size("sliding_window", "attention.sliding_window").value_or(0);
  const bool qwen = family == Family::kQwen2 || family == Family::kQwen3;
  if (qwen && !facts.flag("use_sliding_window").value_or(false)) window = 0;
  if (family == Family::kLlama) window = 0;
  const std::vector<std::string> kinds = facts.words("layer_types");
  const std::uint64_t first_of_qwen = facts.size("max_window_layers", "").value_or(0);
  const std::uint64_t pattern =  // of Gemma: every so many layers one sees everything
      family == Family::kGemma2   ? 2
      : family == Family::kGemma3 ? facts.size("sliding_window_pattern", "").value_or(6)
                                  : 0;
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    bool sliding = true;
    if (kinds.size() == layers) {
      sliding = kinds[layer] == "sliding_attention";
    } else if (qwen) {
      sliding = layer >= first_of_qwen;
    } else if (pattern > 0) {
      sliding = (layer + 1) % pattern != 0;
    }
    out.windows.push_back(sliding ? window : 0);
  }
}

void read_activation(const Facts& facts, Family family, Architecture& out) {
  if (family == Family::kGemma2 || family == Family::kGemma3) out.activation = Activation::kGelu;
  const std::string name = facts.text("hidden_act");
  const bool gelu = out.activation == Activation::kGelu;
  if (!name.empty() && (gelu ? !name.starts_with("gelu") : name != "silu" && name != "swish")) {
    facts.fail(ErrorCode::kBadSchema, fmt::format("activation {} is not known here", name),
               gelu ? "gelu_pytorch_tanh" : "silu");
  }
}

void read_gemma(const Facts& facts, std::uint64_t layers, Family family, Architecture& out) {
  out.post_norms = true;
  out.norm_offset = facts.gguf() ? 0 : 1;  // llama.cpp's converter adds the 1
  out.embedding_scale = std::sqrt(static_cast<double>(out.hidden));
  // Not among a GGUF's keys: llama.cpp knows the 27-billion models by their layers.
  const bool largest = family == Family::kGemma2 ? layers == 46 : layers == 62;
  const double scalar =
      facts.gguf() && largest
          ? static_cast<double>(out.hidden) / static_cast<double>(out.heads)
          : facts.number("query_pre_attn_scalar", "").value_or(static_cast<double>(out.head_dim));
  out.attention_scale = 1 / std::sqrt(scalar);
  if (family == Family::kGemma2) {
    out.attention_cap =
        facts.number("attn_logit_softcapping", "attn_logit_softcapping").value_or(0);
    out.logit_cap = facts.number("final_logit_softcapping", "final_logit_softcapping").value_or(0);
  }
}

}  // namespace

Architecture read_architecture(const Model& model) {
  const Facts facts(model);
  const Family family = family_of(facts);
  const bool gemma = family == Family::kGemma2 || family == Family::kGemma3;
  Architecture out;
  out.name = facts.architecture();
  if (facts.size("num_local_experts", "expert_count").value_or(0) > 0) {
    facts.fail(ErrorCode::kBadSchema, fmt::format("{} with experts is not known", out.name),
               "a model without experts");
  }
  const std::uint64_t layers = facts.needed("num_hidden_layers", "block_count");
  if (layers > kMostLayers) {
    facts.fail(ErrorCode::kLimit, fmt::format("{} layers", layers),
               fmt::format("at most {}", kMostLayers));
  }
  out.hidden = facts.needed("hidden_size", "embedding_length");
  out.intermediate = facts.needed("intermediate_size", "feed_forward_length");
  read_heads(facts, family, out);
  if (out.heads % out.kv_heads != 0 || out.head_dim == 0 || out.head_dim % 2 != 0) {
    facts.fail(ErrorCode::kBadValue,
               fmt::format("{} heads of {} for {} of keys and values", out.heads, out.head_dim,
                           out.kv_heads),
               "heads of an even size, a multiple of those of keys and values");
  }
  out.vocab = facts.size("vocab_size", "vocab_size").value_or(0);
  out.context = facts.size("max_position_embeddings", "context_length").value_or(0);
  out.norm_epsilon = facts.number("rms_norm_eps", "attention.layer_norm_rms_epsilon")
                         .value_or(gemma || family == Family::kQwen2 ? 1e-6 : 1e-5);
  out.tied_head = facts.flag("tie_word_embeddings").value_or(gemma);
  out.may_lack_head = facts.gguf() || facts.flag("tie_word_embeddings").value_or(true);
  out.qk_norms = family == Family::kQwen3 || family == Family::kGemma3;
  out.qkv_biases = family == Family::kQwen2 || facts.flag("attention_bias").value_or(false);
  out.attention_scale = 1 / std::sqrt(static_cast<double>(out.head_dim));
  read_activation(facts, family, out);
  read_rotary(facts, model, family, out);
  read_windows(facts, family, layers, out);
  if (gemma) read_gemma(facts, layers, family, out);
  return out;
}

}  // namespace qi
