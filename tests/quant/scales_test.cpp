// Scales and zero points of every scheme against what the stored parts say.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "engine/format/open.h"
#include "engine/quant/bnb_4bit.h"
#include "engine/quant/part_bytes.h"
#include "engine/tensor/numbers.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

struct Scales {
  std::vector<float> scales;
  std::vector<float> zeros;
  bool added = false;
};

Scales scales_of(const Model& model, const Weight& weight) {
  Scales out;
  open_reader(model, weight)->scales([&](const ScaleRun& run) {
    EXPECT_TRUE(run.zeros.empty() || run.zeros.size() == run.scales.size());
    out.scales.insert(out.scales.end(), run.scales.begin(), run.scales.end());
    out.zeros.insert(out.zeros.end(), run.zeros.begin(), run.zeros.end());
    out.added = run.added;
    return true;
  });
  return out;
}

Model open_checkpoint(const std::string& name) {
  const Catalog found = find_models(std::string(QI_TEST_DATA) + "/checkpoints/" + name);
  return open_model(found.models.front());
}

std::vector<float> part_floats(const Model& model, const Part& part) {
  PartBytes bytes(model, model.tensor(part));
  std::vector<float> out(element_count(bytes.tensor().shape).value());
  bytes.floats(0, out.size(), out.data());
  return out;
}

