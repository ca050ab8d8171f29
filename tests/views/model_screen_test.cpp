#include "views/model_screen.h"

#include <cmath>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "engine/text/utf8.h"
#include "engine/text/width.h"
#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "views/help_screen.h"
#include "views/message_screen.h"
#include "views/picker_screen.h"

namespace qi {
namespace {

using test::drawn;

Key named(std::string_view name) {
  if (name == "Esc") return key(KeyCode::kEscape);
  if (name == "Enter") return key(KeyCode::kEnter);
  if (name == "Tab") return key(KeyCode::kTab);
  if (name == "Down") return key(KeyCode::kDown);
  if (name == "Backspace") return key(KeyCode::kBackspace);
  if (name == "Space") return character(" ");
  return character(name);
}

// Keys separated by spaces.
Ask asked(Screen& screen, std::string_view keys) {
  Ask last = Ask::kNothing;
  while (!keys.empty()) {
    const std::size_t end = std::min(keys.find(' '), keys.size());
    last = screen.handle(named(keys.substr(0, end))).ask;
    keys.remove_prefix(std::min(end + 1, keys.size()));
  }
  return last;
}

void type(Screen& screen, std::string_view text) {
  for (const char c : text) screen.handle(character(std::string(1, c)));
}

ModelScreen screen_of(Model model, Size size = {120, 36}, bool picker = false) {
  ModelScreen screen(std::make_shared<const Model>(std::move(model)), AnalysisPlan::kAll, picker);
  screen.resize(size);
  return screen;
}

std::string current_name(const ModelScreen& screen) {
  const auto weight = screen.current_weight();
  return weight ? screen.table().weight(*weight).name : "";
}

TEST(ModelScreen, FiltersAsOneTypesAndEscClears) {
  ModelScreen screen = screen_of(test::llama(32));
  asked(screen, "/");
  EXPECT_EQ(screen.context(), kInFilter);
  type(screen, "q_proj");
  EXPECT_EQ(screen.table().rows().size(), 32U);
  EXPECT_NE(drawn(screen, {120, 36}).find("32 of 291"), std::string::npos);
  asked(screen, "Enter");
  EXPECT_EQ(screen.context(), kInTable);
  EXPECT_EQ(screen.table().rows().size(), 32U);
  EXPECT_EQ(asked(screen, "Esc"), Ask::kNothing);
  EXPECT_EQ(screen.table().rows().size(), 291U);
  asked(screen, "/");
  type(screen, "mlp");
  asked(screen, "Esc");
  EXPECT_EQ(screen.table().rows().size(), 291U);
  EXPECT_EQ(screen.context(), kInTable);
}

TEST(ModelScreen, TheCursorStaysOnItsWeight) {
  ModelScreen screen = screen_of(test::llama(32));
  asked(screen, "/");
  type(screen, "layers.7.self_attn.q");
  asked(screen, "Enter");
  const std::string name = current_name(screen);
  EXPECT_EQ(name, "model.layers.7.self_attn.q_proj.weight");
  asked(screen, "Esc");
  EXPECT_EQ(current_name(screen), name);
  asked(screen, "S");
  EXPECT_EQ(current_name(screen), name);
}

TEST(ModelScreen, SortsByEachShownColumnBothWays) {
  ModelScreen screen = screen_of(test::llama(4));
  for (std::size_t i = 0; i < screen.table().size(); ++i) {
    if (i % 3 != 0) screen.set_statistics(i, test::statistics(i));
  }
  for (int column_count = 0; column_count < 8; ++column_count) {
    asked(screen, "s");
    for (int turn = 0; turn < 2; ++turn) {
      const WeightTable& table = screen.table();
      const ColumnId id = table.sort_column();
      ASSERT_EQ(table.rows().size(), table.size());
      if (id != ColumnId::kName && id != ColumnId::kScheme) {
        bool unknown = false;
        double before = table.descending() ? 1e300 : -1e300;
        for (const std::uint32_t row : table.rows()) {
          const double value = sort_value(id, table.weight(row), table.statistics(row));
          if (std::isnan(value)) {
            unknown = true;
            continue;
          }
          EXPECT_FALSE(unknown) << "a value after a row without one";
          EXPECT_TRUE(table.descending() ? value <= before : value >= before);
          before = value;
        }
      }
      asked(screen, "S");
    }
  }
}

TEST(ModelScreen, AWarningIsShownAtEverySize) {
  for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}}) {
    ModelScreen screen = screen_of(test::llama(1), size);
    screen.set_warning("results are not kept: disk full");
    Canvas canvas(size);
    screen.draw(canvas, glyphs(true));
    std::string all;
    for (int y = 0; y < size.height; ++y) all += canvas.row_text(y);
    EXPECT_NE(all.find("results are not kept: disk full"), std::string::npos) << size.width;
  }
}

