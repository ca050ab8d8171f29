// A grid of a weight's values that scrolls over all its rows and columns: cursor, window, form of
// the numbers, and what of the weight must be read to draw it. Reads nothing itself: windows are
// given to it, and cells that have not come yet are dots. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/tensor/value_window.h"
#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/list_cursor.h"
#include "views/text_table.h"

namespace qi {

enum class ValueForm : std::uint8_t { kNumber, kCode, kHex };
std::string_view form_name(ValueForm form);

class ValueGrid {
 public:
  /// Another weight of rows × cols; the cursor stays where that is possible. `spread`: a typical
  /// size of its values, for the number of digits; 0: not known.
  void show(std::uint64_t rows, std::uint64_t cols, double spread, double absmax);
  /// The same weight is known better.
  void set_spread(double spread, double absmax);
  /// The whole pane: a line of column numbers, the values, a line about the one at the cursor.
  void resize(Size area);
  /// True when `command` moves here.
  bool handle(Command command);
  void move_to(std::uint64_t row, std::uint64_t col);
  void next_form();
  /// Which forms the values have, known with the first window.
  bool has_form(ValueForm form) const;

  ValueForm form() const { return form_; }
  std::uint64_t row() const { return rows_.at(); }
  std::uint64_t col() const { return cols_.at(); }
  /// Rows and columns that are on the screen; empty when there is no room or no value.
  Tile visible() const;
  /// What must be read: visible(), unless it is all held.
  std::optional<Tile> wanted() const;
  void set_window(std::shared_ptr<const ValueWindow> window);
  void set_failure(std::string printable);

  /// "rows 0 … 21 of 14 336, columns 0 … 9 of 4 096".
  std::string range_text(const Glyphs& glyphs) const;
  void draw(Canvas& canvas, const Rect& area, bool focused, const Glyphs& glyphs) const;
  /// The values on the screen.
  TextTable table_shown() const;
  /// The row at line `y` and column at `x` of the pane's own area become the cursor's.
  bool click(int x, int y);

 private:
  int index_width() const;
  int cell_width() const;
  void lay_out();
  /// Place in the window; nothing when it has not been read.
  std::optional<std::size_t> place(std::uint64_t row, std::uint64_t col) const;
  std::string cell_text(std::size_t at, ValueForm form) const;
  std::string number_text(float value) const;
  std::string cursor_text(const Glyphs& glyphs) const;

  Size area_;
  ListCursor rows_, cols_;
  ValueForm form_ = ValueForm::kNumber;
  std::shared_ptr<const ValueWindow> window_;
  std::string failure_;
  int decimals_ = -1;  // of a number with a fixed point; −1: three significant digits
  int number_width_ = 9;
};

}  // namespace qi
