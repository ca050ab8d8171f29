// Whether the bytes a painter sends make a terminal show the canvas: a small terminal of our own
// carries them out, and knows no sequence that a painter is not meant to send.
#include "views/term/painter.h"

#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/text/width.h"
#include "tests/support/fake_model.h"
#include "views/model_screen.h"

namespace qi {
namespace {

struct Seen {
  std::string text = " ";
  int width = 1;
  Look look;
  bool operator==(const Seen&) const = default;
};

class Screenful {
 public:
  explicit Screenful(Size size) : size_(size) { clear(); }

  void take(std::string_view bytes) {
    while (!bytes.empty()) {
      if (bytes.starts_with("\x1b[")) {
        const std::size_t end = bytes.find_first_not_of("0123456789;?", 2);
        ASSERT_NE(end, std::string_view::npos);
        sequence(bytes.substr(2, end - 2), bytes[end]);
        bytes.remove_prefix(end + 1);
        continue;
      }
      const Cluster cluster = cluster_at(bytes, 0);
      ASSERT_GE(static_cast<unsigned char>(bytes[0]), 0x20) << "a control byte";
      put(cluster.text, cluster.width);
      bytes.remove_prefix(cluster.text.size());
    }
  }
  const Seen& at(int x, int y) const { return cells_[index(x, y)]; }
  bool cursor_shown() const { return cursor_; }
  int x() const { return x_; }
  int y() const { return y_; }

 private:
  std::size_t index(int x, int y) const { return static_cast<std::size_t>(y * size_.width + x); }
  void clear() { cells_.assign(static_cast<std::size_t>(size_.width * size_.height), {}); }

  void put(std::string_view text, int width) {
    ASSERT_LE(x_ + width, size_.width) << "over the edge";
    cells_[index(x_, y_)] = {std::string(text), width, look_};
    if (width == 2) cells_[index(x_ + 1, y_)] = {"", 0, look_};
    x_ += width;
  }

  void sequence(std::string_view numbers, char final) {
    std::vector<int> values;
    if (numbers == "?25") {
      cursor_ = final == 'h';
      return;
    }
    for (std::string_view rest = numbers;;) {
      values.push_back(std::atoi(std::string(rest.substr(0, rest.find(';'))).c_str()));
      if (rest.find(';') == std::string_view::npos) break;
      rest.remove_prefix(rest.find(';') + 1);
    }
    const int first = std::max(1, values[0]);
    switch (final) {
      case 'H':
        y_ = first - 1;
        x_ = (values.size() > 1 ? std::max(1, values[1]) : 1) - 1;
        break;
      case 'G':
        x_ = first - 1;
        break;
      case 'C':
        x_ += first;
        break;
      case 'K':
        for (int x = x_; x < size_.width; ++x) cells_[index(x, y_)] = {" ", 1, look_};
        break;
      case 'J':
        ASSERT_EQ(values[0], 2);
        ASSERT_EQ(look_, Look{});
        clear();
        break;
      case 'm':
        for (std::size_t i = 0; i < values.size();) i += attribute(values, i);
        break;
      default:
        FAIL() << "unknown sequence " << numbers << final;
    }
    ASSERT_TRUE(x_ < size_.width && y_ < size_.height);
  }

  std::size_t attribute(const std::vector<int>& values, std::size_t i) {
    const int value = values[i];
    if (value == 38 || value == 48) {
      int& color = value == 38 ? look_.foreground : look_.background;
      color = values[i + 1] == 5 ? values[i + 2]
                                 : values[i + 2] << 16 | values[i + 3] << 8 | values[i + 4];
      return values[i + 1] == 5 ? 3 : 5;
    }
    if (value == 0) look_ = {};
    if (value == 1) look_.bold = true;
    if (value == 2) look_.dim = true;
    if (value == 4) look_.underline = true;
    if (value == 7) look_.reverse = true;
    if (value == 22) look_.bold = look_.dim = false;
    if (value == 24) look_.underline = false;
    if (value == 27) look_.reverse = false;
    if (value == 39) look_.foreground = -1;
    if (value == 49) look_.background = -1;
    return 1;
  }

