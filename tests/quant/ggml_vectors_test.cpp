// ggml's own dequantization (tests/data/ggml-vectors) is the judge: every `dq` tensor, bit for bit.
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/gguf.h"
#include "engine/quant/ggml_blocks.h"
#include "engine/quant/iq_tables.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

const std::string kVectors = QI_TEST_DATA "/ggml-vectors/";

const Tensor* find(const Model& model, std::string_view name) {
  for (const Tensor& tensor : model.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

Buffer payload(const Model& model, const Tensor& tensor) {
  Buffer bytes(tensor.size_bytes);
  model.file(tensor).read_at(tensor.offset, bytes);
  return bytes;
}

std::vector<float> floats(const Buffer& bytes) {
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), values.size() * 4);
  return values;
}

// Equal bits, or both NaN (a NaN's payload is the machine's business).
::testing::AssertionResult same(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << a.size() << " " << b.size();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) == std::bit_cast<std::uint32_t>(b[i])) continue;
    if (a[i] != a[i] && b[i] != b[i]) continue;
    return ::testing::AssertionFailure() << "at " << i << ": " << a[i] << " for " << b[i];
  }
  return ::testing::AssertionSuccess();
}

TEST(GgmlVectors, EveryDequantizedTensorComesOutBitForBit) {
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kVectors)) {
    if (entry.path().extension() != ".gguf") continue;
    const Model model = open_gguf({entry.path().string()});
    const Tensor* w = find(model, "w");
    const Tensor* dq = find(model, "dq");
    if (w == nullptr || dq == nullptr) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const Buffer blocks = payload(model, *w);
    const std::vector<float> expected = floats(payload(model, *dq));
    std::vector<float> actual(expected.size());
    if (is_plain(w->dtype)) {
      to_floats(w->dtype, blocks.data(), actual.size(), false, actual.data());
    } else {
      dequantize_blocks(w->dtype, blocks.data(), actual.size(), actual.data());
    }
    EXPECT_TRUE(same(actual, expected));
    ++checked;
  }
  EXPECT_EQ(checked, 38);
}

TEST(GgmlVectors, InterleavedTypesHoldTheRowsOfQ4_0) {
  const Model plain = open_gguf({kVectors + "q4_0.gguf"});
  const std::vector<float> all = floats(payload(plain, *find(plain, "dq")));
  for (const char* name : {"q4_0_4x4.gguf", "q4_0_4x8.gguf", "q4_0_8x8.gguf"}) {
    SCOPED_TRACE(name);
    const Model model = open_gguf({kVectors + name});
    const Tensor* w = find(model, "w");
    ASSERT_NE(w, nullptr);
    ASSERT_EQ(w->shape.size(), 2u);
    std::vector<float> actual(w->shape[0] * w->shape[1]);
    dequantize_interleaved(w->dtype, payload(model, *w).data(), w->shape[0], w->shape[1],
                           actual.data());
    EXPECT_TRUE(
        same(actual, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(actual.size())}));
  }
}

// These have no dq tensor; their rows must come back within half a step of the source.
TEST(GgmlVectors, ActivationTypesComeBackCloseToTheSource) {
  const Model source = open_gguf({kVectors + "source.gguf"});
  const std::vector<float> x = floats(payload(source, *find(source, "x")));
  for (const char* name : {"q8_1.gguf", "q8_K.gguf"}) {
    SCOPED_TRACE(name);
    const Model model = open_gguf({kVectors + name});
    const Tensor* w = find(model, "w");
    std::vector<float> actual(x.size());
    dequantize_blocks(w->dtype, payload(model, *w).data(), actual.size(), actual.data());
    double error = 0;
    double power = 0;
    for (std::size_t i = 0; i < 28 * 512; ++i) {
      error += (actual[i] - x[i]) * (actual[i] - x[i]);
      power += x[i] * x[i];
    }
    EXPECT_LT(error / power, 1e-4);
  }
}

template <typename Words>
void expect_table(const Model& model, std::string_view name, const Words& words) {
  SCOPED_TRACE(name);
  const Tensor* tensor = find(model, name);
  ASSERT_NE(tensor, nullptr);
  const Buffer bytes = payload(model, *tensor);
  constexpr std::size_t kWidth = sizeof(words[0]);
  ASSERT_EQ(bytes.size(), words.size() * kWidth);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    ASSERT_EQ(std::to_integer<unsigned>(bytes[i]),
              (words[i / kWidth] >> (8 * (i % kWidth))) & 0xFF);
  }
}

TEST(IqTables, AreThoseOfTheDataFile) {
  const Model model = open_gguf({kVectors + "iq-tables.gguf"});
  expect_table(model, "iq2xxs_grid", kIq2xxsGrid);
  expect_table(model, "iq2xs_grid", kIq2xsGrid);
  expect_table(model, "iq2s_grid", kIq2sGrid);
  expect_table(model, "iq3xxs_grid", kIq3xxsGrid);
  expect_table(model, "iq3s_grid", kIq3sGrid);
  expect_table(model, "iq1s_grid", kIq1sGrid);
  const Buffer signs = payload(model, *find(model, "ksigns"));
  for (std::uint32_t i = 0; i < 128; ++i) {
    EXPECT_EQ(std::to_integer<std::uint8_t>(signs[i]), iq_signs(i));
  }
  const Buffer iq4 = payload(model, *find(model, "kvalues_iq4nl"));
  const Buffer mx = payload(model, *find(model, "kvalues_mxfp4_x2"));
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(std::to_integer<std::int8_t>(iq4[i]), kIq4nlValues[i]);
    EXPECT_EQ(std::to_integer<std::int8_t>(mx[i]), kMxfp4Values[i]);
  }
}

}  // namespace
}  // namespace qi
