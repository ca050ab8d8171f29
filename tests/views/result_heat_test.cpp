// The heat map of measured rows: one configuration, or the sides of a comparison.
#include "views/result_heat.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_results.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "tests/support/hostile_screens.h"
#include "views/compare_screen.h"
#include "views/heatmap_screen.h"
#include "views/results_screen.h"
#include "views/sweep_screen.h"

namespace qi {
namespace {

using test::contains;
using test::drawn;
using test::press;

constexpr std::string_view kTitle = "Heat map";

std::shared_ptr<const ResultSet> set_of(std::vector<ResultRow> rows) {
  return std::make_shared<const ResultSet>(std::move(rows));
}

std::vector<std::size_t> rows_of(const ResultSet& set, std::uint32_t config) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (set.config_of(i) == config) out.push_back(i);
  }
  return out;
}

std::vector<ResultPart> parts_of(const ResultSet& set, const std::vector<std::uint32_t>& configs) {
  std::vector<ResultPart> out;
  for (const std::uint32_t config : configs) {
    out.push_back({set.configs()[config].label, rows_of(set, config)});
  }
  return out;
}

HeatmapScreen screen_of(const std::shared_ptr<const ResultSet>& set,
                        const std::vector<std::uint32_t>& configs) {
  HeatmapScreen screen(std::make_unique<ResultHeat>(set, parts_of(*set, configs)));
  screen.resize({120, 36});
  return screen;
}

TEST(ResultHeat, EveryValueIsThatOfItsRow) {
  const auto set = set_of(test::result_rows(4));
  ResultHeat heat(set, parts_of(*set, {1}));
  const std::vector<HeatItem> items = heat.items();
  ASSERT_EQ(items.size(), 16u);
  const std::vector<std::size_t> rows = rows_of(*set, 1);
  for (std::size_t k = 0; k < heat.columns().size(); ++k) {
    const auto table = result_column_table();
    const auto column = std::find_if(table.begin(), table.end(), [&](const ResultColumn& one) {
      return one.name == heat.columns()[k].name;
    });
    ASSERT_NE(column, table.end());
    for (std::size_t i = 0; i < items.size(); ++i) {
      const ResultRow& row = set->row(rows[i]);
      EXPECT_EQ(heat.name(i), row.tensor);
      EXPECT_EQ(items[i].layer, row.layer);
      EXPECT_EQ(heat.value(k, i), result_number(column->id, row)) << column->name;
      EXPECT_EQ(heat.cell_text(k, i), result_text(column->id, row));
    }
  }
  const HeatMap map(items);
  EXPECT_EQ(map.modules().size(), 4u);
  EXPECT_EQ(map.layers().size(), 4u);
  EXPECT_EQ(heat.open(3), Request(Ask::kShowNamed, "model.layers.0.mlp.down_proj.weight"));
  EXPECT_FALSE(heat.weight(3));
}

TEST(ResultHeat, HasTheColumnsThatSomeRowHasANumberOf) {
  const auto set = set_of(test::result_rows(2));
  const auto names = [&](std::uint32_t config) {
    std::vector<std::string> out;
    ResultHeat heat(set, parts_of(*set, {config}));
    for (const HeatColumn& one : heat.columns()) out.push_back(one.name);
    return out;
  };
  const std::vector<std::string> all = names(0);
  for (const char* name : {"bits_per_weight", "snr_db", "mse", "relative_error", "max_abs_error",
                           "encode_mb_s", "decode_s", "bytes_out", "ratio"}) {
    EXPECT_NE(std::find(all.begin(), all.end(), name), all.end()) << name;
  }
  // Nobody measured outputs; layers and totals are no measures.
  for (const char* name : {"output_error", "psnr_db", "layer", "run", "model_bytes", "tensor"}) {
    EXPECT_EQ(std::find(all.begin(), all.end(), name), all.end()) << name;
  }
}

