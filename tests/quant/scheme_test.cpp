#include "engine/quant/scheme.h"

#include <random>

#include <fmt/format.h>

#include "engine/format/gguf.h"
#include "engine/quant/check.h"
#include "engine/quant/name_order.h"
#include "engine/tensor/numbers.h"
#include "engine/tensor/roles.h"
#include "tests/quant/model_fixture.h"
#include "tests/support/gguf_builder.h"

namespace qi {
namespace {

using nlohmann::json;
using test::all_values;
using test::ModelWriter;

/// A model of headers only: nothing of it is ever read.
class Headers {
 public:
  Headers() {
    model.files.push_back(File::open("/proc/self/exe"));
    model.config = std::make_shared<json>(json::object());
  }
  void add(std::string name, DType dtype, Shape shape) {
    Tensor tensor;
    tensor.name = std::move(name);
    tensor.dtype = dtype;
    tensor.shape = std::move(shape);
    tensor.size_bytes = *stored_bytes(dtype, *element_count(tensor.shape));
    model.tensors.push_back(std::move(tensor));
  }
  Model model;
};

TEST(BuildWeights, GroupsSixtyThousandExpertsInAnyOrder) {
  Headers headers;
  for (int layer = 0; layer < 40; ++layer) {
    for (int expert = 0; expert < 256; ++expert) {
      for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
        const std::string name =
            fmt::format("model.layers.{}.mlp.experts.{}.{}", layer, expert, part);
        headers.add(name + ".weight", DType::kF8E4M3, {2048, 7168});
        headers.add(name + ".weight_scale_inv", DType::kF32, {16, 56});
      }
    }
  }
  headers.add("lm_head.weight", DType::kBF16, {1000, 7168});
  std::shuffle(headers.model.tensors.begin(), headers.model.tensors.end(), std::mt19937(5));
  build_weights(headers.model);
  const std::vector<Weight>& weights = headers.model.weights;
  ASSERT_EQ(weights.size(), 30721u);
  EXPECT_TRUE(headers.model.warnings.empty());
  EXPECT_EQ(weights[0].name, "lm_head.weight");
  EXPECT_EQ(weights[1].name, "model.layers.0.mlp.experts.0.down_proj.weight");
  EXPECT_EQ(weights[4].name, "model.layers.0.mlp.experts.1.down_proj.weight");
  EXPECT_EQ(weights.back().name, "model.layers.39.mlp.experts.255.up_proj.weight");
  EXPECT_EQ(weights.back().layer, 39);
  EXPECT_EQ(weights.back().expert, 255);
  EXPECT_EQ(weights.back().role, Role::kUp);
  EXPECT_EQ(weights.back().scheme, Scheme::kFP8Block);
  EXPECT_EQ(weights.back().size_bytes, 2048u * 7168 + 4 * 16 * 56);
  std::vector<bool> used(headers.model.tensors.size());
  for (const Weight& weight : weights) {
    for (const Part& part : weight.parts) {
      EXPECT_FALSE(used[part.tensor]);
      used[part.tensor] = true;
    }
  }
  EXPECT_EQ(std::count(used.begin(), used.end(), false), 0);
}

TEST(SortWeights, IsTheOrderOfCompareNames) {
  std::mt19937 random(9);
  const std::string letters = "a.b0129_-";
  for (int round = 0; round < 200; ++round) {
    std::vector<Weight> weights(60);
    for (Weight& weight : weights) {
      const std::size_t length = random() % 9;
      for (std::size_t i = 0; i < length; ++i) weight.name += letters[random() % letters.size()];
      if (round % 4 == 0 && random() % 9 == 0) weight.name += "12345678901234567890";
    }
    std::vector<std::string> want;
    for (const Weight& weight : weights) want.push_back(weight.name);
    std::sort(want.begin(), want.end(), NameLess());
    sort_weights(weights);
    for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(weights[i].name, want[i]);
  }
}

TEST(BuildWeights, ListsWhatIsOnlyRecognised) {
  struct Recognised {
    Scheme scheme;
    std::vector<std::pair<std::string, Shape>> tensors;
    Shape shape;
    const char* method;
  };
  const std::vector<Recognised> cases = {
      {Scheme::kHqq,
       {{"m.W_q", {8, 4}}, {"m.scale", {8, 1}}, {"m.zero", {8, 1}}, {"m.nbits", {}}},
       {8, 4},
       ""},
      {Scheme::kAqlm,
       {{"m.codes", {4, 8, 2}}, {"m.codebooks", {2, 16, 1, 8}}, {"m.scales", {4, 1, 1, 1}}},
       {4, 64},
       ""},
      {Scheme::kQuip,
       {{"m.Qidxs", {4, 8}}, {"m.SU", {64}}, {"m.SV", {4}}, {"m.Wscale", {}}},
       {4, 64},
       ""},
      {Scheme::kExl2,
       {{"m.q_weight", {8, 4}}, {"m.q_scale", {1, 1}}, {"m.q_groups", {2}}, {"m.q_invperm", {64}}},
       {4, 64},
       ""},
      {Scheme::kExl3, {{"m.trellis", {4, 2, 48}}, {"m.suh", {64}}, {"m.svh", {32}}}, {32, 64}, ""},
      {Scheme::kVptq,
       {{"m.indices", {1, 4, 8}}, {"m.centroids.weight", {1, 16}}},
       {1, 4, 8},
       "vptq"},
      {Scheme::kEetq, {{"m.weight", {64, 4}}, {"m.weight_scales", {4}}}, {4, 64}, ""},
      {Scheme::kQuanto, {{"m.weight._data", {4, 8}}, {"m.weight._scale", {4, 1}}}, {4, 8}, ""},
      {Scheme::kBitnet, {{"m.weight", {4, 8}}, {"m.weight_scale", {1}}}, {16, 8}, "bitnet"},
      {Scheme::kQuark, {{"m.weight", {4, 8}}, {"m.weight_scale", {1}}}, {4, 8}, "quark"},
      {Scheme::kTorchao, {{"m._weight_qdata", {4, 8}}, {"m._weight_scale", {1}}}, {4, 8}, ""},
      {Scheme::kMarlin, {{"m.B", {4, 64}}, {"m.s", {1, 32}}}, {32, 64}, ""},
      {Scheme::kQqq, {{"m.B", {4, 64}}, {"m.s_channel", {1, 32}}}, {4, 64}, ""},
      {Scheme::kBitblas, {{"m.qweight", {4, 8}}, {"m.scales", {4, 1}}}, {4, 8}, "bitblas"},
  };
  for (const Recognised& c : cases) {
    Headers headers;
    for (const auto& [name, shape] : c.tensors) headers.add(name, DType::kI8, shape);
    headers.add("m.bias", DType::kF16, {4});
    if (*c.method != 0) {
      headers.model.config =
          std::make_shared<json>(json{{"quantization_config", {{"quant_method", c.method}}}});
    }
    build_weights(headers.model);
    ASSERT_EQ(headers.model.weights.size(), 2u) << scheme_name(c.scheme);
    const Weight* weight = headers.model.find_weight("m.weight");
    ASSERT_NE(weight, nullptr) << scheme_name(c.scheme);
    EXPECT_EQ(weight->scheme, c.scheme);
    EXPECT_EQ(weight->shape, c.shape) << scheme_name(c.scheme);
    EXPECT_EQ(weight->parts.size(), c.tensors.size()) << scheme_name(c.scheme);
    EXPECT_FALSE(weight->undecodable.empty());
    EXPECT_TRUE(check_weight(headers.model, *weight).empty());
    try {
      open_scheme_reader(headers.model, *weight);
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kBadDtype);
    }
  }
}

