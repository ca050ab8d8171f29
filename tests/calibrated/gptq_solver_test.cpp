#include "engine/calibrated/gptq_solver.h"

#include <algorithm>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/calibrated/smoothing.h"
#include "tests/calibrated/reference.h"
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

struct LayerShape {
  std::uint64_t rows, cols, tokens;
};
constexpr LayerShape kLayerShapes[] = {{1, 1, 4},      {1, 40, 60},    {40, 1, 3},
                                       {17, 130, 300}, {33, 300, 500}, {300, 48, 200}};

// The least number of a symmetric group lies between two codes, where rounding errors decide: few
// such groups.
std::vector<GptqOptions> many_options() {
  std::vector<GptqOptions> list;
  const auto add = [&](auto... changes) {
    list.emplace_back();
    (changes(list.back()), ...);
  };
  const auto group = [](std::uint64_t size) { return [=](GptqOptions& o) { o.group = size; }; };
  const auto ordered = [](GptqOptions& o) { o.act_order = true; };
  const auto fixed = [](GptqOptions& o) { o.static_groups = true; };
  const auto symmetric = [](GptqOptions& o) { o.symmetric = true; };
  const auto fresh = [](GptqOptions& o) { o.fresh_grids = true; };
  const auto full = [](GptqOptions& o) { o.style = RtnStyle::kFull; };
  const auto block = [](std::uint64_t size) { return [=](GptqOptions& o) { o.block = size; }; };
  add();
  add(ordered, symmetric);
  add(group(32));
  add(group(32), fresh);
  add(group(48), block(64));  // neither divides the other
  add(group(48), fresh);
  add(group(100), ordered);
  add(group(20), fresh, ordered);
  add(group(7), fixed, ordered);
  add(group(64), fixed, full);
  add(group(128), full, symmetric, block(20));
  add(group(512));
  return list;
}

TEST(GptqSolver, AgreesWithTheColumnsOneByOneInFloat64) {
  for (const LayerShape& shape : kLayerShapes) {
    SolverCase layer(shape.rows, shape.cols, shape.tokens, 7);
    if (shape.cols > 100) {
      for (std::uint64_t t = 0; t < shape.tokens; ++t) {
        layer.x[t * shape.cols + 5] = layer.x[t * shape.cols + 77] = 0;  // dead
      }
      for (std::uint64_t c = 0; c < shape.cols; ++c) {
        layer.w[3 * shape.cols + c] = 0;
        layer.w[4 * shape.cols + c] = 0.01f + static_cast<float>(c) * 1e-4f;  // one sign
      }
    }
    const Hessian hessian = layer.hessian();
    for (const GptqOptions& options : many_options()) {
      SCOPED_TRACE(testing::Message() << shape.rows << "x" << shape.cols << " group "
                                      << options.group << " block " << options.block);
      SolverReport report;
      const HessianFactor factor = factor_gptq(hessian, options, {});
      const CodedMatrix coded = gptq(layer.w.data(), layer.rows, factor, options, {}, report);
      const auto expected = test::gptq_reference(layer, options, factor.order);
      EXPECT_LE(test::far_apart(test::values_of(coded), expected), 0.01);
      EXPECT_EQ(report.warning, "");
      EXPECT_EQ(coded.order.empty(), !options.act_order);
    }
  }
}

Workers with_so_many(unsigned threads) {
  Workers workers;
  workers.threads = threads;
  workers.pool = std::make_shared<ThreadPool>(threads);
  return workers;
}

TEST(GptqSolver, ThreadsChangeNothing) {
  const SolverCase layer(600, 300, 700, 3);
  GptqOptions options;
  options.group = 64, options.act_order = true, options.mse = true;
  SolverReport one, more;
  const Workers single = with_so_many(1), several = with_so_many(3);
  const Hessian h = layer.hessian(single), same = layer.hessian(several);
  EXPECT_TRUE(std::ranges::equal(h.lower(), same.lower()));
  const CodedMatrix a = gptq(layer.w.data(), 600, 300, h, options, single, one);
  const CodedMatrix b = gptq(layer.w.data(), 600, 300, same, options, several, more);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.scales, b.scales);
  EXPECT_EQ(a.zeros, b.zeros);
  EXPECT_EQ(one.loss, more.loss);
}

