#include "views/heatmap_screen.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "tests/support/hostile.h"
#include "views/layout.h"
#include "views/weight_heat.h"

namespace qi {
namespace {

using test::contains;
using test::drawn;
using test::press;

std::shared_ptr<WeightTable> table_of(Model model, std::size_t analysed = 0) {
  auto table = std::make_shared<WeightTable>(std::make_shared<const Model>(std::move(model)));
  for (std::size_t i = 0; i < analysed && i < table->size(); ++i) {
    table->set_statistics(i, test::statistics(i));
  }
  return table;
}

HeatmapScreen screen_of(Model model, std::size_t analysed = 0, Size size = {120, 36}) {
  HeatmapScreen screen(std::make_unique<WeightHeat>(table_of(std::move(model), analysed)));
  screen.resize(size);
  return screen;
}

Model many_experts() {
  return test::mixture(2000);
}

std::string current_name(const HeatmapScreen& screen, const Model& model) {
  const auto weight = screen.current_weight();
  return weight ? model.weights[*weight].name : "";
}

TEST(HeatmapScreen, TheCursorWalksEveryCellAndEnterOpensItsWeight) {
  const Model model = test::llama(4);
  HeatmapScreen screen = screen_of(test::llama(4));
  EXPECT_EQ(current_name(screen, model), "model.layers.0.self_attn.q_proj.weight");
  press(screen, "jll");
  EXPECT_EQ(current_name(screen, model), "model.layers.2.self_attn.k_proj.weight");
  const Request request = screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(request.ask, Ask::kShowWeight);
  EXPECT_EQ(request.index, *screen.current_weight());
  press(screen, "G");
  EXPECT_EQ(current_name(screen, model), "model.layers.2.post_attention_layernorm.weight");
  press(screen, "j");
  EXPECT_EQ(current_name(screen, model), "model.embed_tokens.weight");
  press(screen, "llll");
  EXPECT_EQ(current_name(screen, model), "model.norm.weight");
  press(screen, "k");
  EXPECT_EQ(current_name(screen, model), "model.layers.2.post_attention_layernorm.weight");
  press(screen, "g");
  EXPECT_EQ(current_name(screen, model), "model.layers.2.self_attn.q_proj.weight");
  EXPECT_EQ(screen.handle(key(KeyCode::kEscape)).ask, Ask::kBack);
}

TEST(HeatmapScreen, ColumnsGoRoundBothWays) {
  HeatmapScreen screen = screen_of(test::llama(2), 5);
  const std::size_t first = screen.column();
  EXPECT_TRUE(screen.source().columns()[first].comes_in);
  for (std::size_t i = 0; i < heat_columns().size(); ++i) press(screen, "s");
  EXPECT_EQ(screen.column(), first);
  press(screen, "s");
  EXPECT_NE(screen.column(), first);
  press(screen, "S");
  EXPECT_EQ(screen.column(), first);
  EXPECT_EQ(heat_columns()[screen_of(test::llama(2)).column()], ColumnId::kBitsPerWeight);
  EXPECT_TRUE(screen.show_column("b/w"));
  EXPECT_EQ(heat_columns()[screen.column()], ColumnId::kBitsPerWeight);
  EXPECT_FALSE(screen.show_column("snr_db"));
  press(screen, "\t");
}

TEST(HeatmapScreen, ScalesGoRoundAndAreNamed) {
  HeatmapScreen screen = screen_of(test::llama(2), 18);
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "linear scale"));
  press(screen, "a");
  EXPECT_EQ(screen.scale(), HeatScale::kLog);
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "logarithmic scale"));
  press(screen, "a");
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "rank scale"));
  press(screen, "a");
  EXPECT_EQ(screen.scale(), HeatScale::kLinear);
}

TEST(HeatmapScreen, TurnsRoundWhenLayersDoNotFitAndStaysOnItsCell) {
  const Model model = test::llama(48);
  HeatmapScreen screen = screen_of(test::llama(48), 0, {160, 40});
  EXPECT_FALSE(screen.transposed());
  press(screen, "jjlllll");
  const std::string name = current_name(screen, model);
  screen.resize({80, 24});
  EXPECT_TRUE(screen.transposed());
  EXPECT_EQ(current_name(screen, model), name);
  // Down is the next layer now, right the next module.
  press(screen, "jl");
  EXPECT_EQ(current_name(screen, model), "model.layers.6.self_attn.o_proj.weight");
  press(screen, "G");
  EXPECT_EQ(current_name(screen, model), "model.layers.47.self_attn.o_proj.weight");
  screen.resize({160, 40});
  EXPECT_EQ(current_name(screen, model), "model.layers.47.self_attn.o_proj.weight");
}

