#include "engine/tensor/roles.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qi {
namespace {

struct Case {
  std::string_view name;
  Role role;
  int layer = -1;
  int expert = -1;
};

void expect_facts(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    const NameFacts facts = name_facts(c.name);
    EXPECT_EQ(role_name(facts.role), role_name(c.role)) << c.name;
    EXPECT_EQ(facts.layer, c.layer) << c.name;
    EXPECT_EQ(facts.expert, c.expert) << c.name;
  }
}

using enum Role;

TEST(RolesTest, Llama) {
  expect_facts({{"model.embed_tokens.weight", kEmbed},
                {"model.layers.0.self_attn.q_proj.weight", kQ, 0},
                {"model.layers.31.self_attn.k_proj.weight", kK, 31},
                {"model.layers.7.self_attn.v_proj.bias", kBias, 7},
                {"model.layers.7.self_attn.o_proj.weight", kO, 7},
                {"model.layers.7.mlp.gate_proj.weight", kGate, 7},
                {"model.layers.7.mlp.up_proj.weight", kUp, 7},
                {"model.layers.7.mlp.down_proj.weight", kDown, 7},
                {"model.layers.7.input_layernorm.weight", kNorm, 7},
                {"model.layers.7.self_attn.q_norm.weight", kNorm, 7},
                {"model.layers.7.self_attn.rotary_emb.inv_freq", kOther, 7},
                {"model.norm.weight", kNorm},
                {"lm_head.weight", kHead},
                {"tok_embeddings.weight", kEmbed},
                {"layers.3.attention.wq.weight", kQ, 3},
                {"layers.3.attention.wo.weight", kO, 3},
                {"layers.3.feed_forward.w1.weight", kGate, 3},
                {"layers.3.feed_forward.w3.weight", kUp, 3},
                {"layers.3.feed_forward.w2.weight", kDown, 3},
                {"layers.3.attention_norm.weight", kNorm, 3},
                {"output.weight", kHead}});
}

TEST(RolesTest, OtherTextModels) {
  expect_facts({{"wte.weight", kEmbed},
                {"transformer.wpe.weight", kEmbed},
                {"h.11.attn.c_attn.weight", kQkv, 11},
                {"transformer.h.11.attn.c_proj.weight", kO, 11},
                {"transformer.h.11.mlp.c_fc.weight", kUp, 11},
                {"transformer.h.11.mlp.c_proj.weight", kDown, 11},
                {"transformer.h.11.ln_1.weight", kNorm, 11},
                {"transformer.ln_f.weight", kNorm},
                {"gpt_neox.embed_in.weight", kEmbed},
                {"embed_out.weight", kHead},
                {"gpt_neox.layers.5.attention.query_key_value.weight", kQkv, 5},
                {"gpt_neox.layers.5.attention.dense.weight", kO, 5},
                {"gpt_neox.layers.5.mlp.dense_h_to_4h.weight", kUp, 5},
                {"gpt_neox.layers.5.mlp.dense_4h_to_h.weight", kDown, 5},
                {"transformer.h.2.self_attention.dense.weight", kO, 2},
                {"transformer.word_embeddings.weight", kEmbed},
                {"model.layers.1.self_attn.dense.weight", kO, 1},
                {"model.layers.1.mlp.fc1.weight", kUp, 1},
                {"model.layers.1.mlp.fc2.weight", kDown, 1},
                {"model.layers.1.self_attn.qkv_proj.weight", kQkv, 1},
                {"model.layers.1.mlp.gate_up_proj.weight", kGateUp, 1},
                {"model.layers.1.pre_feedforward_layernorm.weight", kNorm, 1},
                {"transformer.h.0.mlp.w1.weight", kUp, 0},
                {"transformer.h.0.mlp.w2.weight", kGate, 0},
                {"bert.embeddings.LayerNorm.weight", kNorm},
                {"bert.embeddings.word_embeddings.weight", kEmbed},
                {"bert.encoder.layer.2.attention.self.query.weight", kQ, 2},
                {"bert.encoder.layer.2.attention.output.dense.weight", kO, 2},
                {"bert.encoder.layer.2.intermediate.dense.weight", kUp, 2},
                {"bert.encoder.layer.2.output.dense.weight", kDown, 2},
                {"encoder.block.4.layer.0.SelfAttention.q.weight", kQ, 4},
                {"encoder.block.4.layer.1.DenseReluDense.wo.weight", kDown, 4},
                {"shared.weight", kEmbed},
                {"model.language_model.layers.9.self_attn.q_proj.weight", kQ, 9}});
}

