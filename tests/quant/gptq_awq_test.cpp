#include <random>

#include "engine/tensor/numbers.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using nlohmann::json;
using test::all_values;
using test::ModelWriter;

struct Case {
  unsigned bits;
  std::uint64_t in, out, group;  // group 0: one for all
  bool version_2;
  bool act_order;
};

/// A layer with random codes, zero points and scales, and what they mean.
struct Layer {
  std::vector<std::uint32_t> codes;   // [in][out]
  std::vector<std::uint32_t> zeros;   // [G][out]
  std::vector<std::uint16_t> scales;  // F16 [G][out]
  std::vector<std::uint32_t> index;   // [in]
  std::uint64_t groups;

  explicit Layer(const Case& c) {
    std::mt19937 random(c.bits * 1000 + static_cast<unsigned>(c.in));
    const std::uint64_t group = c.group == 0 ? c.in : c.group;
    groups = (c.in + group - 1) / group;
    for (std::uint64_t i = 0; i < c.in * c.out; ++i) codes.push_back(random() % (1u << c.bits));
    for (std::uint64_t i = 0; i < groups * c.out; ++i) {
      zeros.push_back(random() % (1u << c.bits));
      scales.push_back(float_to_f16(0.001f * static_cast<float>(random() % 1000 + 1)));
    }
    for (std::uint64_t i = 0; i < c.in; ++i) index.push_back(static_cast<std::uint32_t>(i / group));
    if (c.act_order) std::shuffle(index.begin(), index.end(), random);
  }

  float value(const Case& c, std::uint64_t o, std::uint64_t i) const {
    const std::uint64_t at = index[i] * c.out + o;
    const int q = static_cast<int>(codes[i * c.out + o]);
    return static_cast<float>(q - static_cast<int>(zeros[at])) * f16_to_float(scales[at]);
  }
};

/// Appends `value` to a little-endian bit stream one bit at a time.
void put_bits(std::vector<std::uint32_t>& words, std::uint64_t stride, std::uint64_t lane,
              std::uint64_t bit, std::uint32_t value, unsigned bits) {
  for (unsigned b = 0; b < bits; ++b, ++bit) {
    if ((value >> b) & 1) words[bit / 32 * stride + lane] |= 1u << (bit % 32);
  }
}

class Gptq : public testing::TestWithParam<Case> {};

