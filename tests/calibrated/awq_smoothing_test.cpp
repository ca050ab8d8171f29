#include <algorithm>
#include <limits>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/calibrated/awq_search.h"
#include "engine/calibrated/smoothing.h"
#include "tests/calibrated/solver_cases.h"
#include "tests/support/error_of.h"

namespace qi {
namespace {

using test::SolverCase;

MatrixView weight_view(const SolverCase& layer) {
  return {layer.w.data(), layer.rows, layer.cols, layer.cols};
}
MatrixView input_view(const SolverCase& layer) {
  return {layer.x.data(), layer.tokens, layer.cols, layer.cols};
}

double largest_relative(const std::vector<float>& a, const std::vector<float>& b) {
  double most = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(a[i]) / static_cast<double>(b[i]) - 1));
  }
  return most;
}

TEST(AwqSearch, AgreesWithTheVectors) {
  for (const char* name : {"awq_00", "awq_01"}) {
    SCOPED_TRACE(name);
    const SolverCase layer(name);
    const auto& facts = layer.facts["options"];
    const auto& tolerance = layer.facts["tolerance"];
    AwqOptions options;
    options.bits = facts["bits"];
    options.group = facts["group"];
    options.zero_point = facts["zero_point"];
    options.duo_scaling = facts["duo_scaling"];
    options.clip = facts["clip"];
    options.grid = facts["n_grid"];
    options.max_shrink = facts["max_shrink"];
    ColumnRanges ranges(layer.cols);
    ranges.add(layer.x.data(), layer.tokens);
    const MatrixView weight = weight_view(layer), x = input_view(layer);
    const AwqScales found = awq_scales({&weight, 1}, ranges.mean_abs(), options, {},
                                       awq_output_loss({&weight, 1}, x, {}));
    EXPECT_EQ(found.ratio, layer.facts["best_ratio"].get<double>());
    EXPECT_LE(largest_relative(found.scales, layer.floats("expected.channel_scale")),
              tolerance["channel_scale_rel"].get<double>());
    const auto history = layer.tensors.at("expected.history").as<double>();
    ASSERT_EQ(found.history.size(), history.size());
    for (std::size_t k = 0; k < history.size(); ++k) {
      EXPECT_NEAR(found.history[k] / history[k], 1, tolerance["history_rel"].get<double>()) << k;
    }

    std::vector<float> scaled = layer.w, inputs = layer.x;
    scale_columns(scaled.data(), layer.rows, layer.cols, found.scales);
    const MatrixView scaled_view{scaled.data(), layer.rows, layer.cols, layer.cols};
    if (options.clip) {
      unscale_columns(inputs.data(), layer.tokens, layer.cols, found.scales);
      const MatrixView scaled_x{inputs.data(), layer.tokens, layer.cols, layer.cols};
      const std::vector<float> clips = awq_clips(scaled_view, scaled_x, options, {});
      const auto expected = layer.floats("expected.clip");
      std::size_t off = 0;
      for (std::size_t k = 0; k < expected.size(); ++k) {
        off += std::abs(clips[k] / expected[k] - 1) > 1e-4f ? 1 : 0;
      }
      EXPECT_LE(static_cast<double>(off) / static_cast<double>(expected.size()),
                tolerance["clip_group_mismatch_fraction"].get<double>());
      awq_clamp(scaled.data(), layer.rows, layer.cols, options.group, clips);
    }
    const CodedMatrix coded = awq_codes(scaled_view, options, {});
    const double allowed = tolerance["int_mismatch_fraction"];
    EXPECT_LE(test::differing(coded.codes, layer.ints("expected.q")), allowed);
    std::vector<float> values = test::values_of(coded);
    unscale_columns(values.data(), layer.rows, layer.cols, found.scales);
    EXPECT_NEAR(layer.output_error(values) / layer.facts["metrics"]["out_rel_fro"].get<double>(), 1,
                tolerance["out_rel_fro_relative"].get<double>());
  }
}

