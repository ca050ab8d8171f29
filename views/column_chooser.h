// The list in which columns are switched on and off, moved and made wider: a panel over the Model
// screen, whose table follows at once. Owns the choice while it is open; draws into any rectangle.
// One thread.
#pragma once

#include <span>
#include <string>

#include "views/canvas.h"
#include "views/column_choice.h"
#include "views/glyphs.h"
#include "views/key.h"
#include "views/keymap.h"
#include "views/list_cursor.h"

namespace qi {

class ColumnChooser {
 public:
  ColumnChooser(ColumnChoices choices, const ColumnFit& fit);

  const ColumnChoices& choices() const { return choices_; }

  void resize(Rect area);
  const Rect& area() const { return area_; }
  /// Why a command can do nothing now; empty when it can.
  std::string why_not(Command command) const;
  /// True when the choice changed. Knows moving, Enter, <, >, +, - and reset.
  bool run(Command command);
  /// A click or wheel step inside area(): a click on a line switches it.
  bool mouse(const Key& key);
  /// `places`: the columns that have room.
  void draw(Canvas& canvas, std::span<const ColumnPlace> places, const Glyphs& glyphs) const;

  /// The column under the cursor.
  ColumnId current() const { return lines_[list_.at()]; }

 private:
  Rect list_area() const;
  const ColumnChoice* chosen(ColumnId id) const;
  void switch_current();
  void move_current(int step);
  void widen_current(int step);
  void list_lines();

  ColumnChoices choices_;
  ColumnFit fit_;
  std::vector<ColumnId> lines_;  // the chosen ones in their order, then the others
  ListCursor list_;
  Rect area_;
};

}  // namespace qi
