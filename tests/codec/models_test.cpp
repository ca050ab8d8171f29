// Ideal code lengths: by hand, and the pair model against every value of the type.
#include "engine/codec/models.h"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "engine/tensor/numbers.h"

namespace qi {
namespace {

float value_of(DType dtype, std::uint16_t word) {
  return dtype == DType::kBF16 ? bf16_to_float(word) : f16_to_float(word);
}

TEST(Order0, ByHand) {
  EXPECT_EQ(order0_bits(std::vector<std::uint64_t>{}), 0);
  EXPECT_EQ(order0_bits(std::vector<std::uint64_t>{0, 0}), 0);
  EXPECT_EQ(order0_bits(std::vector<std::uint64_t>{0, 12345}), 0);
  EXPECT_DOUBLE_EQ(order0_bits(std::vector<std::uint64_t>{4, 4, 4, 4}), 32);
  EXPECT_DOUBLE_EQ(order0_bits(std::vector<std::uint64_t>{2, 1, 1, 0}), 6);
  // One in 2^40: the rare symbol costs 40 bits, the others about 1.44 together.
  const std::vector<std::uint64_t> rare = {1, (std::uint64_t{1} << 40) - 1};
  EXPECT_NEAR(order0_bits(rare), 41.44, 0.01);
  // Small counts come from a table, to the same last bit.
  std::vector<std::uint64_t> all;
  double total = 0;
  double weighted = 0;
  for (std::uint64_t count = 0; count < 5000; ++count) {
    all.push_back(count);
    const auto c = static_cast<double>(count);
    total += c;
    weighted += count == 0 ? 0 : c * std::log2(c);
  }
  EXPECT_EQ(order0_bits(all), total * std::log2(total) - weighted);
}

TEST(PlaneModel, CodesMantissaBitsOnlyWhereTheyHaveAShape) {
  EXPECT_EQ(coded_mantissa_bits(DType::kBF16), 0);
  EXPECT_EQ(coded_mantissa_bits(DType::kF8E4M3), 0);
  EXPECT_EQ(coded_mantissa_bits(DType::kF16), 3);
  EXPECT_EQ(coded_mantissa_bits(DType::kF32), 3);
  EXPECT_EQ(coded_mantissa_bits(DType::kF64), 3);
}

class PairModel : public testing::TestWithParam<DType> {
 protected:
  const PairFormat& format() const { return *pair_format(GetParam()); }
  // Finite positive values in order: bit patterns 1 … kLast.
  std::uint16_t last() const { return GetParam() == DType::kBF16 ? 0x7F7F : 0x7BFF; }
};

TEST_P(PairModel, FloorAndCeilBracketEveryFloat) {
  for (std::uint32_t word = 1; word < last(); ++word) {
    const float here = value_of(GetParam(), static_cast<std::uint16_t>(word));
    const float next = value_of(GetParam(), static_cast<std::uint16_t>(word + 1));
    EXPECT_EQ(floor_symbol(format(), here), word);
    EXPECT_EQ(ceil_symbol(format(), here), word);
    const float above = std::nextafter(here, next);
    if (above == next) continue;  // bf16 subnormals at the very bottom are float32's own
    EXPECT_EQ(floor_symbol(format(), above), word);
    EXPECT_EQ(ceil_symbol(format(), above), word + 1);
  }
  if (GetParam() == DType::kF16) {
    EXPECT_EQ(floor_symbol(format(), 1e6f), 0x7BFFu);
    EXPECT_EQ(ceil_symbol(format(), 65505.0f), 0x7C00u);
    EXPECT_EQ(floor_symbol(format(), 1e-9f), 0u);
    EXPECT_EQ(ceil_symbol(format(), 1e-9f), 1u);
  }
}

TEST_P(PairModel, EveryWeightLiesInItsInterval) {
  // All positive values up to s, for scales over the whole range and unround ones.
  const std::vector<float> scales = {1.0f,    0.0713f, 0.5f,   3.1415926f, 254.0f,
                                     0x1p-8f, 60000.f, 0.001f, 1.9960938f};
  for (const float wanted : scales) {
    const std::uint32_t top = floor_symbol(format(), wanted);
    const float scale = value_of(GetParam(), static_cast<std::uint16_t>(top));
    const PairRow row(format(), scale);
    ASSERT_TRUE(row.usable());
    std::array<std::uint32_t, 128> found{};
    for (std::uint32_t word = 0; word <= top; ++word) {
      const float w = value_of(GetParam(), static_cast<std::uint16_t>(word));
      const auto q = static_cast<std::uint32_t>(std::nearbyint(w * row.inverse()));
      ASSERT_LE(q, 127u);
      if (q == 0) {
        EXPECT_LE(word >> format().mantissa_bits, row.zero_exponent());
        continue;
      }
      ++found[q];
      EXPECT_GE(word, row.lowest(q)) << scale << " " << q;
      EXPECT_LT(word, row.lowest(q) + row.radix(q)) << scale << " " << q;
    }
    for (std::uint32_t q = 1; q < 128; ++q) {
      // The widened bounds let in ties, never more than one value at either end.
      EXPECT_LE(row.radix(q), std::max(1u, found[q] + 2)) << scale << " " << q;
    }
  }
}

TEST_P(PairModel, Log2OfRadixFollowsTheTableOfTheDesign) {
  // bf16, averaged over an octave of scales: 1→7.7, 2→6.6, 4→5.5, 8→4.5, 16→3.5, 32→2.5, 64→1.7.
  const double expected[] = {7.7, 6.6, 5.5, 4.5, 3.5, 2.5, 1.7};
  const double wider = GetParam() == DType::kF16 ? 3 : 0;  // three more mantissa bits
  for (int power = 0; power < 7; ++power) {
    double sum = 0;
    for (int k = 0; k < 64; ++k) {
      const PairRow row(format(), static_cast<float>(std::exp2(k / 64.0)));
      sum += std::log2(row.radix(1u << power));
    }
    EXPECT_NEAR(sum / 64, expected[power] + wider, 0.25) << power;
  }
}

TEST_P(PairModel, UnusableScalesStoreTheRowRaw) {
  for (const float s :
       {0.0f, -1.0f, 1e-44f, 0x1p-101f, 0x1p101f, std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    const PairRow row(format(), s);
    EXPECT_FALSE(row.usable());
    EXPECT_EQ(row.row_bits(1, 1, 100), 1600);
  }
}

TEST_P(PairModel, ARowOfZerosIsStoredRaw) {
  const PairRow row(format(), 1.0f);
  const std::uint64_t limit = GetParam() == DType::kBF16 ? 11 : 8;
  EXPECT_EQ(row.row_bits(5, limit * 100, 100), 5 + limit * 100);
  EXPECT_EQ(row.row_bits(5, limit * 100 + 1, 100), 1600);
}

TEST_P(PairModel, ZeroCodesCountDownFromHalfAStep) {
  const PairRow row(format(), 127.0f);  // d = 1, d/2 = 0.5
  const auto fixed = static_cast<std::uint32_t>(1 + format().mantissa_bits);
  const auto exponent_bits = static_cast<std::uint32_t>(format().exponent_bits);
  const bool bf16 = GetParam() == DType::kBF16;
  const auto word = [&](float x) { return bf16 ? float_to_bf16(x) : float_to_f16(x); };
  EXPECT_EQ(row.zero_bits(word(0.5f)), 1 + fixed);
  EXPECT_EQ(row.zero_bits(word(-0.49f)), 2 + fixed);
  EXPECT_EQ(row.zero_bits(word(0.01f)), 7 + fixed);
  EXPECT_EQ(row.zero_bits(word(1.0f)), kUnaryLimit + exponent_bits + fixed);  // above: an escape
  const std::uint32_t zero = row.zero_bits(0x8000);
  EXPECT_EQ(zero, bf16 ? kUnaryLimit + 8 + fixed : 15 + fixed);  // f16: field 14 down to 0
}

TEST_P(PairModel, DigitsAddUp) {
  const PairRow row(format(), 0.03f);
  std::array<std::uint32_t, 128> counts{};
  counts[0] = 1000;  // q = 0 is not a digit
  EXPECT_EQ(row.digit_bits(counts), 0);
  counts[1] = 3;
  counts[127] = 5;
  EXPECT_DOUBLE_EQ(row.digit_bits(counts),
                   3 * std::log2(row.radix(1)) + 5 * std::log2(row.radix(127)));
}

INSTANTIATE_TEST_SUITE_P(Types, PairModel, testing::Values(DType::kBF16, DType::kF16));

TEST(PairModelTypes, OnlySixteenBitFloatsHaveOne) {
  EXPECT_EQ(pair_format(DType::kF32), nullptr);
  EXPECT_EQ(pair_format(DType::kI16), nullptr);
}

}  // namespace
}  // namespace qi