TEST(Smoothing, AgreesWithTheVector) {
  const SolverCase layer("smoothquant_00");
  ColumnRanges ranges(layer.cols);
  ranges.add(layer.x.data(), layer.tokens / 2);  // in two batches
  ranges.add(layer.x.data() + layer.tokens / 2 * layer.cols, layer.tokens - layer.tokens / 2);
  EXPECT_EQ(ranges.absmax(), layer.floats("expected.act_max"));
  // The layers that share the input, as one or as two.
  const MatrixView whole = weight_view(layer);
  const std::vector<MatrixView> halves = {
      {whole.data, whole.rows / 2, whole.cols, whole.cols},
      {whole.data + whole.rows / 2 * whole.cols, whole.rows / 2, whole.cols, whole.cols}};
  const std::vector<float> scales = smooth_scales(ranges, {&whole, 1}, {});
  EXPECT_EQ(smooth_scales(ranges, halves, {}), scales);
  EXPECT_LE(largest_relative(scales, layer.floats("expected.smooth")), 1e-5);

  std::vector<float> weight = layer.w, inputs = layer.x;
  scale_columns(weight.data(), layer.rows, layer.cols, scales);
  unscale_columns(inputs.data(), layer.tokens, layer.cols, scales);
  const CodedMatrix coded =
      rtn_matrix(weight.data(), layer.rows, layer.cols, {RtnStyle::kRestricted, 8, true}, 0, {});
  const auto expected = layer.tensors.at("expected.w_int8").as<std::int8_t>();
  std::size_t off = 0;
  for (std::size_t k = 0; k < expected.size(); ++k) off += coded.codes[k] - 128 != expected[k];
  EXPECT_LE(static_cast<double>(off), 0.002 * static_cast<double>(expected.size()));
  EXPECT_LE(largest_relative(coded.scales, layer.floats("expected.w_scale")), 1e-5);

  std::vector<float> rounded(inputs.size()), out(layer.tokens * layer.rows);
  round_tokens(inputs.data(), layer.tokens, layer.cols, rounded.data());
  const std::vector<float> values = test::values_of(coded);
  multiply_transposed({rounded.data(), layer.tokens, layer.cols, layer.cols},
                      {values.data(), layer.rows, layer.cols, layer.cols}, out.data(), layer.rows);
  const auto expected_out = layer.floats("expected.out");
  double above = 0, below = 0;
  for (std::size_t k = 0; k < out.size(); ++k) {
    const double y = expected_out[k];
    above += (out[k] - y) * (out[k] - y), below += y * y;
  }
  EXPECT_LE(std::sqrt(above / below), layer.facts["tolerance"]["out_rel"].get<double>());
}

ColumnRanges ranges_of(const SolverCase& layer) {
  ColumnRanges ranges(layer.cols);
  ranges.add(layer.x.data(), layer.tokens);
  return ranges;
}

Workers some_workers(unsigned threads) {
  Workers workers;
  workers.threads = threads;
  workers.pool = std::make_shared<ThreadPool>(threads);
  return workers;
}

TEST(AwqSearch, LossesAreThoseOfTheOutputsWhateverTheTokens) {
  for (const std::uint64_t tokens : {30, 300}) {  // fewer and more than columns
    const SolverCase layer(70, 100, tokens, 4);
    const MatrixView weight = weight_view(layer);
    std::vector<float> changed = layer.w;
    for (std::size_t k = 0; k < changed.size(); k += 3) changed[k] += 0.01f;
    double sum = 0;
    for (std::uint64_t t = 0; t < tokens; ++t) {
      for (std::uint64_t r = 0; r < layer.rows; ++r) {
        double off = 0;
        for (std::uint64_t c = 0; c < layer.cols; ++c) {
          const std::uint64_t k = r * layer.cols + c;
          off += static_cast<double>(layer.x[t * layer.cols + c]) * (layer.w[k] - changed[k]);
        }
        sum += off * off;
      }
    }
    const auto loss = awq_output_loss({&weight, 1}, input_view(layer), {});
    const double expected = sum / static_cast<double>(tokens * layer.rows);
    EXPECT_NEAR(loss({&changed, 1}) / expected, 1, 1e-4);
  }
}

