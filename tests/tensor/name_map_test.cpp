#include "engine/tensor/name_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qi {
namespace {

std::string to_gguf(std::string_view name) {
  const auto found = gguf_name(name);
  if (!found) return "";
  return found->expert < 0 ? found->name : found->name + "#" + std::to_string(found->expert);
}

TEST(NameMapTest, HuggingFaceToGguf) {
  const std::vector<std::pair<std::string, std::string>> names = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q.weight"},
      {"model.layers.31.self_attn.k_proj.bias", "blk.31.attn_k.bias"},
      {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight"},
      {"model.layers.0.self_attn.qkv_proj.weight", "blk.0.attn_qkv.weight"},
      {"model.layers.0.self_attn.q_norm.weight", "blk.0.attn_q_norm.weight"},
      {"model.layers.0.mlp.gate_up_proj.weight", "blk.0.ffn_up.weight"},
      {"model.layers.0.mlp.experts.12.down_proj.weight", "blk.0.ffn_down_exps.weight#12"},
      {"model.layers.0.block_sparse_moe.experts.7.w3.weight", "blk.0.ffn_up_exps.weight#7"},
      {"model.layers.0.mlp.gate.weight", "blk.0.ffn_gate_inp.weight"},
      {"model.layers.0.mlp.gate.e_score_correction_bias", "blk.0.exp_probs_b.bias"},
      {"model.layers.0.self_attn.sinks", "blk.0.attn_sinks.weight"},
      {"model.layers.0.mlp.shared_experts.up_proj.weight", "blk.0.ffn_up_shexp.weight"},
      {"language_model.model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight"},
      {"model.language_model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight"},
      {"language_model.lm_head.weight", "output.weight"},
      {"model.layers.0.self_attn.q_proj", ""},
      {"model.layers..self_attn.q_proj.weight", ""},
      {"model.layers.99999999999.self_attn.q_proj.weight", ""},
      {"model.layers.0.mlp.experts.x.up_proj.weight", ""},
      {"vision.patch_embed.weight", ""},
      {"", ""},
  };
  for (const auto& [hugging_face, gguf] : names)
    EXPECT_EQ(to_gguf(hugging_face), gguf) << hugging_face;
}

TEST(NameMapTest, EveryCandidateLeadsBack) {
  for (const std::string name :
       {"token_embd.weight", "output_norm.weight", "output.weight", "blk.0.attn_norm.weight",
        "blk.0.ffn_norm.weight", "blk.11.attn_q.weight", "blk.11.attn_v.bias",
        "blk.2.attn_kv_a_mqa.weight", "blk.2.ffn_gate_inp.weight", "blk.2.attn_sinks.weight",
        "blk.2.exp_probs_b.bias", "blk.2.ffn_gate_inp_shexp.weight"}) {
    const auto candidates = hugging_face_names(name);
    EXPECT_FALSE(candidates.empty()) << name;
    for (const std::string& candidate : candidates) {
      EXPECT_EQ(to_gguf(candidate), name) << candidate;
    }
  }
  EXPECT_THAT(hugging_face_names("blk.4.ffn_gate_exps.weight", 9),
              testing::IsSupersetOf({"model.layers.4.mlp.experts.9.gate_proj.weight",
                                     "model.layers.4.block_sparse_moe.experts.9.w1.weight"}));
  EXPECT_THAT(hugging_face_names("blk.4.ffn_gate_exps.weight"),
              testing::Contains("model.layers.4.mlp.experts.gate_proj.weight"));
  for (const std::string name : {"blk.x.attn_q.weight", "blk.1.attn_q", "rope_freqs.weight", ""}) {
    EXPECT_TRUE(hugging_face_names(name).empty()) << name;
  }
}

TEST(NameMapTest, GemmaNormsAreToldApart) {
  EXPECT_EQ(hugging_face_names("blk.0.ffn_norm.weight").front(),
            "model.layers.0.pre_feedforward_layernorm.weight");
  EXPECT_EQ(hugging_face_names("blk.0.post_attention_norm.weight").front(),
            "model.layers.0.post_attention_layernorm.weight");
}

/// Against the definition: w reshaped to (heads, 2, d/2), its two inner axes swapped.
TEST(NameMapTest, RotaryRowsFollowTheReshape) {
  for (const auto& [heads, d] : {std::pair{1u, 2u}, {3u, 8u}, {4u, 128u}}) {
    std::vector<std::uint64_t> gguf;  // gguf[i]: the Hugging Face row that row i holds
    for (unsigned head = 0; head < heads; ++head) {
      for (unsigned i = 0; i < d / 2; ++i) {
        for (unsigned half = 0; half < 2; ++half) gguf.push_back(head * d + half * (d / 2) + i);
      }
    }
    for (std::uint64_t row = 0; row < heads * d; ++row) EXPECT_EQ(gguf[rotary_row(row, d)], row);
  }
}

TEST(NameMapTest, OnlyTheLlamaArchitecturePermutes) {
  Model model;
  EXPECT_FALSE(rotary_heads(model).has_value());
  model.metadata.add({"general.architecture", "string", std::string("llama"), 0});
  EXPECT_EQ(rotary_heads(model)->heads, 0u);
  model.metadata.add({"llama.attention.head_count", "u32", std::uint64_t{32}, 0});
  EXPECT_EQ(rotary_heads(model)->kv_heads, 32u);
  model.metadata.add({"llama.attention.head_count_kv", "u32", std::uint64_t{8}, 0});
  EXPECT_EQ(rotary_heads(model)->kv_heads, 8u);
  Model qwen;
  qwen.metadata.add({"general.architecture", "string", std::string("qwen2"), 0});
  EXPECT_FALSE(rotary_heads(qwen).has_value());
}

}  // namespace
}  // namespace qi
