#include "views/results_screen.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/fake_results.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "views/compare_screen.h"
#include "views/planner_screen.h"

namespace qi {
namespace {

using test::drawn;
using test::press;

std::shared_ptr<const ResultSet> set_of(int layers) {
  return std::make_shared<const ResultSet>(test::result_rows(layers));
}
ResultsScreen screen_of(int layers) {
  ResultsScreen screen;
  screen.resize({120, 36});
  screen.show(set_of(layers));
  return screen;
}
ResultPart all_of(const ResultSet& set) {
  ResultPart part{"Llama-3.1-8B-Instruct", {}};
  for (std::size_t i = 0; i < set.size(); ++i) part.rows.push_back(i);
  return part;
}
std::vector<ResultRow> hostile_rows() {
  std::vector<ResultRow> rows = test::result_rows(1);
  for (const std::string& name : test::hostile_names()) {
    ResultRow row = test::result_row(name, Role::kOther, -1, "alpha", "bits=3", 3, 10);
    rows.push_back(row);
    row.config.family = name;
    row.model = row.dtype_in = name;
    rows.push_back(row);
    row.ok = false;
    row.error = name;
    rows.push_back(std::move(row));
  }
  return rows;
}

TEST(ResultsScreen, Goldens) {
  ResultsScreen reading;
  test::expect_goldens("results_reading", reading);
  ResultsScreen screen = screen_of(4);
  press(screen, "jj  ");
  test::expect_goldens("results", screen);
  press(screen, "ff");
  test::expect_goldens("results_grouped", screen);
}

TEST(ResultsScreen, FiltersSortsAndKeepsTheOrder) {
  ResultsScreen screen = screen_of(4);
  EXPECT_EQ(screen.rows_shown(), 176u);
  press(screen, "sss");  // weight, configuration, bits per weight: the most first
  EXPECT_EQ(screen.result_set()->row(*screen.current()).config.family, "exact");
  press(screen, "/q_proj bits=8");
  EXPECT_EQ(screen.rows_shown(), 4u);
  screen.handle(key(KeyCode::kEscape));
  EXPECT_EQ(screen.rows_shown(), 176u);
  press(screen, "/error");
  screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(screen.rows_shown(), 1u);
}

TEST(ResultsScreen, Groups) {
  ResultsScreen screen = screen_of(4);
  press(screen, "f");
  EXPECT_EQ(screen.group(), ResultGroup::kFamily);
  EXPECT_EQ(screen.rows_shown(), 4u);
  EXPECT_EQ(screen.rows_under_cursor().rows.size(), 64u);
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)).ask, Ask::kShowRows);
  EXPECT_EQ(screen.table_shown().rows[0][1], "64");
  press(screen, "f");
  EXPECT_EQ(screen.rows_shown(), 11u);
  press(screen, "f");
  EXPECT_EQ(screen.rows_shown(), 4u);  // layers
  press(screen, "f");
  EXPECT_EQ(screen.rows_shown(), 4u);  // modules
  press(screen, " ");
  EXPECT_EQ(screen.marked(), 44u);
  press(screen, "f");
  EXPECT_EQ(screen.group(), ResultGroup::kNone);
  EXPECT_EQ(screen.planned_rows().rows.size(), 44u);
  press(screen, "U");
  EXPECT_EQ(screen.planned_rows().rows.size(), 176u);
}

TEST(ResultsScreen, OneConfigurationThenTheWeight) {
  ResultsScreen screen = screen_of(4);
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)).ask, Ask::kShowRows);
  ResultsScreen one(screen.result_set(), screen.rows_under_cursor());
  one.resize({120, 36});
  EXPECT_EQ(one.rows_shown(), 16u);
  EXPECT_EQ(one.handle(key(KeyCode::kEnter)),
            Request(Ask::kShowNamed, "model.layers.0.self_attn.q_proj.weight"));
}

TEST(ResultsScreen, ExportsTheContractsColumns) {
  ResultsScreen screen = screen_of(1);
  const TextTable table = screen.table_shown();
  EXPECT_EQ(table.columns[4], "family");
  EXPECT_EQ(table.columns.size(), table.numeric.size());
  for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.columns.size());
  EXPECT_EQ(table.rows[0][5], "bits=3");
}

TEST(ResultsScreen, EverySizeAndHostileNames) {
  ResultsScreen screen;
  test::expect_every_size(screen, "Results");
  screen.fail("\x1b[31mno");
  test::expect_clean_frame(screen);
  screen.show(std::make_shared<const ResultSet>(hostile_rows()));
  for (int i = 0; i < kResultGroups; ++i) {
    test::expect_every_size(screen, "Results");
    test::expect_clean_frame(screen);
    press(screen, "G f");
  }
}