TEST(BuildWeights, TensorsWinOverTheConfig) {
  ModelWriter writer;
  writer.add("l.weight", DType::kI8, {2, 2}, std::vector<std::int8_t>(4))
      .add("l.SCB", DType::kF32, {2}, std::vector<float>(2));
  const Model model = writer.build({{"quantization_config", {{"quant_method", "AWQ"}}}});
  EXPECT_EQ(model.weights[0].scheme, Scheme::kLlmInt8);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_EQ(model.warnings[0].message,
            "config.json names quant_method awq, the tensors are llm_int8");
}

TEST(BuildWeights, IgnoresConfigKeysOfWrongTypes) {
  const json odd = {{"quant_method", "gptq"},     {"bits", "four"},
                    {"group_size", -7},           {"sym", 3},
                    {"desc_act", json::object()}, {"weight_block_size", {1, "x"}},
                    {"config_groups", 5},         {"checkpoint_format", {1, 2}}};
  for (const char* place : {"quantization_config", "compression_config"}) {
    ModelWriter writer;
    writer.add("a.weight", DType::kF32, {2}, std::vector<float>{1, 2});
    const Model model = writer.build({{place, odd}});
    EXPECT_EQ(model.weights.size(), 1u);
    EXPECT_GT(model.warnings.size(), 3u);
  }
  ModelWriter writer;
  writer.add("a.weight", DType::kF32, {2}, std::vector<float>{1, 2});
  EXPECT_EQ(writer.build({{"quantization_config", "none"}, {"text_config", 7}}).warnings.size(),
            0u);
}

