#include "engine/stats/error_metrics.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/special_values.h"

namespace qi {
namespace {

using test::kInf;
using test::kNaN;

ErrorMetrics metrics_of(const std::vector<float>& x, const std::vector<float>& y) {
  ErrorAccumulator errors;
  errors.add(x, y);
  return errors.metrics();
}

TEST(ErrorMetricsTest, ByHand) {
  const ErrorMetrics m = metrics_of({3, 4, 0, 0}, {3, 2, 0, 1});
  EXPECT_EQ(m.elements, 4u);
  EXPECT_EQ(m.differing, 2u);
  EXPECT_DOUBLE_EQ(*m.mse, 5.0 / 4);
  EXPECT_DOUBLE_EQ(*m.rmse, std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(*m.max_abs_error, 2);
  EXPECT_DOUBLE_EQ(*m.relative_error, std::sqrt(5.0 / 25));
  EXPECT_DOUBLE_EQ(*m.snr_db, 10 * std::log10(5.0));
  EXPECT_DOUBLE_EQ(*m.psnr_db, 10 * std::log10(16 / 1.25));
  EXPECT_DOUBLE_EQ(*m.cosine, 17 / (5 * std::sqrt(14.0)));
}

TEST(ErrorMetricsTest, EqualWeights) {
  const ErrorMetrics m = metrics_of({1, -2, 0.0f}, {1, -2, -0.0f});
  EXPECT_EQ(m.differing, 0u);
  EXPECT_EQ(m.mse, 0.0);
  EXPECT_EQ(m.max_abs_error, 0.0);
  EXPECT_EQ(m.relative_error, 0.0);
  EXPECT_FALSE(m.snr_db.has_value());
  EXPECT_FALSE(m.psnr_db.has_value());
  EXPECT_DOUBLE_EQ(*m.cosine, 1);
}

TEST(ErrorMetricsTest, ZerosHaveNoDirectionAndNoScale) {
  const ErrorMetrics both = metrics_of({0, 0}, {0, 0});
  EXPECT_EQ(both.relative_error, 0.0);
  EXPECT_FALSE(both.cosine.has_value());
  const ErrorMetrics reference = metrics_of({0, 0}, {1, 0});
  EXPECT_EQ(reference.mse, 0.5);
  EXPECT_FALSE(reference.relative_error.has_value());
  EXPECT_FALSE(reference.snr_db.has_value());
  EXPECT_FALSE(reference.cosine.has_value());
}

TEST(ErrorMetricsTest, NothingHasNoMetrics) {
  EXPECT_EQ(metrics_of({}, {}), ErrorMetrics{});
}

TEST(ErrorMetricsTest, SpecialValuesAreComparedAsValues) {
  const ErrorMetrics same = metrics_of({kNaN, kInf, -kInf, 1}, {-kNaN, kInf, -kInf, 2});
  EXPECT_EQ(same.differing, 1u);
  EXPECT_EQ(same.elements, 4u);
  EXPECT_EQ(same.mse, 0.25);
  EXPECT_EQ(same.max_abs_error, 1.0);
  EXPECT_EQ(same.relative_error, 1.0);
  for (const auto& [x, y] : {std::pair{kNaN, 1.0f}, {1.0f, kNaN}, {kInf, -kInf}, {kInf, kNaN}}) {
    const ErrorMetrics m = metrics_of({0, x, 2}, {0, y, 2});
    EXPECT_EQ(m.differing, 1u);
    EXPECT_FALSE(m.mse || m.rmse || m.max_abs_error || m.relative_error || m.snr_db || m.cosine);
  }
}

TEST(ErrorMetricsTest, LargestFloatsDoNotOverflow) {
  const float big = std::numeric_limits<float>::max();
  const ErrorMetrics m = metrics_of({big, -big}, {-big, big});
  EXPECT_DOUBLE_EQ(*m.relative_error, 2);
  EXPECT_DOUBLE_EQ(*m.cosine, -1);
}

TEST(ErrorMetricsTest, AgreesWithLongSumsAtAllSizes) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const std::size_t size : {1u, 7u, 8u, 9u, 4095u, 4096u, 4097u, 20'001u}) {
    std::vector<float> x(size), y(size);
    long double ee = 0, xx = 0, xy = 0, yy = 0;
    for (std::size_t i = 0; i < size; ++i) {
      x[i] = normal(random);
      y[i] = i % 3 == 0 ? x[i] : x[i] + 0.01f * normal(random);
      const long double e = static_cast<long double>(y[i]) - static_cast<long double>(x[i]);
      ee += e * e;
      xx += static_cast<long double>(x[i]) * static_cast<long double>(x[i]);
      yy += static_cast<long double>(y[i]) * static_cast<long double>(y[i]);
      xy += static_cast<long double>(x[i]) * static_cast<long double>(y[i]);
    }
    const ErrorMetrics m = metrics_of(x, y);
    EXPECT_NEAR(*m.mse, static_cast<double>(ee / size), 1e-14);
    EXPECT_NEAR(*m.cosine, static_cast<double>(xy / std::sqrt(xx * yy)), 1e-13);
    EXPECT_EQ(m.differing, size - (size + 2) / 3);
    // In two parts: the same but for the last digits.
    ErrorAccumulator a, b;
    a.add(std::span(x).first(size / 2), std::span(y).first(size / 2));
    b.add(std::span(x).subspan(size / 2), std::span(y).subspan(size / 2));
    a.add(b);
    EXPECT_NEAR(*a.metrics().mse, *m.mse, 1e-14);
    EXPECT_EQ(a.metrics().differing, m.differing);
    EXPECT_EQ(a.metrics().psnr_db.has_value(), m.psnr_db.has_value());
  }
}

}  // namespace
}  // namespace qi