TEST(CompareScreen, WorstFirst) {
  const auto set = set_of(4);
  CompareScreen screen(set, {{1, 0}, {7, 0}});
  test::expect_goldens("compare", screen);
  const TextTable table = screen.table_shown();
  ASSERT_EQ(table.rows.size(), 16u);
  for (std::size_t i = 1; i < 15; ++i) {
    const auto worst = [&](std::size_t row) {
      const double a = std::stod(table.rows[row][1]);
      return table.rows[row][2].empty() ? a : std::min(a, std::stod(table.rows[row][2]));
    };
    EXPECT_LE(worst(i - 1), worst(i));
  }
  press(screen, "a");
  EXPECT_EQ(screen.measure(), ResultColumnId::kRelative);
  for (int i = 0; i < 20; ++i) {
    press(screen, "a");
    drawn(screen, {120, 36});
  }
}

TEST(CompareScreen, RunsOfOneConfiguration) {
  std::vector<ResultRow> rows = test::result_rows(1);
  const std::size_t count = rows.size();
  for (std::size_t i = 0; i < count; ++i) {
    rows.push_back(rows[i]);
    rows.back().run = 15;
    if (rows.back().snr_db) rows.back().snr_db = *rows.back().snr_db + 1;
  }
  CompareScreen screen(std::make_shared<const ResultSet>(rows), {{0, 14}, {0, 15}});
  const std::string frame = drawn(screen, {120, 36});
  EXPECT_NE(frame.find("+1.0"), std::string::npos);
  EXPECT_NE(frame.find("run 15"), std::string::npos);
}

TEST(CompareScreen, EverySizeAndHostileNames) {
  const auto set = std::make_shared<const ResultSet>(hostile_rows());
  std::vector<ResultSide> sides;
  for (std::uint32_t i = 0; i < set->configs().size(); ++i) sides.push_back({i, 0});
  CompareScreen screen(set, sides);
  test::expect_every_size(screen, "Compare");
  test::expect_clean_frame(screen);
}

TEST(PlannerScreen, PlansForATarget) {
  const auto set = set_of(4);
  PlannerScreen screen(set, all_of(*set), std::uint64_t{1} << 20);
  EXPECT_EQ(screen.context(), kInField);
  test::expect_goldens("planner_target", screen);
  press(screen, "4.8");
  screen.handle(key(KeyCode::kEnter));
  ASSERT_TRUE(screen.plan());
  EXPECT_TRUE(screen.plan()->feasible);
  EXPECT_LE(screen.plan()->bits_per_weight(), 4.8);
  EXPECT_EQ(screen.rows_shown(), 16u);
  test::expect_goldens("planner", screen);
  EXPECT_EQ(screen.table_shown().rows.size(), 16u);
  EXPECT_TRUE(screen.tensor_types().lines.empty());

  const double cost = screen.plan()->cost;
  screen.handle(key(KeyCode::kEnter));
  press(screen, "9");  // 4.89
  screen.handle(key(KeyCode::kEnter));
  EXPECT_LE(screen.plan()->cost, cost);
  press(screen, "a");
  EXPECT_TRUE(screen.plan());
  press(screen, "a");
  EXPECT_FALSE(screen.plan());  // nobody measured outputs
  press(screen, "a");           // nothing was evaluated
  EXPECT_FALSE(screen.plan());
  press(screen, "a");
  screen.set_target("2");
  EXPECT_FALSE(screen.plan()->feasible);
  EXPECT_NE(screen.notice().find("smallest"), std::string::npos);
  screen.set_target("nonsense");
  EXPECT_FALSE(screen.plan());
  EXPECT_NE(drawn(screen, {120, 36}).find("not understood"), std::string::npos);
}

TEST(PlannerScreen, EverySizeAndHostileNames) {
  const auto set = std::make_shared<const ResultSet>(hostile_rows());
  PlannerScreen screen(set, all_of(*set), std::nullopt);
  test::expect_every_size(screen, "Plan");
  screen.handle(Key{.code = KeyCode::kPaste, .text = "\x1b[31m字字" + std::string(200, 'x')});
  test::expect_clean_frame(screen);
  screen.set_target("\x1b[31m");
  test::expect_clean_frame(screen);
  screen.set_target("5");
  EXPECT_TRUE(screen.plan());
  test::expect_every_size(screen, "Plan");
  test::expect_clean_frame(screen);
}

}  // namespace
}  // namespace qi
