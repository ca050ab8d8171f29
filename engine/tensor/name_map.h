// Hugging Face and GGUF names of the same weight, and the row order in which llama.cpp's converter
// stores rotary q and k of "llama" models. Covers the llama family (Llama, Mistral, Mixtral, Qwen,
// Gemma, Phi-3, DeepSeek, gpt-oss): attention, MLP, experts, norms, biases, embeddings, head.
// A name it does not know maps to nothing. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

struct GgufName {
  std::string name;
  /// ≥ 0: that matrix of the stack `name`, for an expert that Hugging Face stores by itself.
  std::int64_t expert = -1;
  bool operator==(const GgufName&) const = default;
};

/// "model.layers.3.self_attn.q_proj.weight" → "blk.3.attn_q.weight";
/// "model.layers.3.mlp.experts.5.up_proj.weight" → expert 5 of "blk.3.ffn_up_exps.weight".
std::optional<GgufName> gguf_name(std::string_view hugging_face_name);

/// All names that `gguf_name` (for a stack: its matrix `expert`, or the whole with −1) may have in
/// a Hugging Face model, the most telling first: in a model that has both names of "ffn_norm",
/// the first one is it. Empty for names that are not known.
std::vector<std::string> hugging_face_names(std::string_view gguf_name, std::int64_t expert = -1);

/// Heads of q and k whose rows the GGUF converter permuted; 0: permuted, but by how many heads the
/// file does not say.
struct RotaryHeads {
  std::uint64_t heads = 0;     // of q
  std::uint64_t kv_heads = 0;  // of k
};
/// From a GGUF's metadata: set for architecture "llama"; the others keep Hugging Face's order.
std::optional<RotaryHeads> rotary_heads(const Model& gguf);

/// The row of the GGUF's q or k (`head_rows` rows a head, an even number) that holds row `row` of
/// Hugging Face's: within a head, rows i and i + head_rows/2 of the latter are neighbours there.
constexpr std::uint64_t rotary_row(std::uint64_t row, std::uint64_t head_rows) {
  const std::uint64_t in_head = row % head_rows;
  const std::uint64_t half = head_rows / 2;
  return row - in_head + in_head % half * 2 + in_head / half;
}

}  // namespace qi
