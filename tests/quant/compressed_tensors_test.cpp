#include <random>

#include "engine/tensor/numbers.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using nlohmann::json;
using test::all_values;
using test::ModelWriter;

json ct_config(const std::string& format, const json& weights) {
  return {{"quantization_config",
           {{"quant_method", "compressed-tensors"},
            {"format", format},
            {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}}}}};
}

struct Case {
  unsigned bits;
  std::uint64_t out, in, group;
  bool asymmetric, act_order, with_config;
};

class Packed : public testing::TestWithParam<Case> {};

TEST_P(Packed, ReadsWhatTheDocumentPacks) {
  const Case c = GetParam();
  std::mt19937 random(c.bits);
  const std::uint64_t fields = 32 / c.bits;
  const std::uint64_t words = (c.in + fields - 1) / fields;
  const std::uint64_t groups = (c.in + c.group - 1) / c.group;
  const int offset = 1 << (c.bits - 1);
  std::vector<int> q(c.out * c.in);
  std::vector<std::uint32_t> packed(c.out * words);
  for (std::uint64_t o = 0; o < c.out; ++o) {
    for (std::uint64_t i = 0; i < c.in; ++i) {
      q[o * c.in + i] = static_cast<int>(random() % (1u << c.bits)) - offset;
      packed[o * words + i / fields] |= static_cast<std::uint32_t>(q[o * c.in + i] + offset)
                                        << (c.bits * (i % fields));
    }
  }
  const std::uint64_t zero_words = (c.out + fields - 1) / fields;
  std::vector<int> zero(c.out * groups);
  std::vector<std::uint32_t> packed_zeros(zero_words * groups);
  std::vector<std::uint16_t> scales(c.out * groups);
  for (std::uint64_t o = 0; o < c.out; ++o) {
    for (std::uint64_t g = 0; g < groups; ++g) {
      zero[o * groups + g] =
          c.asymmetric ? static_cast<int>(random() % (1u << c.bits)) - offset : 0;
      packed_zeros[o / fields * groups + g] |=
          static_cast<std::uint32_t>(zero[o * groups + g] + offset) << (c.bits * (o % fields));
      scales[o * groups + g] = float_to_bf16(0.01f * static_cast<float>(random() % 100 + 1));
    }
  }
  std::vector<std::int32_t> index(c.in);
  for (std::uint64_t i = 0; i < c.in; ++i) index[i] = static_cast<std::int32_t>(i / c.group);
  if (c.act_order) std::shuffle(index.begin(), index.end(), random);
  ModelWriter writer;
  writer.add("l.weight_packed", DType::kI32, {c.out, words}, packed)
      .add("l.weight_scale", DType::kBF16, {c.out, groups}, scales)
      .add("l.weight_shape", DType::kI64, {2}, std::vector<std::uint64_t>{c.out, c.in});
  if (c.asymmetric) {
    writer.add("l.weight_zero_point", DType::kI32, {zero_words, groups}, packed_zeros);
  }
  if (c.act_order) writer.add("l.weight_g_idx", DType::kI32, {c.in}, index);
  const json config = ct_config("pack-quantized", {{"num_bits", c.bits},
                                                   {"type", "int"},
                                                   {"symmetric", !c.asymmetric},
                                                   {"strategy", "group"},
                                                   {"group_size", c.group},
                                                   {"actorder", c.act_order ? "group" : "weight"}});
  const Model model = writer.build(c.with_config ? config : json::object());
  EXPECT_TRUE(model.warnings.empty()) << model.warnings[0].message;
  ASSERT_EQ(model.weights.size(), 1u);
  const Weight& weight = model.weights[0];
  EXPECT_EQ(weight.name, "l.weight");
  EXPECT_EQ(weight.shape, (Shape{c.out, c.in}));
  EXPECT_EQ(weight.bits, c.bits);
  EXPECT_EQ(weight.symmetric, !c.asymmetric);
  EXPECT_EQ(weight.act_order, c.act_order);
  EXPECT_EQ(weight.group_size, c.group);
  for (const std::uint64_t elements : {1u << 20, 29u}) {
    const std::vector<float> got = all_values(model, weight, elements);
    for (std::uint64_t o = 0; o < c.out; ++o) {
      for (std::uint64_t i = 0; i < c.in; ++i) {
        const std::uint64_t at = o * groups + static_cast<std::uint64_t>(index[i]);
        const float want =
            static_cast<float>(q[o * c.in + i] - zero[at]) * bf16_to_float(scales[at]);
        ASSERT_EQ(got[o * c.in + i], want) << o << "," << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Widths, Packed,
    testing::Values(Case{2, 20, 64, 32, true, false, true}, Case{3, 24, 95, 32, false, false, true},
                    Case{3, 23, 64, 16, true, true, true}, Case{4, 16, 100, 32, true, false, true},
                    Case{4, 16, 128, 32, false, true, true}, Case{8, 10, 66, 22, true, false, true},
                    Case{4, 24, 128, 64, true, false, false},
                    Case{8, 24, 256, 128, false, false, false},
                    Case{3, 24, 256, 64, true, false, false}));

TEST(CompressedTensors, IntWithZeroPointsPerChannel) {
  ModelWriter writer;
  writer.add("l.weight", DType::kI8, {2, 3}, std::vector<std::int8_t>{-128, 0, 127, 1, 2, 3})
      .add("l.weight_scale", DType::kF16, {2, 1},
           std::vector<std::uint16_t>{float_to_f16(0.5f), float_to_f16(2.0f)})
      .add("l.weight_zero_point", DType::kI8, {2, 1}, std::vector<std::int8_t>{-128, 5})
      .add("l.input_scale", DType::kF32, {1}, std::vector<float>{1});
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 2u);
  const Weight& weight = *model.find_weight("l.weight");
  EXPECT_EQ(weight.scheme, Scheme::kCompressedTensors);
  EXPECT_EQ(weight.parts.size(), 3u);
  EXPECT_EQ(weight.symmetric, false);
  EXPECT_EQ(weight.zero_point, ZeroPoint::kInt);
  EXPECT_EQ(all_values(model, weight), (std::vector<float>{0, 64, 127.5f, -8, -6, -4}));
}

TEST(CompressedTensors, FloatBlocksAndTensor) {
  std::vector<std::uint8_t> ones(6 * 5, 0x38);  // E4M3 1.0
  ModelWriter writer;
  writer.add("a.weight", DType::kF8E4M3, {6, 5}, ones)
      .add("a.weight_scale", DType::kF32, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6})
      .add("b.weight", DType::kF8E4M3, {6, 5}, ones)
      .add("b.weight_scale", DType::kF32, {}, std::vector<float>{7});
  const Model model = writer.build(ct_config("float-quantized", {{"num_bits", 8},
                                                                 {"type", "float"},
                                                                 {"symmetric", true},
                                                                 {"strategy", "block"},
                                                                 {"block_structure", {4, 2}}}));
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.weights[0].scheme, Scheme::kCompressedTensors);
  EXPECT_EQ(model.weights[0].block_rows, 4u);
  EXPECT_EQ(model.weights[0].block_cols, 2u);
  const std::vector<float> blocks = all_values(model, model.weights[0], 4);
  for (std::size_t o = 0; o < 6; ++o) {
    for (std::size_t i = 0; i < 5; ++i) {
      EXPECT_EQ(blocks[o * 5 + i], static_cast<float>(o / 4 * 3 + i / 2 + 1));
    }
  }
  EXPECT_EQ(all_values(model, model.weights[1]), std::vector<float>(30, 7));
}

