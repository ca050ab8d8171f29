// Every known architecture over small random weights, from Hugging Face names and from a GGUF, held
// against plain loops; and what is refused.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/tensor/name_map.h"
#include "eval/transformer/transformer.h"
#include "tests/quant/model_fixture.h"
#include "tests/support/error_of.h"
#include "tests/support/gguf_builder.h"
#include "tests/transformer/plain_forward.h"

namespace qi {
namespace {

using nlohmann::json;
using test::class_of;
using test::error_of;
using test::PlainWeights;

constexpr std::uint64_t kHidden = 24, kHeads = 4, kKv = 2, kDim = 8, kWide = 40, kVocab = 50;
// Tiles, slices and windows begin and end inside.
constexpr std::size_t kTokens = 70;

struct Small {
  json config;
  PlainWeights weights;
  std::map<std::string, Shape> shapes;

  void add(const std::string& name, Shape shape, std::mt19937& random) {
    std::normal_distribution<float> normal(0, shape.size() == 1 ? 0.5f : 0.3f);
    std::vector<float>& values = weights[name];
    values.resize(*element_count(shape));
    for (float& value : values) value = normal(random);
    shapes[name] = std::move(shape);
  }
};

Small small(const std::string& architecture, std::uint64_t layers, const json& more) {
  Small out;
  out.config = {{"architectures", {architecture}},
                {"hidden_size", kHidden},
                {"intermediate_size", kWide},
                {"num_hidden_layers", layers},
                {"num_attention_heads", kHeads},
                {"num_key_value_heads", kKv},
                {"head_dim", kDim},
                {"vocab_size", kVocab},
                {"max_position_embeddings", 128},
                {"rms_norm_eps", 1e-5},
                {"rope_theta", 10000.0}};
  out.config.update(more);
  std::mt19937 random(7);
  const bool gemma = architecture.starts_with("Gemma");
  out.add("model.embed_tokens.weight", {kVocab, kHidden}, random);
  out.add("model.norm.weight", {kHidden}, random);
  if (!gemma) out.add("lm_head.weight", {kVocab, kHidden}, random);
  for (std::uint64_t l = 0; l < layers; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    out.add(p + "input_layernorm.weight", {kHidden}, random);
    out.add(p + "post_attention_layernorm.weight", {kHidden}, random);
    out.add(p + "self_attn.q_proj.weight", {kHeads * kDim, kHidden}, random);
    out.add(p + "self_attn.k_proj.weight", {kKv * kDim, kHidden}, random);
    out.add(p + "self_attn.v_proj.weight", {kKv * kDim, kHidden}, random);
    out.add(p + "self_attn.o_proj.weight", {kHidden, kHeads * kDim}, random);
    out.add(p + "mlp.gate_proj.weight", {kWide, kHidden}, random);
    out.add(p + "mlp.up_proj.weight", {kWide, kHidden}, random);
    out.add(p + "mlp.down_proj.weight", {kHidden, kWide}, random);
    if (architecture == "Qwen2ForCausalLM") {
      out.add(p + "self_attn.q_proj.bias", {kHeads * kDim}, random);
      out.add(p + "self_attn.k_proj.bias", {kKv * kDim}, random);
      out.add(p + "self_attn.v_proj.bias", {kKv * kDim}, random);
    }
    if (architecture == "Qwen3ForCausalLM" || architecture == "Gemma3ForCausalLM") {
      out.add(p + "self_attn.q_norm.weight", {kDim}, random);
      out.add(p + "self_attn.k_norm.weight", {kDim}, random);
    }
    if (gemma) {
      out.add(p + "pre_feedforward_layernorm.weight", {kHidden}, random);
      out.add(p + "post_feedforward_layernorm.weight", {kHidden}, random);
    }
  }
  return out;
}

Model folder_model(const Small& small, test::ModelWriter& writer) {
  for (const auto& [name, values] : small.weights) {
    writer.add(name, DType::kF32, small.shapes.at(name), values);
  }
  Model model = writer.build(small.config);
  model.architecture = small.config["architectures"][0];
  return model;
}

/// As llama.cpp's converter would write it.
std::string gguf_bytes(const Small& small, const std::string& architecture) {
  const bool gemma = architecture.starts_with("gemma");
  test::GgufBuilder builder;
  const auto size = [&](const std::string& key, const char* name) {
    builder.u32(architecture + "." + key, small.config[name].get<std::uint32_t>());
  };
  builder.text("general.architecture", architecture);
  size("block_count", "num_hidden_layers");
  size("embedding_length", "hidden_size");
  size("feed_forward_length", "intermediate_size");
  size("attention.head_count", "num_attention_heads");
  size("attention.head_count_kv", "num_key_value_heads");
  size("attention.key_length", "head_dim");
  size("context_length", "max_position_embeddings");
  if (small.config.contains("sliding_window")) size("attention.sliding_window", "sliding_window");
  builder.f32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f);
  builder.f32(architecture + ".rope.freq_base", small.config["rope_theta"].get<float>());
  if (architecture == "gemma2") {
    builder.f32("gemma2.attn_logit_softcapping", small.config["attn_logit_softcapping"]);
    builder.f32("gemma2.final_logit_softcapping", small.config["final_logit_softcapping"]);
  }
  for (const auto& [name, values] : small.weights) {
    std::string to = gguf_name(name)->name;
    if (gemma && name.ends_with("post_attention_layernorm.weight")) {
      to.replace(to.find("ffn_norm"), 8, "post_attention_norm");
    }
    std::vector<float> moved = values;
    if (gemma && name.ends_with("norm.weight")) {
      for (float& value : moved) value += 1;
    }
    const Shape& shape = small.shapes.at(name);
    if (architecture == "llama" &&
        (to.ends_with("attn_q.weight") || to.ends_with("attn_k.weight"))) {
      for (std::uint64_t row = 0; row < shape[0]; ++row) {
        std::copy_n(values.data() + row * kHidden, kHidden,
                    moved.data() + rotary_row(row, kDim) * kHidden);
      }
    }
    builder.tensor(to, {shape.rbegin(), shape.rend()}, 0,
                   {reinterpret_cast<const char*>(moved.data()), moved.size() * sizeof(float)});
  }
  return builder.build();
}

std::vector<std::int32_t> some_ids() {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < kTokens; ++i)
    ids.push_back(static_cast<std::int32_t>(i * i * 7 % kVocab));
  return ids;
}

