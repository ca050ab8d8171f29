// How the Model screen draws its tree: a line a module, with what the module comes to where there
// is room. See model_screen.h.
#include <algorithm>

#include "engine/text/width.h"
#include "views/model_screen.h"
#include "views/tree_table.h"

namespace qi {

void ModelScreen::draw_tree(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect& area = layout_.tree;
  if (area.empty()) return;
  // A cell for the cursor on the left, one of air on the right.
  const std::vector<ColumnPlace> places = place_tree_columns(table_, fit_, area.width - 2);
  draw_tree_head(canvas, places);
  for (std::size_t line = lines_.top(); line < lines_.end(); ++line) {
    const int y = area.y + static_cast<int>(line - lines_.top());
    draw_module(canvas, glyphs, table_.tree().lines()[line], y, places);
    if (line != lines_.at()) continue;
    const bool here = pane_ == Pane::kTree && !filtering_;
    canvas.ground({area.x, y, area.width, 1}, here ? Ground::kCursor : Ground::kCursorAway);
    if (here) canvas.text(area, area.x, y, glyphs.cursor, {Ink::kText, Ground::kCursor});
  }
}

void ModelScreen::draw_tree_head(Canvas& canvas, const std::vector<ColumnPlace>& places) const {
  const Rect& head = layout_.tree_head;
  for (const ColumnPlace& place : places) {
    const auto id = static_cast<TreeColumn>(place.id);
    const int x = head.x + 1 + place.x;
    const std::string title = tree_title(id, table_, fit_);
    if (id == TreeColumn::kModule || id == TreeColumn::kWorstName) {
      canvas.text(head, x, head.y, title, {Ink::kDim});
    } else {
      canvas.text_right(head, x + place.width, head.y, title, {Ink::kDim});
    }
  }
}

void ModelScreen::draw_module(Canvas& canvas, const Glyphs& glyphs, std::uint32_t node, int y,
                              const std::vector<ColumnPlace>& places) const {
  const Rect& area = layout_.tree;
  const NameTree& tree = table_.tree();
  const TreeNode& one = tree.nodes()[node];
  const bool empty = table_.matches(node) == 0;
  const Style style{empty ? Ink::kDim : Ink::kText};
  // Everything is in the first line's module: what stands under it needs no indent to say so.
  const int indent = 2 * std::clamp(one.depth - 1, 0, 8) + 2;
  const std::string label = tree_label(tree, node, glyphs.range);
  const bool only_size = places.size() <= 2;
  for (const ColumnPlace& place : places) {
    const auto id = static_cast<TreeColumn>(place.id);
    const int x = area.x + 1 + place.x;
    const Rect cell{x, y, place.width, 1};
    if (id == TreeColumn::kModule) {
      // A size alone leaves before the name is cut.
      const bool alone = only_size && indent + display_width(label) > place.width;
      const int room = (alone ? area.right() - 1 - x : place.width) - indent;
      if (!tree.is_leaf(node)) {
        canvas.text(cell, x + indent - 2, y, one.open ? glyphs.open : glyphs.closed,
                    {empty ? Ink::kDim : Ink::kAccent});
      }
      canvas.text(area, x + indent, y, elide_middle(label, std::max(0, room), glyphs.ellipsis),
                  style);
      if (alone) break;
      continue;
    }
    const std::string text = tree_cell(id, table_, node, fit_);
    if (id == TreeColumn::kWorstName) {
      canvas.text(cell, x, y, elide_middle(text, place.width, glyphs.ellipsis), {Ink::kDim});
    } else if (text.empty()) {
      canvas.text_right(cell, cell.right(), y, glyphs.missing, {Ink::kDim});
    } else {
      canvas.text_right(cell, cell.right(), y, elide_end(text, place.width, glyphs.ellipsis),
                        {only_size || empty ? Ink::kDim : Ink::kText});
    }
  }
}

}  // namespace qi