TEST(BuildWeights, ListsUnknownAndComplexTypes) {
  Headers headers;
  headers.add("c", DType::kC64, {2});
  Tensor tensor;
  tensor.name = "x";
  tensor.dtype_text = "F128";
  tensor.shape = {std::uint64_t{1} << 40, std::uint64_t{1} << 40};
  headers.model.tensors.push_back(tensor);
  build_weights(headers.model);
  ASSERT_EQ(headers.model.weights.size(), 2u);
  EXPECT_EQ(headers.model.weights[1].scheme, Scheme::kUnknown);
  EXPECT_EQ(headers.model.weights[1].params, 0u);
  for (const Weight& weight : headers.model.weights) {
    EXPECT_FALSE(weight.undecodable.empty());
    EXPECT_THROW(open_scheme_reader(headers.model, weight), Error);
  }
}

TEST(BuildWeights, PlainTypesKeepTheirStoredBytesAndCodes) {
  ModelWriter writer;
  writer.add("f4", DType::kF4, {3, 2}, std::vector<std::uint8_t>{0x21, 0x43, 0x65})
      .add("f6", DType::kF6E2M3, {2, 4}, std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6})
      .add("h", DType::kF16, {2}, std::vector<std::uint16_t>{0x3C00, 0xFC00})
      .add("i", DType::kI32, {2}, std::vector<std::int32_t>{-5, 7});
  const Model model = writer.build();
  const auto f4 = open_scheme_reader(model, *model.find_weight("f4"));
  std::vector<std::uint16_t> codes(2);
  f4->codes({1, 2, 1, 1}, codes.data());
  EXPECT_EQ(codes, (std::vector<std::uint16_t>{4, 6}));
  EXPECT_TRUE(f4->stored(0, 2).empty());
  const Weight& f6 = *model.find_weight("f6");
  const std::vector<float> whole = all_values(model, f6);
  EXPECT_EQ(all_values(model, f6, 3), whole);
  EXPECT_EQ(all_values(model, f6, 1), whole);
  const auto half = open_scheme_reader(model, *model.find_weight("h"));
  EXPECT_EQ(half->code_bits(), 16);
  EXPECT_EQ(half->stored(1, 1)[1], std::byte{0xFC});
  const auto integer = open_scheme_reader(model, *model.find_weight("i"));
  EXPECT_EQ(integer->code_bits(), 0);
  EXPECT_EQ(all_values(model, *model.find_weight("i")), (std::vector<float>{-5, 7}));
}

