#include "eval/transformer/kernels.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace qi {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> numbers(std::size_t count, float spread) {
  std::mt19937 random(static_cast<unsigned>(count));
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

void expect_near(const std::vector<float>& a, const std::vector<float>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(a[i], b[i], tolerance * (1 + std::abs(b[i]))) << i << " of " << a.size();
  }
}

const std::vector<std::size_t> kSizes = {1, 2, 3, 7, 8, 15, 16, 17, 31, 64, 255, 257, 1000};

TEST(Kernels, GatesAndCapsEqualPlainLoops) {
  for (const std::size_t size : kSizes) {
    for (const float spread : {0.1f, 3.0f, 60.0f}) {
      const std::vector<float> x = numbers(size, spread);
      const std::vector<float> up = numbers(size, 1);
      for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
        std::vector<float> fast = x, plain = x;
        gated(activation, fast, up.data());
        gated_plain(activation, plain, up.data());
        expect_near(fast, plain, 1e-6);
      }
      std::vector<float> fast = x, plain = x;
      soft_cap(fast, 30);
      soft_cap_plain(plain, 30);
      expect_near(fast, plain, 5e-6);
    }
  }
}

TEST(Kernels, ExponentialSumsEqualPlainLoopsAndJoin) {
  for (const std::size_t size : kSizes) {
    const std::vector<float> x = numbers(size, 20);
    const ExpSum whole = exp_sum(x);
    const ExpSum plain = exp_sum_plain(x);
    EXPECT_EQ(whole.max, plain.max);
    EXPECT_NEAR(whole.sum, plain.sum, 1e-6 * plain.sum);
    const std::span<const float> all(x);
    for (const std::size_t cut : {std::size_t{1}, size / 2}) {
      if (cut == 0 || cut >= size) continue;
      const ExpSum two = joined(exp_sum(all.first(cut)), exp_sum(all.subspan(cut)));
      EXPECT_EQ(two.max, plain.max);
      EXPECT_NEAR(two.sum, plain.sum, 1e-6 * plain.sum);
    }
    std::vector<float> shares = x;
    softmax(shares, 0.5f);
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      sum += shares[i];
      EXPECT_NEAR(shares[i] / shares[0], std::exp(0.5 * (x[i] - x[0])),
                  1e-5 * std::exp(0.5 * (x[i] - x[0])))
          << i;
    }
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

// A number that is not finite is not to be averaged away, wherever it stands.
TEST(Kernels, KeepNumbersThatAreNotFinite) {
  for (const std::size_t size : kSizes) {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      for (const float bad : {kNan, kInf, -kInf}) {
        std::vector<float> x = numbers(size, 1);
        x[at] = bad;
        EXPECT_FALSE(all_finite(x));
        EXPECT_FALSE(std::isfinite(exp_sum(x).sum)) << size << " " << at << " " << bad;
        std::vector<float> shares = x;
        softmax(shares, 1);
        EXPECT_FALSE(all_finite(shares));
        std::vector<float> normed = x;
        const std::vector<float> ones(size, 1);
        rms_norm(x, ones.data(), 1e-5, normed.data());
        EXPECT_FALSE(all_finite(normed));
      }
      std::vector<float> x(size, 1);
      x[at] = kNan;
      const std::vector<float> ones(size, 1);
      for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
        std::vector<float> gate = x;
        gated(activation, gate, ones.data());
        EXPECT_TRUE(std::isnan(gate[at]));
      }
      soft_cap(x, 30);
      EXPECT_TRUE(std::isnan(x[at]));
    }
  }
  EXPECT_TRUE(all_finite(std::vector<float>{0, -0.0f, 1e-45f, 3.4e38f}));
}

TEST(Kernels, NormAndRotation) {
  std::vector<float> x = {3, 4};
  const std::vector<float> weight = {1, 10};
  rms_norm(x, weight.data(), 0, x.data());
  EXPECT_NEAR(x[0], 3 / std::sqrt(12.5), 1e-6);
  EXPECT_NEAR(x[1], 40 / std::sqrt(12.5), 1e-5);
  const std::vector<float> cosines = {0, 1};
  const std::vector<float> sines = {1, 0};
  std::vector<float> halves = {1, 2, 3, 4};
  rotate(halves.data(), cosines, sines.data(), false);
  EXPECT_EQ(halves, (std::vector<float>{-3, 2, 1, 4}));
  std::vector<float> neighbours = {1, 2, 3, 4};
  rotate(neighbours.data(), cosines, sines.data(), true);
  EXPECT_EQ(neighbours, (std::vector<float>{-2, 1, 3, 4}));
}

}  // namespace
}  // namespace qi
