#include "engine/quant/ggml_quantize.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf.h"
#include "engine/io/error.h"
#include "engine/io/file.h"
#include "engine/quant/ggml_blocks.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

const std::string kVectors = QI_TEST_DATA "/ggml-vectors/";
constexpr std::uint64_t kRows = 40;
constexpr std::uint64_t kCols = 512;
constexpr std::uint64_t kRandomRows = 28;  // the others are edge cases

Buffer payload(const Model& model, std::string_view name) {
  for (const Tensor& tensor : model.tensors) {
    if (tensor.name != name) continue;
    Buffer bytes(tensor.size_bytes);
    model.file(tensor).read_at(tensor.offset, bytes);
    return bytes;
  }
  ADD_FAILURE() << name;
  return {};
}

std::vector<float> floats(const Buffer& bytes) {
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), values.size() * 4);
  return values;
}

std::vector<float> values_of(DType type, const Buffer& bytes, std::size_t count) {
  std::vector<float> values(count);
  if (is_plain(type)) {
    to_floats(type, bytes.data(), count, false, values.data());
  } else {
    dequantize_blocks(type, bytes.data(), count, values.data());
  }
  return values;
}

Buffer quantized(DType type, const std::vector<float>& x, std::uint64_t rows,
                 const float* importance = nullptr) {
  Buffer bytes(*stored_bytes(type, x.size()), std::byte{0xA5});
  quantize_blocks(type, x.data(), rows, x.size() / rows, importance, bytes.data());
  return bytes;
}

std::vector<DType> quantizable(bool blocks_only = false) {
  std::vector<DType> types;
  for (const DTypeInfo& row : all_dtypes()) {
    if (ggml_quantizable(row.type) && !(blocks_only && is_plain(row.type))) {
      types.push_back(row.type);
    }
  }
  return types;
}

// What ggml made of the same rows, and what its error was.
class AgainstGgml : public ::testing::Test {
 protected:
  AgainstGgml() {
    const Model source = open_gguf({kVectors + "source.gguf"});
    x = floats(payload(source, "x"));
    importance = floats(payload(source, "imatrix"));
    index = nlohmann::json::parse(std::ifstream(kVectors + "index.json"));
  }
  // The rows in the type of the entry; made once for all tests, since searches take their time.
  const Buffer& made(const nlohmann::json& entry, DType type) {
    static std::map<std::string, Buffer> all;
    const auto [at, is_new] = all.try_emplace(entry["file"].get<std::string>());
    const bool weighted = entry["imatrix"].get<bool>();
    if (is_new) at->second = quantized(type, x, kRows, weighted ? importance.data() : nullptr);
    return at->second;
  }
  // Every entry whose type can be made.
  template <typename Check>
  void each(const Check& check) {
    int checked = 0;
    for (const auto& entry : index["entries"]) {
      const auto type = dtype_from_ggml(entry["id"].get<std::uint32_t>());
      if (!type || !ggml_quantizable(*type)) continue;
      SCOPED_TRACE(entry["file"].get<std::string>());
      check(entry, *type, made(entry, *type));
      ++checked;
    }
    EXPECT_EQ(checked, 38);
  }

  std::vector<float> x;
  std::vector<float> importance;
  nlohmann::json index;
};

bool same_bytes_expected(DType type) {
  switch (type) {
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      return true;
    default:
      return false;
  }
}

TEST_F(AgainstGgml, SameBytesWhereTheAlgorithmIsFixed) {
  each([&](const nlohmann::json& entry, DType type, const Buffer& made) {
    if (!same_bytes_expected(type)) return;
    const Buffer expected = payload(open_gguf({kVectors + entry["file"].get<std::string>()}), "w");
    ASSERT_EQ(made.size(), expected.size());
    const std::size_t block = info(type).block_bytes;
    int differing = 0;
    for (std::size_t at = 0; at < made.size(); at += block) {
      if (std::memcmp(made.data() + at, expected.data() + at, block) != 0) ++differing;
    }
    // The file was made by a build that fuses multiplications into additions, which moves a
    // rounding in six of the 640 blocks where a minimum is fitted under the importance matrix.
    const bool fused = entry["imatrix"] == true && (type == DType::kQ4_1 || type == DType::kQ5_1);
    EXPECT_LE(differing, fused ? 6 : 0);
  });
}