TEST(ResultHeat, TheNewestRunsRowCountsAndTotalsDoNot) {
  std::vector<ResultRow> rows = test::result_rows(1);
  ResultRow newer = rows[0], other = rows[0], total = rows[0];
  newer.run = 15;
  newer.snr_db = 77;
  other.run = 13;
  other.model = "another";
  other.tensor = "layers.9.of.another";
  total.tensor = "*";
  total.run = 15;
  rows.insert(rows.begin(), newer);
  rows.push_back(other);
  rows.push_back(total);
  const auto set = set_of(rows);
  ResultHeat heat(set, parts_of(*set, {0}));
  ASSERT_EQ(heat.items().size(), 4u);  // of the newest run's model alone
  EXPECT_EQ(heat.value(heat.first_column(), 0), 77);
  EXPECT_EQ(heat.columns()[heat.first_column()].name, "snr_db");
  EXPECT_TRUE(heat.title().ends_with("Llama-3.1-8B-Instruct")) << heat.title();
}

TEST(ResultHeat, ExpertsShareACell) {
  std::vector<ResultRow> rows;
  for (int expert = 0; expert < 8; ++expert) {
    rows.push_back(
        test::result_row(fmt::format("model.layers.0.mlp.experts.{}.up_proj.weight", expert),
                         Role::kUp, 0, "alpha", "bits=3", 3, 10 + expert));
  }
  HeatmapScreen screen = screen_of(set_of(rows), {0});
  const std::string text = drawn(screen, {120, 36});
  EXPECT_TRUE(contains(text, "mean of 8, 10 to 17")) << text;
  EXPECT_TRUE(contains(text, "experts.7.up_proj.weight has the largest")) << text;
}

TEST(ResultHeat, AFailedRowSaysWhyAndNothingIsAnalysed) {
  const auto set = set_of(test::result_rows(4));
  HeatmapScreen screen = screen_of(set, {7});  // one of its matrices did not fit
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "! failed"));
  press(screen, "Gl");
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "failed: a row of 172 is no multiple of 32"));
  EXPECT_EQ(screen.why_not(Command::kAnalyseAll), "these are rows of a sweep");
  EXPECT_EQ(screen.why_not(Command::kCancel), "nothing is running");
  EXPECT_FALSE(screen.current_weight());
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)),
            Request(Ask::kShowNamed, "model.layers.1.mlp.down_proj.weight"));
  EXPECT_EQ(press(screen, "\t").ask, Ask::kNothing);
  const TextTable table = screen.table_shown();
  ASSERT_EQ(table.columns.size(), 5u);
  EXPECT_EQ(table.columns[1], "snr_db of layer 0");
  EXPECT_EQ(table.rows[3][2], "");
  EXPECT_NE(table.rows[3][1], "");
}

TEST(ResultHeat, LosslessRowsAreInfinitelyGood) {
  HeatmapScreen screen = screen_of(set_of(test::result_rows(2)), {10});
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "SNR dB inf"));
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "no value is finite"));
}

TEST(ResultHeat, TabGoesRoundTheSidesOnTheSameCell) {
  std::vector<ResultRow> rows = test::result_rows(2);
  // The second side lacks a weight.
  std::erase_if(rows, [](const ResultRow& row) {
    return row.config.params.text() == "bits=8" && row.layer == 1 && row.role == Role::kQ;
  });
  const auto set = set_of(rows);
  HeatmapScreen screen = screen_of(set, {0, 3});
  press(screen, "l");
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "1/2  alpha bits=3"));
  screen.handle(key(KeyCode::kTab));
  const std::string text = drawn(screen, {120, 36});
  EXPECT_TRUE(contains(text, "2/2  alpha bits=8")) << text;
  EXPECT_TRUE(contains(text, "SNR dB: not measured")) << text;
  EXPECT_EQ(*screen.current_item(), 4u);
  screen.handle(key(KeyCode::kTab));
  EXPECT_EQ(screen.source().variant(), 0u);
  screen.handle(key(KeyCode::kBackTab));
  EXPECT_EQ(screen.source().variant(), 1u);
}

