#include "views/table_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "tests/support/frame_checks.h"

namespace qi {
namespace {

using test::press;

struct Line {
  std::string name;
  double number = std::numeric_limits<double>::quiet_NaN();
};

class Lines final : public TableScreen {
 public:
  explicit Lines(std::vector<Line> lines)
      : TableScreen("Lines", "lines", {{"name", 20, 0}, {"number", 8, 1, true}}),
        lines_(std::move(lines)) {
    rows_changed();
  }
  void add(Line line) {
    lines_.push_back(std::move(line));
    rows_changed();
  }
  void follow() { follow_end(true); }
  std::string at_cursor() const { return current() ? lines_[*current()].name : ""; }
  std::vector<std::string> order() const {
    std::vector<std::string> out;
    for (const auto& row : table_shown().rows) out.push_back(row[0]);
    return out;
  }

 private:
  Context place() const override { return kInDiff; }
  std::size_t row_count() const override { return lines_.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override {
    if (column == 0) return {escape(lines_[row].name)};
    return {std::isnan(lines_[row].number) ? "" : std::to_string(lines_[row].number)};
  }
  double sort_key(std::size_t row, std::size_t column) const override {
    return column == 1 ? lines_[row].number : std::numeric_limits<double>::quiet_NaN();
  }
  std::string detail(std::size_t row) const override { return escape(lines_[row].name); }
  Request enter(std::size_t row) override { return {Ask::kShowWeight, row}; }

  std::vector<Line> lines_;
};

Lines three() {
  Lines screen({{"beta", 2}, {"alpha", 10}, {"gamma", 1}, {"delta"}});
  screen.resize({80, 24});
  return screen;
}

using Names = std::vector<std::string>;

TEST(TableScreen, FiltersAsOneTypes) {
  Lines screen = three();
  press(screen, "/ta");
  EXPECT_EQ(screen.context(), kInFilter);
  EXPECT_EQ(screen.order(), (Names{"beta", "delta"}));
  screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(screen.context(), kInDiff);
  EXPECT_EQ(screen.handle(key(KeyCode::kEscape)).ask, Ask::kNothing);
  EXPECT_EQ(screen.rows_shown(), 4U);
  EXPECT_EQ(screen.handle(key(KeyCode::kEscape)).ask, Ask::kBack);
}

TEST(TableScreen, SortsByEachColumnAndPutsEmptyCellsLast) {
  Lines screen = three();
  press(screen, "s");
  EXPECT_EQ(screen.order(), (Names{"alpha", "beta", "delta", "gamma"}));
  press(screen, "s");  // numbers: the largest first
  EXPECT_EQ(screen.order(), (Names{"alpha", "beta", "gamma", "delta"}));
  press(screen, "S");
  EXPECT_EQ(screen.order(), (Names{"gamma", "beta", "alpha", "delta"}));
  press(screen, "s");
  EXPECT_EQ(screen.order(), (Names{"beta", "alpha", "gamma", "delta"}));
}

TEST(TableScreen, FindsTheNextMatchOfAFilterThatIsGone) {
  Lines screen = three();
  press(screen, "n");
  EXPECT_NE(screen.notice(), "");
  press(screen, "/ta");
  screen.handle(key(KeyCode::kEscape));
  EXPECT_EQ(screen.rows_shown(), 4U);
  press(screen, "n");
  EXPECT_EQ(screen.at_cursor(), "delta");
  press(screen, "n");
  EXPECT_EQ(screen.at_cursor(), "beta");
  EXPECT_NE(screen.notice(), "");
  press(screen, "N");
  EXPECT_EQ(screen.at_cursor(), "delta");
}

TEST(TableScreen, TheCursorStaysOnItsLineWhenLinesComeIn) {
  Lines screen = three();
  press(screen, "sj");
  EXPECT_EQ(screen.at_cursor(), "beta");
  screen.add({"aaa", 3});
  EXPECT_EQ(screen.at_cursor(), "beta");
  screen.follow();
  press(screen, "G");
  screen.add({"zzz", 3});
  EXPECT_EQ(screen.at_cursor(), "zzz");
}

TEST(TableScreen, EnterAsksForTheLineAndSaysWhyNot) {
  Lines screen = three();
  press(screen, "j");
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)), Request(Ask::kShowWeight, std::uint64_t{1}));
  Lines none({});
  none.resize({80, 24});
  EXPECT_EQ(none.handle(key(KeyCode::kEnter)).ask, Ask::kNothing);
  EXPECT_NE(none.notice(), "");
}

TEST(TableScreen, TheMouseSelectsOpensAndSorts) {
  Lines screen = three();
  Key click{.code = KeyCode::kClick, .text = {}, .x = 5, .y = 4};
  EXPECT_EQ(screen.handle(click).ask, Ask::kNothing);
  EXPECT_EQ(screen.at_cursor(), "alpha");
  EXPECT_EQ(screen.handle(click).ask, Ask::kShowWeight);
  click.y = 2;
  screen.handle(click);
  EXPECT_EQ(screen.order().front(), "alpha");
  screen.handle(click);
  EXPECT_EQ(screen.order().front(), "gamma");
}

TEST(TableScreen, HostileNamesKeepTheFrame) {
  Lines screen({{"\x1b[31mred\x07", 1},
                {"\u202egnp.exe", 2},
                {"字字字字字字字字字字字字字字字", 3},
                {"e\u0301e\u0301\u200b", 4},
                {std::string("\xff\xfe\x00\x9b", 4), 5}});
  for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}}) {
    screen.resize(size);
    Canvas canvas(size);
    screen.draw(canvas, glyphs(true));
    for (int y = 0; y < size.height; ++y) {
      std::string row = canvas.row_text(y);
      std::replace(row.begin(), row.end(), '\\', '/');  // of escapes
      EXPECT_TRUE(is_printable(row)) << row;
      EXPECT_LE(display_width(canvas.row_text(y)), size.width);
    }
  }
}

TEST(TableScreen, DrawsAtEverySize) {
  Lines screen = three();
  press(screen, "/a");
  for (int width = 1; width <= 200; width += 7) {
    for (int height = 1; height <= 60; height += 3) {
      screen.resize({width, height});
      Canvas canvas({width, height});
      screen.draw(canvas, glyphs(true));
      if (width >= kMinimum.width && height >= kMinimum.height) {
        EXPECT_NE(canvas.row_text(0).find("Lines"), std::string::npos);
      }
    }
  }
}

}  // namespace
}  // namespace qi
