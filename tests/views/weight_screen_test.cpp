// The Weight screen: keys in, state out; every size; goldens; hostile names.
#include "views/weight_screen.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "engine/text/width.h"
#include "tests/support/fake_details.h"
#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "views/weight_facts.h"

namespace qi {
namespace {

using test::drawn;

std::shared_ptr<WeightTable> detailed_table(Model model, bool analysed = true) {
  auto table = std::make_shared<WeightTable>(std::make_shared<const Model>(std::move(model)));
  for (std::size_t i = 0; i < table->size() && analysed; ++i) {
    Statistics known = *test::statistics(i);
    known.exponents.first = -19;
    for (std::uint64_t e = 0; e < 20; ++e) known.exponents.counts.push_back(1ull << (e + e / 3));
    table->set_statistics(i, std::make_shared<const Statistics>(known));
  }
  return table;
}

std::size_t find(const WeightTable& table, std::string_view name) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table.weight(i).name == name) return i;
  }
  return table.size();
}

void give_window(WeightScreen& screen) {
  if (const auto tile = screen.wanted_window()) {
    screen.set_window(screen.weight(), test::window(*tile));
  }
}

WeightScreen full_screen(Size size = {120, 36}) {
  const auto table = detailed_table(test::llama(32));
  const std::size_t at = find(*table, "model.layers.3.mlp.gate_proj.weight");
  WeightScreen screen(table, static_cast<std::uint32_t>(at));
  screen.resize(size);
  screen.set_details(screen.weight(), test::details(table->weight(at), false));
  give_window(screen);
  return screen;
}

