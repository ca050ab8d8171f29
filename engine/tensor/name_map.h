// Hugging Face and GGUF names of the same weight, and the row order in which llama.cpp's converter
// stores rotary q and k of "llama" models. Covers the llama family (Llama, Mistral, Mixtral, Qwen,
// Gemma, Phi-3, DeepSeek, gpt-oss): attention, MLP, experts, norms, biases, embeddings, head.
// A name it does not know maps to nothing. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/tensor/model.h"

namespace qi {

/// "model.layers.3.self_attn.q_proj.weight" → "blk.3.attn_q.weight". A separately stored expert
/// maps to the stack that holds it, see expert_of_stack().
std::optional<std::string> gguf_name(std::string_view hugging_face_name);
/// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight"; expert stacks give the stacked
/// name "model.layers.3.mlp.experts.gate_proj.weight".
std::optional<std::string> hugging_face_name(std::string_view gguf_name);

/// Heads of q and k whose rows the GGUF converter permuted.
struct RotaryHeads {
  std::uint64_t heads = 0;     // of q
  std::uint64_t kv_heads = 0;  // of k
};
/// From a GGUF's metadata: set for architecture "llama" with head counts, else nothing.
std::optional<RotaryHeads> rotary_heads(const Model& gguf);

/// The row of the Hugging Face matrix that row `gguf_row` of a permuted matrix of `rows` rows in
/// `heads` heads holds: within a head, GGUF row 2·i + half is row half·(d/2) + i of the original.
/// Needs rows divisible by 2 · heads.
std::uint64_t rotary_row(std::uint64_t gguf_row, std::uint64_t rows, std::uint64_t heads);

}  // namespace qi
