// analyse() against plain loops over the same numbers, and small cases worked out by hand.
#include "engine/stats/statistics.h"

#include <bit>
#include <cmath>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/codec/models.h"
#include "tests/stats/raw_model.h"
#include "tests/support/special_values.h"

namespace qi {
namespace {

using test::kInf;
using test::kNaN;

using namespace testing_support;
using testing::DoubleNear;

// −Σ p log2 p of whatever can be ordered.
template <typename T>
double entropy(const std::vector<T>& symbols) {
  std::map<T, double> counts;
  for (const T& s : symbols) counts[s] += 1;
  double bits = 0;
  for (const auto& [symbol, count] : counts) {
    const double p = count / static_cast<double>(symbols.size());
    bits -= p * std::log2(p);
  }
  return bits;
}

// Each column by the definition, from the numbers one at a time.
struct Expected {
  double min = INFINITY, max = -INFINITY, mean = 0, std = 0;
  double zeros = 0, nan = 0, inf = 0;
};
Expected expected_moments(const std::vector<double>& values) {
  Expected e;
  double n = 0;
  for (const double x : values) {
    if (std::isnan(x)) {
      e.nan += 1;
    } else if (std::isinf(x)) {
      e.inf += 1;
    } else {
      n += 1;
      e.zeros += x == 0;
      e.mean += x;
      e.min = std::min(e.min, x);
      e.max = std::max(e.max, x);
    }
  }
  e.mean /= n;
  for (const double x : values) {
    if (std::isfinite(x)) e.std += (x - e.mean) * (x - e.mean);
  }
  e.std = std::sqrt(e.std / n);
  return e;
}

void expect_moments(const Statistics& s, const Expected& e) {
  EXPECT_EQ(s.min, e.min);
  EXPECT_EQ(s.max, e.max);
  EXPECT_EQ(s.absmax, std::max(std::abs(e.min), std::abs(e.max)));
  EXPECT_NEAR(*s.mean, e.mean, 1e-12 * std::max(1.0, std::abs(e.mean)));
  EXPECT_NEAR(*s.std, e.std, 1e-12 * std::max(1.0, e.std));
  EXPECT_EQ(s.zeros, e.zeros);
  EXPECT_EQ(s.nan, e.nan);
  EXPECT_EQ(s.inf, e.inf);
}

template <typename T>
std::vector<std::uint8_t> byte_stream(const std::vector<T>& numbers) {
  std::vector<std::uint8_t> out;
  for (const std::byte b : bytes_of(numbers)) out.push_back(std::to_integer<std::uint8_t>(b));
  return out;
}

TEST(Statistics, FourBf16NumbersByHand) {
  // 1, −1, 0.5, 0.5
  const std::vector<std::uint16_t> words = {0x3F80, 0xBF80, 0x3F00, 0x3F00};
  const RawModel raw(DType::kBF16, {2, 2}, bytes_of(words));
  const Statistics s = analyse_raw(raw);
  EXPECT_EQ(s.min, -1);
  EXPECT_EQ(s.max, 1);
  EXPECT_EQ(s.mean, 0.25);
  EXPECT_DOUBLE_EQ(*s.std, std::sqrt((0.75 * 0.75 + 1.25 * 1.25 + 2 * 0.25 * 0.25) / 4));
  EXPECT_EQ(s.zeros, 0);
  EXPECT_DOUBLE_EQ(*s.h_symbol, 1.5);
  EXPECT_DOUBLE_EQ(*s.h_sign, 0.25 * 2 + 0.75 * std::log2(4.0 / 3));
  EXPECT_DOUBLE_EQ(*s.h_exponent, 1);  // 127, 127, 126, 126
  EXPECT_EQ(s.h_mantissa, 0);
  // bytes 80 3F 80 BF 00 3F 00 3F: 80 ×2, 3F ×3, BF ×1, 00 ×2
  EXPECT_DOUBLE_EQ(*s.h_bytes, 2 * (2 * 0.25 * 2 + 0.375 * std::log2(8.0 / 3) + 0.125 * 3));
  EXPECT_DOUBLE_EQ(*s.ratio_planes, 16.0 / (1 + 8));
  // Rows (1, −1) → q 127, −127 and (0.5, 0.5) → 127, 127.
  EXPECT_DOUBLE_EQ(*s.h_int8, 0.25 * 2 + 0.75 * std::log2(4.0 / 3));
  // K(127) = 2 for bf16 at a power of two: s and its lower neighbour, 0.4 % below.
  EXPECT_DOUBLE_EQ(*s.h_residual, std::log2(2));
  EXPECT_DOUBLE_EQ(*s.ratio_pair, (12 + 8) / (4 * (*s.h_int8 + *s.h_residual) / 8 + 8));
  EXPECT_TRUE(s.ratio_zstd.has_value());
  EXPECT_FALSE(s.cancelled);
}

class SixteenBit : public testing::TestWithParam<std::tuple<DType, bool>> {};

TEST_P(SixteenBit, EveryColumnEqualsThePlainLoops) {
  const auto [dtype, direct] = GetParam();
  const std::uint64_t rows = 37;
  const std::uint64_t cols = 1001;
  std::vector<std::uint16_t> words = to_words(dtype, trained_like(5, rows, cols));
  // −0, zero, the smallest and largest subnormal, NaN, infinities strewn into some rows.
  const std::uint16_t infinity = dtype == DType::kBF16 ? 0x7F80 : 0x7C00;
  const std::uint16_t special[] = {0x8000, 0, 1, 0x8001, static_cast<std::uint16_t>(0x7F)};
  for (std::size_t i = 0; i < words.size(); i += 97) words[i] = special[i / 97 % 5];
  words[5 * cols + 3] = infinity;
  words[6 * cols + 999] = static_cast<std::uint16_t>(infinity | 0x8000);
  words[7 * cols] = static_cast<std::uint16_t>(infinity + 1);
  const RawModel raw(dtype, {rows, cols}, bytes_of(words));
  const Statistics s = analyse_raw(raw, {}, direct);

  const int mantissa = dtype == DType::kBF16 ? 7 : 10;
  std::vector<double> values;
  std::vector<int> signs, exponents, mantissas, coded;
  double subnormal = 0;
  for (const std::uint16_t w : words) {
    values.push_back(dtype == DType::kBF16 ? bf16_to_float(w) : f16_to_float(w));
    const int field = (w & 0x7FFF) >> mantissa;
    signs.push_back(w >> 15);
    exponents.push_back(field);
    const int bits = w & ((1 << mantissa) - 1);
    mantissas.push_back(mantissa > 8 ? bits >> (mantissa - 8) : bits);
    coded.push_back((w & 0x7FFF) >> (mantissa == 10 ? 7 : 7));
    subnormal += field == 0 && bits != 0;
  }
  expect_moments(s, expected_moments(values));
  EXPECT_EQ(s.subnormal, subnormal);
  EXPECT_NEAR(*s.h_symbol, entropy(words), 1e-9);
  EXPECT_NEAR(*s.h_sign, entropy(signs), 1e-9);
  EXPECT_NEAR(*s.h_exponent, entropy(exponents), 1e-9);
  EXPECT_NEAR(*s.h_mantissa, entropy(mantissas), 1e-9);
  EXPECT_NEAR(*s.h_bytes, 2 * entropy(byte_stream(words)), 1e-9);
  EXPECT_NEAR(*s.ratio_planes, 16 / (entropy(coded) + 8), 1e-9);

  std::vector<int> q(words.size());
  double residual = 0;
  for (std::uint64_t r = 0; r < rows; ++r) {
    float scale = 0;
    for (std::uint64_t c = 0; c < cols; ++c) {
      const auto x = static_cast<float>(std::abs(values[r * cols + c]));
      scale = std::isfinite(x) ? std::max(scale, x) : kNaN;
      if (std::isnan(scale)) break;
    }
    const PairRow row(*pair_format(dtype), scale);
    double digits = 0;
    std::uint64_t zero_bits = 0;
    for (std::uint64_t c = 0; c < cols && row.usable(); ++c) {
      const std::size_t i = r * cols + c;
      q[i] = static_cast<int>(std::nearbyint(static_cast<float>(values[i]) * (127.0f / scale)));
      if (q[i] == 0) {
        zero_bits += row.zero_bits(words[i]);
      } else {
        digits += std::log2(row.radix(static_cast<std::uint32_t>(std::abs(q[i]))));
      }
    }
    residual += row.row_bits(digits, zero_bits, cols);
  }
  const auto n = static_cast<double>(words.size());
  EXPECT_NEAR(*s.h_int8, entropy(q), 1e-9);
  EXPECT_NEAR(*s.h_residual, residual / n, 1e-9);
  const double before = 3 * n + 4.0 * rows;
  EXPECT_NEAR(*s.ratio_pair, before / ((n * entropy(q) + residual) / 8 + 4.0 * rows), 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Types, SixteenBit,
                         testing::Combine(testing::Values(DType::kBF16, DType::kF16),
                                          testing::Bool()));

TEST(Statistics, TrainedLikeWeightsReachTheLimitsOfThePairModel) {
  // 8 rows of 8192: the limits the codec's design states for such data.
  const auto values = trained_like(7, 8, 8192);
  const Statistics b =
      analyse_raw(RawModel(DType::kBF16, {8, 8192}, bytes_of(to_words(DType::kBF16, values))));
  EXPECT_NEAR(*b.h_int8 + *b.h_residual, 10.6, 0.15);
  const Statistics h =
      analyse_raw(RawModel(DType::kF16, {8, 8192}, bytes_of(to_words(DType::kF16, values))));
  EXPECT_NEAR(*h.h_int8 + *h.h_residual, 13.6, 0.15);
}

TEST(Statistics, Float32EqualsThePlainLoops) {
  for (const bool direct : {true, false}) {
    const std::uint64_t rows = 70;
    const std::uint64_t cols = 1003;
    std::vector<float> values = trained_like(9, rows, cols);
    for (float& x : values) x += 3;  // a mean far from zero
    values[0] = kNaN;
    values[1500] = kInf;
    values[1501] = -kInf;
    values[1502] = -0.0f;
    values[1503] = 1e-40f;
    const RawModel raw(DType::kF32, {rows, cols}, bytes_of(values));
    const Statistics s = analyse_raw(raw, {}, direct);
    expect_moments(s, expected_moments({values.begin(), values.end()}));
    EXPECT_EQ(s.subnormal, 1);
    std::vector<std::uint32_t> signs, exponents, mantissas, coded;
    for (const float x : values) {
      const auto bits = std::bit_cast<std::uint32_t>(x);
      signs.push_back(bits >> 31);
      exponents.push_back((bits >> 23) & 0xFF);
      mantissas.push_back((bits >> 15) & 0xFF);
      coded.push_back((bits >> 20) & 0x7FF);
    }
    EXPECT_FALSE(s.h_symbol.has_value());
    EXPECT_NEAR(*s.h_sign, entropy(signs), 1e-9);
    EXPECT_NEAR(*s.h_exponent, entropy(exponents), 1e-9);
    EXPECT_NEAR(*s.h_mantissa, entropy(mantissas), 1e-9);
    EXPECT_NEAR(*s.h_bytes, 4 * entropy(byte_stream(values)), 1e-9);
    EXPECT_NEAR(*s.ratio_planes, 32 / (entropy(coded) + 21), 1e-9);
    std::vector<int> q(values.size());
    for (std::uint64_t r = 0; r < rows; ++r) {
      float scale = 0;
      bool finite = true;
      for (std::uint64_t c = 0; c < cols; ++c) {
        finite = finite && std::isfinite(values[r * cols + c]);
        scale = std::max(scale, std::abs(values[r * cols + c]));
      }
      if (!finite) continue;
      for (std::uint64_t c = 0; c < cols; ++c) {
        q[r * cols + c] = static_cast<int>(std::nearbyint(values[r * cols + c] * (127.0f / scale)));
      }
    }
    EXPECT_NEAR(*s.h_int8, entropy(q), 1e-9);
    EXPECT_FALSE(s.h_residual.has_value());
    EXPECT_FALSE(s.ratio_pair.has_value());
  }
}

TEST(Statistics, Float64EqualsThePlainLoops) {
  Random random(3);
  std::vector<double> values(70001);
  for (double& x : values) x = random.normal() * 1e-3 + 1;
  values[70000] = INFINITY;
  const RawModel raw(DType::kF64, {values.size()}, bytes_of(values));
  const Statistics s = analyse_raw(raw);
  expect_moments(s, expected_moments(values));
  std::vector<std::uint64_t> exponents;
  for (const double x : values)
    exponents.push_back((std::bit_cast<std::uint64_t>(x) >> 52) & 0x7FF);
  EXPECT_NEAR(*s.h_exponent, entropy(exponents), 1e-9);
  EXPECT_NEAR(*s.h_bytes, 8 * entropy(byte_stream(values)), 1e-9);
  EXPECT_FALSE(s.h_symbol.has_value());
  EXPECT_FALSE(s.h_int8.has_value());
}

TEST(Statistics, AQuantizedWeightHasCodesAndDequantizedValues) {
  Random random(4);
  std::vector<std::int8_t> codes(50 * 333);
  for (auto& c : codes) c = static_cast<std::int8_t>(std::lrint(20 * random.normal()));
  const RawModel raw(DType::kI8, {50, 333}, bytes_of(codes), Scheme::kLlmInt8);
  const Statistics s = analyse(raw.model, raw.weight(),
                               [&] { return std::make_unique<ScaledCodeReader>(raw, 0.5f); });
  std::vector<double> values;
  for (const auto c : codes) values.push_back(0.5 * c);
  expect_moments(s, expected_moments(values));
  EXPECT_NEAR(*s.h_symbol, entropy(codes), 1e-9);
  EXPECT_EQ(s.h_int8, s.h_symbol);
  EXPECT_NEAR(*s.h_bytes, entropy(codes), 1e-9);
  EXPECT_NEAR(*s.ratio_planes, 8 / entropy(codes), 1e-9);
  EXPECT_FALSE(s.h_sign.has_value());
  EXPECT_FALSE(s.h_residual.has_value());
  EXPECT_FALSE(s.ratio_pair.has_value());
}

TEST(Statistics, IntegersHaveNoSpecials) {
  std::vector<std::int8_t> small = {-128, 127, 0, 0, 5};
  const Statistics s8 = analyse_raw(RawModel(DType::kI8, {5}, bytes_of(small)));
  EXPECT_EQ(s8.min, -128);
  EXPECT_EQ(s8.max, 127);
  EXPECT_EQ(s8.zeros, 2);
  EXPECT_FALSE(s8.nan.has_value());
  EXPECT_FALSE(s8.subnormal.has_value());
  EXPECT_FALSE(s8.h_exponent.has_value());
  EXPECT_NEAR(*s8.h_symbol, entropy(small), 1e-12);
  const std::vector<std::int32_t> wide = {-70000, 70000, 0};
  const Statistics s32 = analyse_raw(RawModel(DType::kI32, {3}, bytes_of(wide)));
  EXPECT_EQ(s32.min, -70000);
  EXPECT_EQ(s32.zeros, 1);
  EXPECT_FALSE(s32.nan.has_value());
  EXPECT_FALSE(s32.h_symbol.has_value());
  EXPECT_NEAR(*s32.h_bytes, 4 * entropy(byte_stream(wide)), 1e-12);
}

TEST(Statistics, WideIntegersAreNotRounded) {
  const std::vector<std::int32_t> wide = {INT32_MAX, INT32_MIN, 16'777'217, 0};
  const RawModel raw(DType::kI32, {2, 2}, bytes_of(wide));
  const Statistics s = analyse_raw(raw);
  EXPECT_EQ(s.min, -2147483648.0);
  EXPECT_EQ(s.max, 2147483647.0);
  EXPECT_EQ(s.mean, 4194304.0);
  EXPECT_FALSE(s.h_exponent.has_value());
  EXPECT_FALSE(s.ratio_planes.has_value());
  const std::vector<std::uint32_t> high = {UINT32_MAX, 1};
  EXPECT_EQ(analyse_raw(RawModel(DType::kU32, {2}, bytes_of(high))).max, 4294967295.0);
  const std::vector<std::int64_t> longs = {-9'007'199'254'740'991, 3};
  EXPECT_EQ(analyse_raw(RawModel(DType::kI64, {2}, bytes_of(longs))).min, -9007199254740991.0);
  const std::vector<std::uint64_t> huge = {UINT64_MAX, 3};
  EXPECT_EQ(analyse_raw(RawModel(DType::kU64, {2}, bytes_of(huge))).max, 0x1p64);
}

TEST(Statistics, ASpreadBeyondDoublesIsAbsentNotZero) {
  const std::vector<double> values = {1e300, -1e300, 1.0};
  const Statistics s = analyse_raw(RawModel(DType::kF64, {3}, bytes_of(values)));
  EXPECT_EQ(s.max, 1e300);
  EXPECT_FALSE(s.std.has_value());
}

TEST(Statistics, EightBitFloats) {
  // 0, 1, −1, NaN, smallest subnormal, 448
  const std::vector<std::uint8_t> codes = {0x00, 0x38, 0xB8, 0x7F, 0x01, 0x7E};
  const Statistics s = analyse_raw(RawModel(DType::kF8E4M3, {2, 3}, bytes_of(codes)));
  EXPECT_EQ(s.min, -1);
  EXPECT_EQ(s.max, 448);
  EXPECT_EQ(s.nan, 1);
  EXPECT_EQ(s.inf, 0);
  EXPECT_EQ(s.zeros, 1);
  EXPECT_EQ(s.subnormal, 1);
  EXPECT_NEAR(*s.h_symbol, std::log2(6), 1e-12);
  EXPECT_NEAR(*s.h_sign, entropy(std::vector<int>{0, 0, 1, 0, 0, 0}), 1e-12);
  EXPECT_NEAR(*s.h_exponent, entropy(std::vector<int>{0, 7, 7, 15, 0, 15}), 1e-12);
  EXPECT_FALSE(s.h_int8.has_value());
}

struct ShapeCase {
  const char* name;
  Shape shape;
};
class Shapes : public testing::TestWithParam<ShapeCase> {};

TEST_P(Shapes, OddShapesGiveTheSameNumbersAsAPlainLoop) {
  const Shape& shape = GetParam().shape;
  const std::uint64_t n = *element_count(shape);
  const auto words = to_words(DType::kBF16, trained_like(11, 1, n));
  const RawModel raw(DType::kBF16, shape, bytes_of(words));
  std::uint64_t progress = 0;
  AnalyseOptions options;
  options.threads = 1;
  options.progress = [&](std::uint64_t bytes) { progress += bytes; };
  const Statistics s = analyse_raw(raw, options);
  EXPECT_EQ(progress, 2 * n);
  if (n == 0) {
    EXPECT_EQ(s.zeros, 0);
    EXPECT_FALSE(s.min || s.mean || s.h_symbol || s.h_bytes || s.ratio_zstd || s.ratio_planes ||
                 s.h_int8 || s.ratio_pair);
    return;
  }
  std::vector<double> values;
  for (const auto w : words) values.push_back(bf16_to_float(w));
  expect_moments(s, expected_moments(values));
  EXPECT_NEAR(*s.h_symbol, entropy(words), 1e-9);
  EXPECT_EQ(s.h_int8.has_value(), shape.size() >= 2);
  if (shape.size() < 2) return;
  double residual = 0;
  const std::uint64_t cols = raw.weight().cols();
  for (std::uint64_t r = 0; r < raw.weight().rows(); ++r) {
    float scale = 0;
    for (std::uint64_t c = 0; c < cols; ++c) {
      scale = std::max(scale, static_cast<float>(std::abs(values[r * cols + c])));
    }
    const PairRow row(*pair_format(DType::kBF16), scale);
    double digits = 0;
    std::uint64_t zero_bits = 0;
    for (std::uint64_t c = 0; c < cols; ++c) {
      const auto x = static_cast<float>(values[r * cols + c]);
      const auto q = static_cast<int>(std::nearbyint(x * row.inverse()));
      if (q == 0) {
        zero_bits += row.zero_bits(words[r * cols + c]);
      } else {
        digits += std::log2(row.radix(static_cast<std::uint32_t>(std::abs(q))));
      }
    }
    residual += row.row_bits(digits, zero_bits, cols);
  }
  EXPECT_NEAR(*s.h_residual, residual / static_cast<double>(n), 1e-9);
}

INSTANTIATE_TEST_SUITE_P(
    All, Shapes,
    testing::Values(ShapeCase{"empty", {0}}, ShapeCase{"empty_rows", {5, 0}},
                    ShapeCase{"scalar", {}}, ShapeCase{"one", {1, 1}}, ShapeCase{"vector", {777}},
                    ShapeCase{"one_row", {1, 5000}}, ShapeCase{"one_column", {5000, 1}},
                    ShapeCase{"stack", {3, 17, 33}}, ShapeCase{"huge_rows", {3, 150001}},
                    ShapeCase{"long_vector", {200003}}),
    [](const auto& param) { return param.param.name; });

TEST(Statistics, AnyNumberOfThreadsGivesTheSameBits) {
  const auto values = trained_like(13, 300, 1024);
  const RawModel bf16(DType::kBF16, {300, 1024}, bytes_of(to_words(DType::kBF16, values)));
  const RawModel f32(DType::kF32, {300, 1024}, bytes_of(values));
  const RawModel split(DType::kF16, {3, 102400}, bytes_of(to_words(DType::kF16, values)));
  for (const RawModel* raw : {&bf16, &f32, &split}) {
    AnalyseOptions options;
    options.threads = 1;
    const Statistics one = analyse_raw(*raw, options);
    for (const unsigned threads : {2u, 3u, 8u, 0u}) {
      options.threads = threads;
      EXPECT_EQ(analyse_raw(*raw, options), one) << threads;
    }
  }
}

TEST(Statistics, CancelledHalfWayStopsWithinATile) {
  const RawModel raw(DType::kBF16, {64, 16384},
                     bytes_of(to_words(DType::kBF16, trained_like(17, 64, 16384))));
  for (const unsigned threads : {1u, 2u}) {
    std::atomic<bool> cancel{false};
    std::atomic<int> tiles{0};
    AnalyseOptions options;
    options.threads = threads;
    options.cancel = &cancel;
    options.progress = [&](std::uint64_t) {
      if (++tiles == 3) cancel = true;
    };
    const Statistics s = analyse_raw(raw, options);
    EXPECT_TRUE(s.cancelled);
    EXPECT_FALSE(s.min.has_value());
    EXPECT_LE(tiles, 3 + static_cast<int>(threads) - 1);
  }
}

TEST(Statistics, AReadersErrorComesOut) {
  const RawModel raw(DType::kI8, {4, 4}, std::vector<std::byte>(16), Scheme::kGptq);
  const auto broken = []() -> std::unique_ptr<WeightReader> {
    throw Error(ErrorCode::kBadDtype, "no such scheme");
  };
  EXPECT_THROW(analyse(raw.model, raw.weight(), broken), Error);
}

TEST(Statistics, HistogramsCountEveryFiniteValue) {
  const std::vector<float> values = {-1, -0.5f, 0, 0.25f, 1, kNaN, kInf};
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const auto bytes = dtype == DType::kF32 ? bytes_of(values) : bytes_of(to_words(dtype, values));
    const Statistics s = analyse_raw(RawModel(dtype, {7}, bytes));
    EXPECT_EQ(s.values.low, -1);
    EXPECT_EQ(s.values.high, 1);
    std::uint64_t total = 0;
    for (const auto bin : s.values.bins) total += bin;
    EXPECT_EQ(total, 5u);
    EXPECT_EQ(s.values.bins[0], 1u);
    EXPECT_EQ(s.values.bins[16], 1u);
    EXPECT_EQ(s.values.bins[32], 1u);
    EXPECT_EQ(s.values.bins[40], 1u);
    EXPECT_EQ(s.values.bins[63], 1u);
    EXPECT_EQ(s.exponents.first, -2);
    EXPECT_EQ(s.exponents.counts, (std::vector<std::uint64_t>{1, 1, 2}));
  }
}

TEST(Statistics, BaselinesSampleOrTakeAll) {
  // 6 MiB: the first half zeros, the rest noise; a sample sees both.
  std::vector<std::uint16_t> words(3u << 20);
  Random random(23);
  for (std::size_t i = words.size() / 2; i < words.size(); ++i) {
    words[i] = static_cast<std::uint16_t>(random.next());
  }
  const RawModel raw(DType::kU16, {words.size()}, bytes_of(words));
  AnalyseOptions options;
  const Statistics sampled = analyse_raw(raw, options);
  EXPECT_NEAR(*sampled.ratio_zstd, 2, 0.01);
  EXPECT_NEAR(*sampled.ratio_lz4, 2, 0.05);
  options.exact = true;
  EXPECT_NEAR(*analyse_raw(raw, options).ratio_zstd, 2, 0.01);
  options.baselines = false;
  const Statistics none = analyse_raw(raw, options);
  EXPECT_FALSE(none.ratio_zstd || none.ratio_lz4);
}

TEST(StatColumns, AreThoseOfTheContractInOrder) {
  std::vector<std::string_view> names;
  for (const StatColumn& column : stat_columns()) {
    names.push_back(column.name);
    EXPECT_FALSE(column.unit.empty() || column.formula.empty()) << column.name;
  }
  EXPECT_THAT(names, testing::ElementsAre("min", "max", "mean", "std", "absmax", "zeros", "nan",
                                          "inf", "subnormal", "h_symbol", "h_sign", "h_exponent",
                                          "h_mantissa", "h_bytes", "h_int8", "h_residual",
                                          "ratio_zstd", "ratio_lz4", "ratio_planes", "ratio_pair"));
  Statistics s;
  double number = 0;
  for (const StatColumn& column : stat_columns()) s.*column.value = ++number;
  EXPECT_EQ(s.min, 1);
  EXPECT_EQ(s.ratio_pair, 20);
}

}  // namespace
}  // namespace qi