TEST(RolesTest, RecurrentMixersAreNotAttention) {
  expect_facts({{"backbone.embeddings.weight", kEmbed},
                {"backbone.layers.3.mixer.in_proj.weight", kOther, 3},
                {"backbone.layers.3.mixer.out_proj.weight", kOther, 3},
                {"backbone.layers.3.mixer.A_log", kOther, 3},
                {"backbone.layers.3.mixer.conv1d.weight", kOther, 3},
                {"backbone.layers.3.mixer.dt_proj.bias", kBias, 3},
                {"backbone.layers.3.norm.weight", kNorm, 3},
                {"backbone.layers.3.mixer.q_proj.weight", kQ, 3},
                {"model.layers.3.linear_attn.in_proj_qkvz.weight", kOther, 3},
                {"model.layers.3.linear_attn.out_proj.weight", kOther, 3},
                {"blk.3.ssm_in.weight", kOther, 3}});
}

TEST(RolesTest, Experts) {
  expect_facts({{"model.layers.3.block_sparse_moe.gate.weight", kRouter, 3},
                {"model.layers.3.block_sparse_moe.experts.7.w1.weight", kGate, 3, 7},
                {"model.layers.3.block_sparse_moe.experts.7.w2.weight", kDown, 3, 7},
                {"model.layers.60.mlp.experts.255.gate_proj.weight", kGate, 60, 255},
                {"model.layers.60.mlp.experts.255.up_proj.weight_scale_inv", kUp, 60, 255},
                {"model.layers.60.mlp.shared_experts.down_proj.weight", kDown, 60},
                {"model.layers.60.mlp.gate.weight", kRouter, 60},
                {"model.layers.60.mlp.gate.e_score_correction_bias", kBias, 60},
                {"model.layers.60.self_attn.q_a_proj.weight", kQ, 60},
                {"model.layers.60.self_attn.kv_a_proj_with_mqa.weight", kQkv, 60},
                {"model.layers.60.self_attn.kv_a_layernorm.weight", kNorm, 60},
                {"model.layers.2.mlp.shared_expert_gate.weight", kRouter, 2},
                {"model.layers.2.mlp.router.weight", kRouter, 2},
                {"model.layers.2.mlp.router.bias", kBias, 2},
                {"model.layers.2.mlp.experts.gate_up_proj_blocks", kGateUp, 2},
                {"model.layers.2.mlp.experts.gate_up_proj", kGateUp, 2},
                {"model.layers.2.mlp.experts.gate_up_proj_bias", kBias, 2},
                {"model.layers.2.mlp.experts.down_proj_scales", kDown, 2},
                {"model.layers.2.self_attn.sinks", kOther, 2},
                {"block.2.mlp.mlp1_weight.blocks", kGateUp, 2},
                {"block.2.mlp.mlp2_weight.scales", kDown, 2},
                {"block.2.mlp.mlp1_bias", kBias, 2},
                {"block.2.attn.qkv.weight", kQkv, 2},
                {"block.2.attn.out.weight", kO, 2},
                {"unembedding.weight", kHead}});
}

TEST(RolesTest, StoredPartsCountAsTheirModule) {
  for (const std::string_view part :
       {"qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight.absmax", "weight_shape",
        "weight.quant_state.bitsandbytes__nf4", "SCB", "dense_weights", "W_q"}) {
    const auto facts = name_facts("model.layers.4.mlp.up_proj." + std::string(part));
    EXPECT_EQ(facts.role, kUp) << part;
    EXPECT_EQ(facts.layer, 4) << part;
  }
  expect_facts({{"model.layers.4.self_attn.k_proj.k_scale", kOther, 4},
                {"model.layers.4.mlp.up_proj.input_scale", kOther, 4}});
}

TEST(RolesTest, Gguf) {
  expect_facts({{"token_embd.weight", kEmbed},
                {"output_norm.weight", kNorm},
                {"output.weight", kHead},
                {"rope_freqs.weight", kOther},
                {"blk.10.attn_q.weight", kQ, 10},
                {"blk.10.attn_q.bias", kBias, 10},
                {"blk.10.attn_q_norm.weight", kNorm, 10},
                {"blk.10.attn_output.weight", kO, 10},
                {"blk.10.attn_qkv.weight", kQkv, 10},
                {"blk.10.attn_norm.weight", kNorm, 10},
                {"blk.10.ffn_gate.weight", kGate, 10},
                {"blk.10.ffn_up.weight", kUp, 10},
                {"blk.10.ffn_down.weight", kDown, 10},
                {"blk.10.ffn_gate.3.weight", kGate, 10, 3},
                {"blk.10.ffn_gate_exps.weight", kGate, 10},
                {"blk.10.ffn_down_exps.weight", kDown, 10},
                {"blk.10.ffn_up_shexp.weight", kUp, 10},
                {"blk.10.ffn_gate_inp.weight", kRouter, 10},
                {"blk.10.exp_probs_b.bias", kBias, 10},
                {"blk.10.ffn_norm.weight", kNorm, 10}});
}

