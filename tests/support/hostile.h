// Names that try to break a screen, and what no cell of one may hold.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/utf8.h"
#include "engine/text/width.h"
#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/screen.h"

namespace qi::test {

/// Control characters, a terminal's commands, text from right to left, wide and combining ones,
/// bytes that are not UTF-8, separators of lines.
inline std::vector<std::string> hostile_texts() {
  return {"a\x1b[31mred\x1b]0;title\x07",
          "line\nbreak\ttab\rreturn",
          "\xe2\x80\xae"
          "drawkcab",
          "漢字漢字漢字漢字漢字漢字漢字漢字",
          "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81",
          "\xff\xfe\x80",
          std::string("nul\0byte", 8),
          "c1\xc2\x9b"
          "31m",
          "\xe2\x80\xa8line\xe2\x80\xa9paragraph",
          "zero\xe2\x80\x8bwidth\xef\xbb\xbf",
          "back\\slash",
          std::string(300, 'x')};
}

/// Draws `screen` at `size` and looks at every cell.
inline void expect_clean(const Screen& screen, Size size, bool unicode) {
  Canvas canvas(size);
  screen.draw(canvas, glyphs(unicode));
  for (int y = 0; y < size.height; ++y) {
    int width = 0;
    for (int x = 0; x < size.width; ++x) {
      const Cell& cell = canvas.at(x, y);
      width += cell.width;
      for (const char c : cell.text()) {
        const auto byte = static_cast<unsigned char>(c);
        ASSERT_TRUE(byte >= 0x20 && byte != 0x7f) << x << "," << y;
        // A control byte that was not escaped becomes this on the canvas; the footer has it as a
        // key.
        ASSERT_TRUE(c != '?' || y + 1 == size.height)
            << x << "," << y << ": " << canvas.row_text(y);
      }
    }
    // Every wide character has its second cell: the rows stay aligned.
    ASSERT_EQ(width, size.width) << y << ": " << canvas.row_text(y);
  }
}

/// Every size from 1x1 to 200x60 in steps, with both sets of glyphs.
inline void expect_every_size(Screen& screen) {
  for (int height = 1; height <= 60; height += height < 22 ? 1 : 7) {
    for (int width = 1; width <= 200; width += width < 8 ? 1 : 13) {
      const Size size{width, height};
      screen.resize(size);
      for (const bool unicode : {true, false}) {
        Canvas canvas(size);
        screen.draw(canvas, glyphs(unicode));
        for (int y = 0; y < height; ++y) {
          ASSERT_LE(display_width(canvas.row_text(y)), width) << width << "x" << height;
        }
      }
    }
  }
}

}  // namespace qi::test