TEST(ResultHeat, ScreensOfRowsOfferIt) {
  const auto set = set_of(test::result_rows(4));
  ResultsScreen results;
  results.resize({120, 36});
  EXPECT_EQ(press(results, "H").ask, Ask::kNothing);  // nothing is read yet
  results.show(set);
  EXPECT_EQ(press(results, "H").ask, Ask::kShowHeatmap);
  ASSERT_EQ(results.heat_parts().size(), 1u);
  EXPECT_EQ(results.heat_parts()[0].rows, rows_of(*set, 0));
  press(results, "f");
  EXPECT_EQ(press(results, "H").ask, Ask::kNothing);
  EXPECT_EQ(results.notice(), "a heat map is of one configuration: f groups by it");
  press(results, "fj");
  EXPECT_EQ(press(results, "H").ask, Ask::kShowHeatmap);
  EXPECT_EQ(results.heat_parts()[0].rows, rows_of(*set, 1));

  auto report = std::make_shared<SweepReport>();
  SweepScreen empty(report);
  empty.resize({120, 36});
  EXPECT_EQ(press(empty, "H").ask, Ask::kNothing);
  for (ResultRow& row : test::result_rows(4)) report->add(std::move(row));
  SweepScreen sweep(report);
  sweep.resize({120, 36});
  EXPECT_EQ(press(sweep, "aH"), Request(Ask::kShowHeatmap, "relative_error"));
  EXPECT_EQ(sweep.heat_parts()[0].rows.size(), 16u);

  CompareScreen compare(set, {{1, 0}, {7, 0}});
  compare.resize({120, 36});
  EXPECT_EQ(press(compare, "H"), Request(Ask::kShowHeatmap, "snr_db"));
  const std::vector<ResultPart> parts = compare.heat_parts();
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0].title, set->configs()[1].label);
  EXPECT_EQ(parts[1].rows.size(), 16u);
}

TEST(ResultHeat, WithoutRowsItSaysSo) {
  const auto set = set_of({});
  HeatmapScreen screen(std::make_unique<ResultHeat>(set, std::vector<ResultPart>{{"none", {}}}));
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "no row of a weight is there"));
  press(screen, "jlkhGgsSa+-f");
  test::expect_every_size(screen, kTitle);
}

TEST(ResultHeat, EverySizeAndHostileNames) {
  std::vector<ResultRow> rows = test::result_rows(2);
  int layer = 0;
  for (const std::string& name : test::hostile_words()) {
    for (const int where : {-1, layer++}) {
      ResultRow row = test::result_row(name + std::to_string(where), Role::kOther, where, "alpha",
                                       "bits=3", 3, 10);
      row.model = row.dtype_in = name;
      row.run = 20 + where;
      rows.push_back(row);
      row.config.family = name;
      row.model = "one";
      row.ok = where % 2 == 0;
      row.error = name;
      rows.push_back(std::move(row));
    }
  }
  const auto set = set_of(rows);
  std::vector<std::uint32_t> configs;
  for (std::uint32_t i = 0; i < set->configs().size(); ++i) configs.push_back(i);
  HeatmapScreen screen = screen_of(set, configs);
  test::expect_every_size(screen, kTitle);
  std::vector<Key> keys;
  for (std::size_t i = 0; i < configs.size(); ++i) {
    keys.push_back(key(KeyCode::kTab));
    for (const Key& one : test::keys_of("jls")) keys.push_back(one);
  }
  test::expect_hostile_text_harmless(screen, keys);
}

TEST(ResultHeat, Goldens) {
  const auto set = set_of(test::result_rows(24));
  HeatmapScreen screen = screen_of(set, {7});
  press(screen, "jjlll");
  test::expect_goldens("heatmap_results", screen);
  HeatmapScreen compared = screen_of(set, {1, 7});
  press(compared, "s");
  compared.handle(key(KeyCode::kTab));
  test::expect_goldens("heatmap_compared", compared);
}

}  // namespace
}  // namespace qi