TEST(BuildWeights, BigEndianGgufComesOutNative) {
  test::GgufBuilder builder(3, true);
  builder.text("general.architecture", "llama")
      .tensor("half", {2, 2}, 1,
              builder.writer()
                  .number<std::uint16_t>(0x3C00)
                  .number<std::uint16_t>(0x4000)
                  .number<std::uint16_t>(0xC000)
                  .number<std::uint16_t>(0x0001)
                  .str())
      .tensor("wide", {2}, 0, builder.writer().number(1.5f).number(-2.0f).str());
  test::TempDir dir;
  Model model = open_gguf({dir.write("big.gguf", builder.build())});
  build_weights(model);
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(all_values(model, model.weights[0], 3), (std::vector<float>{1, 2, -2, 0x1p-24f}));
  EXPECT_EQ(all_values(model, model.weights[1]), (std::vector<float>{1.5f, -2}));
  const auto reader = open_scheme_reader(model, model.weights[0]);
  std::vector<std::uint16_t> codes(4);
  reader->codes({0, 2, 0, 2}, codes.data());
  EXPECT_EQ(codes, (std::vector<std::uint16_t>{0x3C00, 0x4000, 0xC000, 1}));
  const auto bytes = reader->stored(1, 2);
  EXPECT_EQ(bytes[0], std::byte{0});
  EXPECT_EQ(bytes[1], std::byte{0x40});
}

TEST(BuildWeights, GgufNvfp4TakesItsScaleTensor) {
  std::string block(36, '\0');
  for (int g = 0; g < 4; ++g) block[static_cast<std::size_t>(g)] = 0x40;  // 2.0, halved: 1
  for (std::size_t i = 4; i < 36; ++i) block[i] = 0x22;                   // code 2: 2 · 1
  test::GgufBuilder builder;
  builder.text("general.architecture", "llama")
      .tensor("blk.0.ffn_up.weight", {64, 2}, 40, block + block)
      .tensor("blk.0.ffn_up.scale", {1}, 0, builder.writer().number(0.25f).str())
      .tensor("blk.0.ffn_up.input_scale", {1}, 0, builder.writer().number(0.25f).str());
  test::TempDir dir;
  Model model = open_gguf({dir.write("nv.gguf", builder.build())});
  build_weights(model);
  ASSERT_EQ(model.weights.size(), 2u);
  const Weight& weight = *model.find_weight("blk.0.ffn_up.weight");
  EXPECT_EQ(weight.scheme, Scheme::kGgml);
  EXPECT_EQ(weight.bits, 4);
  EXPECT_EQ(weight.group_size, 16u);
  EXPECT_EQ(weight.parts.size(), 2u);
  EXPECT_EQ(weight.size_bytes, 76u);
  EXPECT_EQ(all_values(model, weight, 50), std::vector<float>(128, 0.5f));
}

TEST(BuildWeights, EveryGgmlBlockTypeHasItsFacts) {
  for (const DTypeInfo& row : all_dtypes()) {
    if (row.kind != NumberKind::kBlock) continue;
    Headers headers;
    headers.model.container = Container::kGguf;
    headers.add("blk.0.attn_q.weight", row.type, {8, 256});
    build_weights(headers.model);
    const Weight& weight = headers.model.weights.at(0);
    EXPECT_EQ(weight.scheme, Scheme::kGgml) << row.name;
    EXPECT_GT(weight.bits, 0) << row.name;
    EXPECT_GT(weight.group_size, 0u) << row.name;
    EXPECT_NE(weight.scale_dtype, DType::kUnknown) << row.name;
    EXPECT_TRUE(weight.symmetric.has_value()) << row.name;
    EXPECT_LE(weight.bits, weight.bits_per_weight() + 1) << row.name;
  }
}

}  // namespace
}  // namespace qi