std::vector<float> all_logits(const Model& model) {
  const Transformer transformer(model, open_reader, {2});
  KvCache cache(transformer.architecture(), kTokens, KvType::kF32, KvLayers::kAll);
  // In two parts: the second one looks back into the cache.
  std::vector<float> states, first;
  const std::vector<std::int32_t> ids = some_ids();
  EXPECT_TRUE(transformer.run(std::span(ids).first(9), cache, first));
  EXPECT_TRUE(transformer.run(std::span(ids).subspan(9), cache, states));
  states.insert(states.begin(), first.begin(), first.end());
  std::vector<float> logits(kTokens * kVocab);
  EXPECT_TRUE(transformer.logits(states, [&](const Transformer::LogitBlock& block) {
    for (std::size_t t = 0; t < kTokens; ++t) {
      std::copy_n(block.logits + t * block.count, block.count,
                  logits.data() + t * kVocab + block.first);
    }
  }));
  return logits;
}

void expect_plain(const Small& small, const std::vector<float>& logits) {
  const auto expected = test::PlainForward(small.config, small.weights).logits(some_ids());
  double largest = 0;
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t v = 0; v < kVocab; ++v) {
      largest = std::max(largest, std::abs(logits[t * kVocab + v] - expected[t][v]));
    }
  }
  EXPECT_LT(largest, 1e-4);
}

struct Case {
  const char* architecture;
  const char* gguf;  // null: a GGUF cannot say it with keys alone
  std::uint64_t layers;
  json more;
};