TEST(RolesTest, TowersKeepTheirLayersToThemselves) {
  expect_facts({{"visual.blocks.3.attn.qkv.weight", kVision},
                {"model.visual.merger.mlp.0.weight", kVision},
                {"vision_tower.vision_model.encoder.layers.3.self_attn.q_proj.weight", kVision},
                {"multi_modal_projector.linear_1.weight", kVision},
                {"model.mm_projector.0.bias", kVision},
                {"model.image_newline", kVision},
                {"v.blk.3.attn_q.weight", kVision},
                {"v.patch_embd.weight", kVision},
                {"mm.0.weight", kVision},
                {"audio_tower.layers.3.fc1.weight", kAudio},
                {"a.blk.3.attn_q.weight", kAudio},
                {"mm.a.mlp.1.weight", kAudio},
                {"talker.model.layers.3.self_attn.q_proj.weight", kAudio},
                {"language_model.model.layers.3.self_attn.q_proj.weight", kQ, 3},
                {"mtp.layers.0.self_attn.q_proj.weight", kQ}});
}

TEST(RolesTest, EveryTowerHasItsWord) {
  const auto role_of = [](std::string word) { return name_facts("model." + word + ".0.x").role; };
  for (const char* word : {"vit",
                           "vpm",
                           "vqmodel",
                           "embed_vision",
                           "sam_model",
                           "gen_vision_model",
                           "perceiver_resampler",
                           "patch_merger",
                           "patch_embed",
                           "connector",
                           "aligner",
                           "pre_mm_projector_norm",
                           "vision",
                           "vision_x",
                           "visual",
                           "visualizer",
                           "image_x",
                           "img_x",
                           "multi_modal",
                           "multimodal_x",
                           "mm_x"}) {
    EXPECT_EQ(role_of(word), kVision) << word;
  }
  for (const char* word : {"embed_audio", "apm", "talker", "token2wav", "code2wav", "tts", "audio",
                           "audio_x", "speech", "speech_x"}) {
    EXPECT_EQ(role_of(word), kAudio) << word;
  }
  for (const char* word : {"vits", "apms", "connectors", "aligner_x", "ttsx", "mmx", "image", "v",
                           "embed_visions", "sam_models", "talkers", "a"}) {
    EXPECT_EQ(role_of(word), kOther) << word;
  }
}

TEST(RolesTest, Lora) {
  expect_facts(
      {{"base_model.model.model.layers.4.self_attn.q_proj.lora_A.weight", kLoraA, 4},
       {"base_model.model.model.layers.4.self_attn.q_proj.lora_B.default.weight", kLoraB, 4},
       {"base_model.model.model.embed_tokens.lora_embedding_A", kLoraA},
       {"blk.4.attn_q.weight.lora_a", kLoraA, 4},
       {"blk.4.attn_q.weight.lora_b", kLoraB, 4}});
}

TEST(RolesTest, OddNamesAreNothingSpecial) {
  expect_facts({{"", kOther},
                {".", kOther},
                {"layers", kOther},
                {"layers.", kOther},
                {"layers.x.y", kOther},
                {"model.layers.99999999999.weight", kOther},
                {"model.layers.-1.weight", kOther},
                {"\xff\xfe.layers.5.\x01", kOther, 5},
                {"fmt{}%s", kOther}});
  const std::string dots(1'000'000, '.');
  expect_facts({{dots, kOther}});
  expect_facts({{std::string(1'000'000, 'q'), kOther}});
}

TEST(NaturalOrderTest, NumbersCompareByValue) {
  std::vector<std::string> names = {"layers.10.b",  "layers.2.b",
                                    "layers.2.a",   "layers.1",
                                    "layers.02.a",  "a",
                                    "layers.2.a.x", "",
                                    "layers",       "layers.100000000000000000000000.z",
                                    "layers.b",     "layers.99999999999999999999999.z"};
  std::sort(names.begin(), names.end(), NameLess());
  EXPECT_THAT(names, testing::ElementsAre("", "a", "layers", "layers.1", "layers.02.a",
                                          "layers.2.a", "layers.2.a.x", "layers.2.b", "layers.10.b",
                                          "layers.99999999999999999999999.z",
                                          "layers.100000000000000000000000.z", "layers.b"));
}

TEST(NaturalOrderTest, IsATotalOrder) {
  std::mt19937 random(7);
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) {
    std::string name;
    for (std::uint32_t k = random() % 6; k > 0; --k) name += "019a.\xff"[random() % 6];
    names.push_back(name);
  }
  for (const std::string& a : names) {
    for (const std::string& b : names) {
      const int order = compare_names(a, b);
      EXPECT_EQ(order == 0, a == b);
      EXPECT_EQ(order<0, compare_names(b, a)> 0);
      for (std::size_t i = 0; i < 30; ++i) {
        const std::string& c = names[i];
        if (order < 0 && compare_names(b, c) < 0) {
          EXPECT_LT(compare_names(a, c), 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qi