TEST(ModelScreen, ColumnsThatStayEmptyLeaveFirst) {
  const auto titles = [](Model model) {
    ModelScreen screen = screen_of(std::move(model), {80, 24});
    Canvas canvas({80, 24});
    screen.draw(canvas, glyphs(true));
    return canvas.row_text(2);
  };
  const std::string halves = titles(test::llama(2));
  EXPECT_NE(halves.find("pair"), std::string::npos) << halves;
  Model wide = test::llama(2);
  for (Tensor& tensor : wide.tensors) tensor.dtype = DType::kF32;
  const std::string singles = titles(std::move(wide));
  EXPECT_EQ(singles.find("pair"), std::string::npos) << singles;
  EXPECT_EQ(singles.find("h_res"), std::string::npos) << singles;
  EXPECT_NE(singles.find("planes"), std::string::npos) << singles;
}

TEST(ModelScreen, ResultsMoveRowsOnlyWhenSettled) {
  ModelScreen screen = screen_of(test::llama(2));
  while (screen.table().sort_column() != ColumnId::kPair) asked(screen, "s");
  const auto before = screen.table().rows();
  const std::string name = current_name(screen);
  screen.set_statistics(5, test::statistics(5));
  EXPECT_EQ(screen.table().rows(), before);
  screen.settle();
  EXPECT_EQ(screen.table().rows().front(), 5U);
  EXPECT_EQ(current_name(screen), name);
}

TEST(ModelScreen, TheTreeNarrowsTheTable) {
  ModelScreen screen = screen_of(test::llama(32));
  asked(screen, "Tab");
  EXPECT_EQ(screen.context(), kInTree);
  asked(screen, "j");
  EXPECT_EQ(screen.table().rows().size(), 1U);  // lm_head
  asked(screen, "g");
  EXPECT_EQ(screen.table().rows().size(), 291U);
  asked(screen, "G h");
  asked(screen, "Esc");
  EXPECT_EQ(screen.table().scope(), 0U);
}

TEST(ModelScreen, MarksCountAndUnmark) {
  ModelScreen screen = screen_of(test::llama(2));
  asked(screen, "Space Space Space");
  EXPECT_EQ(screen.table().marked().weights, 3U);
  EXPECT_TRUE(screen.table().is_marked(0));
  asked(screen, "k k Space");
  EXPECT_EQ(screen.table().marked().weights, 2U);
  asked(screen, "U");
  EXPECT_EQ(screen.table().marked().weights, 0U);
  EXPECT_EQ(screen.table().marked().size_bytes, 0U);
  asked(screen, "U");
  EXPECT_NE(screen.notice(), "");
  asked(screen, "Tab Space");
  EXPECT_EQ(screen.table().marked().weights, screen.table().size());
}

TEST(ModelScreen, EnterAsksForTheWeightUnderTheCursor) {
  ModelScreen screen = screen_of(test::llama(2));
  asked(screen, "j j");
  const Request request = screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(request.ask, Ask::kShowWeight);
  EXPECT_EQ(request.index, *screen.current_weight());
}

TEST(ModelScreen, AKeyThatCannotActSaysWhy) {
  ModelScreen screen = screen_of(test::llama(1));
  EXPECT_EQ(asked(screen, "x"), Ask::kNothing);
  EXPECT_NE(screen.notice().find("no job"), std::string::npos);
  asked(screen, "Esc");
  EXPECT_NE(screen.notice().find("q quits"), std::string::npos);
  asked(screen, "W");
  EXPECT_NE(screen.notice().find("W does nothing"), std::string::npos);
  for (std::size_t i = 0; i < screen.table().size(); ++i) {
    screen.set_statistics(i, test::statistics(i));
  }
  EXPECT_EQ(asked(screen, "A"), Ask::kNothing);
  EXPECT_NE(screen.notice(), "");
  EXPECT_EQ(drawn(screen, {120, 36}).find("analyse all"), std::string::npos);
  asked(screen, "/");
  type(screen, "nothing there");
  asked(screen, "Enter");
  EXPECT_EQ(asked(screen, "Enter"), Ask::kNothing);
  EXPECT_NE(screen.notice().find("no weight matches"), std::string::npos);
}

