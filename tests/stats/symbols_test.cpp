#include "engine/stats/symbols.h"

#include <bit>
#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(ExponentHistogram, IsThatOfIlogb) {
  std::mt19937_64 random(5);
  CountedValues counted;
  std::map<int, std::uint64_t> plain;
  const auto add = [&](double value, std::uint64_t count) {
    counted.values.push_back(value);
    counted.counts.push_back(count);
    if (std::isfinite(value) && value != 0) plain[std::ilogb(value)] += count;
  };
  for (int i = 0; i < 3000; ++i) add(std::bit_cast<double>(random()), 1 + random() % 1000);
  const double inf = INFINITY;
  for (const double value : {0.0, -0.0, 1.0, -1.0, 0.75, inf, -inf, std::nan(""), 5e-324, -5e-324,
                             2.2e-308, 1.7e308, 0x1p-1073}) {
    add(value, 7);
  }
  const ExponentHistogram histogram = exponent_histogram(counted);
  ASSERT_EQ(histogram.first, plain.begin()->first);
  ASSERT_EQ(histogram.counts.size(),
            static_cast<std::size_t>(plain.rbegin()->first - plain.begin()->first) + 1);
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const auto it = plain.find(histogram.first + static_cast<int>(i));
    ASSERT_EQ(histogram.counts[i], it == plain.end() ? 0 : it->second);
  }
}

TEST(ExponentHistogram, OfNothingIsEmpty) {
  EXPECT_EQ(exponent_histogram({}), ExponentHistogram());
  EXPECT_EQ(exponent_histogram({{0.0, -0.0, INFINITY, std::nan("")}, {1, 2, 3, 4}}),
            ExponentHistogram());
  EXPECT_EQ(exponent_histogram({{-6.0}, {9}}), (ExponentHistogram{2, {9}}));
}

TEST(Subnormals, AreThoseWithoutAnExponent) {
  std::mt19937_64 random(6);
  for (const DType type :
       {DType::kBF16, DType::kF16, DType::kF8E4M3, DType::kF8E5M2, DType::kF8E8M0}) {
    const auto layout = SymbolLayout::of(type);
    ASSERT_TRUE(layout);
    std::vector<std::uint64_t> counts(std::size_t{1} << layout->bits);
    std::uint64_t plain = 0;
    for (std::size_t s = 0; s < counts.size(); ++s) {
      counts[s] = random() % 100;
      const std::size_t mantissa = s & ((std::size_t{1} << layout->mantissa_bits) - 1);
      const std::size_t exponent =
          s >> layout->mantissa_bits & ((std::size_t{1} << layout->exponent_bits) - 1);
      if (exponent == 0 && mantissa != 0) plain += counts[s];
    }
    EXPECT_EQ(subnormals(*layout, counts), plain);
  }
}

}  // namespace
}  // namespace qi
