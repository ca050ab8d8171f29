#include "engine/matrix/cholesky.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "engine/matrix/blas.h"

namespace qi {
namespace {

/// B Bᵀ + 0.1, its lower triangle; above: numbers that must not matter.
std::vector<float> positive_definite(std::uint64_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> b(size * (size + 3)), a(size * size);
  for (float& value : b) value = normal(random);
  const MatrixView view{b.data(), size, size + 3, size + 3};
  multiply_transposed(view, view, a.data(), size);
  for (std::uint64_t i = 0; i < size; ++i) {
    a[i * size + i] += 0.1f * static_cast<float>(size);
    for (std::uint64_t j = i + 1; j < size; ++j) a[i * size + j] = 1e30f;
  }
  return a;
}

Workers with_threads(unsigned threads) {
  Workers workers;
  workers.threads = threads;
  workers.pool = std::make_shared<ThreadPool>(threads);
  return workers;
}

TEST(Cholesky, MultipliesBackWhateverTheThreads) {
  for (const std::uint64_t size : {1, 2, 17, 256, 257, 600}) {
    const std::vector<float> a = positive_definite(size, static_cast<unsigned>(size));
    std::vector<float> lower = a, other = a;
    ASSERT_TRUE(cholesky(lower.data(), size, with_threads(1)));
    ASSERT_TRUE(cholesky(other.data(), size, with_threads(3)));
    double worst = 0;
    for (std::uint64_t i = 0; i < size; ++i) {
      for (std::uint64_t j = 0; j <= i; ++j) {
        ASSERT_EQ(lower[i * size + j], other[i * size + j]);
        double sum = 0;
        for (std::uint64_t k = 0; k <= j; ++k) {
          sum += static_cast<double>(lower[i * size + k]) * lower[j * size + k];
        }
        worst = std::max(worst, std::abs(sum - a[i * size + j]));
      }
    }
    EXPECT_LE(worst, 2e-5 * static_cast<double>(size)) << size;
  }
}

TEST(Cholesky, TellsWhatIsNotPositiveDefinite) {
  for (const std::uint64_t at : {0, 100, 299}) {
    for (const float odd :
         {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      std::vector<float> a = positive_definite(300, 1);
      a[at * 300 + at] = odd;
      EXPECT_FALSE(cholesky(a.data(), 300, {})) << at << " " << odd;
    }
  }
}

TEST(Cholesky, TrianglesDivide) {
  const std::uint64_t size = 40, rows = 7;
  std::vector<float> lower = positive_definite(size, 3);
  ASSERT_TRUE(cholesky(lower.data(), size, {}));
  std::vector<float> upper(size * size), x(rows * size);
  for (std::uint64_t i = 0; i < size; ++i) {
    for (std::uint64_t j = 0; j <= i; ++j) upper[j * size + i] = lower[i * size + j];
  }
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = static_cast<float>(k % 11) - 5;
  std::vector<float> by_lower = x, by_upper = x;
  divide_by_transposed({lower.data(), size, size, size}, by_lower.data(), rows, size);
  divide_by_upper({upper.data(), size, size, size}, by_upper.data(), rows, size);
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint64_t j = 0; j < size; ++j) {
      EXPECT_NEAR(by_lower[r * size + j], by_upper[r * size + j], 1e-4);
      double back = 0;
      for (std::uint64_t k = 0; k <= j; ++k) {
        back += static_cast<double>(by_upper[r * size + k]) * upper[k * size + j];
      }
      EXPECT_NEAR(back, x[r * size + j], 1e-4);
    }
  }
}

}  // namespace
}  // namespace qi
