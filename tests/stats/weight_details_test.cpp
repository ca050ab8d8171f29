// Details of one weight against plain loops: value counts, outliers, rows, errors, windows.
#include "engine/stats/weight_details.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/tensor/value_window.h"
#include "tests/stats/raw_model.h"
#include "tests/support/process.h"
#include "tests/support/special_values.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::kInf;

using testing_support::bytes_of;
using testing_support::RawModel;
using testing_support::RawReader;
using testing_support::to_words;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

WeightDetails details_of(const RawModel& raw, const DetailsOptions& options = {}) {
  return weight_details(
      raw.model, raw.weight(), [&] { return std::make_unique<RawReader>(raw, true); }, options);
}

WeightDetails details_on(unsigned threads, const RawModel& raw) {
  DetailsOptions options;
  options.threads = threads;
  return details_of(raw, options);
}

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.001f, 0.02f);
  std::vector<float> out(count);
  for (float& x : out) x = bf16_to_float(float_to_bf16(normal(random)));
  return out;
}

RawModel bf16_model(const Shape& shape, const std::vector<float>& values) {
  return {DType::kBF16, shape, bytes_of(to_words(DType::kBF16, values))};
}

double naive_std(const std::vector<float>& values) {
  double sum = 0, squares = 0, n = 0;
  for (const float x : values) {
    if (std::isfinite(x)) sum += x, n += 1;
  }
  for (const float x : values) {
    if (std::isfinite(x)) squares += (x - sum / n) * (x - sum / n);
  }
  return std::sqrt(squares / n);
}

void expect_outliers(const WeightDetails& details, const std::vector<float>& values,
                     std::uint64_t cols) {
  std::vector<std::size_t> order;
  std::vector<std::size_t> special;
  for (std::size_t i = 0; i < values.size(); ++i) {
    (std::isfinite(values[i]) ? order : special).push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::abs(values[a]) > std::abs(values[b]);
  });
  const double std = naive_std(values);
  ASSERT_EQ(details.outliers.size(), std::min(order.size(), kMostOutliers));
  for (std::size_t i = 0; i < details.outliers.size(); ++i) {
    const Outlier& one = details.outliers[i];
    EXPECT_EQ(one.row * cols + one.col, order[i]);
    EXPECT_EQ(one.value, values[order[i]]);
    EXPECT_NEAR(one.sigmas, std::abs(one.value) / std, 1e-9 * one.sigmas);
  }
  EXPECT_EQ(details.not_finite_count, special.size());
  ASSERT_EQ(details.not_finite.size(), std::min(special.size(), kMostOutliers));
  for (std::size_t i = 0; i < details.not_finite.size(); ++i) {
    EXPECT_EQ(details.not_finite[i].row * cols + details.not_finite[i].col, special[i]);
  }
}

// Error of LLM.int8() by plain loops: rms of each row, negative without one.
std::vector<double> int8_errors(const std::vector<float>& values, std::uint64_t rows,
                                std::uint64_t cols) {
  std::vector<double> out;
  for (std::uint64_t r = 0; r < rows; ++r) {
    const float* row = values.data() + r * cols;
    float s = 0;
    bool special = false;
    for (std::uint64_t c = 0; c < cols; ++c) {
      special = special || !std::isfinite(row[c]);
      s = std::max(s, std::abs(row[c]));
    }
    if (special) {
      out.push_back(-1);
      continue;
    }
    double squares = 0;
    for (std::uint64_t c = 0; c < cols && s > 0; ++c) {
      const float q = std::nearbyint(row[c] * (127.0f / s));
      const double e = static_cast<double>(row[c]) - static_cast<double>(q * (s * (1.0f / 127.0f)));
      squares += e * e;
    }
    out.push_back(std::sqrt(squares / static_cast<double>(cols)));
  }
  return out;
}

void expect_rows(const WeightDetails& details, const std::vector<float>& values, std::uint64_t rows,
                 std::uint64_t cols) {
  const std::vector<double> errors = int8_errors(values, rows, cols);
  ASSERT_TRUE(details.errors);
  const auto worst = std::max_element(errors.begin(), errors.end());
  EXPECT_EQ(details.errors->worst_row, static_cast<std::uint64_t>(worst - errors.begin()));
  EXPECT_NEAR(details.errors->worst_rms, *worst, 1e-9 * *worst);
  EXPECT_EQ(details.errors->left_out,
            static_cast<std::uint64_t>(std::count(errors.begin(), errors.end(), -1.0)));
  ASSERT_EQ(details.rows.size(), std::min(rows, kMostRowBins));
  std::uint64_t next = 0;
  for (const RowBin& bin : details.rows) {
    EXPECT_EQ(bin.first, next);
    next += bin.count;
    double squares = 0, n = 0, absmax = 0, error = 0;
    for (std::uint64_t r = bin.first; r < next; ++r) {
      error = std::max(error, errors[r]);
      for (std::uint64_t c = 0; c < cols; ++c) {
        const double x = values[r * cols + c];
        if (!std::isfinite(x)) continue;
        squares += x * x;
        n += 1;
        absmax = std::max(absmax, std::abs(x));
      }
    }
    EXPECT_EQ(bin.absmax, absmax);
    EXPECT_NEAR(bin.error, error, 1e-9 * error);
    EXPECT_NEAR(bin.rms, n > 0 ? std::sqrt(squares / n) : 0, 1e-9);
  }
  EXPECT_EQ(next, rows);
}