TEST(ModelScreen, AsksTheProgramForWhatItCannotDo) {
  ModelScreen screen = screen_of(test::llama(1), {120, 36}, true);
  EXPECT_EQ(asked(screen, "q"), Ask::kQuit);
  EXPECT_EQ(asked(screen, "?"), Ask::kHelp);
  EXPECT_EQ(asked(screen, "A"), Ask::kAnalyseAll);
  EXPECT_EQ(asked(screen, "Esc"), Ask::kBack);
  screen.set_job(
      {.active = true, .done = 1, .total = 2, .bytes_per_s = 1e9, .eta_s = 3, .tick = 0});
  EXPECT_EQ(asked(screen, "x"), Ask::kCancelJobs);
}

TEST(ModelScreen, TheMouseSelectsScrollsAndSorts) {
  ModelScreen screen = screen_of(test::llama(32));
  const Rect rows = screen.layout().rows;
  screen.handle({.code = KeyCode::kClick, .text = {}, .x = rows.x + 4, .y = rows.y + 3});
  EXPECT_EQ(*screen.current_weight(), 3U);
  screen.handle({.code = KeyCode::kWheelDown, .text = {}, .x = rows.x + 4, .y = rows.y});
  EXPECT_EQ(*screen.current_weight(), 6U);
  screen.handle({.code = KeyCode::kClick, .text = {}, .x = rows.right() - 4, .y = rows.y - 1});
  EXPECT_EQ(screen.table().sort_column(), ColumnId::kSize);
  EXPECT_TRUE(screen.table().descending());
  screen.handle({.code = KeyCode::kClick, .text = {}, .x = 3, .y = screen.layout().tree.y + 1});
  EXPECT_EQ(screen.context(), kInTree);
  screen.handle({.code = KeyCode::kClick, .text = {}, .x = 9999, .y = -4});
}

TEST(ModelScreen, PredictsFromWhatIsAnalysed) {
  ModelScreen screen = screen_of(test::llama(4));
  EXPECT_FALSE(screen.table().predicted_bits());
  for (std::size_t i = 0; i < screen.table().size(); ++i) {
    screen.set_statistics(i, test::statistics(0));
    // Each weight counts in whole bits.
    EXPECT_NEAR(*screen.table().predicted_bits(), 10.6, 1e-7);
  }
}

Model hostile_model() {
  Model model = test::empty_model("evil\x1b]0;owned\x07\u202e");
  for (const std::string_view name :
       {std::string_view("a\x1b[2Jb.weight"), std::string_view("\xff\xfe.\x80.weight"),
        std::string_view("nul\0inside.weight", 17), std::string_view("\u202egnp.exe.weight"),
        std::string_view("tab\tnew\nline.weight"),
        std::string_view("c1\xc2\x9b"
                         "31m.weight"),
        std::string_view("e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301.weight"),
        std::string_view("漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字.weight"),
        std::string_view("👨\u200d👩\u200d👧\u200d👦.🏳️\u200d🌈.weight"),
        std::string_view(""), std::string_view("....")}) {
    test::add_weight(model, std::string(name), {3, 5}, Role::kOther, -1);
  }
  test::add_weight(model, std::string(5000, 'x'), {1, 2, 3, 4, 5, 6, 7, 8}, Role::kOther, -1);
  model.tensors.back().dtype = DType::kUnknown;
  model.tensors.back().dtype_text = "\x1b[31mF1\n28";
  model.weights.back().undecodable = "un\x07known \x1b[0m";
  model.warnings.push_back({"f\x1b", "w\x1b"});
  return model;
}

void expect_clean(const Canvas& canvas) {
  for (int y = 0; y < canvas.size().height; ++y) {
    int width = 0;
    for (int x = 0; x < canvas.size().width; ++x) {
      const Cell& cell = canvas.at(x, y);
      width += cell.width;
      const std::string_view text = cell.text();
      for (std::size_t at = 0; at < text.size();) {
        const CodePoint point = decode_utf8(text, at);
        ASSERT_TRUE(point.valid);
        ASSERT_GE(point.code, 0x20U);
        ASSERT_FALSE(point.code >= 0x7f && point.code < 0xa0);
        ASSERT_NE(point.code, 0x202eU);
        at += point.length;
      }
    }
    ASSERT_EQ(width, canvas.size().width);
  }
}

