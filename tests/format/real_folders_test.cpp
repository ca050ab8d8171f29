// Folders as people have them, built sparsely: what is found, how weights are understood, and that
// opening reads headers alone.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "tests/support/model_builder.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::BuiltModel;
using test::bytes_read;
using test::TempDir;

std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Opens the one model of `folder` and holds what every model must satisfy against `built`.
Model open_whole(const std::string& folder, const BuiltModel& built) {
  const std::uint64_t before = bytes_read();
  const std::uint64_t resident = resident_bytes();
  const Catalog catalog = find_models(folder);
  EXPECT_EQ(catalog.models.size(), 1u);
  EXPECT_TRUE(catalog.others.empty());
  Model model = open_model(catalog.models.front());
  // Headers and a little around them (what a name, a listing and a peek cost), never payload.
  EXPECT_LE(bytes_read() - before, built.header_bytes + (64u << 10));
  const std::uint64_t grown = resident_bytes() - std::min(resident, resident_bytes());
  if (!test::sanitized()) {
    EXPECT_LE(grown, (256u << 20) + 4 * built.header_bytes);
  }
  EXPECT_EQ(model.tensors.size(), built.tensors);
  EXPECT_EQ(model.size_bytes(), built.payload_bytes);
  EXPECT_EQ(model.files.size(), built.files);
  for (const Warning& warning : model.warnings) ADD_FAILURE() << describe(warning);
  std::uint64_t bytes = 0;
  std::size_t parts = 0;
  for (const Weight& weight : model.weights) {
    bytes += weight.size_bytes;
    parts += weight.parts.size();
  }
  EXPECT_EQ(bytes, built.payload_bytes) << "every byte belongs to a weight";
  EXPECT_EQ(parts, built.tensors);
  return model;
}

std::map<Role, int> roles(const Model& model) {
  std::map<Role, int> counts;
  for (const Weight& weight : model.weights) ++counts[weight.role];
  return counts;
}