TEST(AwqSearch, ThreadsAndOddShapesChangeNothing) {
  for (const auto& [rows, cols, group] :
       {std::tuple(1, 1, 128), {1, 130, 64}, {70, 100, 0}, {130, 200, 48}}) {
    SolverCase layer(static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols), 90, 4);
    if (rows > 4) {
      for (std::uint64_t c = 0; c < layer.cols; ++c) layer.w[3 * layer.cols + c] = 0;
      for (std::uint64_t t = 0; t < layer.tokens; ++t) layer.x[t * layer.cols + 7] = 0;
    }
    AwqOptions options;
    options.group = static_cast<std::uint64_t>(group);
    options.zero_point = rows != 70;
    options.grid = 5;
    const MatrixView weight = weight_view(layer), x = input_view(layer);
    AwqScales found[2];
    std::vector<float> clips[2];
    for (unsigned k = 0; k < 2; ++k) {
      const Workers workers = some_workers(1 + 2 * k);
      found[k] = awq_scales({&weight, 1}, ranges_of(layer).mean_abs(), options, workers,
                            awq_output_loss({&weight, 1}, x, workers));
      clips[k] = awq_clips(weight, x, options, workers);
    }
    EXPECT_EQ(found[0].scales, found[1].scales);
    EXPECT_EQ(found[0].history, found[1].history);
    EXPECT_EQ(clips[0], clips[1]);
    for (const float scale : found[0].scales) EXPECT_TRUE(std::isfinite(scale) && scale > 0);
    // The kept clip's error is the least, counted on the tokens themselves.
    const std::uint64_t width = group == 0 ? layer.cols : options.group;
    const std::uint64_t groups = (layer.cols + width - 1) / width;
    ASSERT_EQ(clips[0].size(), layer.rows * groups);
    const auto error_with = [&](std::uint64_t r, std::uint64_t g, float clip) {
      const std::uint64_t begin = g * width, count = std::min(width, layer.cols - begin);
      const float* const row = layer.w.data() + r * layer.cols + begin;
      std::vector<float> part(row, row + count);
      for (float& value : part) value = std::clamp(value, -clip, clip);
      const RtnFormat format{RtnStyle::kAwq, options.bits, !options.zero_point};
      const auto values = test::values_of(rtn_matrix(part.data(), 1, count, format, 0, {}));
      double sum = 0;
      for (std::uint64_t t = 0; t < layer.tokens; ++t) {
        double off = 0;
        for (std::uint64_t c = 0; c < count; ++c) {
          off += static_cast<double>(layer.x[t * layer.cols + begin + c]) * (values[c] - row[c]);
        }
        sum += off * off;
      }
      return sum;
    };
    for (std::uint64_t r = 0; r < std::min<std::uint64_t>(layer.rows, 9); ++r) {
      for (std::uint64_t g = 0; g < groups; ++g) {
        const RtnRange range = rtn_range(layer.w.data() + r * layer.cols + g * width,
                                         std::min(width, layer.cols - g * width));
        const float most = std::max(std::abs(range.low), std::abs(range.high));
        const double kept = error_with(r, g, clips[0][r * groups + g]);
        EXPECT_LE(clips[0][r * groups + g], most);
        for (int i = 0; i < 2; ++i) {  // max_shrink 0.5 of 5
          const float other = most * (1 - static_cast<float>(i) / 5);
          EXPECT_LE(kept, error_with(r, g, other) * 1.0001 + 1e-12);
        }
      }
    }
  }
}

