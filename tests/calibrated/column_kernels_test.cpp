#include "engine/calibrated/column_kernels.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qi {
namespace {

constexpr float kNoThreshold = std::numeric_limits<float>::infinity();

/// Columns of several kinds, whatever they hold: normal numbers, constants, zeros, ties, one sign,
/// tiny and huge ones.
std::vector<float> columns_of(std::size_t count, std::size_t rows, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> columns(count * rows);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < count; ++c) {
      const float x = normal(random);
      float& out = columns[c * rows + r];
      switch (r % 9) {
        case 0:
          out = 0.25f;
          break;
        case 1:
          out = 0;
          break;
        case 2:
          out = std::round(x);
          break;
        case 3:
          out = std::abs(x);
          break;
        case 4:
          out = -std::abs(x) * 1e-30f;
          break;
        case 5:
          out = x * 1e30f;
          break;
        case 6:
          out = c == 3 ? 40 * x : x;
          break;
        default:
          out = 0.02f * x;
      }
    }
  }
  return columns;
}

class ColumnKernelsTest : public ::testing::Test {
 protected:
  const ColumnKernels& fast_ = column_kernels();
  const ColumnKernels& plain_ = plain_column_kernels();
};

TEST_F(ColumnKernelsTest, RangesAndGridsAreThoseOfThePlainLoops) {
  for (const std::size_t count : {1, 2, 5, 16, 33}) {
    for (const std::size_t rows : {16, 48, 80}) {
      const auto columns = columns_of(count, rows, static_cast<unsigned>(count));
      std::vector<float> a(rows), b(rows), c(rows), d(rows), low(rows), high(rows);
      fast_.ranges(columns.data(), count, rows, low.data(), high.data());
      plain_.ranges(columns.data(), count, rows, c.data(), d.data());
      EXPECT_EQ(low, c);
      EXPECT_EQ(high, d);
      for (const bool symmetric : {false, true}) {
        for (const int bits : {1, 3, 4, 8}) {
          const auto top = static_cast<float>((1 << bits) - 1);
          fast_.shrunk_grids(columns.data(), count, rows, low.data(), high.data(), top, symmetric,
                             a.data(), b.data());
          plain_.shrunk_grids(columns.data(), count, rows, low.data(), high.data(), top, symmetric,
                              c.data(), d.data());
          EXPECT_EQ(a, c) << count << " " << bits;
          EXPECT_EQ(b, d) << count << " " << bits;
          if (count < 2) continue;
          std::vector<float> weights(count);
          for (std::size_t k = 0; k < count; ++k) weights[k] = 0.5f + static_cast<float>(k);
          for (const float threshold : {1e-4f, 0.1f, 10.0f}) {
            fast_.inlier_ranges(columns.data(), count, rows, weights.data(), bits, symmetric,
                                threshold, a.data(), b.data());
            plain_.inlier_ranges(columns.data(), count, rows, weights.data(), bits, symmetric,
                                 threshold, c.data(), d.data());
            EXPECT_THAT(a, testing::Pointwise(testing::NanSensitiveFloatEq(), c)) << count;
            EXPECT_THAT(b, testing::Pointwise(testing::NanSensitiveFloatEq(), d)) << count;
          }
        }
      }
    }
  }
}

TEST_F(ColumnKernelsTest, CodesAndErrorsAreThoseOfThePlainLoops) {
  const std::size_t rows = 144;
  const auto column = columns_of(1, rows, 5);
  std::vector<float> scale(rows), zero(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    scale[r] = r % 13 == 0 ? 0 : 0.01f * static_cast<float>(r % 7 + 1);
    zero[r] = 0.37f * static_cast<float>(r % 20);
  }
  for (const float threshold : {kNoThreshold, 0.01f}) {
    for (ColumnGrid grid : {ColumnGrid{scale.data(), zero.data(), 15, true},
                            ColumnGrid{scale.data(), zero.data(), 255, false, 128, 1e-9f},
                            ColumnGrid{scale.data(), zero.data(), 7, false, 0, 1e-9f}}) {
      std::vector<float> positive = scale;
      for (float& value : positive) value = value == 0 && grid.rounded ? 0.01f : value;
      grid.scale = positive.data();
      struct Out {
        std::vector<std::uint8_t> codes, outlier;
        std::vector<float> change, error, loss;
      };
      const auto run = [&](const ColumnKernels& kernels) {
        Out out{std::vector<std::uint8_t>(rows), std::vector<std::uint8_t>(rows), column,
                std::vector<float>(rows), std::vector<float>(rows, 1.0f)};
        const bool any =
            kernels.code(grid, column.data(), rows, 1.5f, threshold,
                         {out.codes.data(), out.change.data(), out.error.data(), out.loss.data()},
                         out.outlier.data());
        EXPECT_EQ(any, threshold != kNoThreshold);
        return out;
      };
      const Out fast = run(fast_), plain = run(plain_);
      EXPECT_EQ(fast.codes, plain.codes);
      EXPECT_EQ(fast.outlier, plain.outlier);
      EXPECT_EQ(fast.change, plain.change);
      EXPECT_EQ(fast.error, plain.error);
      EXPECT_EQ(fast.loss, plain.loss);
    }
  }
}

TEST_F(ColumnKernelsTest, ErrorsAreTakenOffAsByThePlainLoops) {
  for (const std::size_t count : {0, 1, 7}) {
    const std::size_t rows = 48;
    std::vector<float> fast = columns_of(count, rows, 8), plain = fast, factors(count);
    for (std::size_t k = 0; k < count; ++k) factors[k] = 0.3f * static_cast<float>(k) - 1;
    const auto error = columns_of(1, rows, 9);
    fast_.subtract(factors.data(), error.data(), count, rows, fast.data());
    plain_.subtract(factors.data(), error.data(), count, rows, plain.data());
    EXPECT_EQ(fast, plain);
  }
}

}  // namespace
}  // namespace qi