TEST(CompressedTensors, Nvfp4DividesByTheGlobalScale) {
  ModelWriter writer;
  std::vector<std::uint8_t> codes(2 * 16, 0x72);  // even 1.0, odd 6.0
  writer.add("l.weight_packed", DType::kU8, {2, 16}, codes)
      .add("l.weight_scale", DType::kF8E4M3, {2, 2},
           std::vector<std::uint8_t>{0x38, 0x40, 0x48, 0x7E})
      .add("l.weight_global_scale", DType::kF32, {1}, std::vector<float>{3});
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 1u);
  const Weight& weight = model.weights[0];
  EXPECT_EQ(weight.format, "nvfp4-pack-quantized");
  EXPECT_EQ(weight.shape, (Shape{2, 32}));
  EXPECT_EQ(weight.group_size, 16u);
  const std::vector<float> got = all_values(model, weight, 5);
  const float scales[] = {1.0f / 3, 2.0f / 3, 4.0f / 3, 448.0f / 3};
  for (std::size_t e = 0; e < 64; ++e) EXPECT_EQ(got[e], (e % 2 ? 6 : 1) * scales[e / 16]);
}

TEST(CompressedTensors, Mxfp4TakesPowersOfTwo) {
  ModelWriter writer;
  writer.add("l.weight_packed", DType::kU8, {1, 32}, std::vector<std::uint8_t>(32, 0x91))
      .add("l.weight_scale", DType::kU8, {1, 2}, std::vector<std::uint8_t>{127, 130});
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 1u);
  EXPECT_EQ(model.weights[0].scale_dtype, DType::kF8E8M0);
  const std::vector<float> got = all_values(model, model.weights[0], 7);
  for (std::size_t e = 0; e < 64; ++e) {
    EXPECT_EQ(got[e], (e % 2 ? -0.5f : 0.5f) * (e < 32 ? 1.0f : 8.0f));
  }
}

TEST(CompressedTensors, StatedShapeMustFitTheWords) {
  ModelWriter writer;
  writer.add("l.weight_packed", DType::kI32, {2, 4}, std::vector<std::uint32_t>(8, 0x88888888u))
      .add("l.weight_scale", DType::kF32, {2, 1}, std::vector<float>{1, 1})
      .add("l.weight_shape", DType::kI64, {2},
           std::vector<std::uint64_t>{2, std::uint64_t{1} << 62});
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 1u);
  EXPECT_EQ(model.weights[0].shape, (Shape{2, 32}));
  EXPECT_EQ(model.warnings.size(), 1u);
  try {
    open_scheme_reader(model, model.weights[0]);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, ErrorCode::kBadValue);
    EXPECT_EQ(error.offset, model.tensors[2].offset);
  }
}

TEST(CompressedTensors, SparseAndMarlinAreListedNotDecoded) {
  ModelWriter writer;
  writer.add("a.compressed", DType::kBF16, {5}, std::vector<std::uint16_t>(5))
      .add("a.bitmask", DType::kU8, {2, 2}, std::vector<std::uint8_t>(4))
      .add("b.weight_packed", DType::kI32, {2, 2}, std::vector<std::uint32_t>(4))
      .add("b.scale_packed", DType::kF16, {2}, std::vector<std::uint16_t>(2))
      .add("b.meta", DType::kI16, {2}, std::vector<std::uint16_t>(2));
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.weights[0].shape, (Shape{2, 16}));
  EXPECT_FALSE(model.weights[0].undecodable.empty());
  EXPECT_EQ(model.weights[1].format, "marlin-24");
  EXPECT_EQ(model.weights[1].parts.size(), 3u);
}

}  // namespace
}  // namespace qi