TEST(HeatmapScreen, ValuesFillInAsStatisticsArrive) {
  const auto table = table_of(test::llama(4), 3);
  HeatmapScreen screen(std::make_unique<WeightHeat>(table));
  screen.resize({120, 36});
  ASSERT_TRUE(screen.source().columns()[screen.column()].comes_in);
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "not analysed yet"));
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "analysed 3/39"));
  for (std::size_t i = 3; i < table->size(); ++i) table->set_statistics(i, test::statistics(i));
  screen.refresh();
  EXPECT_FALSE(contains(drawn(screen, {120, 36}), "not analysed yet"));
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "of 39 from the top"));
}

TEST(HeatmapScreen, AFailedWeightIsMarkedAndSaysWhy) {
  const auto table = table_of(test::llama(2), 2);
  for (std::size_t i = 2; i < table->size(); ++i) {
    table->set_failure(i, "shrank\x1b[2J while being read");
  }
  HeatmapScreen screen(std::make_unique<WeightHeat>(table));
  screen.resize({120, 36});
  const std::string text = drawn(screen, {120, 36});
  EXPECT_TRUE(contains(text, "failed: shrank\\x1b[2J while being read")) << text;
  EXPECT_TRUE(contains(text, "! failed"));
  EXPECT_EQ(screen.why_not(Command::kAnalyseAll), "every weight is analysed");
}

TEST(HeatmapScreen, ExpertsFoldToMeanLargestAndSmallest) {
  HeatmapScreen screen = screen_of(many_experts(), 2000);
  const Model model = many_experts();
  EXPECT_EQ(screen.why_not(Command::kForm), "");
  press(screen, "j");
  std::string text = drawn(screen, {120, 36});
  EXPECT_TRUE(contains(text, "mean of 256")) << text;
  EXPECT_TRUE(contains(text, "has the largest"));
  press(screen, "f");
  EXPECT_EQ(screen.fold(), HeatFold::kLargest);
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "largest of 256"));
  // Enter opens the one that has it.
  const auto weight = screen.current_weight();
  ASSERT_TRUE(weight);
  EXPECT_TRUE(contains(model.weights[*weight].name, "experts"));
  press(screen, "f");
  EXPECT_EQ(screen.fold(), HeatFold::kSmallest);
  HeatmapScreen plain = screen_of(test::llama(2));
  press(plain, "f");
  EXPECT_EQ(plain.notice(), "every cell is one weight");
}

TEST(HeatmapScreen, ZoomsUntilFiguresShowAndBack) {
  HeatmapScreen screen = screen_of(test::llama(32), 291);
  EXPECT_FALSE(contains(drawn(screen, {120, 36}), "2.60  "));
  for (int i = 0; i < 20; ++i) press(screen, "+");
  EXPECT_EQ(screen.notice(), "the cells are as wide as they get");
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "2.6"));
  for (int i = 0; i < 20; ++i) press(screen, "-");
  EXPECT_EQ(screen.notice(), "the cells are as narrow as they get");
}

TEST(HeatmapScreen, EveryLayerIsReachableWhenZoomedIn) {
  const Model model = test::llama(40);
  HeatmapScreen screen = screen_of(test::llama(40), 0, {120, 36});
  ASSERT_FALSE(screen.transposed());
  for (int i = 0; i < 20; ++i) press(screen, "+");
  for (int i = 0; i < 60; ++i) press(screen, "l");
  EXPECT_EQ(current_name(screen, model), "model.layers.39.self_attn.q_proj.weight");
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "39"));
}

TEST(HeatmapScreen, WithoutLayersItIsOneColumn) {
  Model model = test::empty_model("flat");
  for (int i = 0; i < 50; ++i) {
    test::add_weight(model, fmt::format("fc{}.weight", i), {4, 4}, Role::kOther, -1);
  }
  HeatmapScreen screen = screen_of(model, 50);
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "no weight is in a layer"));
  press(screen, "G");
  EXPECT_EQ(current_name(screen, model), "fc49.weight");
  const TextTable table = screen.table_shown();
  EXPECT_EQ(table.rows.size(), 50U);
  EXPECT_EQ(table.columns.size(), 2U);
}

