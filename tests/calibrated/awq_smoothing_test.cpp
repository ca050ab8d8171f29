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

}  // namespace
}  // namespace qi
