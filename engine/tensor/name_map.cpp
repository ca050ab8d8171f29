#include "engine/tensor/name_map.h"

#include <array>
#include <charconv>

#include <fmt/format.h>

namespace qi {
namespace {

struct Pair {
  std::string_view gguf;
  std::string_view hugging_face;  // '#' stands for the expert's number
};

constexpr std::array kGlobal = {
    Pair{"token_embd", "model.embed_tokens"},
    Pair{"output_norm", "model.norm"},
    Pair{"output", "lm_head"},
};

// Inside a layer. Where a GGUF name has several, the one that settles the model's kind comes first
// (only Gemma 2 and 3 have pre_feedforward_layernorm).
constexpr std::array kLayer = {
    Pair{"attn_norm", "input_layernorm"},
    Pair{"ffn_norm", "pre_feedforward_layernorm"},
    Pair{"ffn_norm", "post_attention_layernorm"},
    Pair{"post_attention_norm", "post_attention_layernorm"},
    Pair{"post_ffw_norm", "post_feedforward_layernorm"},
    Pair{"attn_q", "self_attn.q_proj"},
    Pair{"attn_k", "self_attn.k_proj"},
    Pair{"attn_v", "self_attn.v_proj"},
    Pair{"attn_qkv", "self_attn.qkv_proj"},
    Pair{"attn_output", "self_attn.o_proj"},
    Pair{"attn_q_norm", "self_attn.q_norm"},
    Pair{"attn_k_norm", "self_attn.k_norm"},
    Pair{"attn_q_a", "self_attn.q_a_proj"},
    Pair{"attn_q_b", "self_attn.q_b_proj"},
    Pair{"attn_q_a_norm", "self_attn.q_a_layernorm"},
    Pair{"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    Pair{"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    Pair{"attn_kv_b", "self_attn.kv_b_proj"},
    Pair{"ffn_gate", "mlp.gate_proj"},
    Pair{"ffn_up", "mlp.up_proj"},
    Pair{"ffn_up", "mlp.gate_up_proj"},
    Pair{"ffn_down", "mlp.down_proj"},
    Pair{"ffn_gate_inp", "mlp.gate"},
    Pair{"ffn_gate_inp", "block_sparse_moe.gate"},
    Pair{"ffn_gate_inp", "mlp.router"},
    Pair{"ffn_gate_exps", "mlp.experts.#.gate_proj"},
    Pair{"ffn_up_exps", "mlp.experts.#.up_proj"},
    Pair{"ffn_down_exps", "mlp.experts.#.down_proj"},
    Pair{"ffn_gate_exps", "block_sparse_moe.experts.#.w1"},
    Pair{"ffn_up_exps", "block_sparse_moe.experts.#.w3"},
    Pair{"ffn_down_exps", "block_sparse_moe.experts.#.w2"},
    Pair{"ffn_gate_exps", "mlp.experts.gate_proj"},
    Pair{"ffn_up_exps", "mlp.experts.up_proj"},
    Pair{"ffn_down_exps", "mlp.experts.down_proj"},
    Pair{"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    Pair{"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    Pair{"ffn_down_shexp", "mlp.shared_expert.down_proj"},
    Pair{"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
    Pair{"ffn_up_shexp", "mlp.shared_experts.up_proj"},
    Pair{"ffn_down_shexp", "mlp.shared_experts.down_proj"},
    Pair{"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
};

// Names that do not end in .weight or .bias on the Hugging Face side.
constexpr std::array kWholeNames = {
    Pair{"attn_sinks.weight", "self_attn.sinks"},
    Pair{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
};

constexpr std::string_view kHuggingFaceLayer = "model.layers.";
constexpr std::string_view kGgufLayer = "blk.";

/// Cuts a decimal number off the front.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  std::uint32_t number = 0;
  const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(next - text.data()));
  return number;
}

/// "12.rest" → 12, leaving "rest".
std::optional<std::uint32_t> take_layer(std::string_view& text) {
  const std::optional<std::uint32_t> layer = take_number(text);
  if (!layer || !text.starts_with('.')) return std::nullopt;
  text.remove_prefix(1);
  return layer;
}

/// ".weight" or ".bias", cut off the end; empty when there is neither.
std::string_view take_ending(std::string_view& name) {
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (!name.ends_with(ending)) continue;
    name.remove_suffix(ending.size());
    return ending;
  }
  return {};
}

/// Whether `name` is `pattern` with a number for its '#' (−1 where it has none).
std::optional<std::int64_t> match(std::string_view pattern, std::string_view name) {
  const std::size_t hash = pattern.find('#');
  if (hash == std::string_view::npos) {
    return pattern == name ? std::optional<std::int64_t>(-1) : std::nullopt;
  }
  if (!name.starts_with(pattern.substr(0, hash))) return std::nullopt;
  name.remove_prefix(hash);
  const std::optional<std::uint32_t> number = take_number(name);
  return number && name == pattern.substr(hash + 1) ? std::optional<std::int64_t>(*number)
                                                    : std::nullopt;
}

/// The text model of one with vision or audio towers: "language_model.model.layers…" and
/// "model.language_model.layers…" → "model.layers…".
std::string without_outer_name(std::string_view name) {
  constexpr std::string_view kOuter = "language_model.";
  constexpr std::string_view kInner = "model.language_model.";
  if (name.starts_with(kOuter)) return std::string(name.substr(kOuter.size()));
  if (name.starts_with(kInner)) return fmt::format("model.{}", name.substr(kInner.size()));
  return std::string(name);
}

}  // namespace

std::optional<GgufName> gguf_name(std::string_view hugging_face_name) {
  const std::string plain = without_outer_name(hugging_face_name);
  std::string_view name = plain;
  if (!name.starts_with(kHuggingFaceLayer)) {
    const std::string_view ending = take_ending(name);
    for (const Pair& pair : kGlobal) {
      if (!ending.empty() && pair.hugging_face == name) {
        return GgufName{fmt::format("{}{}", pair.gguf, ending)};
      }
    }
    return std::nullopt;
  }
  name.remove_prefix(kHuggingFaceLayer.size());
  const std::optional<std::uint32_t> layer = take_layer(name);
  if (!layer) return std::nullopt;
  for (const Pair& pair : kWholeNames) {
    if (pair.hugging_face == name) return GgufName{fmt::format("blk.{}.{}", *layer, pair.gguf)};
  }
  const std::string_view ending = take_ending(name);
  if (ending.empty()) return std::nullopt;
  for (const Pair& pair : kLayer) {
    if (const auto expert = match(pair.hugging_face, name)) {
      return GgufName{fmt::format("blk.{}.{}{}", *layer, pair.gguf, ending), *expert};
    }
  }
  return std::nullopt;
}

std::vector<std::string> hugging_face_names(std::string_view gguf_name, std::int64_t expert) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view plain) {
    names.emplace_back(plain);
    names.push_back(fmt::format("language_model.{}", plain));
    constexpr std::string_view kModel = "model.";
    if (!plain.starts_with(kModel)) return;
    names.push_back(fmt::format("model.language_model.{}", plain.substr(kModel.size())));
  };
  std::string_view name = gguf_name;
  if (!name.starts_with(kGgufLayer)) {
    const std::string_view ending = take_ending(name);
    for (const Pair& pair : kGlobal) {
      if (!ending.empty() && pair.gguf == name) add(fmt::format("{}{}", pair.hugging_face, ending));
    }
    return names;
  }
  name.remove_prefix(kGgufLayer.size());
  const std::optional<std::uint32_t> layer = take_layer(name);
  if (!layer) return names;
  for (const Pair& pair : kWholeNames) {
    if (pair.gguf == name) add(fmt::format("model.layers.{}.{}", *layer, pair.hugging_face));
  }
  const std::string_view ending = take_ending(name);
  for (const Pair& pair : kLayer) {
    const std::size_t hash = pair.hugging_face.find('#');
    const bool by_expert = hash != std::string_view::npos;
    if (ending.empty() || pair.gguf != name || by_expert != (expert >= 0)) continue;
    std::string module(pair.hugging_face);
    if (by_expert) module.replace(hash, 1, fmt::to_string(expert));
    add(fmt::format("model.layers.{}.{}{}", *layer, module, ending));
  }
  return names;
}

std::optional<RotaryHeads> rotary_heads(const Model& gguf) {
  if (gguf.metadata.text("general.architecture") != "llama") return std::nullopt;
  RotaryHeads heads;
  heads.heads = gguf.metadata.unsigned_number("llama.attention.head_count").value_or(0);
  heads.kv_heads =
      gguf.metadata.unsigned_number("llama.attention.head_count_kv").value_or(heads.heads);
  return heads;
}

}  // namespace qi