TEST_P(Gptq, ReadsWhatTheDocumentPacks) {
  const Case c = GetParam();
  const Layer layer(c);
  std::vector<std::uint32_t> qweight(c.in * c.bits / 32 * c.out);
  for (std::uint64_t i = 0; i < c.in; ++i) {
    for (std::uint64_t o = 0; o < c.out; ++o) {
      put_bits(qweight, c.out, o, i * c.bits, layer.codes[i * c.out + o], c.bits);
    }
  }
  const std::uint64_t zero_words = c.out * c.bits / 32;
  std::vector<std::uint32_t> qzeros(layer.groups * zero_words);
  const std::uint32_t mask = (1u << c.bits) - 1;
  for (std::uint64_t g = 0; g < layer.groups; ++g) {
    for (std::uint64_t o = 0; o < c.out; ++o) {
      const std::uint32_t zero = layer.zeros[g * c.out + o];
      std::vector<std::uint32_t> row(zero_words);
      put_bits(row, 1, 0, o * c.bits, c.version_2 ? zero : (zero - 1) & mask, c.bits);
      for (std::uint64_t w = 0; w < zero_words; ++w) qzeros[g * zero_words + w] |= row[w];
    }
  }
  ModelWriter writer;
  writer.add("m.layers.0.q_proj.qweight", DType::kI32, {c.in * c.bits / 32, c.out}, qweight)
      .add("m.layers.0.q_proj.qzeros", DType::kI32, {layer.groups, zero_words}, qzeros)
      .add("m.layers.0.q_proj.scales", DType::kF16, {layer.groups, c.out}, layer.scales);
  if (c.act_order) writer.add("m.layers.0.q_proj.g_idx", DType::kI32, {c.in}, layer.index);
  const json config = {{"quantization_config",
                        {{"quant_method", "gptq"},
                         {"bits", c.bits},
                         {"group_size", c.group == 0 ? -1 : static_cast<int>(c.group)},
                         {"sym", false},
                         {"desc_act", c.act_order},
                         {"checkpoint_format", c.version_2 ? "gptq_v2" : "gptq"}}}};
  const Model model = writer.build(config);
  EXPECT_TRUE(model.warnings.empty()) << model.warnings[0].message;
  ASSERT_EQ(model.weights.size(), 1u);
  const Weight& weight = model.weights[0];
  EXPECT_EQ(weight.name, "m.layers.0.q_proj.weight");
  EXPECT_EQ(weight.shape, (Shape{c.out, c.in}));
  EXPECT_EQ(weight.bits, c.bits);
  EXPECT_EQ(weight.group_size, c.group);
  EXPECT_EQ(weight.act_order, c.act_order);
  EXPECT_EQ(weight.symmetric, false);
  for (const std::uint64_t elements : {1u << 20, 77u}) {
    const std::vector<float> got = all_values(model, weight, elements);
    for (std::uint64_t o = 0; o < c.out; ++o) {
      for (std::uint64_t i = 0; i < c.in; ++i) {
        ASSERT_EQ(got[o * c.in + i], layer.value(c, o, i)) << o << "," << i;
      }
    }
  }
  const auto reader = open_scheme_reader(model, weight);
  std::vector<std::uint16_t> codes(weight.params);
  reader->codes({0, c.out, 0, c.in}, codes.data());
  for (std::uint64_t o = 0; o < c.out; ++o) {
    for (std::uint64_t i = 0; i < c.in; ++i) {
      ASSERT_EQ(codes[o * c.in + i], layer.codes[i * c.out + o]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Widths, Gptq,
    testing::Values(Case{2, 64, 32, 32, false, false}, Case{2, 96, 64, 64, true, true},
                    Case{3, 64, 32, 32, false, true}, Case{3, 96, 64, 40, true, false},
                    Case{4, 128, 64, 64, false, false}, Case{4, 96, 32, 64, true, false},
                    Case{4, 64, 96, 16, false, true}, Case{8, 64, 32, 0, false, false},
                    Case{8, 96, 32, 32, true, true}));

ModelWriter& gptq_parts(ModelWriter& writer, std::uint32_t zero_word,
                        std::vector<std::int32_t> index) {
  return writer.add("a.qweight", DType::kI32, {4, 32}, std::vector<std::uint32_t>(128, 0x99999999u))
      .add("a.qzeros", DType::kI32, {2, 4}, std::vector<std::uint32_t>(8, zero_word))
      .add("a.scales", DType::kF16, {2, 32}, std::vector<std::uint16_t>(64, float_to_f16(1.0f)))
      .add("a.g_idx", DType::kI32, {32}, index);
}

std::vector<std::int32_t> natural_index() {
  std::vector<std::int32_t> index(32);
  for (int i = 0; i < 32; ++i) index[static_cast<std::size_t>(i)] = i / 16;
  return index;
}

TEST(GptqVersions, AreToldFromConstantZeroPoints) {
  for (const bool second : {false, true}) {
    ModelWriter writer;
    const Model model =
        gptq_parts(writer, second ? 0x88888888u : 0x77777777u, natural_index()).build();
    ASSERT_EQ(model.weights.size(), 1u);
    EXPECT_EQ(model.weights[0].format, second ? "v2" : "v1");
    EXPECT_EQ(model.weights[0].symmetric, true);
    EXPECT_FALSE(model.weights[0].act_order);
    EXPECT_EQ(all_values(model, model.weights[0]), std::vector<float>(1024, 1.0f));
  }
}

TEST(GptqVersions, AllOnesMeansZeroInVersionOne) {
  ModelWriter writer;
  const json config = {{"quantize_config", {{"bits", 4}, {"group_size", 16}, {"sym", false}}}};
  const Model model = gptq_parts(writer, 0xFFFFFFFFu, natural_index()).build(config);
  EXPECT_EQ(all_values(model, model.weights[0]), std::vector<float>(1024, 9.0f));
}

TEST(GptqFaults, GroupOutOfRangeNamesItsByte) {
  for (const std::int32_t bad : {2, -1}) {
    ModelWriter writer;
    std::vector<std::int32_t> index = natural_index();
    index[5] = bad;
    const Model model = gptq_parts(writer, 0x77777777u, index).build();
    try {
      open_scheme_reader(model, model.weights[0]);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kBadValue);
      EXPECT_EQ(error.offset, model.tensors[3].offset + 20);
      EXPECT_EQ(error.file, model.files[0]->path());
    }
  }
}

TEST(GptqFaults, OtherLayoutsAreListedNotDecoded) {
  for (const char* format : {"marlin", "bitblas", "gptq_p"}) {
    ModelWriter writer;
    const json config = {{"quantization_config",
                          {{"quant_method", "gptq"}, {"bits", 4}, {"checkpoint_format", format}}}};
    const Model model = gptq_parts(writer, 0x77777777u, natural_index()).build(config);
    ASSERT_EQ(model.weights.size(), 1u);
    EXPECT_FALSE(model.weights[0].undecodable.empty());
    EXPECT_EQ(model.weights[0].format, format);
    EXPECT_THROW(open_scheme_reader(model, model.weights[0]), Error);
  }
}

TEST(GptqFaults, ConfigOfOtherBitsIsContradicted) {
  ModelWriter writer;
  const json config = {
      {"quantization_config", {{"quant_method", "gptq"}, {"bits", 8}, {"group_size", 16}}}};
  const Model model = gptq_parts(writer, 0x77777777u, natural_index()).build(config);
  EXPECT_EQ(model.weights[0].bits, 4);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].message.find("4 bits by its shapes, 8 by config.json"),
            std::string::npos);
}