TEST(HeatmapScreen, WithoutWeightsItSaysSo) {
  HeatmapScreen screen = screen_of(test::empty_model("empty"));
  EXPECT_TRUE(contains(drawn(screen, {120, 36}), "this model has no weights"));
  press(screen, "jlkhGgsSa+-f");
  screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(screen.notice(), "no weight stands here");
  EXPECT_EQ(screen.copy_text(), "");
  test::expect_every_size(screen);
}

TEST(HeatmapScreen, TheTableHasEveryCell) {
  HeatmapScreen screen = screen_of(test::llama(3), 30);
  const TextTable table = screen.table_shown();
  ASSERT_EQ(table.columns.size(), 5U);
  EXPECT_EQ(table.columns[2], "h_exp of layer 1");
  ASSERT_EQ(table.rows.size(), 12U);
  EXPECT_EQ(table.rows[0][0], "q_proj");
  for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.columns.size());
  for (std::size_t i = 1; i <= 3; ++i) EXPECT_NE(table.rows[0][i], "");
  EXPECT_NE(table.rows[9][4], "");
  EXPECT_TRUE(screen.copy_text().starts_with("model.layers.0.self_attn.q_proj.weight h_exp 2."));
}

TEST(HeatmapScreen, ATableOfTooManyCellsIsRefused) {
  Model model = test::empty_model("diagonal");
  for (int i = 0; i < 2100; ++i) {
    test::add_weight(model, fmt::format("layers.{}.m{}.weight", i, i), {1}, Role::kOther, i);
  }
  HeatmapScreen screen = screen_of(std::move(model));
  EXPECT_EQ(press(screen, "e").ask, Ask::kNothing);
  EXPECT_EQ(screen.notice(), "2 100 modules times 2 100 layers are too many for a table");
  EXPECT_TRUE(screen.table_shown().rows.empty());
}

TEST(HeatmapScreen, AClickMovesAndASecondOneOpens) {
  const Model model = test::llama(32);
  HeatmapScreen screen = screen_of(test::llama(32), 291);
  const auto click = [&](int x, int y) {
    return screen.handle({.code = KeyCode::kClick, .text = {}, .x = x, .y = y});
  };
  int hits = 0;
  for (int y = 0; y < 36; ++y) {
    for (int x = 0; x < 120; ++x) {
      const std::string before = current_name(screen, model);
      const Request request = click(x, y);
      const std::string name = current_name(screen, model);
      EXPECT_FALSE(name.empty());
      EXPECT_TRUE(request.ask != Ask::kShowWeight || before == name);
      if (before != name) ++hits;
    }
  }
  EXPECT_GT(hits, 290);
  screen.handle(key(KeyCode::kHome));
  screen.handle({.code = KeyCode::kWheelDown, .text = {}, .x = 1, .y = 9});
  EXPECT_TRUE(contains(current_name(screen, model), "k_proj"));
}

TEST(HeatmapScreen, HostileNamesStayInTheirCells) {
  Model model = test::empty_model("bad\x1b[2Jname");
  for (int layer = 0; layer < 3; ++layer) {
    for (const std::string& text : test::hostile_texts()) {
      test::add_weight(model, fmt::format("model.layers.{}.{}.weight", layer, text), {4, 4},
                       Role::kOther, layer);
    }
  }
  for (const std::string& text : test::hostile_texts()) {
    test::add_weight(model, text, {4}, Role::kOther, -1);
  }
  HeatmapScreen screen = screen_of(std::move(model), 30);
  for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}, Size{200, 60}}) {
    screen.resize(size);
    for (int i = 0; i < 40; ++i) {
      // Down the lines, then along the strip.
      press(screen, i < 20 ? "j" : "l");
      for (const bool unicode : {true, false}) {
        Canvas canvas(size);
        screen.draw(canvas, glyphs(unicode));
        test::expect_clean(screen, size, unicode);
      }
    }
    press(screen, "g");
  }
}

TEST(HeatmapScreen, EverySize) {
  HeatmapScreen llama = screen_of(test::llama(32), 118);
  test::expect_every_size(llama);
  HeatmapScreen experts = screen_of(many_experts(), 500);
  press(experts, "jj++");
  test::expect_every_size(experts);
}

TEST(HeatmapScreen, Goldens) {
  HeatmapScreen screen = screen_of(test::llama(32), 118);
  press(screen, "jjllll");
  test::expect_goldens("heatmap", screen);
  HeatmapScreen experts = screen_of(many_experts(), 2000);
  press(experts, "ja");
  test::expect_goldens("heatmap_experts", experts);
}

}  // namespace
}  // namespace qi
