// What every screen must keep whatever it shows: drawn at any size, nothing outside the frame, no
// byte of a hostile name reaching the terminal. Header only.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/layout.h"
#include "views/screen.h"

namespace qi::test {

inline Request press(Screen& screen, std::string_view keys) {
  Request last;
  for (const char c : keys) last = screen.handle(character(std::string(1, c)));
  return last;
}

inline void filter(Screen& screen, std::string_view text) {
  press(screen, "/");
  press(screen, text);
  screen.handle(key(KeyCode::kEnter));
}

inline bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// The frame as text, of a screen that has that size.
inline std::string drawn(const Screen& screen, Size size, bool unicode = true) {
  Canvas canvas(size);
  screen.draw(canvas, glyphs(unicode));
  std::string out;
  for (int y = 0; y < size.height; ++y) out += canvas.row_text(y) + "\n";
  return out;
}
/// The same of one that is given that size.
inline std::string drawn(Screen& screen, Size size, bool unicode = true) {
  screen.resize(size);
  return drawn(std::as_const(screen), size, unicode);
}

/// From 1×1 to 200×60; `title` must be seen wherever the screen is large enough.
inline void expect_every_size(Screen& screen, std::string_view title) {
  for (int width = 1; width <= 200; width += 7) {
    for (int height = 1; height <= 60; height += 3) {
      screen.resize({width, height});
      Canvas canvas({width, height});
      screen.draw(canvas, glyphs(height % 2 == 0));
      for (int y = 0; y < height; ++y) EXPECT_LE(display_width(canvas.row_text(y)), width);
      if (too_small({width, height})) continue;
      EXPECT_NE(canvas.row_text(0).find(title), std::string::npos) << width << "x" << height;
    }
  }
}

/// Names with control characters, direction overrides, wide and combining characters, bytes that
/// are no text, and a very long one.
inline std::vector<std::string> hostile_names() {
  return {"\x1b[31mred\x07.weight",
          "layers.0.\u202egnp.exe",
          "字字字字字字字字字字字字字字字字字字字字",
          "e\u0301e\u0301\u200b\u200d.q",
          std::string("\xff\xfe\x00\x9b", 4),
          "line\nbreak\ttab",
          std::string(300, 'w')};
}

/// No cell holds anything but printable text, and rows end where the frame does.
inline void expect_clean_frame(Screen& screen) {
  for (const Size size : {Size{60, 15}, Size{80, 24}, Size{120, 36}, Size{200, 60}}) {
    screen.resize(size);
    Canvas canvas(size);
    screen.draw(canvas, glyphs(true));
    for (int y = 0; y < size.height; ++y) {
      std::string row = canvas.row_text(y);
      EXPECT_LE(display_width(row), size.width);
      std::replace(row.begin(), row.end(), '\\', '/');  // of escapes
      EXPECT_TRUE(is_printable(row)) << row;
    }
  }
}

}  // namespace qi::test
