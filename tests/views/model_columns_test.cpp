// The Model screen's columns, order, marks, totals and module table: keys in, state out.
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/hostile.h"
#include "views/column_choice.h"
#include "views/model_screen.h"

namespace qi {
namespace {

using test::filter;
using test::press;

ModelScreen columns_of(Model model, Size size = {120, 36}) {
  ModelScreen screen(std::make_shared<const Model>(std::move(model)), AnalysisPlan::kAll, false);
  screen.resize(size);
  return screen;
}

std::string row(const Screen& screen, Size size, int y, bool unicode = true) {
  Canvas canvas(size);
  screen.draw(canvas, glyphs(unicode));
  return canvas.row_text(y);
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Key at(KeyCode code, int x, int y) {
  return {.code = code, .text = {}, .x = x, .y = y};
}

int place_of(const ModelScreen& screen, ColumnId id, bool width = false) {
  for (const ColumnPlace& place : screen.placed_columns()) {
    if (place.id == static_cast<int>(id)) return width ? place.width : place.x;
  }
  return -1;
}

std::string name_at(const ModelScreen& screen) {
  return screen.table().weight(*screen.current_weight()).name;
}

// --- the choice as text

TEST(ColumnChoice, TextComesBackAsItWas) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    ColumnChoices choices;
    for (const ColumnInfo& info : columns()) {
      if (info.id != ColumnId::kName && random() % 2 == 0) continue;
      choices.push_back(
          {info.id, random() % 2 == 0 ? 0 : kMinColumn + static_cast<int>(random() % 90)});
    }
    std::shuffle(choices.begin(), choices.end(), random);
    std::string problem;
    EXPECT_EQ(parse_columns(columns_text(choices), problem), choices) << problem;
  }
}

TEST(ColumnChoice, WordsThatAreNoColumnsAreNamed) {
  std::string problem;
  EXPECT_FALSE(parse_columns("weight,b/x", problem));
  EXPECT_EQ(problem, "no column is called b/x");
  for (const std::string_view text :
       {"b/w:2", "b/w:100", "b/w:", "b/w:x", "b/w:-5", "b/w:8.5", "b/w:99999999999999999999"}) {
    problem.clear();
    EXPECT_FALSE(parse_columns(text, problem)) << text;
    EXPECT_NE(problem, "");
  }
  EXPECT_FALSE(parse_columns("\x1b[31m", problem));
  EXPECT_FALSE(has(problem, "\x1b"));
}

TEST(ColumnChoice, IsForgivingWhereTheMeaningIsClear) {
  std::string problem;
  const auto text = [&](std::string_view in) {
    const auto out = parse_columns(in, problem);
    return out ? columns_text(*out) : problem;
  };
  EXPECT_EQ(text("b/w, pair"), "weight,b/w,pair");
  EXPECT_EQ(text("pair,,pair:9,weight,"), "pair,weight");
  EXPECT_EQ(text("size MiB,h_exponent,dtype"), "weight,size,h_exp,type");
  EXPECT_EQ(text(" "), columns_text(default_columns()));
}

TEST(ColumnChoice, EveryColumnHasANameOfItsOwnAndAMeaning) {
  for (const ColumnInfo& info : columns()) {
    EXPECT_EQ(column_named(info.name), info.id);
    EXPECT_EQ(column(info.id).id, info.id);
    EXPECT_FALSE(info.meaning.empty());
    EXPECT_FALSE(has(info.name, ",") || has(info.name, ":") || has(info.name, " ")) << info.name;
  }
}

// --- the list of columns

TEST(ColumnChooser, SwitchesColumnsAndTheTableFollows) {
  ModelScreen screen = columns_of(test::llama(2));
  press(screen, "C");
  EXPECT_EQ(screen.context(), kInColumns);
  EXPECT_EQ(place_of(screen, ColumnId::kMin), -1);
  press(screen, "G");
  while (place_of(screen, ColumnId::kMin) < 0) {
    press(screen, "k");
    const Request request = screen.handle(key(KeyCode::kEnter));
    EXPECT_EQ(request.ask, Ask::kColumnsChanged);
    if (place_of(screen, ColumnId::kMin) < 0) press(screen, " ");
  }
  EXPECT_EQ(screen.columns_text(), columns_text(default_columns()) + ",min");
  screen.handle(key(KeyCode::kEscape));
  EXPECT_EQ(screen.context(), kInTable);
  EXPECT_TRUE(has(row(screen, {120, 36}, screen.layout().head.y), " min"));
}

TEST(ColumnChooser, MovesWidensAndResets) {
  ModelScreen screen = columns_of(test::llama(2));
  press(screen, "Cj");
  EXPECT_EQ(press(screen, ">").ask, Ask::kColumnsChanged);
  EXPECT_TRUE(screen.columns_text().starts_with("weight,scheme,shape,"));
  press(screen, "+++");
  EXPECT_TRUE(screen.columns_text().starts_with("weight,scheme,shape:14,"));
  press(screen, "-");
  EXPECT_TRUE(screen.columns_text().starts_with("weight,scheme,shape:13,"));
  EXPECT_EQ(place_of(screen, ColumnId::kShape, true), 13);
  for (int i = 0; i < 200; ++i) press(screen, "-");
  EXPECT_TRUE(has(screen.columns_text(), "shape:3,"));
  for (int i = 0; i < 50; ++i) press(screen, "<");  // to the front, and no further
  EXPECT_TRUE(screen.columns_text().starts_with("shape:3,weight,"));
  EXPECT_EQ(press(screen, "r").ask, Ask::kColumnsChanged);
  EXPECT_EQ(screen.columns_text(), columns_text(default_columns()));
  EXPECT_EQ(press(screen, "r").ask, Ask::kNothing);
  EXPECT_NE(screen.notice(), "");
}

TEST(ColumnChooser, SaysWhyAKeyCannotAct) {
  ModelScreen screen = columns_of(test::llama(2));
  press(screen, "C ");
  EXPECT_TRUE(has(screen.notice(), "the name stays"));
  press(screen, "G");
  press(screen, "+");
  EXPECT_TRUE(has(screen.notice(), "not shown"));
  press(screen, "s");
  EXPECT_TRUE(has(screen.notice(), "does nothing here"));
  EXPECT_EQ(press(screen, "C").ask, Ask::kNothing);
  EXPECT_FALSE(screen.choosing_columns());
}

TEST(ColumnChooser, TheMouseSwitchesAndClosesIt) {
  ModelScreen screen = columns_of(test::llama(2));
  press(screen, "C");
  EXPECT_EQ(screen.handle(at(KeyCode::kClick, 4, screen.layout().head.y + 2)).ask,
            Ask::kColumnsChanged);  // the second line: shape
  EXPECT_TRUE(screen.columns_text().starts_with("weight,scheme"));
  screen.handle(at(KeyCode::kWheelDown, 4, 10));
  EXPECT_TRUE(screen.choosing_columns());
  screen.handle(at(KeyCode::kClick, 100, 20));
  EXPECT_FALSE(screen.choosing_columns());
}

TEST(ColumnChooser, ShowsTheTableFromTheTreeAlone) {
  ModelScreen screen = columns_of(test::llama(2), {80, 24});
  screen.handle(key(KeyCode::kTab));
  press(screen, "C");
  EXPECT_FALSE(screen.layout().rows.empty());
  EXPECT_EQ(screen.context(), kInColumns);
}

TEST(ModelColumns, AreSetFromText) {
  ModelScreen screen = columns_of(test::llama(2));
  std::string problem;
  EXPECT_TRUE(screen.set_columns("role,weight,params:16", problem));
  EXPECT_EQ(screen.columns_text(), "role,weight,params:16");
  EXPECT_EQ(screen.placed_columns().size(), 3U);
  EXPECT_EQ(place_of(screen, ColumnId::kRole), 0);
  EXPECT_FALSE(screen.set_columns("rôle", problem));
  EXPECT_EQ(screen.columns_text(), "role,weight,params:16");
  EXPECT_TRUE(screen.set_columns("", problem));
  EXPECT_EQ(screen.columns_text(), columns_text(default_columns()));
}

// --- borders

TEST(ColumnBorder, FollowsTheMouseAndIsRemembered) {
  ModelScreen screen = columns_of(test::llama(2));
  const Rect rows = screen.layout().rows;
  const auto border = [&] { return rows.x + 2 + place_of(screen, ColumnId::kScheme) - 1; };
  const int y = screen.layout().head.y;
  const int width = place_of(screen, ColumnId::kScheme, true);
  const int from = border();
  EXPECT_EQ(screen.handle(at(KeyCode::kClick, from, y)).ask, Ask::kNothing);
  for (int x = from; x >= from - 5; --x) {
    EXPECT_EQ(screen.handle(at(KeyCode::kDrag, x, y)).ask, Ask::kNothing);
    EXPECT_EQ(border(), x);
  }
  EXPECT_EQ(place_of(screen, ColumnId::kScheme, true), width + 5);
  EXPECT_EQ(screen.handle(at(KeyCode::kRelease, from - 5, y)).ask, Ask::kColumnsChanged);
  EXPECT_TRUE(has(screen.columns_text(), "scheme:11"));
  // Not held any more; and a click without a drag changes nothing.
  screen.handle(at(KeyCode::kDrag, from, y));
  EXPECT_EQ(border(), from - 5);
  screen.handle(at(KeyCode::kClick, border(), y));
  EXPECT_EQ(screen.handle(at(KeyCode::kRelease, border(), y)).ask, Ask::kNothing);
}

TEST(ColumnBorder, StopsAtTheLeastWidthsAndComesBackWithTheMouse) {
  for (const std::string_view text : {"", "shape,b/w,weight,scheme,pair,size"}) {
    ModelScreen screen = columns_of(test::llama(2));
    std::string problem;
    ASSERT_TRUE(screen.set_columns(text, problem));
    const int y = screen.layout().head.y;
    const auto places = screen.placed_columns();
    for (std::size_t i = 1; i < places.size(); ++i) {
      const int from = screen.layout().rows.x + 2 + screen.placed_columns()[i].x - 1;
      screen.handle(at(KeyCode::kClick, from, y));
      for (const int x : {0, 119, -50, 500, from}) {
        screen.handle(at(KeyCode::kDrag, x, y));
        const auto now = screen.placed_columns();
        ASSERT_EQ(now.size(), places.size()) << "a column left";
        for (const ColumnPlace& place : now) {
          const bool name = place.id == static_cast<int>(ColumnId::kName);
          ASSERT_GE(place.width, name ? kMinName : kMinColumn);
        }
        ASSERT_LE(now.back().x + now.back().width, screen.layout().rows.width - 4);
      }
      ASSERT_EQ(screen.layout().rows.x + 2 + screen.placed_columns()[i].x - 1, from);
      screen.handle(at(KeyCode::kRelease, from, y));
      EXPECT_TRUE(screen.set_columns(screen.columns_text(), problem)) << problem;
    }
  }
}

// --- order

TEST(ModelOrder, SOnceMoreIsTheNextColumnAndAfterwardsOneMoreKey) {
  ModelScreen screen = columns_of(test::llama(2));
  press(screen, "sss");
  const WeightTable& table = screen.table();
  EXPECT_EQ(table.sort(), (std::vector<SortKey>{{ColumnId::kBitsPerWeight, true}}));
  press(screen, "Ss");
  EXPECT_EQ(table.sort(),
            (std::vector<SortKey>{{ColumnId::kExponent, true}, {ColumnId::kBitsPerWeight, false}}));
  press(screen, "s");
  EXPECT_EQ(table.sort(),
            (std::vector<SortKey>{{ColumnId::kResidual, true}, {ColumnId::kBitsPerWeight, false}}));
  press(screen, "jsjs");
  EXPECT_EQ(table.sort().size(), kMaxSortKeys);
  const std::string head = row(screen, {120, 36}, screen.layout().head.y);
  EXPECT_TRUE(has(head, "size MiB↓¹")) << head;
  EXPECT_TRUE(has(head, "pair↓²")) << head;
  EXPECT_TRUE(has(head, "h_res↓³")) << head;
  EXPECT_TRUE(has(row(screen, {120, 36}, screen.layout().head.y, false), "pairv2"));
}

TEST(ModelOrder, SortByPutsAColumnInFront) {
  ModelScreen screen = columns_of(test::llama(2));
  screen.sort_by(ColumnId::kRole, false);
  screen.sort_by(ColumnId::kSize, true);
  EXPECT_EQ(screen.table().sort(),
            (std::vector<SortKey>{{ColumnId::kSize, true}, {ColumnId::kRole, false}}));
  screen.sort_by(ColumnId::kRole, true);
  EXPECT_EQ(screen.table().sort(),
            (std::vector<SortKey>{{ColumnId::kRole, true}, {ColumnId::kSize, true}}));
}

TEST(ModelOrder, AClickOnATitleSortsAndAgainTurnsRound) {
  ModelScreen screen = columns_of(test::llama(2));
  const auto click = [&](ColumnId id) {
    const int x = screen.layout().rows.x + 2 + place_of(screen, id);
    screen.handle(at(KeyCode::kClick, x, screen.layout().head.y));
  };
  click(ColumnId::kShape);
  click(ColumnId::kScheme);
  EXPECT_EQ(screen.table().sort(),
            (std::vector<SortKey>{{ColumnId::kScheme, false}, {ColumnId::kShape, true}}));
  click(ColumnId::kScheme);
  EXPECT_TRUE(screen.table().descending());
}

// --- finding

TEST(ModelFind, GoesFromMatchToMatchWhenTheFilterIsGone) {
  ModelScreen screen = columns_of(test::llama(3));
  press(screen, "n");
  EXPECT_TRUE(has(screen.notice(), "nothing to look for"));
  filter(screen, "k_proj");
  screen.handle(key(KeyCode::kEscape));
  press(screen, "g");
  std::vector<std::string> seen;
  for (int i = 0; i < 3; ++i) {
    press(screen, "n");
    EXPECT_EQ(screen.notice(), "");
    seen.push_back(name_at(screen));
  }
  EXPECT_EQ(seen[2], "model.layers.2.self_attn.k_proj.weight");
  press(screen, "n");
  EXPECT_TRUE(has(screen.notice(), "other end"));
  EXPECT_EQ(name_at(screen), seen[0]);
  press(screen, "N");
  EXPECT_TRUE(has(screen.notice(), "other end"));
  EXPECT_EQ(name_at(screen), seen[2]);
  press(screen, "N");
  EXPECT_EQ(name_at(screen), seen[1]);
  // Only among the rows there are.
  filter(screen, "nothing");
  screen.filter_by("mlp");
  screen.filter_by("k_proj");
  screen.filter_by("up_proj");
  press(screen, "n");
  EXPECT_EQ(screen.table().rows().size(), 3U);
}

TEST(ModelFind, TGoesToTheOtherNameOfTheSameBytes) {
  Model model = test::llama(2);
  Tensor& head = model.tensors[model.weights[0].parts[0].tensor];
  const Tensor& embed = model.tensors[model.weights[1].parts[0].tensor];
  head.offset = embed.offset;
  ModelScreen screen = columns_of(model);
  press(screen, "t");
  EXPECT_EQ(name_at(screen), "model.embed_tokens.weight");
  EXPECT_EQ(screen.notice(), "the same bytes as lm_head.weight");
  filter(screen, "embed");
  press(screen, "t");  // filtered out: the filter goes
  EXPECT_EQ(name_at(screen), "lm_head.weight");
  press(screen, "jjt");
  EXPECT_TRUE(has(screen.notice(), "no other weight"));
  ModelScreen other = columns_of(test::llama(2));
  press(other, "t");
  EXPECT_TRUE(has(other.notice(), "no two weights"));
  EXPECT_FALSE(has(row(other, {120, 36}, 35), "t tied"));
  Model tied = test::llama(2);
  tied.weights.erase(tied.weights.begin());
  tied.config =
      std::make_shared<const nlohmann::json>(nlohmann::json{{"tie_word_embeddings", true}});
  ModelScreen by_rule = columns_of(std::move(tied));
  press(by_rule, "t");
  EXPECT_TRUE(has(by_rule.notice(), "lm_head is not stored"));
}

// --- totals and modules

TEST(ModelTotals, ShowWhatTheFilteredAndTheMarkedComeTo) {
  ModelScreen screen = columns_of(test::llama(2), {160, 36});
  for (std::size_t i = 0; i < screen.table().size(); ++i) {
    screen.set_statistics(i, test::statistics(0));
  }
  filter(screen, "q_proj");
  std::string line = row(screen, {160, 36}, 1);
  EXPECT_TRUE(has(line, "2 of 21 · 33.6 M · 64.0 MiB · 16.00 → 10.60 b/w")) << line;
  press(screen, " ");
  line = row(screen, {160, 36}, 1);
  EXPECT_TRUE(has(line, "● 1 marked")) << line;
  EXPECT_TRUE(has(line, "32.0 MiB · 16.00 → 10.60 b/w")) << line;
  for (int width = 60; width <= 200; ++width) {
    screen.resize({width, 24});
    line = row(screen, {width, 24}, 1);
    EXPECT_TRUE(has(line, "q_proj")) << line;
    EXPECT_TRUE(has(line, "2 of 21")) << line;
    EXPECT_TRUE(has(line, "● 1")) << line;
    EXPECT_TRUE(has(line, "21/21")) << line;
  }
}

TEST(ModelTree, AloneOnTheScreenItIsATableOfModules) {
  ModelScreen screen = columns_of(test::llama(4));
  for (std::size_t i = 0; i < screen.table().size(); ++i) {
    screen.set_statistics(i, test::statistics(i));
  }
  screen.settle();
  screen.handle(key(KeyCode::kTab));
  EXPECT_EQ(screen.table_shown().name, "weights");
  press(screen, "z");
  const std::string head = row(screen, {120, 36}, screen.layout().tree_head.y);
  for (const std::string_view title :
       {"module", "weights", "params", "size", "b/w", "coded", "h_exp", "max h_res", "of"}) {
    EXPECT_TRUE(has(head, title)) << title;
  }
  const TextTable table = screen.table_shown();
  EXPECT_EQ(table.name, "modules");
  EXPECT_EQ(table.rows.size(), screen.table().tree().lines().size());
  EXPECT_EQ(table.rows[0][1], "39");
  EXPECT_EQ(table.rows[0][3], std::to_string(screen.table().all().size_bytes));
  for (const auto& cells : table.rows) EXPECT_EQ(cells.size(), table.columns.size());
  EXPECT_EQ(table.rows.back()[0], "model.norm");
  EXPECT_EQ(table.rows.back()[8], "model.norm.weight");
  press(screen, "G");
  EXPECT_EQ(screen.copy_text(), "model.norm");
  press(screen, "z");
  EXPECT_FALSE(screen.layout().rows.empty());
}

TEST(ModelExport, WritesRawNamesAndNumbersInFull) {
  Model model = test::llama(1);
  model.weights[2].name = "evil\x1b.weight";
  ModelScreen screen = columns_of(std::move(model), {60, 15});
  screen.set_statistics(2, test::statistics(5));
  std::string problem;
  ASSERT_TRUE(
      screen.set_columns("weight,shape,params,bar,b/w,std,size,offset,layer,role", problem));
  const TextTable table = screen.table_shown();
  // Whatever has room; bars are no column.
  EXPECT_EQ(table.columns,
            (std::vector<std::string>{"weight", "shape", "params", "bits_per_weight", "std",
                                      "size_bytes", "offset", "layer", "role"}));
  ASSERT_EQ(table.rows.size(), 12U);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"lm_head.weight", "128256x4096", "525336576",
                                                     "16", "", "1050673152", "4096", "", "head"}));
  EXPECT_EQ(table.rows[2][0], "evil\x1b.weight");
  EXPECT_EQ(std::stod(table.rows[2][4]), *test::statistics(5)->std);
}

// --- everywhere

TEST(ModelColumns, DrawAtEverySizeAndWithHostileNames) {
  Model model = test::empty_model("evil\x1b[2J");
  for (const std::string& text : test::hostile_texts()) {
    test::add_weight(model, text + "." + text + ".weight", {3, 5}, Role::kOther, 1);
  }
  ModelScreen screen = columns_of(std::move(model));
  for (std::size_t i = 0; i < screen.table().size(); i += 2) {
    screen.set_statistics(i, test::statistics(i));
  }
  screen.settle();
  std::string problem;
  std::string every;
  for (const ColumnInfo& info : columns()) every += std::string(info.name) + ",";
  const auto look = [&] {
    test::expect_every_size(screen);
    screen.resize({120, 36});
    test::expect_clean(screen, {120, 36}, true);
  };
  press(screen, "C");
  look();
  ASSERT_TRUE(screen.set_columns(every, problem));
  look();
  press(screen, "Gk+++");
  look();
  press(screen, "Cssjsjs ");
  look();
  screen.handle(key(KeyCode::kTab));
  press(screen, "z");
  look();
}

}  // namespace
}  // namespace qi
