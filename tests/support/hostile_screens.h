// Names as an enemy writes them, and what every screen must keep whatever the names are. A new
// screen needs one call of expect_hostile_text_harmless(). Header only, one thread.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "tests/support/fake_model.h"
#include "views/screen.h"

namespace qi::test {

/// Escape sequences, all kinds of controls, bidirectional and invisible characters, wide and
/// combining ones, bytes that are not UTF-8, very long ones. None has a question mark: that is what
/// a canvas puts where a control byte stood.
inline std::vector<std::string> hostile_words() {
  return {"\x1b[2J\x1b[31mred",
          "\x1b]52;c;ZXZpbA==\x07",
          std::string("nul\0bell\x07 del\x7f", 14),
          "line\nfeed\rreturn\ttab\x08",
          "c1\xc2\x9b\x33\x31m\xc2\x85",
          "\u202egnirts\u202c\u2066iso\u2069\u200e\u200f\u061c",
          "zero\u200bwidth\u200c\u2060\ufeff\u00ad",
          "separators\u2028\u2029\ufff9",
          "tag\U000e0001\U000e0041",
          "bytes\xff\xfe\xc3\x28\xed\xa0\x80",
          "e" +
              [] {
                std::string marks;
                for (int i = 0; i < 60; ++i) marks += "\u0301";
                return marks;
              }(),
          "漢字かな漢字かな漢字かな",
          "👩\u200d👩\u200d👧 🇩🇪 ❤\ufe0f",
          "العربية עברית",
          "back\\slash \"quote\" 'quote' %s {} ${HOME}",
          std::string(5000, 'x'),
          "",
          " ",
          ".",
          "..."};
}

inline Model hostile_model() {
  Model model = empty_model(hostile_words()[0] + hostile_words()[5]);
  model.path = "/models/" + hostile_words()[1];
  int layer = 0;
  for (const std::string& text : hostile_words()) {
    add_weight(model, text, {4096}, Role::kNorm, -1);
    add_weight(model, fmt::format("model.layers.{}.{}.weight", layer, text), {4096, 4096}, Role::kQ,
               layer);
    add_weight(model, fmt::format("{}.{}.{}", text, text, layer), {16, 16}, Role::kOther, -1,
               DType::kF32);
    ++layer;
  }
  return model;
}

/// Every cell holds one grapheme that can be seen, of the width it says, and wide ones are whole.
inline void expect_clean_cells(const Canvas& canvas, bool question_marks) {
  const Size size = canvas.size();
  for (int y = 0; y < size.height; ++y) {
    int cells = 0;
    // A hint that names the help's key.
    const bool hint = canvas.row_text(y).find("? lists the keys") != std::string::npos;
    for (int x = 0; x < size.width; ++x) {
      const Cell& cell = canvas.at(x, y);
      cells += cell.width;
      if (cell.width == 0) {
        ASSERT_GT(x, 0);
        ASSERT_EQ(canvas.at(x - 1, y).width, 2) << "half a wide character at " << x << "," << y;
        continue;
      }
      const std::string_view text = cell.text();
      // A backslash is what escapes are made of.
      ASSERT_TRUE(text == "\\" || is_printable(text)) << escape(text) << " at " << x << "," << y;
      ASSERT_EQ(display_width(text), cell.width) << escape(text) << " at " << x << "," << y;
      if (!question_marks && !hint && y + 1 < size.height) {
        ASSERT_NE(text, "?") << "something was not escaped: " << canvas.row_text(y);
      }
    }
    ASSERT_EQ(cells, size.width) << "row " << y;
  }
}

/// Draws the screen at many sizes and after each of `keys`, with both sets of glyphs.
/// `question_marks`: the screen has some of its own above its last row.
inline void expect_hostile_text_harmless(Screen& screen, const std::vector<Key>& keys,
                                         bool question_marks = false) {
  const auto look_at = [&](Size size) {
    screen.resize(size);
    for (const bool unicode : {true, false}) {
      Canvas canvas(size);
      screen.draw(canvas, glyphs(unicode));
      expect_clean_cells(canvas, question_marks);
      if (testing::Test::HasFatalFailure()) return;
    }
  };
  const std::array sizes = {Size{1, 1},   Size{59, 15}, Size{60, 15},  Size{61, 16},
                            Size{80, 24}, Size{97, 30}, Size{120, 36}, Size{200, 60}};
  for (const Size size : sizes) {
    SCOPED_TRACE(fmt::format("{}x{}", size.width, size.height));
    look_at(size);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (const Key& key : keys) {
    screen.handle(key);
    for (const Size size : {Size{120, 36}, Size{60, 15}}) {
      SCOPED_TRACE(
          fmt::format("after {} at {}x{}", escape(key_name(key)), size.width, size.height));
      look_at(size);
      if (testing::Test::HasFatalFailure()) return;
    }
    screen.resize({120, 36});
  }
}

/// One key a character; '\r' is Enter, '\t' Tab, '\x1b' Esc.
inline std::vector<Key> keys_of(std::string_view text) {
  std::vector<Key> out;
  for (const char c : text) {
    if (c == '\r') {
      out.push_back(key(KeyCode::kEnter));
    } else if (c == '\t') {
      out.push_back(key(KeyCode::kTab));
    } else if (c == '\x1b') {
      out.push_back(key(KeyCode::kEscape));
    } else {
      out.push_back(character(std::string(1, c)));
    }
  }
  return out;
}

}  // namespace qi::test