TEST(ModelScreen, HostileNamesNeverPutAControlByteOnTheCanvas) {
  for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}, Size{200, 60}}) {
    ModelScreen screen = screen_of(hostile_model(), size);
    screen.set_failure(2, "bad \x1b[31m bytes\n");
    screen.set_warning("warn \x1b[31m\n");
    Canvas canvas(size);
    const auto check = [&] {
      for (const bool unicode : {true, false}) {
        canvas.reset(size);
        screen.draw(canvas, glyphs(unicode));
        expect_clean(canvas);
      }
    };
    for (std::size_t i = 0; i < screen.table().size(); ++i) {
      asked(screen, "Enter");
      check();
      asked(screen, "Esc");
      check();
      asked(screen, "j");
    }
    asked(screen, "Tab");
    for (int i = 0; i < 30; ++i) {
      asked(screen, "Enter");
      check();
      asked(screen, "j");
    }
    asked(screen, "g /");
    for (const std::string_view typed : {"漢", "\\", "\xf0\x9f\x91\xa8", "\u200d", "\x1b"}) {
      screen.handle(character(typed));
      check();
    }
  }
}

TEST(Screens, DrawAtEverySizeInEveryState) {
  Model hostile = hostile_model();
  ModelScreen model = screen_of(test::llama(3));
  ModelScreen evil = screen_of(std::move(hostile));
  ModelScreen empty = screen_of(test::empty_model(""));
  for (std::size_t i = 0; i < model.table().size(); i += 2) {
    model.set_statistics(i, test::statistics(i));
  }
  HelpScreen help(kInTable);
  PickerScreen picker("/a/b\x1b", {{"one\x1b", "gguf", "/a/b/one", 100}, {"two", "gguf", "/x", 5}});
  MessageScreen message("Title", "A long text without an end, and a wide one 漢字漢字漢字漢字",
                        true, false);
  for (const std::string_view keys : {"", "Enter", "Tab", "Tab / 漢"}) {
    for (ModelScreen* one : {&model, &evil, &empty}) asked(*one, keys);
    for (int width = 1; width <= 200; width += width < 4 ? 1 : 7) {
      for (int height = 1; height <= 60; height += height < 4 ? 1 : 3) {
        const Size size{width, height};
        Canvas canvas;
        for (Screen* one : {static_cast<Screen*>(&model), static_cast<Screen*>(&evil),
                            static_cast<Screen*>(&empty), static_cast<Screen*>(&help),
                            static_cast<Screen*>(&picker), static_cast<Screen*>(&message)}) {
          one->resize(size);
          canvas.reset(size);
          one->draw(canvas, glyphs(true));
          expect_clean(canvas);
        }
      }
    }
    for (ModelScreen* one : {&model, &evil, &empty}) {
      one->resize({120, 36});
      asked(*one, "Esc Esc");
    }
  }
}

TEST(Screens, BelowTheMinimumTheySayWhatTheyNeed) {
  ModelScreen screen = screen_of(test::llama(1), {40, 12});
  EXPECT_NE(drawn(screen, {40, 12}).find("60x15"), std::string::npos);
  EXPECT_EQ(asked(screen, "q"), Ask::kQuit);
}

TEST(Screens, PickerChoosesAndHelpGoesBack) {
  PickerScreen picker("/models", {{"a", "gguf", "/a", 1}, {"b", "gguf", "/b", 2}});
  picker.resize({80, 24});
  asked(picker, "j");
  EXPECT_EQ(picker.handle(key(KeyCode::kEnter)), Request(Ask::kOpen, std::uint64_t{1}));
  EXPECT_EQ(asked(picker, "Esc"), Ask::kNothing);
  EXPECT_EQ(asked(picker, "q"), Ask::kQuit);
  HelpScreen help(kInTable);
  help.resize({80, 24});
  EXPECT_EQ(asked(help, "q"), Ask::kBack);
  EXPECT_EQ(asked(help, "?"), Ask::kBack);
}

}  // namespace
}  // namespace qi
