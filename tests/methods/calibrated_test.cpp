// The families that need a calibration text: grids, parameters read back, labels, bytes.
#include <algorithm>
#include <limits>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/methods/calibrated_options.h"
#include "tests/support/error_of.h"

namespace qi {
namespace {

using testing::ElementsAre;

std::vector<Params> configs(std::string_view family, const GridOptions& grid = {}) {
  return find_family(family)->expand(grid);
}
std::vector<std::string> labels(std::string_view family, const GridOptions& grid = {}) {
  std::vector<std::string> out;
  for (const Params& params : configs(family, grid)) {
    out.push_back(config_label({std::string(family), params}));
  }
  return out;
}
std::optional<std::uint64_t> bytes(std::string_view family, const GridOptions& grid,
                                   std::uint64_t rows, std::uint64_t cols) {
  return find_family(family)->predict(configs(family, grid).at(0),
                                      {rows, cols, rows, DType::kBF16, {}});
}

TEST(CalibratedFamilies, StandLastAndHaveNoCoderOfAMatrixAlone) {
  const auto all = method_families();
  const auto plain = uncalibrated_families();
  EXPECT_EQ(all.size(), plain.size() + 4);
  for (const MethodFamily& family : plain) EXPECT_NE(family.make, nullptr) << family.name;
  for (const MethodFamily& family : all.subspan(plain.size())) {
    EXPECT_TRUE(family.calibrated);
    EXPECT_EQ(family.make, nullptr);
  }
}

TEST(CalibratedFamilies, DefaultsAreThoseOfTheMethodsTools) {
  EXPECT_THAT(labels("gptq"), ElementsAre("gptq 4 g128 sym"));
  EXPECT_THAT(labels("awq"), ElementsAre("awq 4 g128"));
  EXPECT_THAT(labels("smoothquant"), ElementsAre("smoothquant 0.5"));
  EXPECT_THAT(labels("spqr"), ElementsAre("spqr 4 g16 qq 3/3 0.2 act_order"));
  EXPECT_EQ(configs("gptq")[0].text(),
            "act_order=no;bits=4;group=128;mse=no;percdamp=0.01;static_groups=no;style=minmax;"
            "symmetric=yes;true_sequential=yes");
  GptqOptions gptq;
  gptq.group = 128, gptq.symmetric = true;
  EXPECT_EQ(gptq_options(configs("gptq")[0]), gptq);
  EXPECT_EQ(awq_options(configs("awq")[0]), AwqOptions());
  EXPECT_EQ(smoothquant_options(configs("smoothquant")[0]), SmoothOptions());
  SpqrOptions spqr;
  spqr.group = 16, spqr.scale_bits = spqr.zero_bits = 3, spqr.outlier_threshold = 0.2;
  spqr.order = ColumnOrder::kActivity, spqr.percdamp = 1;
  EXPECT_EQ(spqr_options(configs("spqr")[0]), spqr);
}

TEST(CalibratedFamilies, GridsMultiplyAndLabelsTellThemApart) {
  const GridOptions grid = {{"wbits", {"3", "8"}},
                            {"groupsize", {"32", "row"}},
                            {"symmetric", {}},
                            {"asymmetric", {}},
                            {"act-order", {}},
                            {"static-groups", {}},
                            {"percdamp", {"0.01", "1e-1"}},
                            {"true-sequential", {"yes", "no"}},
                            {"duo_scaling", {"yes", "no"}},
                            {"apply_clip", {"no"}},
                            {"alpha", {"0.25", ".8"}},
                            {"smoothing", {"absmax", "range"}},
                            {"qq_scale_bits", {"none", "3"}},
                            {"outlier_threshold", {"inf", "0.2"}},
                            {"permutation_order", {"identity", "spearman"}},
                            {"round_zero", {}}};
  for (const MethodFamily& family : method_families().subspan(uncalibrated_families().size())) {
    std::set<std::string> seen;
    const std::vector<Params> list = family.expand(grid);
    EXPECT_GE(list.size(), 4u);
    for (Params params : list) {
      EXPECT_TRUE(seen.insert(family.label(params)).second) << params.text();
      EXPECT_EQ(Params::parse(params.text()), params);
      const std::string label = family.label(params);
      params.set("calibration", "0123456789abcdef");
      params.set("model", "0123456789abcdef");
      EXPECT_EQ(family.label(params), label);
      params.set("no-such-thing", "1");
      EXPECT_EQ(test::class_of([&] { family.label(params); }), "usage");
    }
  }
  EXPECT_THAT(labels("gptq", {{"bits", {"8"}}, {"act-order", {}}, {"percdamp", {"0.10"}}}),
              ElementsAre("gptq 8 g128 sym act-order damp 0.1"));
  // A row's grid is one, fitted at first anyway.
  EXPECT_EQ(configs("gptq", {{"groupsize", {"row"}}, {"static-groups", {}}}),
            configs("gptq", {{"group-sizes", {"row"}}}));
}

TEST(CalibratedFamilies, RefuseWhatMeansNothing) {
  const auto refused = [](std::string_view family, const GridOptions& grid) {
    return test::class_of([&] { find_family(family)->expand(grid); });
  };
  EXPECT_EQ(refused("gptq", {{"bits", {"9"}}}), "usage");
  EXPECT_EQ(refused("gptq", {{"group-sizes", {"tensor"}}}), "usage");
  EXPECT_EQ(refused("gptq", {{"styles", {"awq"}}}), "usage");
  EXPECT_EQ(refused("gptq", {{"styles", {"full"}}, {"mse", {}}}), "usage");
  EXPECT_EQ(refused("gptq", {{"percdamp", {"0"}}}), "usage");
  EXPECT_EQ(refused("awq", {{"wbits", {"1"}}}), "usage");
  EXPECT_EQ(refused("awq", {{"duo_scaling", {"maybe"}}}), "usage");
  EXPECT_EQ(refused("smoothquant", {{"alpha", {"1.5"}}}), "usage");
  EXPECT_EQ(refused("spqr", {{"qq_scale_bits", {"16"}}}), "usage");
  EXPECT_EQ(refused("spqr", {{"wbits", {"16"}}}), "usage");
  EXPECT_EQ(refused("spqr", {{"outlier_threshold", {"nan"}}}), "usage");
}

TEST(CalibratedFamilies, BytesFollowFromTheShapeWhereThereAreNoOutliers) {
  EXPECT_EQ(bytes("gptq", {}, 10, 256), 10 * (128 + 2 * 2));
  EXPECT_EQ(bytes("gptq", {{"asymmetric", {}}}, 10, 256), 10 * (128 + 2 * 2 + 1));
  EXPECT_EQ(bytes("gptq", {{"act-order", {}}}, 10, 256), 10 * (128 + 2 * 2) + 4 * 256);
  EXPECT_EQ(bytes("awq", {}, 10, 200), 10 * (100 + 2 * 2 + 1));
  EXPECT_EQ(bytes("smoothquant", {}, 10, 200), 10 * 202);
  EXPECT_EQ(bytes("spqr", {}, 32, 256), std::nullopt);
  // What SpQR counts a weight, of as many bytes.
  for (const GridOptions& grid :
       {GridOptions{{"outlier_threshold", {"inf"}}}, GridOptions{{"qq_zero_bits", {"none"}}},
        GridOptions{{"round_zero", {}}, {"qq_zero_bits", {"4"}}},
        GridOptions{{"symmetric", {}}, {"qq_scale_bits", {"none"}}, {"qq_zero_bits", {"none"}}},
        GridOptions{{"permutation_order", {"identity"}}, {"groupsize", {"row"}}}}) {
    const Params params = configs("spqr", grid).at(0);
    const SpqrOptions options = spqr_options(params);
    const std::uint64_t rows = 32, cols = 256;
    Hessian hessian(cols);
    std::vector<float> numbers(rows * cols);
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      numbers[k] = static_cast<float>(k * 7919 % 1000) - 500;
    }
    hessian.add(numbers.data(), rows, {});
    SolverReport report;
    const CodedMatrix coded = spqr(numbers.data(), rows, cols, hessian, options, {}, report);
    EXPECT_EQ(8 * calibrated_bytes({"spqr", params}, {rows, cols, rows, DType::kBF16, {}},
                                   coded.outliers.size()),
              spqr_bits(options, coded).exact * static_cast<double>(rows * cols))
        << params.text();
  }
  EXPECT_EQ(find_family("spqr")->unfit(configs("spqr")[0], {40, 256, 40, DType::kBF16, {}}),
            "40 rows are no multiple of 16");
  EXPECT_EQ(find_family("spqr")->unfit(configs("spqr")[0], {96, 256, 32, DType::kBF16, {}}), "");
}

}  // namespace
}  // namespace qi