TEST(RealFoldersTest, Llama3InFourShards) {
  TempDir dir;
  const Model model = open_whole(dir.path(), test::build_llama3_8b(dir.path()));
  EXPECT_EQ(model.architecture, "LlamaForCausalLM");
  ASSERT_EQ(model.weights.size(), 291u);
  EXPECT_EQ(model.params(), 8'030'261'248u);
  EXPECT_EQ(model.size_bytes(), 16'060'522'496u);
  EXPECT_EQ(model.bits_per_weight(), 16.0);
  EXPECT_EQ(roles(model), (std::map<Role, int>{{Role::kEmbed, 1},
                                               {Role::kHead, 1},
                                               {Role::kQ, 32},
                                               {Role::kK, 32},
                                               {Role::kV, 32},
                                               {Role::kO, 32},
                                               {Role::kGate, 32},
                                               {Role::kUp, 32},
                                               {Role::kDown, 32},
                                               {Role::kNorm, 65}}));
  const Weight* weight = model.find_weight("model.layers.17.mlp.down_proj.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->shape, (Shape{4096, 14336}));
  EXPECT_EQ(weight->layer, 17);
  EXPECT_EQ(weight->scheme, Scheme::kNone);
  // Layers come by number, 2 before 10.
  std::vector<int> layers;
  for (const Weight& w : model.weights) {
    if (w.role == Role::kQ) layers.push_back(w.layer);
  }
  EXPECT_TRUE(std::is_sorted(layers.begin(), layers.end()));
  EXPECT_EQ(layers.back(), 31);
}

TEST(RealFoldersTest, QwenInOneFile) {
  TempDir dir;
  const Model model = open_whole(dir.path(), test::build_qwen2_05b(dir.path()));
  EXPECT_EQ(model.params(), 494'032'768u);
  EXPECT_EQ(roles(model)[Role::kBias], 72);
  EXPECT_EQ(roles(model)[Role::kHead], 0);  // tied
}

TEST(RealFoldersTest, DeepSeekWithTensOfThousandsOfExperts) {
  TempDir dir;
  const BuiltModel built = test::build_deepseek_v3(dir.path());
  ASSERT_GT(built.tensors, 90'000u);
  const Model model = open_whole(dir.path(), built);
  const Weight* weight = model.find_weight("model.layers.60.mlp.experts.255.gate_proj.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->role, Role::kGate);
  EXPECT_EQ(weight->layer, 60);
  EXPECT_EQ(weight->expert, 255);
  EXPECT_EQ(weight->scheme, Scheme::kFP8Block);
  EXPECT_EQ(weight->block_rows, 128u);
  EXPECT_EQ(weight->parts.size(), 2u);
  EXPECT_EQ(weight->shape, (Shape{2048, 7168}));
  EXPECT_DOUBLE_EQ(weight->bits_per_weight(), 8.0 + 32.0 / (128 * 128));
  EXPECT_EQ(roles(model)[Role::kRouter], 58);
  EXPECT_EQ(std::count_if(model.weights.begin(), model.weights.end(),
                          [](const Weight& w) { return w.expert >= 0; }),
            58 * 256 * 3);
  // Edge blocks: 576 rows are four and a half blocks of 128.
  const Weight* ragged = model.find_weight("model.layers.0.self_attn.kv_a_proj_with_mqa.weight");
  ASSERT_NE(ragged, nullptr);
  EXPECT_EQ(ragged->scheme, Scheme::kFP8Block);
  EXPECT_EQ(ragged->role, Role::kQkv);
}

TEST(RealFoldersTest, GptOssStacks) {
  TempDir dir;
  const Model model = open_whole(dir.path(), test::build_gpt_oss_20b(dir.path()));
  const auto stack = std::find_if(model.weights.begin(), model.weights.end(), [](const Weight& w) {
    return w.layer == 23 && w.scheme == Scheme::kMXFP4 && w.role == Role::kGateUp;
  });
  ASSERT_NE(stack, model.weights.end());
  EXPECT_EQ(stack->shape, (Shape{32, 5760, 2880}));
  EXPECT_EQ(stack->rows(), 32u * 5760);
  EXPECT_EQ(stack->expert, -1);
  EXPECT_EQ(stack->parts.size(), 2u);
  EXPECT_DOUBLE_EQ(stack->bits_per_weight(), 4.25);
  EXPECT_EQ(roles(model)[Role::kGateUp], 24);
  EXPECT_EQ(roles(model)[Role::kDown], 24);
  EXPECT_EQ(roles(model)[Role::kRouter], 24);
}

TEST(RealFoldersTest, TwelveGgufQuants) {
  TempDir dir;
  const BuiltModel built = test::build_gguf_quants(dir.path());
  const std::uint64_t before = bytes_read();
  const Catalog catalog = find_models(dir.path());
  ASSERT_EQ(catalog.models.size(), 12u);
  EXPECT_TRUE(catalog.others.empty());
  std::map<std::string, double> bits;
  for (const Candidate& candidate : catalog.models) {
    EXPECT_EQ(candidate.container, Container::kGguf);
    const Model model = open_model(candidate);
    EXPECT_EQ(model.weights.size(), built.tensors / 12);
    EXPECT_EQ(model.name, candidate.name);
    const Weight* weight = model.find_weight("blk.21.ffn_down.weight");
    ASSERT_NE(weight, nullptr);
    EXPECT_EQ(weight->layer, 21);
    EXPECT_EQ(weight->role, Role::kDown);
    EXPECT_EQ(weight->shape, (Shape{2048, 5632}));
    bits[model.name] = weight->bits_per_weight();
  }
  EXPECT_LE(bytes_read() - before, 8 * built.header_bytes + (1u << 20));
  EXPECT_DOUBLE_EQ(bits.at("TinyLlama-1.1B-Q4_K"), 4.5);
  EXPECT_DOUBLE_EQ(bits.at("TinyLlama-1.1B-Q6_K"), 6.5625);
  EXPECT_DOUBLE_EQ(bits.at("TinyLlama-1.1B-IQ2_XXS"), 2.0625);
  EXPECT_DOUBLE_EQ(bits.at("TinyLlama-1.1B-F16"), 16.0);
}

TEST(RealFoldersTest, LoraAdapter) {
  TempDir dir;
  const Model model = open_whole(dir.path(), test::build_lora_adapter(dir.path()));
  EXPECT_EQ(model.kind, ModelKind::kAdapter);
  EXPECT_EQ(model.adapter_rank, 16u);
  EXPECT_EQ(model.base_model, "meta-llama/Meta-Llama-3-8B");
  EXPECT_EQ(roles(model), (std::map<Role, int>{{Role::kLoraA, 64}, {Role::kLoraB, 64}}));
  EXPECT_EQ(model.weights.back().layer, 31);
}

TEST(RealFoldersTest, VisionModelWithItsProjector) {
  TempDir dir;
  const Model model = open_whole(dir.path(), test::build_llava(dir.path()));
  EXPECT_EQ(roles(model)[Role::kVision], 4 + 1 + 3 * 24);
  EXPECT_EQ(roles(model)[Role::kQ], 32);
  EXPECT_EQ(roles(model)[Role::kHead], 1);
  for (const Weight& weight : model.weights) {
    if (weight.role != Role::kVision) continue;
    EXPECT_EQ(weight.layer, -1) << weight.name;
  }
}

TEST(RealFoldersTest, FourHundredGigabytes) {
  TempDir dir;
  const BuiltModel built = test::build_llama3_405b_fp8(dir.path());
  ASSERT_GT(built.payload_bytes, 400'000'000'000u);
  const Model model = open_whole(dir.path(), built);
  EXPECT_EQ(model.files.size(), 109u);
  const Weight* weight = model.find_weight("model.layers.125.mlp.up_proj.weight");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->scheme, Scheme::kFP8);
  EXPECT_DOUBLE_EQ(weight->bits_per_weight(), 8.0 + 32.0 / 16384);
}

TEST(RealFoldersTest, AHundredThousandTensors) {
  TempDir dir;
  const BuiltModel built = test::build_many_tensors(dir / "model.safetensors", 100'000);
  const std::uint64_t before = bytes_read();
  const Model model = open_model(find_models(dir / "model.safetensors").models.front());
  EXPECT_EQ(model.weights.size(), 100'000u);
  EXPECT_LE(bytes_read() - before, built.header_bytes + (64u << 10));
}

TEST(RealFoldersTest, FiftyGigabytesInOneFile) {
  TempDir dir;
  const BuiltModel built = test::build_large_file(dir / "model.safetensors", 500, 50'000'000'000u);
  const std::uint64_t before = bytes_read();
  const Model model = open_model(find_models(dir / "model.safetensors").models.front());
  EXPECT_EQ(model.weights.size(), 500u);
  EXPECT_LE(bytes_read() - before, built.header_bytes + (64u << 10));
}

TEST(RealFoldersTest, AFolderOfAllOfThem) {
  TempDir dir;
  for (const char* name : {"llama", "qwen", "adapter", "ggufs"}) {
    ASSERT_EQ(mkdir((dir / name).c_str(), 0755), 0);
  }
  test::build_llama3_8b(dir / "llama");
  test::build_qwen2_05b(dir / "qwen");
  test::build_lora_adapter(dir / "adapter");
  test::build_gguf_quants(dir / "ggufs");
  const Catalog catalog = find_models(dir.path());
  EXPECT_EQ(catalog.models.size(), 14u);
  ASSERT_EQ(catalog.others.size(), 1u);
  EXPECT_EQ(catalog.others.front().kind, ModelKind::kAdapter);
  ASSERT_EQ(catalog.notes.size(), 1u);
  EXPECT_THAT(catalog.notes.front(), testing::HasSubstr("adapter"));
}

}  // namespace
}  // namespace qi
