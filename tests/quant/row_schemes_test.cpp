#include "engine/quant/check.h"
#include "engine/quant/scale_grid.h"
#include "engine/tensor/numbers.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using nlohmann::json;
using test::all_values;
using test::ModelWriter;

const std::vector<std::uint8_t> kOnes(24, 0x38);  // E4M3 1.0

TEST(ScaleGrid, FollowsFromShapes) {
  using Kind = ScaleGrid::Kind;
  const auto kind = [](Shape weight, Shape scales, BlockHint hint = {}) {
    const auto grid = scale_grid(weight, scales, hint);
    return grid ? std::optional<Kind>(grid->kind) : std::nullopt;
  };
  EXPECT_EQ(kind({8, 64}, {}), Kind::kTensor);
  EXPECT_EQ(kind({8, 64}, {1}), Kind::kTensor);
  EXPECT_EQ(kind({8, 64}, {8}), Kind::kChannel);
  EXPECT_EQ(kind({8, 64}, {8, 1}), Kind::kChannel);
  EXPECT_EQ(kind({8, 64}, {8, 4}), Kind::kGroup);
  EXPECT_EQ(kind({256, 384}, {2, 3}), Kind::kBlock);
  EXPECT_EQ(kind({3, 8, 64}, {3}), Kind::kTensor);
  EXPECT_EQ(kind({3, 8, 64}, {3, 8}), Kind::kChannel);
  EXPECT_EQ(kind({3, 8, 64}, {3, 8, 1}), Kind::kChannel);
  EXPECT_EQ(kind({3, 256, 384}, {3, 2, 3}), Kind::kBlock);
  EXPECT_EQ(kind({8, 64}, {7}), std::nullopt);
  EXPECT_EQ(kind({8, 64}, {8, 0}), std::nullopt);
  EXPECT_EQ(kind({0, 64}, {1}), std::nullopt);
  EXPECT_EQ(kind({8, 64}, {9, 64}), std::nullopt);
  const auto ragged = scale_grid({160, 144}, {2, 2}, {128, 128});
  ASSERT_TRUE(ragged);
  EXPECT_EQ(ragged->block_rows, 128u);
  EXPECT_EQ(block_size(100, 7, 0), std::optional<std::uint64_t>(16));
  EXPECT_EQ(block_size(100, 51, 0), std::nullopt);
  EXPECT_EQ(block_size(100, 60, 0), std::nullopt);
}

TEST(Fp8, PerTensorChannelAndBlock) {
  ModelWriter writer;
  writer.add("t.weight", DType::kF8E4M3, {4, 6}, kOnes)
      .add("t.weight_scale", DType::kF32, {}, std::vector<float>{3})
      .add("t.input_scale", DType::kF32, {}, std::vector<float>{9})
      .add("c.weight", DType::kF8E5M2, {4, 6}, std::vector<std::uint8_t>(24, 0x3C))
      .add("c.weight_scale", DType::kF32, {4, 1}, std::vector<float>{1, 2, 3, 4})
      .add("b.weight", DType::kF8E4M3, {4, 6}, kOnes)
      .add("b.weight_scale_inv", DType::kBF16, {2, 2},
           std::vector<std::uint16_t>{float_to_bf16(1), float_to_bf16(2), float_to_bf16(3),
                                      float_to_bf16(4)})
      .add("e.weight", DType::kF8E4M3, {4, 6}, kOnes)
      .add("e.weight_scale_inv", DType::kF8E8M0, {2, 2},
           std::vector<std::uint8_t>{126, 127, 128, 129});
  const Model model = writer.build({{"quantization_config",
                                     {{"quant_method", "fp8"},
                                      {"activation_scheme", "static"},
                                      {"weight_block_size", {3, 4}}}}});
  EXPECT_TRUE(model.warnings.empty());
  ASSERT_EQ(model.weights.size(), 5u);
  const Weight& block = model.weights[0];
  EXPECT_EQ(block.scheme, Scheme::kFP8Block);
  EXPECT_EQ(block.block_rows, 3u);
  EXPECT_EQ(block.block_cols, 4u);
  EXPECT_EQ(all_values(model, block, 5), (std::vector<float>{1, 1, 1, 1, 2, 2, 1, 1, 1, 1, 2, 2,
                                                             1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4}));
  const Weight& channel = model.weights[1];
  EXPECT_EQ(channel.scheme, Scheme::kFP8);
  EXPECT_EQ(channel.format, "channel");
  EXPECT_EQ(all_values(model, channel, 24)[13], 3);
  EXPECT_EQ(model.weights[2].scale_dtype, DType::kF8E8M0);
  EXPECT_EQ(all_values(model, model.weights[2])[23], 4);
  EXPECT_EQ(model.weights[3].name, "t.input_scale");
  EXPECT_EQ(model.weights[3].scheme, Scheme::kNone);
  EXPECT_EQ(model.weights[4].format, "tensor");
  EXPECT_EQ(all_values(model, model.weights[4]), std::vector<float>(24, 3));
}

