#include "engine/calibrated/spqr_solver.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/calibrated/reference.h"
#include "tests/calibrated/solver_cases.h"
#include "tests/support/error_of.h"

namespace qi {
namespace {

using test::SolverCase;

SpqrOptions spqr_options_of(const nlohmann::json& options) {
  SpqrOptions result;
  result.bits = options["wbits"];
  result.group = options["groupsize"];
  result.symmetric = options["sym"];
  if (!options["qq_scale_bits"].is_null()) result.scale_bits = options["qq_scale_bits"].get<int>();
  if (!options["qq_zero_bits"].is_null()) result.zero_bits = options["qq_zero_bits"].get<int>();
  result.second_group = options["qq_groupsize"];
  result.zero_symmetric = options["qq_zero_sym"];
  result.round_zero = options["round_zero"];
  if (options["outlier_threshold"].is_number()) {
    result.outlier_threshold = options["outlier_threshold"];
  }
  result.simplified_outliers = options["simplified_outliers"];
  result.order =
      options["permutation_order"] == "act_order" ? ColumnOrder::kActivity : ColumnOrder::kNatural;
  result.percdamp = options["percdamp"];
  result.block = options["block"].get<std::uint64_t>();
  return result;
}

TEST(SpqrSolver, AgreesWithTheVectors) {
  for (const char* name : {"spqr_00", "spqr_01", "spqr_02"}) {
    SCOPED_TRACE(name);
    const SolverCase layer(name);
    const SpqrOptions options = spqr_options_of(layer.facts["options"]);
    SolverReport report;
    const CodedMatrix coded =
        spqr(layer.w.data(), layer.rows, layer.cols, layer.hessian(), options, {}, report);
    EXPECT_EQ(report.warning, "");

    // The case has codes and outliers in coding order.
    const auto perm = layer.ints("expected.perm");
    std::vector<std::uint8_t> codes(coded.codes.size());
    std::vector<std::int32_t> position(layer.cols);
    for (std::uint64_t k = 0; k < layer.cols; ++k) {
      position[static_cast<std::size_t>(perm[k])] = static_cast<std::int32_t>(k);
      for (std::uint64_t r = 0; r < layer.rows; ++r) {
        codes[r * layer.cols + k] =
            coded.codes[r * layer.cols + static_cast<std::uint64_t>(perm[k])];
      }
    }
    EXPECT_EQ(test::differing(codes, layer.ints("expected.q")), 0.0);
    if (options.order != ColumnOrder::kNatural) {
      EXPECT_EQ(test::differing(coded.order, perm), 0.0);
    }
    std::vector<std::pair<std::uint32_t, std::int32_t>> outliers, expected_outliers;
    for (const auto& outlier : coded.outliers) {
      outliers.emplace_back(outlier.row, position[outlier.col]);
    }
    const auto offsets = layer.ints("expected.outlier_row_offsets");
    const auto cols = layer.ints("expected.outlier_cols");
    for (std::uint32_t r = 0; r < layer.rows; ++r) {
      for (auto k = offsets[r]; k < offsets[r + 1]; ++k) {
        expected_outliers.emplace_back(r, cols[static_cast<std::size_t>(k)]);
      }
    }
    EXPECT_THAT(outliers, testing::UnorderedElementsAreArray(expected_outliers));
    EXPECT_LE(test::farthest(coded.scales, layer.floats("expected.scale")), 1e-6);
    EXPECT_LE(test::farthest(coded.zeros, layer.floats("expected.zero")), 1e-4);
    if (options.scale_bits) {
      EXPECT_EQ(test::differing(coded.scale_codes->codes, layer.ints("expected.scale_q")), 0.0);
      EXPECT_EQ(test::differing(coded.zero_codes->codes, layer.ints("expected.zero_q")), 0.0);
      EXPECT_LE(
          test::farthest(coded.scale_codes->grid_scales, layer.floats("expected.scale_qq_scale")),
          1e-6);
      EXPECT_LE(
          test::farthest(coded.scale_codes->grid_zeros, layer.floats("expected.scale_qq_zero")),
          1e-3);
      EXPECT_LE(
          test::farthest(coded.zero_codes->grid_scales, layer.floats("expected.zero_qq_scale")),
          1e-4);
      EXPECT_LE(test::farthest(coded.zero_codes->grid_zeros, layer.floats("expected.zero_qq_zero")),
                1e-3);
    }
    const std::vector<float> values = test::values_of(coded);
    EXPECT_LE(test::farthest(values, layer.floats("expected.dequant")), 1e-5);
    EXPECT_NEAR(layer.output_error(values) / layer.facts["metrics"]["out_rel_fro"].get<double>(), 1,
                1e-4);
    EXPECT_NEAR(spqr_bits(options, coded).average, layer.facts["average_bits"], 1e-4);
  }
}

std::vector<SpqrOptions> many_spqr_options() {
  std::vector<SpqrOptions> list;
  const auto add = [&](auto... changes) {
    list.emplace_back();
    (changes(list.back()), ...);
  };
  const auto group = [](std::uint64_t size) { return [=](SpqrOptions& o) { o.group = size; }; };
  const auto outliers = [](double t) { return [=](SpqrOptions& o) { o.outlier_threshold = t; }; };
  const auto levels = [](int scale, int zero, std::uint64_t rows) {
    return [=](SpqrOptions& o) { o.scale_bits = scale, o.zero_bits = zero, o.second_group = rows; };
  };
  const auto order = [](ColumnOrder of) { return [=](SpqrOptions& o) { o.order = of; }; };
  const auto symmetric = [](SpqrOptions& o) { o.symmetric = true; };
  const auto whole_zeros = [](SpqrOptions& o) { o.round_zero = true; };
  const auto simplified = [](SpqrOptions& o) { o.simplified_outliers = true; };
  const auto symmetric_zeros = [](SpqrOptions& o) { o.zero_symmetric = true; };
  add();
  add(outliers(0.3));
  add(group(16), levels(3, 3, 4), outliers(0.2), order(ColumnOrder::kActivity));
  add(group(16), outliers(0.1), order(ColumnOrder::kSpearman));
  add(symmetric);
  add(group(20), outliers(0.2), whole_zeros, levels(4, 3, 2));
  add(group(7), outliers(0.2), whole_zeros, levels(4, 4, 2));
  add(group(48), outliers(0.2), simplified, symmetric_zeros, levels(3, 4, 4));
  add(group(1), outliers(0.5));
  add(group(200), outliers(0.02));
  return list;
}

TEST(SpqrSolver, AgreesWithTheColumnsOneByOneInFloat64) {
  for (const auto& [rows, cols] : {std::pair(4, 1), {4, 40}, {36, 130}, {260, 48}}) {
    SolverCase layer(static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols), 200, 11);
    if (cols > 100) {
      for (std::uint64_t t = 0; t < layer.tokens; ++t) layer.x[t * layer.cols + 5] = 0;  // dead
      for (std::uint64_t c = 0; c < layer.cols; ++c) layer.w[3 * layer.cols + c] = 0;
      layer.w[8 * layer.cols + 21] = 2;
    }
    const Hessian hessian = layer.hessian();
    for (const SpqrOptions& options : many_spqr_options()) {
      SCOPED_TRACE(testing::Message() << rows << "x" << cols << " group " << options.group
                                      << " threshold " << options.outlier_threshold);
      SolverReport report;
      const HessianFactor factor = factor_spqr(hessian, layer.w.data(), layer.rows, options, {});
      const CodedMatrix coded = spqr(layer.w.data(), layer.rows, factor, options, {}, report);
      std::size_t outliers = 0;
      const auto expected = test::spqr_reference(layer, options, factor.order, outliers);
      EXPECT_LE(test::far_apart(test::values_of(coded), expected), 0.03);
      const auto count = static_cast<double>(outliers);
      EXPECT_NEAR(static_cast<double>(coded.outliers.size()), count, 0.02 * count + 1);
    }
  }
}

TEST(SpqrSolver, SpearmanPutsLikeColumnsBesideEachOther) {
  const std::uint64_t rows = 50, cols = 6;
  SolverCase layer(rows, cols, 4, 2);
  for (std::uint64_t r = 0; r < rows; ++r) {  // 0, 4 and 2 rank alike, 1 and 3 too, 5 the other way
    const float a = layer.w[r * cols], b = layer.w[r * cols + 1];
    layer.w[r * cols + 4] = std::exp(9 * a);
    layer.w[r * cols + 2] = 5 * a + 0.5f * b;
    layer.w[r * cols + 3] = b * b * b;
    layer.w[r * cols + 5] = -a;
  }
  EXPECT_THAT(spearman_order(layer.w.data(), rows, cols, {}),
              testing::ElementsAre(0, 4, 2, testing::_, testing::_, 5));
}

TEST(SpqrSolver, ThreadsChangeNothing) {
  const SolverCase layer(608, 200, 300, 3);
  SpqrOptions options;
  options.group = 16, options.scale_bits = options.zero_bits = 3;
  options.outlier_threshold = 0.2, options.order = ColumnOrder::kSpearman;
  Workers workers[2];
  CodedMatrix coded[2];
  for (unsigned k = 0; k < 2; ++k) {
    workers[k].threads = 1 + 2 * k;
    workers[k].pool = std::make_shared<ThreadPool>(1 + 2 * k);
    SolverReport report;
    coded[k] = spqr(layer.w.data(), 608, 200, layer.hessian(), options, workers[k], report);
  }
  EXPECT_EQ(coded[0].codes, coded[1].codes);
  EXPECT_EQ(coded[0].order, coded[1].order);
  EXPECT_EQ(test::values_of(coded[0]), test::values_of(coded[1]));
  EXPECT_FALSE(coded[0].outliers.empty());
}

TEST(SpqrSolver, RefusesWhatDoesNotFit) {
  const SolverCase layer(20, 64, 80, 9);
  SolverReport report;
  const auto refusal = [&](const SpqrOptions& options) {
    return test::class_of(
        [&] { spqr(layer.w.data(), 20, 64, layer.hessian(), options, {}, report); });
  };
  SpqrOptions options;
  options.scale_bits = 3;  // 20 rows in runs of 16
  EXPECT_EQ(refusal(options), "bad_shape");
  options = {};
  options.bits = 0;
  EXPECT_EQ(refusal(options), "usage");
  options = {};
  options.outlier_threshold = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(refusal(options), "usage");
}

}  // namespace
}  // namespace qi
