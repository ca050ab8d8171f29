// What llama-quantize really wrote (tests/data/models/stories260K/reference.json) is the judge.
#include "engine/quant/ggml_mixture.h"

#include <gtest/gtest.h>

#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

Weight weight_of(const std::string& gguf_name, std::uint64_t cols) {
  Weight weight;
  weight.name = gguf_name;
  weight.shape = {64, cols};
  const auto holds = [&](const char* part) { return gguf_name.find(part) != std::string::npos; };
  if (gguf_name.starts_with("blk.")) weight.layer = std::stoi(gguf_name.substr(4));
  if (holds("norm")) {
    weight.role = Role::kNorm;
    weight.shape = {cols};
  }
  for (const auto& [part, role] : {std::pair{"token_embd", Role::kEmbed},
                                   {"output.weight", Role::kHead},
                                   {"attn_q.", Role::kQ},
                                   {"attn_k.", Role::kK},
                                   {"attn_v.", Role::kV},
                                   {"attn_output", Role::kO},
                                   {"ffn_gate.", Role::kGate},
                                   {"ffn_up", Role::kUp},
                                   {"ffn_down", Role::kDown}}) {
    if (gguf_name.find(part) != std::string::npos && !holds("norm")) weight.role = role;
    if (gguf_name.find("attn_output") != std::string::npos) weight.role = Role::kO;
  }
  return weight;
}

// "wide-im-IQ2_XXS": rows of 256, with an importance matrix.
TEST(GgmlMixture, TypesAreThoseLlamaQuantizeWrote) {
  const nlohmann::json reference =
      test::read_json(QI_TEST_DATA "/models/stories260K/reference.json");
  int files = 0;
  for (const auto& [name, file] : reference["files"].items()) {
    const std::string mixture = name.substr(name.rfind('-') + 1);
    if (!ggml_mixture_named(mixture) || mixture == "F32") continue;
    SCOPED_TRACE(name);
    MixtureModel model;
    model.layers = 5;
    model.heads = 8;
    model.kv_heads = 4;
    model.importance = name.find("-im-") != std::string::npos;
    const bool wide = name.starts_with("wide");
    for (const auto& [tensor, type] : file["tensor_types"].items()) {
      const bool down = tensor.find("ffn_down") != std::string::npos;
      const Weight weight = weight_of(tensor, wide ? (down ? 768u : 256u) : (down ? 192u : 64u));
      const MixtureChoice choice = ggml_mixture_type(mixture, model, weight);
      const std::string expected = type.get<std::string>();
      EXPECT_EQ(choice.type == DType::kUnknown ? "F32" : info(choice.type).name, expected)
          << tensor;
    }
    ++files;
  }
  EXPECT_GE(files, 15);
}

TEST(GgmlMixture, RowsThatAreNotWholeBlocksFallBack) {
  EXPECT_EQ(ggml_fallback(DType::kQ4K, 256), DType::kQ4K);
  EXPECT_EQ(ggml_fallback(DType::kQ4K, 192), DType::kQ5_0);
  EXPECT_EQ(ggml_fallback(DType::kQ6K, 64), DType::kQ8_0);
  EXPECT_EQ(ggml_fallback(DType::kQ6K, 172), DType::kF16);
  EXPECT_EQ(ggml_fallback(DType::kQ8_0, 172), DType::kF16);
  EXPECT_EQ(ggml_fallback(DType::kIQ2XXS, 96), DType::kIQ4NL);
  const MixtureChoice choice =
      ggml_mixture_type("q4_k_m", {.layers = 5}, weight_of("blk.1.ffn_up.weight", 192));
  EXPECT_EQ(choice.type, DType::kQ5_0);
  EXPECT_EQ(choice.instead_of, DType::kQ4K);
}

TEST(GgmlMixture, LargeModelsGiveMoreToWhatManyHeadsShare) {
  const MixtureModel seventy{.layers = 80, .heads = 64, .kv_heads = 8};
  EXPECT_EQ(ggml_mixture_type("Q4_K_S", seventy, weight_of("blk.40.attn_v.weight", 8192)).type,
            DType::kQ5K);
  const MixtureModel mixtral{.layers = 32, .heads = 32, .kv_heads = 8, .experts = 8};
  EXPECT_EQ(ggml_mixture_type("Q4_K_M", mixtral, weight_of("blk.9.attn_v.weight", 4096)).type,
            DType::kQ8_0);
  EXPECT_EQ(ggml_mixture_type("Q4_K_M", mixtral, weight_of("blk.9.attn_output.weight", 4096)).type,
            DType::kQ5K);
  // Eight experts: one of IQ3_M's layers of more bits, and one that is not.
  EXPECT_EQ(ggml_mixture_type("IQ3_M", mixtral, weight_of("blk.9.ffn_down.weight", 4096)).type,
            DType::kQ4K);
  EXPECT_EQ(ggml_mixture_type("IQ3_M", mixtral, weight_of("blk.10.ffn_down.weight", 4096)).type,
            DType::kIQ3S);
  Weight router = weight_of("blk.9.ffn_gate_inp.weight", 4096);
  router.role = Role::kRouter;
  EXPECT_EQ(ggml_mixture_type("Q4_K_M", mixtral, router).type, DType::kUnknown);
}

}  // namespace
}  // namespace qi
