// SIMD kernels against the plain loops, on every target this machine has.
#include "engine/stats/int8_row.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

using testing_support::Random;

class OnEveryTarget : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(static_cast<std::uint32_t>(GetParam())); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

std::vector<std::int64_t> targets() {
  std::vector<std::int64_t> found;
  for (std::int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    found.push_back(left & -left);
  }
  return found;
}

constexpr std::size_t kSizes[] = {0, 1, 2, 7, 15, 16, 17, 63, 64, 65, 127, 1000, 4099};

std::vector<std::byte> bytes_at_offset(const std::vector<std::uint16_t>& words,
                                       std::size_t offset) {
  std::vector<std::byte> bytes(2 * words.size() + offset + 1);
  if (!words.empty()) std::memcpy(bytes.data() + offset, words.data(), 2 * words.size());
  return bytes;
}

TEST_P(OnEveryTarget, AbsMax) {
  Random random(1);
  for (const std::size_t size : kSizes) {
    std::vector<std::uint16_t> words(size);
    std::vector<float> floats(size);
    for (std::size_t i = 0; i < size; ++i) {
      words[i] = static_cast<std::uint16_t>(random.next());  // NaN, Inf, −0, subnormals and all
      floats[i] = std::bit_cast<float>(static_cast<std::uint32_t>(random.next()));
    }
    const auto bytes = bytes_at_offset(words, 1);
    EXPECT_EQ(absmax_16(bytes.data() + 1, size), plain::absmax_16(bytes.data() + 1, size));
    EXPECT_EQ(absmax_32(floats.data(), size), plain::absmax_32(floats.data(), size));
  }
}

TEST_P(OnEveryTarget, QuantizedWords) {
  Random random(2);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const PairFormat& format = *pair_format(dtype);
    const bool bf16 = dtype == DType::kBF16;
    for (const std::size_t size : kSizes) {
      for (const float scale : {1.0f, 0.0371f, 60000.0f, 0x1p-13f, 3e-5f, 0x1p-24f}) {
        const std::uint32_t top = floor_symbol(format, scale);
        std::vector<std::uint16_t> words(size);
        for (std::uint16_t& w : words) {
          // Any pattern up to s, and as many near the middle, of either sign.
          const auto magnitude =
              random.next() % 2 == 0
                  ? random.next() % (top + 1)
                  : floor_symbol(format, scale * static_cast<float>(random.uniform()));
          w = static_cast<std::uint16_t>(magnitude | (random.next() & 0x8000));
        }
        const auto bytes = bytes_at_offset(words, 1);
        const PairRow row(format, bf16 ? bf16_to_float(static_cast<std::uint16_t>(top))
                                       : f16_to_float(static_cast<std::uint16_t>(top)));
        ASSERT_TRUE(row.usable());
        std::vector<std::int8_t> found(size), expected(size);
        const auto* in = bytes.data() + 1;
        if (bf16) {
          EXPECT_EQ(quantize_bf16(row, in, size, found.data()),
                    plain::quantize_bf16(row, in, size, expected.data()));
        } else {
          EXPECT_EQ(quantize_f16(row, in, size, found.data()),
                    plain::quantize_f16(row, in, size, expected.data()));
        }
        EXPECT_EQ(found, expected) << size << " " << scale;
      }
    }
  }
}

TEST_P(OnEveryTarget, QuantizedFloats) {
  Random random(3);
  for (const std::size_t size : kSizes) {
    std::vector<float> values(size);
    float scale = 0;
    for (float& x : values) {
      x = static_cast<float>(random.student8() * 0.02);
      scale = std::max(scale, std::abs(x));
    }
    if (size > 2) {
      values[1] = -0.0f;
      values[2] = 1e-42f;
    }
    std::vector<std::int8_t> found(size), expected(size);
    const float inverse = size == 0 ? 1 : 127.0f / scale;
    quantize_f32(inverse, values.data(), size, found.data());
    plain::quantize_f32(inverse, values.data(), size, expected.data());
    EXPECT_EQ(found, expected);
  }
}

TEST(QuantizedRow, HalvesRoundToEven) {
  // s = 127: q = rint(w).
  const PairRow row(*pair_format(DType::kBF16), 127.0f);
  std::vector<std::uint16_t> words;
  for (const float x : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 127.0f, -127.0f, 0.0f}) {
    words.push_back(float_to_bf16(x));
  }
  const auto bytes = bytes_at_offset(words, 0);
  std::vector<std::int8_t> q(words.size());
  const std::uint64_t bits = quantize_bf16(row, bytes.data(), words.size(), q.data());
  EXPECT_EQ(q, (std::vector<std::int8_t>{0, 2, 2, 0, -2, 127, -127, 0}));
  EXPECT_EQ(bits, 2u * (1 + 8) + (kUnaryLimit + 8 + 8));
}

INSTANTIATE_TEST_SUITE_P(All, OnEveryTarget, testing::ValuesIn(targets()));

}  // namespace
}  // namespace qi