TEST(Fp8, StacksOfExperts) {
  ModelWriter writer;
  writer.add("mlp.experts.down_proj", DType::kF8E4M3, {2, 3, 4}, kOnes)
      .add("mlp.experts.down_proj_scale_inv", DType::kF32, {2, 3, 1},
           std::vector<float>{1, 2, 3, 4, 5, 6})
      .add("mlp.experts.up.weight", DType::kF8E4M3, {2, 3, 4}, kOnes)
      .add("mlp.experts.up.weight_scale", DType::kF32, {2}, std::vector<float>{7, 8});
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.weights[0].shape, (Shape{2, 3, 4}));
  const std::vector<float> rows = all_values(model, model.weights[0], 7);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(rows[i], static_cast<float>(i / 4 + 1));
  const std::vector<float> experts = all_values(model, model.weights[1], 7);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(experts[i], i < 12 ? 7 : 8);
}

TEST(Fp8, CodesWithoutScalesAreListedAsStored) {
  ModelWriter writer;
  writer.add("a.weight", DType::kF8E4M3, {4, 6}, kOnes)
      .add("b.weight", DType::kF8E4M3, {4, 6}, kOnes)
      .add("b.weight_scale", DType::kF32, {5}, std::vector<float>(5));
  const Model model = writer.build({{"quantization_config", {{"quant_method", "fp8"}}}});
  EXPECT_EQ(model.weights.size(), 3u);
  EXPECT_EQ(model.warnings.size(), 3u);  // no scale; a scale that does not fit; nothing is FP8
  EXPECT_EQ(all_values(model, model.weights[0]), std::vector<float>(24, 1));
}

TEST(Check, FindsOddScalesAndCodes) {
  std::vector<std::uint8_t> codes = kOnes;
  codes[7] = 0xFF;
  ModelWriter writer;
  writer.add("l.weight", DType::kF8E4M3, {4, 6}, codes)
      .add("l.weight_scale", DType::kF32, {4, 1}, std::vector<float>{1, NAN, -2, INFINITY});
  const Model model = writer.build();
  const auto faults = check_weight(model, model.weights[0]);
  ASSERT_EQ(faults.size(), 3u);
  EXPECT_EQ(faults[0].severity, WeightFault::Severity::kNote);
  EXPECT_EQ(faults[0].offset, model.tensors[0].offset + 7);
  EXPECT_EQ(faults[0].length, 1u);
  EXPECT_EQ(faults[1].severity, WeightFault::Severity::kError);
  EXPECT_EQ(faults[1].offset, model.tensors[1].offset + 4);
  EXPECT_EQ(faults[1].message, "2 of 4 scales are NaN or infinite, the first is number 1");
  EXPECT_EQ(faults[2].message, "1 of 4 scales are zero or negative, the first is number 2");
}

TEST(Check, FindsE8m0NanAndZeroPointsOutOfRange) {
  ModelWriter writer;
  writer.add("p_blocks", DType::kU8, {1, 2, 1, 16}, std::vector<std::uint8_t>(32))
      .add("p_scales", DType::kU8, {1, 2, 1}, std::vector<std::uint8_t>{127, 255})
      .add("q.weight", DType::kI8, {2, 2}, std::vector<std::int8_t>(4))
      .add("q.weight_scale", DType::kF32, {2, 1}, std::vector<float>{1, 1})
      .add("q.weight_zero_point", DType::kI16, {2, 1}, std::vector<std::int16_t>{0, 200});
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.weights[0].scheme, Scheme::kMXFP4);
  const auto powers = check_weight(model, model.weights[0]);
  ASSERT_EQ(powers.size(), 1u);
  EXPECT_EQ(powers[0].offset, model.tensors[1].offset + 1);
  const auto zeros = check_weight(model, model.weights[1]);
  ASSERT_EQ(zeros.size(), 1u);
  EXPECT_EQ(zeros[0].severity, WeightFault::Severity::kError);
  EXPECT_EQ(zeros[0].part, "q.weight_zero_point");
}

TEST(Mxfp4, OriginalNamesAndMissingScales) {
  ModelWriter writer;
  writer
      .add("block.0.mlp.mlp1_weight.blocks", DType::kU8, {2, 1, 1, 16},
           std::vector<std::uint8_t>(32, 0x72))
      .add("block.0.mlp.mlp1_weight.scales", DType::kU8, {2, 1, 1},
           std::vector<std::uint8_t>{127, 128})
      .add("x_blocks", DType::kU8, {2, 1, 1, 16}, std::vector<std::uint8_t>(32));
  const Model model = writer.build();
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.weights[0].name, "block.0.mlp.mlp1_weight");
  EXPECT_EQ(model.weights[0].shape, (Shape{2, 1, 32}));
  const std::vector<float> got = all_values(model, model.weights[0], 9);
  for (std::size_t e = 0; e < 64; ++e) EXPECT_EQ(got[e], (e % 2 ? 6.0f : 1.0f) * (e < 32 ? 1 : 2));
  EXPECT_EQ(model.weights[1].scheme, Scheme::kNone);
  EXPECT_EQ(model.warnings.size(), 1u);
}

}  // namespace
}  // namespace qi
