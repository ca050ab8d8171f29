#include "views/quantize_screen.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"

namespace qi {
namespace {

using test::press;

/// A weight of 256 x 768 with grids of many sizes, and outliers where columns are large.
QuantizedFacts quantized(const std::string& name, bool outliers) {
  CodedMatrix matrix;
  matrix.rows = 256;
  matrix.cols = 768;
  matrix.groups = 6;
  for (std::uint64_t i = 0; i < matrix.rows * matrix.groups; ++i) {
    const double angle = static_cast<double>(i * 7919 % 1000) / 1000;
    matrix.scales.push_back(static_cast<float>(1e-3 * std::exp(2 * angle * angle)));
    matrix.zeros.push_back(static_cast<float>(4 + 8 * angle));
  }
  for (std::uint32_t row = 0; outliers && row < matrix.rows; row += 2) {
    for (std::uint32_t col = row % 5; col < matrix.cols; col += 1 + row + col / 3) {
      matrix.outliers.push_back({row, col, 1});
    }
  }
  QuantizedFacts facts = facts_of(name, matrix);
  facts.bytes_in = 393'216;
  facts.bytes_out = 108'544;
  facts.snr_db = 18.234;
  facts.output_error = 0.0527;
  facts.seconds = 0.412;
  std::vector<float> inputs, errors;
  for (std::uint64_t c = 0; c < matrix.cols; ++c) {
    inputs.push_back(static_cast<float>(1 + 30 * (c % 97 == 5) + std::sin(0.01 * double(c))));
    errors.push_back(1e-6f / inputs.back());
  }
  facts.input_square = column_means(inputs);
  facts.column_error = column_means(errors);
  return facts;
}

std::shared_ptr<QuantizeReport> report() {
  auto out = std::make_shared<QuantizeReport>();
  out->title = "wap  spqr  /models/wap-spqr";
  out->weights = {quantized("model.layers.0.self_attn.q_proj.weight", false),
                  quantized("model.layers.0.mlp.down_proj.weight", true)};
  out->weights[0].note = "damping raised to 0.1";
  out->weights[0].snr_db = std::numeric_limits<double>::infinity();
  QuantizedFacts rounded;
  rounded.weight = "model.layers.1.mlp.up_proj.weight";
  rounded.rows = 768, rounded.cols = 256;
  rounded.bytes_out = 99'000;
  out->weights.push_back(rounded);
  out->stage = "quantize";
  out->block = 1;
  out->blocks = 4;
  out->done = 0.37;
  out->job = JobSnapshot{};
  out->job->state = JobState::kActive;
  out->job->eta_s = 71;
  return out;
}

TEST(QuantizeScreen, Goldens) {
  const auto shown = report();
  QuantizeScreen screen(shown);
  screen.resize({120, 36});
  press(screen, "gj");
  test::expect_goldens("quantize_running", screen);
  press(screen, "z");
  test::expect_goldens("quantize_charts", screen);
  press(screen, "zz");
  shown->job->state = JobState::kDone;
  shown->done = 1;
  shown->outcome = "written: 28 weights, 6.68 MiB -> 1.84 MiB";
  screen.refresh();
  press(screen, "k");
  test::expect_goldens("quantize_ended", screen);
}

TEST(QuantizeScreen, EverySizeAndKey) {
  const auto shown = report();
  QuantizeScreen screen(shown);
  test::expect_every_size(screen, "Quantize");
  screen.resize({120, 36});
  EXPECT_EQ(press(screen, "w").ask, Ask::kShowQuantize);
  EXPECT_EQ(press(screen, "x").ask, Ask::kCancelJobs);
  shown->job.reset();
  shown->error = "no space left [space]";
  shown->weights.clear();
  screen.refresh();
  EXPECT_EQ(press(screen, "x").ask, Ask::kNothing);
  EXPECT_TRUE(test::drawn(screen, {120, 36}).find("no space left") != std::string::npos);
  test::expect_clean_frame(screen);
}

TEST(QuantizedFacts, CountsAndPlaces) {
  const QuantizedFacts facts = quantized("w", true);
  std::uint64_t counted = 0, placed = 0;
  for (const std::uint64_t count : facts.scales.counts) counted += count;
  for (const std::uint32_t count : facts.places.counts) placed += count;
  EXPECT_EQ(counted, 256 * 6);
  EXPECT_EQ(placed, facts.outliers);
  EXPECT_LE(facts.places.rows, OutlierMap::kMostRows);
  EXPECT_LE(facts.places.cols, OutlierMap::kMostCols);
  EXPECT_NEAR(facts.scales.low, -3, 1e-6);
  EXPECT_EQ(column_means(std::vector<float>{1, 2, 3}), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(column_means(std::vector<float>(1000, 2.0f)), std::vector<double>(143, 2.0));
  const float odd[] = {0, -1, NAN, 100};
  EXPECT_EQ(fact_histogram(odd, true).counts, std::vector<std::uint64_t>{1});
  EXPECT_TRUE(fact_histogram({}, true).counts.empty());
}

}  // namespace
}  // namespace qi