TEST(Families, EqualPlainLoops) {
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 4.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 32}};
  const json linear = {{"rope_type", "linear"}, {"factor", 8.0}};
  const json gemma = {{"sliding_window", 11}, {"query_pre_attn_scalar", 8}};
  json gemma2 = gemma;
  gemma2.update({{"attn_logit_softcapping", 5.0}, {"final_logit_softcapping", 3.0}});
  json gemma3 = gemma;
  gemma3.update({{"rope_local_base_freq", 10000.0}, {"rope_theta", 1e6}});
  json gemma3_scaled = gemma3;
  gemma3_scaled["rope_scaling"] = linear;
  const std::vector<Case> cases = {
      {"LlamaForCausalLM", "llama", 2, json::object()},
      {"LlamaForCausalLM", nullptr, 2, {{"rope_scaling", llama3}}},
      {"LlamaForCausalLM", nullptr, 2, {{"rope_scaling", linear}}},
      {"MistralForCausalLM", nullptr, 2, {{"sliding_window", 9}}},
      {"Qwen2ForCausalLM", "qwen2", 2, json::object()},
      {"Qwen3ForCausalLM", "qwen3", 2, json::object()},
      {"Gemma2ForCausalLM", "gemma2", 3, gemma2},
      {"Gemma3ForCausalLM", "gemma3", 7, gemma3},
      {"Gemma3ForCausalLM", nullptr, 7, gemma3_scaled},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.architecture) + " " + c.more.dump());
    const Small model = small(c.architecture, c.layers, c.more);
    test::ModelWriter writer;
    expect_plain(model, all_logits(folder_model(model, writer)));
    if (c.gguf == nullptr) continue;
    test::TempDir dir;
    const std::string path = dir.write("model.gguf", gguf_bytes(model, c.gguf));
    expect_plain(model, all_logits(open_model(find_models(path).models.front())));
  }
}

/// The class and message of what keeps a changed small Llama from running.
std::string refusal(const std::function<void(Small&)>& change) {
  Small model = small("LlamaForCausalLM", 2, json::object());
  change(model);
  test::ModelWriter writer;
  const Model opened = folder_model(model, writer);
  const auto error = error_of([&] { all_logits(opened); });
  if (!error) return "none";
  return std::string(class_word(error->code)) + ": " + error->message;
}

TEST(Families, RefusesInOneLine) {
  const auto set = [](const char* name, json value) {
    return refusal([&](Small& model) { model.config[name] = value; });
  };
  EXPECT_EQ(set("architectures", json::array({"MambaForCausalLM"})),
            "bad_schema: architecture MambaForCausalLM is not known");
  EXPECT_EQ(set("num_local_experts", 8), "bad_schema: LlamaForCausalLM with experts is not known");
  EXPECT_EQ(set("rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}),
            "bad_schema: rotary scaling yarn is not known");
  EXPECT_EQ(set("hidden_act", "relu"), "bad_schema: activation relu is not known here");
  EXPECT_EQ(set("hidden_size", nullptr), "missing: hidden_size is not said");
  EXPECT_EQ(set("num_hidden_layers", 1 << 20), "limit: 1048576 layers");
  EXPECT_EQ(set("num_key_value_heads", 3), "bad_value: 4 heads of 8 for 3 of keys and values");
  EXPECT_EQ(set("vocab_size", 51), "inconsistent: weight model.embed_tokens.weight is 50x24");
  EXPECT_EQ(set("num_hidden_layers", 3),
            "missing: no weight model.layers.2.input_layernorm.weight");
  EXPECT_EQ(set("attention_bias", true), "missing: no weight model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(refusal([](Small& model) {
              model.weights["model.layers.1.mlp.down_proj.weight"][5] =
                  std::numeric_limits<float>::quiet_NaN();
            }),
            "bad_value: the MLP of layer 1 gives numbers that are not finite");
  EXPECT_EQ(refusal([](Small& model) {
              model.weights["lm_head.weight"][3] = std::numeric_limits<float>::infinity();
            }),
            "bad_value: the head gives numbers that are not finite");
}

TEST(Families, RefusesTokensBeyondTheVocabularyAndStopsWhenAsked) {
  const Small model = small("LlamaForCausalLM", 2, json::object());
  test::ModelWriter writer;
  const Model opened = folder_model(model, writer);
  const std::atomic<bool> cancel{true};
  const Transformer transformer(opened, open_reader, {2, &cancel});
  KvCache cache(transformer.architecture(), 4, KvType::kF32, KvLayers::kAll);
  std::vector<float> states;
  for (const std::int32_t id : {-1, 50}) {
    EXPECT_EQ(class_of([&] { transformer.run({&id, 1}, cache, states); }), "bad_value") << id;
  }
  const std::int32_t id = 3;
  EXPECT_FALSE(transformer.run({&id, 1}, cache, states));
  EXPECT_EQ(cache.size(), 0);
}

}  // namespace
}  // namespace qi
