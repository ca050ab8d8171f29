#include "eval/results/pareto.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace qi {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The definition itself, pair by pair.
std::vector<std::uint8_t> by_pairs(const std::vector<double>& sizes,
                                   const std::vector<double>& values, bool larger) {
  std::vector<std::uint8_t> out(sizes.size(), 0);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (std::isnan(sizes[i]) || std::isnan(values[i])) continue;
    out[i] = 1;
    for (std::size_t j = 0; j < sizes.size(); ++j) {
      if (std::isnan(sizes[j]) || std::isnan(values[j])) continue;
      const bool as_good = larger ? values[j] >= values[i] : values[j] <= values[i];
      const bool better = larger ? values[j] > values[i] : values[j] < values[i];
      if (sizes[j] <= sizes[i] && as_good && (sizes[j] < sizes[i] || better)) out[i] = 0;
    }
  }
  return out;
}

TEST(Pareto, FrontOfAFew) {
  EXPECT_EQ(
      pareto_front(std::vector<double>{4, 6, 5, 8}, std::vector<double>{20, 30, 18, 30}, true),
      (std::vector<std::uint8_t>{1, 1, 0, 0}));
  EXPECT_EQ(pareto_front(std::vector<double>{4, 6, 5, 8}, std::vector<double>{9, 2, 10, 1}, false),
            (std::vector<std::uint8_t>{1, 1, 0, 1}));
  EXPECT_TRUE(pareto_front({}, {}, true).empty());
}

TEST(Pareto, NoNumberIsOnNoFrontAndInfinitiesAre) {
  EXPECT_EQ(
      pareto_front(std::vector<double>{kNan, 1, 2, 3}, std::vector<double>{9, kNan, kInf, 9}, true),
      (std::vector<std::uint8_t>{0, 0, 1, 0}));
  EXPECT_EQ(pareto_front(std::vector<double>{1, 1}, std::vector<double>{-kInf, -kInf}, true),
            (std::vector<std::uint8_t>{1, 1}));
}

TEST(Pareto, AsThePairsSay) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<double> sizes, values;
    const std::size_t count = random() % 20;
    for (std::size_t i = 0; i < count; ++i) {
      const auto number = [&]() -> double {
        const unsigned kind = random() % 20;
        return kind == 0 ? kNan : kind == 1 ? kInf : static_cast<double>(random() % 8);
      };
      sizes.push_back(number());
      values.push_back(number());
    }
    for (const bool larger : {true, false}) {
      EXPECT_EQ(pareto_front(sizes, values, larger), by_pairs(sizes, values, larger));
    }
  }
}

TEST(Pareto, SnrOfWhatDidNotChange) {
  ResultRow row;
  EXPECT_TRUE(std::isnan(judged_snr(row)));
  row.mse = 0;
  EXPECT_EQ(judged_snr(row), kInf);
  row.snr_db = 20;
  EXPECT_EQ(judged_snr(row), 20);
}

}  // namespace
}  // namespace qi
