#include "engine/calibrated/spqr_solver.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace qi
