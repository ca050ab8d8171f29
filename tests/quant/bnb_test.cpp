#include <random>

#include "engine/quant/bnb_4bit.h"
#include "engine/quant/check.h"
#include "engine/tensor/numbers.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using nlohmann::json;
using test::all_values;
using test::ModelWriter;

std::vector<float> ramp(std::size_t count) {
  std::vector<float> map(count);
  for (std::size_t i = 0; i < count; ++i) map[i] = static_cast<float>(i) / 8 - 1;
  return map;
}

json state(Shape shape, std::uint64_t block) {
  return {{"quant_type", "fp4"}, {"blocksize", block}, {"dtype", "bfloat16"}, {"shape", shape}};
}

/// A plain FP4 weight [5, 7] with blocks of 8 that run over row ends, stored as `type`.
Model fp4_model(ModelWriter& writer, const json& with_state, DType type, Shape stored_shape,
                std::size_t bytes) {
  std::vector<std::uint8_t> nibbles(bytes);
  for (std::size_t e = 0; e < 35; ++e) {
    nibbles[e / 2] |= static_cast<std::uint8_t>((e * 7 % 16) << (e % 2 == 0 ? 4 : 0));
  }
  return writer.add("l.weight", type, stored_shape, nibbles)
      .add("l.weight.absmax", DType::kF32, {5}, std::vector<float>{1, 2, 3, 4, 5})
      .add("l.weight.quant_map", DType::kF32, {16}, ramp(16))
      .text("l.weight.quant_state.bitsandbytes__fp4", with_state.dump())
      .build();
}

TEST(Bnb4Bit, PlainFp4WithShortLastBlockAndOddCount) {
  for (const bool wide : {false, true}) {
    ModelWriter writer;
    // 36 nibbles are 18 bytes: as U8 or as nine BF16 "numbers".
    const Model model = fp4_model(writer, state({5, 7}, 8), wide ? DType::kBF16 : DType::kU8,
                                  wide ? Shape{9, 1} : Shape{18, 1}, 18);
    EXPECT_TRUE(model.warnings.empty());
    ASSERT_EQ(model.weights.size(), 1u);
    const Weight& weight = model.weights[0];
    EXPECT_EQ(weight.scheme, Scheme::kFP4);
    EXPECT_EQ(weight.shape, (Shape{5, 7}));
    EXPECT_EQ(weight.group_size, 8u);
    for (const std::uint64_t elements : {100u, 14u, 3u}) {
      const std::vector<float> got = all_values(model, weight, elements);
      for (std::size_t e = 0; e < 35; ++e) {
        EXPECT_EQ(got[e], ramp(16)[e * 7 % 16] * static_cast<float>(e / 8 + 1)) << e;
      }
    }
  }
}

TEST(Bnb4Bit, NestedScalesOfSeveralOuterBlocks) {
  std::mt19937 random(3);
  const std::size_t blocks = 10;
  std::vector<std::uint8_t> nibbles(blocks * 2);
  std::vector<std::uint8_t> absmax(blocks);
  for (auto& byte : nibbles) byte = static_cast<std::uint8_t>(random());
  for (auto& byte : absmax) byte = static_cast<std::uint8_t>(random());
  const std::vector<float> outer = {0.5f, 2.0f, 4.0f};
  json nested = state({4, 10}, 4);
  nested["nested_blocksize"] = 4;
  nested["nested_offset"] = 0.125;
  nested["nested_dtype"] = "float32";
  ModelWriter writer;
  const Model model = writer.add("l.weight", DType::kU8, {20, 1}, nibbles)
                          .add("l.weight.absmax", DType::kU8, {blocks}, absmax)
                          .add("l.weight.quant_map", DType::kF32, {16}, ramp(16))
                          .add("l.weight.nested_absmax", DType::kF32, {3}, outer)
                          .add("l.weight.nested_quant_map", DType::kF32, {256}, ramp(256))
                          .text("l.weight.quant_state.bitsandbytes__nf4", nested.dump())
                          .build();
  ASSERT_EQ(model.weights.size(), 1u);
  EXPECT_EQ(model.weights[0].format, "nested");
  EXPECT_EQ(model.weights[0].parts.size(), 6u);
  const std::vector<float> got = all_values(model, model.weights[0], 3);
  for (std::size_t e = 0; e < 40; ++e) {
    const std::size_t b = e / 4;
    const float scale = ramp(256)[absmax[b]] * outer[b / 4] + 0.125f;
    const unsigned code = e % 2 == 0 ? nibbles[e / 2] >> 4 : nibbles[e / 2] & 15;
    EXPECT_EQ(got[e], ramp(16)[code] * scale) << e;
  }
  // The made-up table is not NF4's: worth a note.
  const auto faults = check_weight(model, model.weights[0]);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].severity, WeightFault::Severity::kNote);
  EXPECT_EQ(faults[0].part, "l.weight.quant_map");
}