TEST_F(AgainstGgml, ErrorIsNoLargerThanGgmls) {
  each([&](const nlohmann::json& entry, DType type, const Buffer& made) {
    const std::vector<float> y = values_of(type, made, x.size());
    double plain = 0;
    double weighted = 0;
    double weights = 0;
    for (std::size_t i = 0; i < kRandomRows * kCols; ++i) {
      const double off = static_cast<double>(y[i]) - static_cast<double>(x[i]);
      const auto weight = static_cast<double>(importance[i % kCols]);
      plain += off * off;
      weighted += weight * off * off;
      weights += weight;
    }
    plain /= kRandomRows * kCols;
    weighted /= weights;
    const bool imatrix = entry["imatrix"].get<bool>();
    EXPECT_LE(plain, (imatrix ? 1.02 : 1.01) * entry["gauss_rows_mse"].get<double>());
    if (!imatrix) return;
    EXPECT_LE(weighted, 1.001 * entry["gauss_rows_weighted_mse"].get<double>());
  });
}

TEST_F(AgainstGgml, FiniteRowsStayFiniteEvenWhereGgmlsDoNot) {
  each([&](const nlohmann::json&, DType type, const Buffer& made) {
    for (const float y : values_of(type, made, x.size())) ASSERT_TRUE(std::isfinite(y));
  });
}

std::vector<float> mixed_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> x(count);
  for (float& v : x) v = normal(random);
  // Blocks of every kind: zero, constant, one outlier, subnormal, huge.
  for (std::size_t at = 0; at + 32 <= count; at += 32) {
    switch ((at / 32) % 9) {
      case 1:
        std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(at), 32, 0.0f);
        break;
      case 2:
        std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(at), 32, -0.37f);
        break;
      case 3:
        x[at + 5] = 7.5f;
        break;
      case 4:
        for (std::size_t i = 0; i < 32; ++i) x[at + i] *= 1e-38f;
        break;
      case 5:
        for (std::size_t i = 0; i < 32; ++i) x[at + i] = std::fabs(x[at + i]);
        break;
      case 6:
        x[at] = -0.0f;
        break;
      default:
        break;
    }
  }
  return x;
}

void compare_with_plain_loops(std::initializer_list<std::size_t> counts) {
  for (const DType type : quantizable()) {
    SCOPED_TRACE(info(type).name);
    for (const std::size_t blocks : counts) {
      const std::size_t cols = blocks * (is_plain(type) ? 77 : info(type).block_elements);
      const std::vector<float> x = mixed_values(3 * cols, static_cast<unsigned>(blocks));
      std::vector<float> importance = mixed_values(cols, 9);
      for (float& v : importance) v = std::fabs(v);
      const std::size_t bytes = *stored_bytes(type, x.size());
      for (const float* weights : std::initializer_list<const float*>{nullptr, importance.data()}) {
        // One byte in front: no address is aligned.
        Buffer fast(bytes + 2, std::byte{1});
        Buffer plain(bytes + 2, std::byte{1});
        quantize_blocks(type, x.data(), 3, cols, weights, fast.data() + 1);
        quantize_blocks_plain(type, x.data(), 3, cols, weights, plain.data() + 1);
        EXPECT_EQ(fast, plain) << blocks;
        EXPECT_EQ(fast.back(), std::byte{1});
      }
    }
  }
}

TEST(GgmlQuantize, KernelsEqualThePlainLoops) {
  compare_with_plain_loops({0, 1, 3});
}

TEST(GgmlQuantize, SoDoTheKernelsOfOtherMachines) {
  for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    compare_with_plain_loops({1});
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(GgmlQuantize, WhatWasDequantizedComesBackAsClose) {
  for (const DType type : quantizable(true)) {
    SCOPED_TRACE(info(type).name);
    const std::vector<float> x = mixed_values(1024, 3);
    const std::vector<float> once = values_of(type, quantized(type, x, 1), x.size());
    const std::vector<float> twice = values_of(type, quantized(type, once, 1), x.size());
    double power = 0;
    double first = 0;
    double second = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      power += static_cast<double>(once[i]) * static_cast<double>(once[i]);
      first += std::pow(static_cast<double>(once[i] - x[i]), 2);
      second += std::pow(static_cast<double>(twice[i] - once[i]), 2);
    }
    // Values on a grid of the type have less error than values between them.
    EXPECT_LT(second, 0.6 * first);
    EXPECT_LT(first, 0.9 * power);
  }
}