TEST(AwqSearch, RefusesWhatIsNotFinite) {
  SolverCase layer(4, 16, 20, 9);
  const auto refusal = [&] {
    const MatrixView weight = weight_view(layer);
    return test::thrown_by([&] {
      awq_scales({&weight, 1}, ranges_of(layer).mean_abs(), {}, {},
                 awq_output_loss({&weight, 1}, input_view(layer), {}));
    });
  };
  layer.x[3 * 16 + 5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refusal().code, ErrorCode::kBadValue);
  EXPECT_THAT(refusal().message, testing::HasSubstr("column 5"));
  layer.x[3 * 16 + 5] = 0;
  layer.w[2 * 16 + 3] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(refusal().message, testing::HasSubstr("row 2, column 3"));
  const MatrixView weight = weight_view(layer);
  EXPECT_EQ(test::class_of([&] {
              awq_scales({&weight, 1}, std::vector<float>(15), {}, {}, {});
            }),
            "bad_shape");
}

TEST(Smoothing, ScalesOfDeadColumnsAndOfRangesAreFinite) {
  SolverCase layer(4, 16, 20, 9);
  for (std::uint64_t t = 0; t < layer.tokens; ++t) layer.x[t * 16 + 5] = 0;
  for (std::uint64_t r = 0; r < layer.rows; ++r) layer.w[r * 16 + 6] = 0;
  const MatrixView weight = weight_view(layer);
  for (const SmoothStyle style : {SmoothStyle::kAbsmax, SmoothStyle::kRange}) {
    SmoothOptions options;
    options.style = style, options.alpha = 0.8;
    const auto scales = smooth_scales(ranges_of(layer), {&weight, 1}, options);
    for (const float scale : scales) EXPECT_TRUE(std::isfinite(scale) && scale >= 1e-5f);
    EXPECT_EQ(scales[5], 1e-5f);
  }
  layer.x[3 * 16 + 9] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(test::thrown_by([&] {
                smooth_scales(ranges_of(layer), {&weight, 1}, {});
              }).message,
              testing::HasSubstr("column 9"));
  SmoothOptions options;
  options.alpha = 1.5;
  EXPECT_EQ(test::class_of([&] {
              smooth_scales(ColumnRanges(16), {&weight, 1}, options);
            }),
            "usage");
}

TEST(HessianTest, IsTheRunningMeanOverSequences) {
  const SolverCase layer(5, 300, 60, 3);  // two tiles
  Hessian hessian(300);
  const std::uint64_t lengths[] = {10, 1, 0, 49};
  std::uint64_t at = 0;
  for (const std::uint64_t length : lengths) {
    hessian.add(layer.x.data() + at * 300, length, {});
    at += length;
  }
  EXPECT_EQ(hessian.sequences(), 3u);  // one was empty
  EXPECT_EQ(hessian.tokens(), 60u);
  const auto expected = [&](std::uint64_t i, std::uint64_t j) {
    double sum = 0;
    for (std::uint64_t t = 0; t < 60; ++t) {
      sum += static_cast<double>(layer.x[t * 300 + i]) * layer.x[t * 300 + j];
    }
    return sum * 2 / 3;
  };
  for (std::uint64_t i = 0; i < 300; i += 7) {
    for (std::uint64_t j = 0; j <= i; j += 5) {
      EXPECT_NEAR(hessian.lower()[i * 300 + j], expected(i, j), 1e-3) << i << " " << j;
    }
  }
  const std::vector<float> zeros(layer.w.size());
  double outputs = 0;
  for (std::uint64_t t = 0; t < 60; ++t) {
    for (std::uint64_t r = 0; r < 5; ++r) {
      double y = 0;
      for (std::uint64_t c = 0; c < 300; ++c) {
        y += static_cast<double>(layer.x[t * 300 + c]) * layer.w[r * 300 + c];
      }
      outputs += y * y;
    }
  }
  EXPECT_NEAR(hessian.error(layer.w.data(), zeros.data(), 5, {}) / (outputs * 2 / 3), 1, 1e-4);
}

}  // namespace
}  // namespace qi
