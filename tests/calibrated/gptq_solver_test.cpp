#include "engine/calibrated/gptq_solver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/calibrated/solver_cases.h"
#include "tests/support/error_of.h"

namespace qi {
namespace {

using test::SolverCase;

GptqOptions gptq_options_of(const nlohmann::json& options) {
  GptqOptions result;
  const int group = options["group"];
  result.bits = options["bits"];
  result.group = group < 0 ? 0 : static_cast<std::uint64_t>(group);
  result.symmetric = options["sym"];
  result.act_order = options["actorder"];
  result.static_groups = options["static_groups"];
  result.mse = options["mse"];
  result.percdamp = options["percdamp"];
  result.block = options["block"].get<std::uint64_t>();
  return result;
}

TEST(GptqSolver, AgreesWithTheVectors) {
  for (const char* name : {"gptq_00", "gptq_01", "gptq_02", "gptq_03"}) {
    SCOPED_TRACE(name);
    const SolverCase layer(name);
    const GptqOptions options = gptq_options_of(layer.facts["options"]);
    const Hessian hessian = layer.hessian();
    const auto h = layer.floats("expected.H");
    double h_most = 0, h_error = 0;
    for (std::uint64_t i = 0; i < layer.cols; ++i) {
      for (std::uint64_t j = 0; j <= i; ++j) {
        const double expected = h[i * layer.cols + j];
        h_most = std::max(h_most, std::abs(expected));
        h_error = std::max(h_error, std::abs(expected - hessian.lower()[i * layer.cols + j]));
      }
    }
    EXPECT_LE(h_error, 1e-6 * h_most);

    SolverReport report;
    const CodedMatrix coded =
        gptq(layer.w.data(), layer.rows, layer.cols, hessian, options, {}, report);
    EXPECT_EQ(test::differing(coded.codes, layer.ints("expected.q")), 0.0);
    EXPECT_EQ(test::differing(coded.group_of, layer.ints("expected.g_idx")), 0.0);
    if (options.act_order) {
      EXPECT_EQ(test::differing(coded.order, layer.ints("expected.perm")), 0.0);
    }
    EXPECT_EQ(test::differing(coded.zeros, layer.floats("expected.zero")), 0.0);
    EXPECT_LE(test::farthest(coded.scales, layer.floats("expected.scale")), 1e-6);
    const std::vector<float> values = test::values_of(coded);
    EXPECT_LE(test::farthest(values, layer.floats("expected.dequant")), 1e-5);
    const auto& metrics = layer.facts["metrics"];
    EXPECT_NEAR(layer.output_error(values) / metrics["out_rel_fro"].get<double>(), 1, 1e-4);
    const double fro = metrics["out_fro"], sequences = layer.facts["options"]["batches"];
    EXPECT_NEAR(
        hessian.error(layer.w.data(), values.data(), layer.rows, {}) / (fro * fro * 2 / sequences),
        1, 1e-3);
    EXPECT_EQ(report.warning, "");
    EXPECT_NEAR(report.loss / metrics["proxy_loss"].get<double>(), 1, 1e-4);
  }
}

}  // namespace
}  // namespace qi