TEST(Bnb4Bit, BadStatesAreWarningsThenErrors) {
  const json good = state({5, 7}, 8);
  struct Bad {
    std::string text;
    ErrorCode code;
  };
  std::vector<Bad> cases = {{"{", ErrorCode::kBadJson}, {"[]", ErrorCode::kBadSchema}};
  for (const auto& [key, value, code] : std::vector<std::tuple<const char*, json, ErrorCode>>{
           {"shape", json::array({5, 8}), ErrorCode::kBadValue},
           {"shape", json::array({5.0, 7}), ErrorCode::kBadSchema},
           {"shape", json::array({-5, 7}), ErrorCode::kBadSchema},
           {"shape", json::array({1ull << 40, 1ull << 40}), ErrorCode::kBadValue},
           {"shape", "5x7", ErrorCode::kBadSchema},
           {"blocksize", 0, ErrorCode::kBadSchema},
           {"blocksize", 16, ErrorCode::kBadValue},
           {"blocksize", ~0ull, ErrorCode::kBadSchema},
           {"nested_offset", "x", ErrorCode::kBadSchema},
           {"nested_blocksize", 256, ErrorCode::kBadValue}}) {
    json bad = good;
    bad[key] = value;
    cases.push_back({bad.dump(), code});
  }
  for (const Bad& bad : cases) {
    ModelWriter writer;
    std::vector<std::uint8_t> nibbles(18);
    const Model model = writer.add("l.weight", DType::kU8, {18, 1}, nibbles)
                            .add("l.weight.absmax", DType::kF32, {5}, std::vector<float>(5, 1.0f))
                            .add("l.weight.quant_map", DType::kF32, {16}, ramp(16))
                            .text("l.weight.quant_state.bitsandbytes__fp4", bad.text)
                            .build();
    ASSERT_EQ(model.weights.size(), 1u) << bad.text;
    EXPECT_EQ(model.warnings.size(), 1u) << bad.text;
    try {
      open_scheme_reader(model, model.weights[0]);
      ADD_FAILURE() << bad.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, bad.code) << bad.text;
      EXPECT_EQ(error.offset, model.tensors[3].offset);
    }
    const auto faults = check_weight(model, model.weights[0]);
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].severity, WeightFault::Severity::kError);
    EXPECT_EQ(faults[0].part, "l.weight.quant_state.bitsandbytes__fp4");
  }
}

TEST(Bnb4Bit, WithoutItsTablesItIsListedAsStored) {
  ModelWriter writer;
  const Model model = writer.add("l.weight", DType::kU8, {18, 1}, std::vector<std::uint8_t>(18))
                          .add("l.weight.absmax", DType::kF32, {5}, std::vector<float>(5, 1.0f))
                          .build();
  EXPECT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.warnings.size(), 1u);
}

TEST(LlmInt8, ObsoleteTilingsAreRefused) {
  for (const std::uint8_t format : {0, 1, 2, 3, 200}) {
    ModelWriter writer;
    const Model model =
        writer.add("l.weight", DType::kI8, {2, 2}, std::vector<std::int8_t>{127, -127, 1, 0})
            .add("l.SCB", DType::kF32, {2}, std::vector<float>{2, 254})
            .add("l.weight_format", DType::kU8, {}, std::vector<std::uint8_t>{format})
            .build();
    ASSERT_EQ(model.weights.size(), 1u);
    EXPECT_EQ(model.weights[0].scheme, Scheme::kLlmInt8);
    if (format == 0) {
      const float unit = 254.0f * (1.0f / 127.0f);
      EXPECT_EQ(
          all_values(model, model.weights[0]),
          (std::vector<float>{127 * (2 * (1.0f / 127.0f)), -127 * (2 * (1.0f / 127.0f)), unit, 0}));
      continue;
    }
    try {
      open_scheme_reader(model, model.weights[0]);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kBadValue);
    }
  }
}

}  // namespace
}  // namespace qi