  Size size_;
  std::vector<Seen> cells_;
  Look look_;
  bool cursor_ = false;
  int x_ = 0;
  int y_ = 0;
};

Capabilities xterm() {
  Capabilities caps;
  caps.show_cursor = "\x1b[?25h";
  caps.hide_cursor = "\x1b[?25l";
  caps.clear = "\x1b[H\x1b[2J";
  caps.clear_to_end = "\x1b[K";
  caps.plain = "\x1b[m";
  caps.bold = "\x1b[1m";
  caps.dim = "\x1b[2m";
  caps.reverse = "\x1b[7m";
  caps.underline = "\x1b[4m";
  caps.move = [](int x, int y) { return fmt::format("\x1b[{};{}H", y + 1, x + 1); };
  caps.column = [](int x) { return fmt::format("\x1b[{}G", x + 1); };
  caps.forward = [](int cells) { return fmt::format("\x1b[{}C", cells); };
  for (int i = 0; i < 256; ++i) {
    caps.foreground.push_back(fmt::format("\x1b[38;5;{}m", i));
    caps.background.push_back(fmt::format("\x1b[48;5;{}m", i));
  }
  caps.colors = 256;
  caps.combined = true;
  return caps;
}

// Nothing but what the oldest ones have.
Capabilities plain_terminal() {
  Capabilities caps = xterm();
  caps.column = nullptr;
  caps.forward = nullptr;
  caps.clear_to_end.clear();
  caps.combined = false;
  return caps;
}

void expect_shown(const Screenful& screen, const Canvas& canvas, ColorDepth depth,
                  const Theme& theme) {
  for (int y = 0; y < canvas.size().height; ++y) {
    for (int x = 0; x < canvas.size().width; ++x) {
      const Cell& cell = canvas.at(x, y);
      const Seen& seen = screen.at(x, y);
      ASSERT_EQ(seen.width, cell.width) << x << "," << y;
      if (cell.width == 0) continue;
      ASSERT_EQ(seen.text, cell.text()) << x << "," << y;
      ASSERT_EQ(seen.look, look(cell.style, depth, theme)) << x << "," << y;
    }
  }
}

Canvas random_canvas(std::mt19937& random, Size size, const Canvas* like) {
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  Canvas canvas(size);
  if (like != nullptr && like->size() == size) canvas = *like;
  constexpr std::string_view kTexts[] = {
      "0.123", "layers", "█▌", "漢字", "e\u0301", "   ", "                              ",
      "·",     "a"};
  for (int i = below(40); i > 0; --i) {
    const Style style{static_cast<Ink>(below(kInks)), static_cast<Ground>(below(4))};
    canvas.text(canvas.bounds(), below(size.width), below(size.height),
                kTexts[static_cast<std::size_t>(below(9))], below(3) == 0 ? style : Style{});
  }
  if (below(2) == 0) canvas.set_cursor(below(size.width), below(size.height));
  return canvas;
}

TEST(Painter, MakesTheTerminalShowTheCanvas) {
  std::mt19937 random(20240601);
  for (const Capabilities& caps : {xterm(), plain_terminal()}) {
    for (const ColorDepth depth : {ColorDepth::kMono, ColorDepth::k256, ColorDepth::kTrue}) {
      for (const Size size : {Size{1, 1}, Size{7, 3}, Size{60, 15}}) {
        Painter painter(caps, depth, default_theme());
        Screenful screen(size);
        Canvas canvas;
        for (int frame = 0; frame < 100; ++frame) {
          canvas = random_canvas(random, size, &canvas);
          screen.take(painter.paint(canvas));
          if (HasFatalFailure()) return;
          expect_shown(screen, canvas, depth, default_theme());
          if (HasFatalFailure()) return;
          ASSERT_EQ(screen.cursor_shown(), canvas.has_cursor());
          if (canvas.has_cursor()) {
            ASSERT_EQ(screen.x(), canvas.cursor_x());
            ASSERT_EQ(screen.y(), canvas.cursor_y());
          }
          ASSERT_EQ(painter.paint(canvas), "") << "nothing changed, nothing is sent";
        }
      }
    }
  }
}

TEST(Painter, AnotherThemeAndAForgottenScreenAreSentWhole) {
  const Size size{60, 15};
  Canvas canvas(size);
  canvas.text(canvas.bounds(), 3, 3, "accent", {Ink::kAccent});
  Painter painter(xterm(), ColorDepth::kTrue, default_theme());
  painter.paint(canvas);
  const Theme& light = *find_theme("light");
  painter.set_theme(light);
  Screenful screen(size);
  screen.take(painter.paint(canvas));
  expect_shown(screen, canvas, ColorDepth::kTrue, light);
  painter.forget();
  Screenful other(size);
  other.take(painter.paint(canvas));
  expect_shown(other, canvas, ColorDepth::kTrue, light);
}

// Slow links: a scroll step of the model's table, every row of it with figures of its own.
TEST(Painter, AScrollStepIsAFewKilobytes) {
  const auto model = std::make_shared<const Model>(test::llama(80));
  ModelScreen screen(model, AnalysisPlan::kAll, false);
  const Size size{120, 36};
  screen.resize(size);
  for (std::size_t i = 0; i < model->weights.size(); ++i) {
    screen.set_statistics(i, test::statistics(i));
  }
  screen.settle();
  for (const ColorDepth depth : {ColorDepth::kMono, ColorDepth::k256, ColorDepth::kTrue}) {
    Painter painter(xterm(), depth, default_theme());
    std::size_t most = 0;
    screen.handle(character("g"));
    for (int step = 0; step < 120; ++step) {
      Canvas canvas(size);
      screen.draw(canvas, glyphs(true));
      const std::string bytes = painter.paint(canvas);
      if (step > 0) most = std::max(most, bytes.size());
      screen.handle(character("j"));
    }
    EXPECT_LE(most, 4096U) << static_cast<int>(depth);
    RecordProperty(fmt::format("most_{}", static_cast<int>(depth)), static_cast<int>(most));
  }
}

}  // namespace
}  // namespace qi