Model quantized_model() {
  Model model = test::llama(2);
  for (Weight& weight : model.weights) {
    if (weight.role != Role::kDown) continue;
    weight.scheme = Scheme::kGptq;
    weight.bits = 4;
    weight.group_size = 128;
    weight.symmetric = false;
    weight.scale_dtype = DType::kF16;
    Tensor side;
    side.name = weight.name + ".scales";
    side.dtype = DType::kF16;
    side.shape = {weight.shape[1] / 128, weight.shape[0]};
    side.size_bytes = weight.params / 128 * 2;
    model.tensors[weight.parts[0].tensor].size_bytes = weight.params / 2;
    weight.parts.push_back({static_cast<std::uint32_t>(model.tensors.size()), PartRole::kScales});
    model.tensors.push_back(side);
    side.name = weight.name + ".qzeros";
    side.dtype = DType::kI32;
    side.size_bytes = weight.params / 128 / 2;
    weight.parts.push_back({static_cast<std::uint32_t>(model.tensors.size()), PartRole::kZeros});
    model.tensors.push_back(side);
    weight.size_bytes = weight.params / 2 + weight.params / 128 * 5 / 2;
  }
  return model;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

void type(Screen& screen, std::string_view text) {
  for (const char c : text) screen.handle(character(std::string(1, c)));
}

// --- state

TEST(WeightScreen, StepsToTheSameRoleOfOtherLayers) {
  WeightScreen screen = full_screen();
  const auto table = detailed_table(test::llama(32));
  screen.handle(key(KeyCode::kRight));
  EXPECT_EQ(table->weight(screen.weight()).name, "model.layers.4.mlp.gate_proj.weight");
  type(screen, "[[[");
  EXPECT_EQ(table->weight(screen.weight()).name, "model.layers.1.mlp.gate_proj.weight");
  type(screen, "hh");
  EXPECT_EQ(table->weight(screen.weight()).name, "model.layers.0.mlp.gate_proj.weight");
  EXPECT_TRUE(has(screen.notice(), "no weight like this in a layer before"));
  screen.handle(key(KeyCode::kTab));
  type(screen, "]");
  EXPECT_EQ(table->weight(screen.weight()).name, "model.layers.1.mlp.gate_proj.weight");
}

TEST(WeightScreen, NeighboursKeepExpertAndName) {
  const Model model = test::mixture(3000);
  std::size_t at = 0;
  while (model.weights[at].name != "model.layers.1.mlp.experts.7.up_proj.weight") ++at;
  EXPECT_EQ(model.weights[neighbour(model, at, 1)].name,
            "model.layers.2.mlp.experts.7.up_proj.weight");
  EXPECT_EQ(model.weights[neighbour(model, at, -1)].name,
            "model.layers.0.mlp.experts.7.up_proj.weight");
  const Model llama = test::llama(3);  // two norms a layer
  for (std::size_t i = 0; i < llama.weights.size(); ++i) {
    if (llama.weights[i].name == "model.layers.1.post_attention_layernorm.weight") {
      EXPECT_EQ(llama.weights[neighbour(llama, i, 1)].name,
                "model.layers.2.post_attention_layernorm.weight");
    }
    if (llama.weights[i].layer < 0) {
      EXPECT_EQ(neighbour(llama, i, 1), i);
    }
  }
}

TEST(WeightScreen, GoesRoundAmongTiedWeights) {
  Model model = test::llama(1);
  model.tensors[1].offset = model.tensors[0].offset;
  WeightScreen screen(detailed_table(std::move(model)), 0);
  screen.resize({80, 24});
  type(screen, "t");
  EXPECT_EQ(screen.weight(), 1u);
  type(screen, "t");
  EXPECT_EQ(screen.weight(), 0u);
  WeightScreen alone = full_screen();
  type(alone, "t");
  EXPECT_TRUE(has(alone.notice(), "no other weight shares"));
}

TEST(WeightScreen, ZoomsIntoTheValuesOnceTheyAreCounted) {
  const auto table = detailed_table(test::llama(2));
  WeightScreen screen(table, 3);
  screen.resize({120, 36});
  type(screen, "+");
  EXPECT_EQ(screen.zoom(), 0);
  EXPECT_TRUE(has(screen.notice(), "not counted finely yet"));
  screen.set_details(3, test::details(table->weight(3), false));
  type(screen, "+++");
  EXPECT_EQ(screen.zoom(), 3);
  EXPECT_TRUE(has(drawn(screen, {120, 36}), "log, zoom 8"));
  type(screen, "a-");
  EXPECT_TRUE(has(drawn(screen, {120, 36}), "linear, zoom 4"));
  for (int i = 0; i < 40; ++i) type(screen, "-");
  EXPECT_EQ(screen.zoom(), 0);
  for (int i = 0; i < 40; ++i) type(screen, "+");
  drawn(screen, {120, 36});
}

TEST(WeightScreen, GoesFromAnOutlierToItsValue) {
  WeightScreen screen = full_screen({80, 24});
  type(screen, "jj");
  screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(screen.context(), kInValues);
  EXPECT_EQ(screen.grid().row(), 2 * 397u);
  EXPECT_EQ(screen.grid().col(), 2 * 1013u);
  const auto tile = screen.wanted_window();
  ASSERT_TRUE(tile);
  EXPECT_LE(tile->row, 794u);
  EXPECT_GT(tile->row + tile->rows, 794u);
}

TEST(WeightScreen, SaysWhyThereIsNothing) {
  Model model = test::llama(1);
  model.weights[2].undecodable = "exl2 \x1b layout";
  const auto table = detailed_table(std::move(model), false);
  table->set_failure(3, "shrank while being read");
  WeightScreen broken(table, 2);
  broken.resize({80, 24});
  EXPECT_TRUE(has(drawn(broken, {80, 24}), "values cannot be read: exl2 \\x1b layout"));
  EXPECT_FALSE(broken.wanted_window());
  WeightScreen failed(table, 3);
  failed.resize({80, 24});
  EXPECT_TRUE(has(drawn(failed, {80, 24}), "the analysis failed: shrank while being read"));
  WeightScreen waiting(table, 4);
  waiting.resize({80, 24});
  waiting.set_progress(0.45);
  EXPECT_TRUE(has(drawn(waiting, {80, 24}), "not analysed yet"));
  EXPECT_TRUE(has(drawn(waiting, {80, 24}), "counted to 45 %"));
  type(waiting, "a");
  EXPECT_EQ(waiting.notice(), "no histogram yet");
  EXPECT_EQ(waiting.handle(character("x")).ask, Ask::kCancelJobs);
}

TEST(WeightScreen, TakesNothingOfAnotherWeight) {
  WeightScreen screen = full_screen();
  const std::uint32_t before = screen.weight();
  screen.handle(key(KeyCode::kRight));
  const auto table = detailed_table(test::llama(32));
  screen.set_details(before, test::details(table->weight(before), false));
  screen.set_window(before, test::window({0, 1, 0, 1}));
  EXPECT_TRUE(has(drawn(screen, {120, 36}), "not counted yet"));
  EXPECT_TRUE(screen.wanted_window());
}

TEST(WeightScreen, HandsOutWhatItShows) {
  WeightScreen screen = full_screen();
  EXPECT_EQ(screen.copy_text(), "model.layers.3.mlp.gate_proj.weight");
  const TextTable facts = screen.table_shown();
  ASSERT_GT(facts.rows.size(), 40u);
  EXPECT_EQ(facts.rows[0][1], "model.layers.3.mlp.gate_proj.weight");
  for (const auto& row : facts.rows) EXPECT_EQ(row.size(), facts.columns.size());
  screen.handle(key(KeyCode::kTab));
  const TextTable values = screen.table_shown();
  EXPECT_EQ(values.rows.size(), screen.grid().visible().rows);
  EXPECT_EQ(values.columns.size(), screen.grid().visible().cols + 1);
  EXPECT_EQ(values.rows[1][3], "0");
}

// --- the grid

TEST(ValueGrid, WantsNoMoreThanItShows) {
  for (const Size size : {Size{80, 24}, Size{120, 36}, Size{200, 60}}) {
    WeightScreen screen = full_screen(size);
    screen.handle(key(KeyCode::kTab));
    for (const char* keys : {"jjjjjjj", "llll", "G", "G", "kkk", "g", "g", "h"}) {
      for (const char* k = keys; *k != 0; ++k) {
        type(screen, std::string_view(k, 1));
        const Tile shown = screen.grid().visible();
        const auto wanted = screen.wanted_window();
        if (wanted) {
          EXPECT_EQ(*wanted, shown);
        }
        EXPECT_LE(shown.rows * shown.cols,
                  static_cast<std::uint64_t>(size.width) * static_cast<std::uint64_t>(size.height));
        EXPECT_LE(shown.row + shown.rows, 14336u);
        EXPECT_LE(shown.col + shown.cols, 4096u);
        give_window(screen);
        EXPECT_FALSE(screen.wanted_window());
      }
    }
    // The first one goes to the last line shown.
    screen.handle(key(KeyCode::kPageDown));
    screen.handle(key(KeyCode::kPageDown));
    EXPECT_TRUE(screen.wanted_window());
  }
}

TEST(ValueGrid, ShowsNumbersCodesAndBits) {
  WeightScreen screen = full_screen({80, 24});
  screen.handle(key(KeyCode::kTab));
  give_window(screen);
  EXPECT_TRUE(has(drawn(screen, {80, 24}), "values as numbers"));
  EXPECT_TRUE(has(drawn(screen, {80, 24}), "nan"));
  type(screen, "f");
  give_window(screen);
  EXPECT_EQ(screen.grid().form(), ValueForm::kCode);
  EXPECT_TRUE(has(drawn(screen, {80, 24}), " 40503"));
  type(screen, "f");
  give_window(screen);
  EXPECT_TRUE(has(drawn(screen, {80, 24}), " 9e37"));
  type(screen, "f");
  EXPECT_EQ(screen.grid().form(), ValueForm::kNumber);
}

TEST(ValueGrid, OfAWeightWithoutValues) {
  Model model = test::empty_model("empty");
  test::add_weight(model, "none", {0, 7}, Role::kOther, -1);
  test::add_weight(model, "nor.here", {7, 0}, Role::kOther, -1);
  for (const std::uint32_t at : {0u, 1u}) {
    WeightScreen screen(detailed_table(model), at);
    screen.resize({80, 24});
    screen.handle(key(KeyCode::kTab));
    EXPECT_FALSE(screen.wanted_window());
    EXPECT_TRUE(has(drawn(screen, {80, 24}), "no values: a dimension is 0"));
    type(screen, "jGhl");
    EXPECT_FALSE(screen.notice().empty());
  }
}

TEST(ValueGrid, FollowsClicksAndTheWheel) {
  WeightScreen screen = full_screen({120, 36});
  const Rect values = weight_layout({120, 36}, false, false).values;
  screen.handle({.code = KeyCode::kClick, .text = {}, .x = values.x + 20, .y = values.y + 3});
  EXPECT_EQ(screen.context(), kInValues);
  EXPECT_EQ(screen.grid().row(), 2u);
  EXPECT_EQ(screen.grid().col(), 1u);
  screen.handle({.code = KeyCode::kWheelDown, .text = {}, .x = values.x + 20, .y = values.y + 3});
  EXPECT_EQ(screen.grid().row(), 5u);
  screen.handle({.code = KeyCode::kClick, .text = {}, .x = 10, .y = 8});
  EXPECT_EQ(screen.context(), kInWeight);
}

// --- geometry

TEST(WeightScreen, FitsEverySize) {
  WeightScreen screen = full_screen();
  const auto table = detailed_table(quantized_model());
  WeightScreen other(table, 3);
  other.set_details(3, test::details(table->weight(3), true));
  for (int width = 1; width <= 200; width += width < 64 ? 3 : 17) {
    for (int height = 1; height <= 60; height += height < 18 ? 1 : 7) {
      for (WeightScreen* each : {&screen, &other}) {
        each->resize({width, height});
        give_window(*each);
        for (int pane = 0; pane < 2; ++pane) {
          const WeightLayout at = weight_layout({width, height}, pane != 0, false);
          const Rect whole{0, 0, width, height};
          for (const Rect& part : {at.title, at.overview, at.rule, at.values, at.footer}) {
            if (!part.empty()) {
              EXPECT_EQ(part.intersect(whole), part);
            }
          }
          EXPECT_TRUE(at.overview.intersect(at.values).empty());
          EXPECT_TRUE(at.footer.intersect(at.values).empty());
          const std::string text = drawn(*each, {width, height}, pane == 0);
          if (width >= 60 && height >= 15) {
            EXPECT_TRUE(has(text, "weight") || has(text, "down_proj")) << text;
          }
          each->handle(key(KeyCode::kTab));
        }
      }
    }
  }
}

TEST(WeightScreen, ZoomGivesThePaneTheWholeBody) {
  WeightScreen screen = full_screen({120, 36});
  const std::uint64_t before = screen.grid().visible().rows;
  screen.handle(key(KeyCode::kTab));
  type(screen, "z");
  EXPECT_GT(screen.grid().visible().rows, before + 10);
  type(screen, "z");
  EXPECT_EQ(screen.grid().visible().rows, before);
  screen.resize({80, 24});
  type(screen, "z");
  EXPECT_TRUE(has(screen.notice(), "alone already"));
}

// --- goldens and hostile names

TEST(WeightGolden, Overview) {
  WeightScreen screen = full_screen();
  test::expect_goldens("weight_overview", screen);
}

TEST(WeightGolden, Quantized) {
  const auto table = detailed_table(quantized_model());
  WeightScreen screen(table, 3);
  screen.resize({120, 36});
  screen.set_details(3, test::details(table->weight(3), true));
  give_window(screen);
  test::expect_goldens("weight_quantized", screen);
}

TEST(WeightGolden, Values) {
  WeightScreen screen = full_screen();
  screen.handle(key(KeyCode::kTab));
  type(screen, "zjjll");
  screen.resize({120, 36});
  give_window(screen);
  test::expect_goldens("weight_values", screen);
}

TEST(WeightScreen, HostileNamesStayInside) {
  for (const char* name : {"a\x1b[31mred\x07", "b\xe2\x80\xae reversed", "c\xff\xfe bytes",
                           "模型.層.0.重み", "e\xcc\x81\xcc\x81\xcc\x81", "tab\tand\nline"}) {
    Model model = test::empty_model("hostile");
    test::add_weight(model, name, {64, 64}, Role::kQ, 0);
    model.weights[0].undecodable = name;
    model.weights[0].format = name;
    model.tensors[0].dtype_text = name;
    model.tensors[0].dtype = DType::kUnknown;
    const auto table = detailed_table(std::move(model), false);
    WeightScreen screen(table, 0);
    for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}, Size{200, 60}}) {
      screen.resize(size);
      for (int pane = 0; pane < 2; ++pane) {
        Canvas canvas(size);
        screen.draw(canvas, glyphs(true));
        for (int y = 0; y < size.height; ++y) {
          EXPECT_LE(display_width(canvas.row_text(y)), size.width);
          for (int x = 0; x < size.width; ++x) {
            for (const char c : canvas.at(x, y).text()) {
              EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f);
            }
          }
        }
        screen.handle(key(KeyCode::kTab));
      }
      for (const auto& row : screen.table_shown().rows) {
        for (const std::string& cell : row) {
          EXPECT_EQ(cell.find_first_of("\x1b\x07\t\n"), std::string::npos);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qi