std::vector<float> sorted(std::vector<float> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

/// All fields of `bits` bits of a tensor of I32 words whose fields do not cross words.
std::vector<float> fields(const Model& model, const Part& part, unsigned bits, int add) {
  PartBytes bytes(model, model.tensor(part));
  std::vector<float> out;
  const unsigned mask = (1u << bits) - 1;
  for (std::uint64_t w = 0; w < bytes.tensor().size_bytes / 4; ++w) {
    const auto word = bytes.number<std::uint32_t>(w);
    for (unsigned shift = 0; shift + bits <= 32; shift += bits) {
      const unsigned field = (word >> shift) & mask;
      out.push_back(static_cast<float>((field + static_cast<unsigned>(add)) & mask));
    }
  }
  return out;
}

std::size_t quantized(const Model& model, Scheme scheme,
                      const std::function<void(const Weight&, const Scales&)>& check) {
  std::size_t count = 0;
  for (const Weight& weight : model.weights) {
    const Scales found = scales_of(model, weight);
    if (weight.scheme == Scheme::kNone) {
      EXPECT_TRUE(found.scales.empty());
      continue;
    }
    EXPECT_EQ(weight.scheme, scheme);
    EXPECT_FALSE(found.scales.empty()) << weight.name;
    check(weight, found);
    ++count;
  }
  EXPECT_GT(count, 0u);
  return count;
}

TEST(Scales, OfPackedIntegersAreThoseStored) {
  for (const auto& [name, scheme] : {std::pair{"gptq-4bit-actorder", Scheme::kGptq},
                                     {"gptq-8bit", Scheme::kGptq},
                                     {"awq-4bit", Scheme::kAwq}}) {
    const Model model = open_checkpoint(name);
    quantized(model, scheme, [&](const Weight& weight, const Scales& found) {
      const Part& scales = *find_part(weight, PartRole::kScales);
      const Part& zeros = *find_part(weight, PartRole::kZeros);
      EXPECT_EQ(sorted(found.scales), sorted(part_floats(model, scales)));
      const int add = weight.scheme == Scheme::kGptq && weight.format == "v1" ? 1 : 0;
      EXPECT_EQ(sorted(found.zeros), sorted(fields(model, zeros, weight.bits, add)));
      EXPECT_FALSE(found.added);
    });
  }
}

TEST(Scales, OfThreeBitsHaveAZeroPointEach) {
  const Model model = open_checkpoint("gptq-3bit");
  quantized(model, Scheme::kGptq, [&](const Weight& weight, const Scales& found) {
    const Part& scales = *find_part(weight, PartRole::kScales);
    EXPECT_EQ(sorted(found.scales), sorted(part_floats(model, scales)));
    for (const float zero : found.zeros) EXPECT_TRUE(zero >= 0 && zero <= 8);
  });
}

TEST(Scales, OfRowSchemesAreThoseStored) {
  for (const auto& [name, scheme] : {std::pair{"ct-fp8-channel", Scheme::kCompressedTensors},
                                     {"ct-int4-group", Scheme::kCompressedTensors},
                                     {"ct-int8-channel", Scheme::kCompressedTensors},
                                     {"fp8-block128", Scheme::kFP8Block},
                                     {"bnb-int8", Scheme::kLlmInt8}}) {
    const Model model = open_checkpoint(name);
    quantized(model, scheme, [&](const Weight& weight, const Scales& found) {
      std::vector<float> stored = part_floats(model, *find_part(weight, PartRole::kScales));
      if (weight.scheme == Scheme::kLlmInt8) {
        for (float& scale : stored) scale *= 1.0f / 127.0f;
      }
      EXPECT_EQ(sorted(found.scales), sorted(stored)) << name;
    });
  }
}

TEST(Scales, OfFourBitFloatsIncludeTheSecondLevel) {
  const Model mx = open_checkpoint("mxfp4-experts");
  quantized(mx, Scheme::kMXFP4, [&](const Weight& weight, const Scales& found) {
    PartBytes bytes(mx, mx.tensor(*find_part(weight, PartRole::kScales)));
    std::vector<float> stored;
    for (const std::byte b : bytes.bytes(0, bytes.tensor().size_bytes)) {
      stored.push_back(f8_e8m0_to_float(std::to_integer<std::uint8_t>(b)));
    }
    EXPECT_EQ(found.scales, stored);
  });
  const Model nv = open_checkpoint("nvfp4-modelopt");
  quantized(nv, Scheme::kNVFP4, [&](const Weight& weight, const Scales& found) {
    std::vector<float> stored = part_floats(nv, *find_part(weight, PartRole::kScales));
    const float second = part_floats(nv, *find_part(weight, PartRole::kSecondScales))[0];
    for (float& scale : stored) scale *= second;
    EXPECT_EQ(found.scales, stored);
  });
}

TEST(Scales, OfNestedNf4AreUnfolded) {
  const Model model = open_checkpoint("bnb-nf4-nested");
  quantized(model, Scheme::kNF4, [&](const Weight& weight, const Scales& found) {
    PartBytes text(model, model.tensor(*find_part(weight, PartRole::kState)));
    const auto raw = text.bytes(0, text.tensor().size_bytes);
    QuantState state;
    ASSERT_FALSE(parse_quant_state({reinterpret_cast<const char*>(raw.data()), raw.size()}, state));
    const auto map = part_floats(model, *find_part(weight, PartRole::kSecondCodebook));
    const auto outer = part_floats(model, *find_part(weight, PartRole::kSecondScales));
    PartBytes codes(model, model.tensor(*find_part(weight, PartRole::kScales)));
    std::vector<float> stored;
    for (const std::byte b : codes.bytes(0, codes.tensor().size_bytes)) {
      stored.push_back(map[std::to_integer<std::size_t>(b)] *
                           outer[stored.size() / state.nested_block_size] +
                       state.nested_offset);
    }
    EXPECT_EQ(found.scales, stored);
    EXPECT_TRUE(found.zeros.empty());
  });
}

TEST(Scales, OfSpqrAreOneARowAndTile) {
  const Model model = open_checkpoint("spqr-3bit");
  quantized(model, Scheme::kSpqr, [&](const Weight& weight, const Scales& found) {
    EXPECT_EQ(found.scales.size(), weight.rows() * ((weight.cols() + 15) / 16));
    EXPECT_EQ(found.zeros.size(), found.scales.size());
  });
}

// value = minimum + scale · k / 8 with a whole k, for every value of the scale's group: a wrong
// scale, or one in the wrong place, leaves fractions.
TEST(Scales, OfGgmlBlocksDivideTheirValues) {
  std::size_t types = 0;
  std::map<std::string, std::vector<float>> by_type;
  for (const auto& entry : fs::directory_iterator(std::string(QI_TEST_DATA) + "/ggml-vectors")) {
    if (entry.path().extension() != ".gguf") continue;
    const Model model = open_model(find_models(entry.path().string()).models.front());
    for (const Weight& weight : model.weights) {
      if (weight.scheme != Scheme::kGgml || !weight.undecodable.empty()) continue;
      SCOPED_TRACE(entry.path().filename().string() + " " + weight.name);
      const Scales found = scales_of(model, weight);
      ASSERT_FALSE(found.scales.empty());
      ASSERT_EQ(weight.params % found.scales.size(), 0u);
      by_type[weight.format] = sorted(found.scales);
      ++types;
      const std::uint64_t group = weight.params / found.scales.size();
      EXPECT_EQ(group, weight.group_size);
      if (weight.format.starts_with("Q4_0_")) continue;  // rows are mixed: see below
      const auto reader = open_reader(model, weight);
      std::vector<float> values(weight.params);
      reader->values({0, weight.rows(), 0, weight.cols()}, values.data());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double scale = found.scales[i / group];
        const double low = found.zeros.empty() ? 0.0 : found.zeros[i / group];
        const double above = static_cast<double>(values[i]) - low;
        const double rounding = 1e-6 * (std::abs(static_cast<double>(values[i])) + std::abs(low));
        if (!std::isfinite(above) || !std::isfinite(scale)) continue;
        const double k = scale == 0 ? 0.0 : std::nearbyint(8 * above / scale);
        if (std::abs(above - k * scale / 8) > rounding || std::abs(k) > 8 * 256) ++wrong;
      }
      EXPECT_EQ(wrong, 0u);
    }
  }
  EXPECT_GT(types, 20u);
  for (const auto& [type, scales] : by_type) {
    if (type.starts_with("Q4_0_")) {
      EXPECT_EQ(scales.size(), by_type["Q4_0"].size()) << type;
    }
  }
}

}  // namespace
}  // namespace qi