TEST(WeightDetails, EqualPlainLoops) {
  for (const auto& [rows, cols] : {std::pair<std::uint64_t, std::uint64_t>{7, 13},
                                   {300, 31},
                                   {257, 1},
                                   {2, 1000},
                                   {3, 300001}}) {
    const std::vector<float> values = random_values(rows * cols, static_cast<unsigned>(cols));
    const RawModel raw = bf16_model({rows, cols}, values);
    const WeightDetails details = details_on(3, raw);
    SCOPED_TRACE(testing::Message() << rows << "x" << cols);
    expect_outliers(details, values, cols);
    expect_rows(details, values, rows, cols);
    EXPECT_NEAR(details.std, naive_std(values), 1e-9);
    EXPECT_EQ(details.values.total, values.size());
    EXPECT_FALSE(details.scales);
  }
}

TEST(WeightDetails, LeavesOutWhatIsNotANumber) {
  std::vector<float> values = random_values(40 * 50, 5);
  values[3] = kNan;
  values[777] = kInf;
  values[1999] = -kInf;
  const RawModel raw = bf16_model({40, 50}, values);
  const WeightDetails details = details_of(raw);
  expect_outliers(details, values, 50);
  expect_rows(details, values, 40, 50);
  EXPECT_EQ(details.values.total, values.size() - 3);
}

TEST(WeightDetails, OfNothingAndOfOneValue) {
  for (const Shape& shape : {Shape{0, 5}, Shape{5, 0}, Shape{0}}) {
    const RawModel raw = bf16_model(shape, {});
    const WeightDetails details = details_of(raw);
    EXPECT_TRUE(details.outliers.empty());
    EXPECT_TRUE(details.rows.empty());
    EXPECT_FALSE(details.errors);
    EXPECT_EQ(details.values.total, 0u);
  }
  const RawModel one = bf16_model({}, {0.5f});
  const WeightDetails details = details_of(one);
  ASSERT_EQ(details.outliers.size(), 1u);
  EXPECT_EQ(details.outliers[0].sigmas, 0);
  EXPECT_TRUE(details.rows.empty());
  const RawModel zeros = bf16_model({3, 4}, std::vector<float>(12, 0.0f));
  EXPECT_EQ(details_of(zeros).errors->worst_rms, 0);
  EXPECT_EQ(details_of(zeros).errors->left_out, 0u);
}

TEST(WeightDetails, AreTheSameForAnyNumberOfThreads) {
  std::vector<float> values = random_values(1000 * 999, 9);
  std::fill(values.begin(), values.begin() + 5000, 0.25f);  // many equally large ones
  const RawModel raw = bf16_model({1000, 999}, values);
  const WeightDetails one = details_on(1, raw);
  for (const unsigned threads : {2u, 5u}) EXPECT_EQ(details_on(threads, raw), one);
}

TEST(WeightDetails, HoldAWeightAgainstAReference) {
  const std::vector<float> values = random_values(20 * 30, 1);
  std::vector<float> others = values;
  others[7 * 30 + 4] += 1.0f;
  const RawModel raw = bf16_model({20, 30}, values);
  const RawModel reference = bf16_model({20, 30}, others);
  DetailsOptions options;
  options.reference = [&] { return std::make_unique<RawReader>(reference, true); };
  options.reference_name = "other";
  const WeightDetails details = details_of(raw, options);
  ASSERT_TRUE(details.errors);
  EXPECT_EQ(details.errors->reference, "other");
  EXPECT_EQ(details.errors->worst_row, 7u);
  EXPECT_NEAR(details.errors->worst_rms, 1.0 / std::sqrt(30.0), 0.001);
  const RawModel odd = bf16_model({30, 20}, others);
  options.reference = [&] { return std::make_unique<RawReader>(odd, true); };
  EXPECT_THROW(details_of(raw, options), Error);
}

TEST(WeightDetails, StopWhenCancelledAndReportAllBytes) {
  const RawModel raw = bf16_model({100, 100}, random_values(10000, 2));
  std::atomic<std::uint64_t> bytes{0};
  DetailsOptions options;
  options.progress = [&](std::uint64_t some) { bytes += some; };
  details_of(raw, options);
  EXPECT_EQ(bytes, raw.weight().size_bytes);
  const std::atomic<bool> cancel{true};
  options.cancel = &cancel;
  EXPECT_TRUE(details_of(raw, options).cancelled);
}