TEST(GgmlQuantize, EveryFiniteRowGivesFiniteValues) {
  std::mt19937 random(11);
  std::vector<float> x(512);
  for (int round = 0; round < 16; ++round) {
    // Any exponent within a row, or all of a row near one of them.
    const unsigned base = random() % 255;
    for (float& v : x) {
      const unsigned exponent = round % 2 == 0 ? random() % 255 : base;
      v = std::bit_cast<float>((static_cast<std::uint32_t>(random()) & 0x807FFFFFu) |
                               static_cast<std::uint32_t>(exponent) << 23);
    }
    std::vector<float> importance(x.size());
    for (float& v : importance) v = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    for (const DType type : quantizable(true)) {
      SCOPED_TRACE(info(type).name);
      for (const float* weights : std::initializer_list<const float*>{nullptr, importance.data()}) {
        for (const float y : values_of(type, quantized(type, x, 1, weights), x.size())) {
          ASSERT_TRUE(std::isfinite(y)) << round;
        }
      }
    }
  }
}

TEST(GgmlQuantize, NanCountsAsZeroAndInfinityAsTheLargestFloat) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const float most = std::numeric_limits<float>::max();
  std::vector<float> x = mixed_values(512, 5);
  std::vector<float> replaced = x;
  x[3] = nan;
  replaced[3] = 0.0f;
  x[300] = infinity;
  replaced[300] = most;
  x[301] = -infinity;
  replaced[301] = -most;
  for (const DType type : quantizable(true)) {
    SCOPED_TRACE(info(type).name);
    EXPECT_EQ(quantized(type, x, 1), quantized(type, replaced, 1));
    EXPECT_EQ(quantized(type, x, 1, x.data()), quantized(type, replaced, 1, x.data()));
  }
}

TEST(GgmlQuantize, ZeroAndConstantRowsComeBack) {
  for (const DType type : quantizable(true)) {
    SCOPED_TRACE(info(type).name);
    for (const float constant : {0.0f, 0.25f, -0.25f}) {
      const std::vector<float> x(256, constant);
      for (const float y : values_of(type, quantized(type, x, 1), x.size())) {
        // IQ1 adds an eighth to what cannot be 0; the sign of a codebook's entry has a parity.
        ASSERT_NEAR(y, constant, 0.2f * std::fabs(constant));
      }
    }
  }
}

TEST(GgmlQuantize, ImportantColumnsHaveTheSmallerError) {
  const std::vector<float> x = [] {
    std::mt19937 random(4);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    std::vector<float> values(16 * 512);
    for (float& v : values) v = normal(random);
    return values;
  }();
  std::vector<float> importance(512);
  for (std::size_t i = 0; i < importance.size(); ++i) importance[i] = i % 4 == 0 ? 100.0f : 1.0f;
  for (const DType type : quantizable(true)) {
    const DTypeInfo& row = info(type);
    if (same_bytes_expected(type) && row.name.substr(0, 2) != "Q4" &&
        row.name.substr(0, 2) != "Q5") {
      EXPECT_EQ(quantized(type, x, 16), quantized(type, x, 16, importance.data())) << row.name;
      continue;
    }
    const auto error = [&](const float* weights) {
      const std::vector<float> y = values_of(type, quantized(type, x, 16, weights), x.size());
      double sum = 0;
      for (std::size_t i = 0; i < x.size(); i += 4)
        sum += std::pow(static_cast<double>(y[i] - x[i]), 2);
      return sum;
    };
    EXPECT_LT(error(importance.data()), error(nullptr)) << row.name;
  }
}

TEST(GgmlQuantize, RefusesOddRowsAndOtherTypes) {
  const std::vector<float> x(512);
  Buffer out(4096);
  const auto code = [&](DType type, std::uint64_t cols) {
    try {
      quantize_blocks(type, x.data(), 1, cols, nullptr, out.data());
    } catch (const Error& error) {
      return std::string(class_word(error.code));
    }
    return std::string("none");
  };
  EXPECT_EQ(code(DType::kQ4_0, 48), "bad_shape");
  EXPECT_EQ(code(DType::kQ4K, 128), "bad_shape");
  EXPECT_EQ(code(DType::kF16, 3), "none");
  EXPECT_EQ(code(DType::kQ8K, 256), "bad_dtype");
  EXPECT_EQ(code(DType::kQ4_0_4_4, 256), "bad_dtype");
  EXPECT_EQ(code(DType::kUnknown, 256), "bad_dtype");
}

}  // namespace
}  // namespace qi