TEST(GptqFaults, WithoutScalesEverythingIsListedAsStored) {
  ModelWriter writer;
  const Model model = writer.add("a.qweight", DType::kI32, {4, 32}, std::vector<std::uint32_t>(128))
                          .add("a.qzeros", DType::kI32, {2, 4}, std::vector<std::uint32_t>(8))
                          .build();
  EXPECT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.weights[0].scheme, Scheme::kNone);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].message.find("a.qweight"), std::string::npos);
}

// The document's order: field j of word c is column 8c + order[j].
constexpr int kOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

class Awq : public testing::TestWithParam<Case> {};

TEST_P(Awq, ReadsGemm) {
  const Case c = GetParam();
  const Layer layer(c);
  const std::uint64_t words = c.out / 8;
  std::vector<std::uint32_t> qweight(c.in * words);
  std::vector<std::uint32_t> qzeros(layer.groups * words);
  for (std::uint64_t w = 0; w < words; ++w) {
    for (unsigned j = 0; j < 8; ++j) {
      const std::uint64_t o = 8 * w + static_cast<std::uint64_t>(kOrder[j]);
      for (std::uint64_t i = 0; i < c.in; ++i) {
        qweight[i * words + w] |= layer.codes[i * c.out + o] << (4 * j);
      }
      for (std::uint64_t g = 0; g < layer.groups; ++g) {
        qzeros[g * words + w] |= layer.zeros[g * c.out + o] << (4 * j);
      }
    }
  }
  ModelWriter writer;
  writer.add("b.qweight", DType::kI32, {c.in, words}, qweight)
      .add("b.qzeros", DType::kI32, {layer.groups, words}, qzeros)
      .add("b.scales", DType::kF16, {layer.groups, c.out}, layer.scales)
      .add("b.bias", DType::kF16, {c.out}, std::vector<std::uint16_t>(c.out));
  json config = json::object();
  if (c.group == 24) {  // not a size that anyone would guess
    config["quant_config"] = {{"w_bit", 4}, {"q_group_size", 24}, {"version", "GEMM"}};
  }
  const Model model = writer.build(config);
  EXPECT_TRUE(model.warnings.empty());
  ASSERT_EQ(model.weights.size(), 2u);
  const Weight& weight = *model.find_weight("b.weight");
  EXPECT_EQ(weight.scheme, Scheme::kAwq);
  EXPECT_EQ(weight.parts.size(), 3u);
  for (const std::uint64_t elements : {1u << 20, 77u, 3u}) {
    const std::vector<float> got = all_values(model, weight, elements);
    for (std::uint64_t o = 0; o < c.out; ++o) {
      for (std::uint64_t i = 0; i < c.in; ++i) {
        ASSERT_EQ(got[o * c.in + i], layer.value(c, o, i)) << o << "," << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Awq,
                         testing::Values(Case{4, 64, 32, 32, false, false},
                                         Case{4, 100, 8, 0, false, false},
                                         Case{4, 72, 40, 24, false, false}));

TEST(AwqVersions, ReadsGemv) {
  const Case c{4, 256, 16, 64, false, false};
  const Layer layer(c);
  const std::uint64_t zero_words = 1;  // four groups in one word, four fields of padding
  std::vector<std::uint32_t> qweight(c.out * c.in / 8);
  std::vector<std::uint32_t> qzeros(c.out * zero_words);
  std::vector<std::uint16_t> scales(c.out * zero_words * 8);
  for (std::uint64_t o = 0; o < c.out; ++o) {
    for (std::uint64_t i = 0; i < c.in; ++i) {
      qweight[o * c.in / 8 + i / 8] |= layer.codes[i * c.out + o] << (4 * (i % 8));
    }
    for (std::uint64_t g = 0; g < layer.groups; ++g) {
      qzeros[o] |= layer.zeros[g * c.out + o] << (4 * g);
      scales[o * 8 + g] = layer.scales[g * c.out + o];
    }
  }
  ModelWriter writer;
  writer.add("b.qweight", DType::kI32, {c.out, c.in / 8}, qweight)
      .add("b.qzeros", DType::kI32, {c.out, zero_words}, qzeros)
      .add("b.scales", DType::kF16, {c.out, zero_words * 8}, scales);
  const Model model = writer.build(
      {{"quant_config",
        {{"w_bit", 4}, {"q_group_size", 64}, {"zero_point", true}, {"version", "GEMV"}}}});
  ASSERT_EQ(model.weights.size(), 1u);
  EXPECT_EQ(model.weights[0].format, "gemv");
  const std::vector<float> got = all_values(model, model.weights[0], 100);
  for (std::uint64_t o = 0; o < c.out; ++o) {
    for (std::uint64_t i = 0; i < c.in; ++i) {
      ASSERT_EQ(got[o * c.in + i], layer.value(c, o, i)) << o << "," << i;
    }
  }
}

}  // namespace
}  // namespace qi