TEST(ValueCounts, GiveAnyHistogramExactlyForSixteenBits) {
  const std::vector<float> values = random_values(5000, 3);
  const RawModel raw = bf16_model({50, 100}, values);
  const ValueCounts counted = details_of(raw).values;
  EXPECT_TRUE(std::is_sorted(counted.values.begin(), counted.values.end()));
  for (const auto& [low, high] : {std::pair{-0.1, 0.1}, {-0.001, 0.002}, {0.0, 0.0}, {1.0, 2.0}}) {
    std::vector<std::uint64_t> plain(40, 0);
    for (const float x : values) {
      if (!(low < high) || x < low || x > high) continue;
      ++plain[std::min<std::size_t>(39, static_cast<std::size_t>((x - low) / (high - low) * 40))];
    }
    EXPECT_EQ(histogram_of(counted, low, high, 40), plain);
  }
  EXPECT_TRUE(histogram_of(counted, -1, 1, 0).empty());
}

// --- windows

/// A reader that remembers how much it was asked for.
class CountingReader : public RawReader {
 public:
  explicit CountingReader(const RawModel& raw) : RawReader(raw, true) {}
  std::uint64_t most = 0;
  std::span<const std::byte> stored(std::uint64_t first, std::uint64_t count) override {
    stored_ += count;
    most = std::max(most, stored_);
    return RawReader::stored(first, count);
  }
  void forget() { most = stored_ = 0; }

 protected:
  void read_values(const Tile& tile, float* out) override {
    most = std::max(most, tile.rows * tile.cols);
    RawReader::read_values(tile, out);
  }
  void read_codes(const Tile& tile, std::uint16_t* out) override {
    most = std::max(most, tile.rows * tile.cols);
    RawReader::read_codes(tile, out);
  }

 private:
  std::uint64_t stored_ = 0;
};

TEST(ValueWindow, HoldsEveryFormOfTheValuesAskedFor) {
  const std::vector<float> values = random_values(40 * 30, 4);
  const RawModel raw = bf16_model({40, 30}, values);
  CountingReader reader(raw);
  const Tile tile{11, 7, 5, 9};
  const ValueWindow window = read_window(reader, tile);
  EXPECT_LE(reader.most, tile.rows * tile.cols);
  ASSERT_EQ(window.element_bytes, 2);
  for (std::uint64_t i = 0; i < tile.rows * tile.cols; ++i) {
    const float x = values[(tile.row + i / tile.cols) * 30 + tile.col + i % tile.cols];
    EXPECT_EQ(window.values[i], x);
    EXPECT_EQ(window.codes[i], float_to_bf16(x));
    EXPECT_EQ(std::to_integer<unsigned>(window.stored[2 * i + 1]), float_to_bf16(x) >> 8u);
  }
  EXPECT_TRUE(read_window(reader, {40, 0, 0, 0}).values.empty());
}

TEST(ValueWindow, ReadsNoMoreOfALargeFileThanItShows) {
  // 14336x4096 numbers, all of them holes; without a mapping every byte goes through pread.
  test::TempDir dir;
  const std::string path = dir.path() + "/large";
  constexpr std::uint64_t kRows = 14336, kCols = 4096;
  std::ofstream(path).close();
  ASSERT_EQ(truncate(path.c_str(), kRows * kCols * 2), 0);
  set_mapping_disabled_for_testing(true);
  Model model;
  model.files.push_back(File::open(path));
  model.tensors.push_back({"w", {}, {kRows, kCols}, 0, kRows * kCols * 2, 0, DType::kBF16});
  Weight weight;
  weight.name = "w";
  weight.shape = {kRows, kCols};
  weight.params = kRows * kCols;
  weight.size_bytes = 2 * weight.params;
  weight.parts.push_back({0, PartRole::kCodes});
  model.weights.push_back(weight);
  const auto reader = open_reader(model, model.weights[0]);
  constexpr std::uint64_t kShownRows = 30, kShownCols = 11;
  const std::uint64_t before = test::bytes_read();
  std::uint64_t steps = 0;
  for (std::uint64_t row = 0; row + kShownRows <= kRows; row += 997, ++steps) {
    const std::uint64_t col = row * 7 % (kCols - kShownCols);
    const ValueWindow window = read_window(*reader, {row, kShownRows, col, kShownCols});
    EXPECT_EQ(window.values.size(), kShownRows * kShownCols);
  }
  const std::uint64_t read = test::bytes_read() - before;
  set_mapping_disabled_for_testing(false);
  // And the file that tells this.
  EXPECT_LE(read, steps * kShownRows * kShownCols * 2 + 1024);
  EXPECT_GT(steps, 10u);
}

}  // namespace
}  // namespace qi
