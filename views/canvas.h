// A grid of character cells that screens draw on: graphemes, widths and named inks, no terminal.
// Refuses to hold a control byte or half a wide character: what does not fit is clipped.
// One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "views/geometry.h"

namespace qi {

/// What a piece of text is; the theme decides how that looks.
enum class Ink : std::uint8_t {
  kText,
  kDim,      // labels, units, what is of less interest now
  kStrong,   // titles, the thing looked at
  kAccent,   // the one colour: the cursor, progress, the first bar
  kSecond,   // the other colour, for what is compared with the first
  kThird,    // one more bar
  kRule,     // lines between panes
  kKey,      // a key in the footer
  kMatch,    // what the filter found
  kMark,     // marked rows
  kWarning,  // odd, but it goes on
  kError,    // wrong
};
inline constexpr int kInks = 12;

/// What lies behind a piece of text. kGround is the terminal's own background. From kRamp on: the
/// steps of a ramp from low to high, whose text is a figure on it (Ink::kText) or its texture
/// (Ink::kDim).
enum class Ground : std::uint8_t {
  kGround,
  kCursor,
  kCursorAway,
  kField,
  kRamp,
  kRampEnd = kRamp + 8,  // the first value that is no step
};
inline constexpr int kRampSteps = 8;
inline Ground ramp_ground(int step) {
  return static_cast<Ground>(static_cast<int>(Ground::kRamp) + step);
}

struct Style {
  Ink ink = Ink::kText;
  Ground ground = Ground::kGround;
  bool operator==(const Style&) const = default;
};

/// One cell: a grapheme of at most kMaxBytes, or the right half of a wide one (width 0).
struct Cell {
  static constexpr int kMaxBytes = 28;
  std::array<char, kMaxBytes> bytes{' '};
  std::uint8_t length = 1;
  std::uint8_t width = 1;  // 0: covered by the wide grapheme on its left
  Style style;

  std::string_view text() const { return {bytes.data(), length}; }
  bool operator==(const Cell& other) const {
    return width == other.width && style == other.style && text() == other.text();
  }
};

class Canvas {
 public:
  explicit Canvas(Size size = {});

  /// All blank, in the new size.
  void reset(Size size);
  Size size() const { return size_; }
  Rect bounds() const { return {0, 0, size_.width, size_.height}; }
  const Cell& at(int x, int y) const { return cells_[index(x, y)]; }

  /// Draws printable text (escape() first: control bytes become '?') from column x of row y, inside
  /// `clip`; a wide character that would cross its edge is left out. Returns the column after it.
  int text(const Rect& clip, int x, int y, std::string_view text, Style style = {});
  /// The same, ending before column `right`.
  void text_right(const Rect& clip, int right, int y, std::string_view text, Style style = {});
  /// One grapheme in every cell of a rectangle.
  void fill(const Rect& area, std::string_view grapheme, Style style = {});
  /// Changes the ground of a rectangle and leaves its text.
  void ground(const Rect& area, Ground ground);
  /// Changes the ink of a rectangle and leaves its text and ground.
  void ink(const Rect& area, Ink ink);

  /// Where the terminal's cursor stands (text fields); nowhere when not set.
  void set_cursor(int x, int y) { cursor_x_ = x, cursor_y_ = y; }
  bool has_cursor() const { return bounds().contains(cursor_x_, cursor_y_); }
  int cursor_x() const { return cursor_x_; }
  int cursor_y() const { return cursor_y_; }

  /// Row y as text, blanks at its end removed: for tests and goldens.
  std::string row_text(int y) const;

 private:
  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(size_.width) +
           static_cast<std::size_t>(x);
  }
  void put(int x, int y, std::string_view grapheme, int width, Style style);
  void clear_halves(int x, int y);

  Size size_;
  std::vector<Cell> cells_;
  int cursor_x_ = -1;
  int cursor_y_ = -1;
};

}  // namespace qi
