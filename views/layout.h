// Where things stand on a screen of a given size: pure geometry, no drawing, no state.
// Every rectangle lies inside the screen and no two overlap, at every size from 1×1.
#pragma once

#include <span>
#include <vector>

#include "views/geometry.h"

namespace qi {

/// Below this a screen says what it needs instead.
inline constexpr Size kMinimum{60, 15};
inline bool too_small(Size size) {
  return size.width < kMinimum.width || size.height < kMinimum.height;
}

/// The Model screen. An empty rectangle: not shown at this size.
struct ModelLayout {
  bool wide = false;  // tree beside the table, rules between the panes, a status line
  Rect title, filter, top_rule;
  Rect tree_head, tree, tree_rule;  // the titles and the lines of the tree
  Rect head, rows;                  // the table's titles and its body
  Rect detail_rule, detail;
  Rect bottom_rule, status, footer;
};

/// `tree`: the tree has the focus, so on a narrow screen it takes the table's place. `zoomed`: the
/// pane with the focus has all of the body.
ModelLayout model_layout(Size size, bool tree, bool zoomed);

/// A column that wants `width` cells; the highest `leave` goes first when there is no room. 0 never
/// leaves and takes what is left over, at least `width`.
struct ColumnWish {
  int id = 0;
  int width = 0;
  int leave = 0;
};
struct ColumnPlace {
  int id = 0;
  int x = 0;  // relative to the table
  int width = 0;
};
/// Places for the columns that stay, in the given order, `gap` cells apart.
std::vector<ColumnPlace> place_columns(int width, int gap, std::span<const ColumnWish> wishes);

}  // namespace qi