TEST(GptqSolver, BeatsRoundingToTheNearest) {
  const SolverCase layer(64, 256, 600, 5);
  GptqOptions options;
  options.group = 64;
  SolverReport report;
  const auto values =
      test::values_of(gptq(layer.w.data(), 64, 256, layer.hessian(), options, {}, report));
  const auto nearest = test::values_of(rtn_matrix(layer.w.data(), 64, 256, {}, 64, {}));
  EXPECT_LT(layer.output_error(values), 0.7 * layer.output_error(nearest));
}

TEST(GptqSolver, DampsMoreWhereTheHessianIsNotPositiveDefinite) {
  SolverCase layer(8, 64, 1, 9);  // one token: rank 1
  GptqOptions options;
  options.percdamp = 1e-8;
  SolverReport report;
  const CodedMatrix coded = gptq(layer.w.data(), 8, 64, layer.hessian(), options, {}, report);
  EXPECT_GT(report.damping, options.percdamp);
  EXPECT_THAT(report.warning, testing::HasSubstr("not positive definite: damped by"));
  EXPECT_FALSE(report.rounded);
  for (const float value : test::values_of(coded)) EXPECT_TRUE(std::isfinite(value));
}

TEST(GptqSolver, RoundsToTheNearestWhereNoDampingHelps) {
  SolverCase layer(8, 64, 1, 9);
  for (float& value : layer.x) value = 1.2e19f;  // any damping is beyond float32
  GptqOptions options;
  options.group = 32, options.act_order = true, options.percdamp = 1;
  SolverReport report;
  const CodedMatrix coded = gptq(layer.w.data(), 8, 64, layer.hessian(), options, {}, report);
  EXPECT_TRUE(report.rounded);
  EXPECT_THAT(report.warning, testing::HasSubstr("rounded to nearest"));
  const CodedMatrix nearest = rtn_matrix(layer.w.data(), 8, 64, {}, 32, {});
  EXPECT_EQ(coded.codes, nearest.codes);
  EXPECT_EQ(coded.scales, nearest.scales);
}

TEST(GptqSolver, RefusesWhatIsNotFinite) {
  SolverCase layer(8, 64, 20, 9);
  SolverReport report;
  const auto refusal = [&](const GptqOptions& options) {
    return test::thrown_by(
        [&] { gptq(layer.w.data(), 8, 64, layer.hessian(), options, {}, report); });
  };
  layer.w[5 * 64 + 7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refusal({}).code, ErrorCode::kBadValue);
  EXPECT_THAT(refusal({}).message, testing::HasSubstr("row 5, column 7"));
  layer.w[5 * 64 + 7] = 0;
  for (const float odd : {std::numeric_limits<float>::quiet_NaN(), 1e30f}) {
    layer.x[3 * 64 + 11] = odd;
    EXPECT_EQ(refusal({}).code, ErrorCode::kBadValue);
    EXPECT_THAT(refusal({}).message, testing::HasSubstr("column 11"));
  }
  layer.x[3 * 64 + 11] = 0;
  GptqOptions options;
  options.bits = 9;
  EXPECT_EQ(refusal(options).code, ErrorCode::kUsage);
  options = {};
  options.style = RtnStyle::kAwq;
  EXPECT_EQ(refusal(options).code, ErrorCode::kUsage);
  const Hessian other(65);
  EXPECT_EQ(test::class_of([&] { gptq(layer.w.data(), 8, 64, other, {}, {}, report); }),
            "bad_shape");
}

}  // namespace
}  // namespace qi
