// The Model screen's mouse: the wheel scrolls what is under it, a click selects, sorts or filters,
// a drag moves the border between two columns. See model_screen.h.
#include <cstddef>

#include "views/model_screen.h"

namespace qi {

Request ModelScreen::mouse(const Key& key) {
  filtering_ = false;
  cycling_ = false;
  if (key.code == KeyCode::kDrag || key.code == KeyCode::kRelease) return drag_border(key);
  drag_.reset();
  if (chooser_ && chooser_->area().contains(key.x, key.y)) {
    if (!chooser_->mouse(key)) return {};
    choices_ = chooser_->choices();
    return Ask::kColumnsChanged;
  }
  if (key.code != KeyCode::kClick) {
    wheel(key);
    return {};
  }
  if (chooser_ && !layout_.head.contains(key.x, key.y)) {
    close_chooser();
    return {};
  }
  if (layout_.tree.contains(key.x, key.y)) return click_tree(key);
  if (layout_.rows.contains(key.x, key.y)) return click_rows(key);
  if (layout_.head.contains(key.x, key.y)) click_head(key);
  if (layout_.filter.contains(key.x, key.y)) return run(Command::kFilter);
  return {};
}

void ModelScreen::wheel(const Key& key) {
  const long step = key.code == KeyCode::kWheelUp ? -3 : 3;
  if (layout_.tree.contains(key.x, key.y)) {
    lines_.move_by(step);
    set_scope();
  } else {
    rows_.move_by(step);
  }
}

Request ModelScreen::click_tree(const Key& key) {
  const std::size_t line = lines_.top() + static_cast<std::size_t>(key.y - layout_.tree.y);
  if (line >= lines_.count()) return {};
  const bool again = pane_ == Pane::kTree && line == lines_.at();
  lines_.move_to(line);
  set_pane(Pane::kTree);
  if (again) enter();  // folds
  set_scope();
  return {};
}

Request ModelScreen::click_rows(const Key& key) {
  const std::size_t row = rows_.top() + static_cast<std::size_t>(key.y - layout_.rows.y);
  if (row >= rows_.count()) return {};
  const bool again = pane_ == Pane::kTable && row == rows_.at();
  rows_.move_to(row);
  set_pane(Pane::kTable);
  return again ? enter() : Request();
}

// On a title it sorts, between two titles it takes hold of their border.
void ModelScreen::click_head(const Key& key) {
  const std::vector<ColumnPlace> places = placed_columns();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const int x = layout_.rows.x + 2 + places[i].x;
    const auto id = static_cast<ColumnId>(places[i].id);
    if (i > 0 && key.x >= x - kColumnGap && key.x < x) {
      drag_ = Drag{static_cast<ColumnId>(places[i - 1].id), id, key.x, false};
    }
    if (key.x < x || key.x >= x + places[i].width) continue;
    const bool again = id == table_.sort_column();
    sort_by(id, again ? !table_.descending() : largest_first(id));
  }
}

Request ModelScreen::drag_border(const Key& key) {
  if (!drag_) return {};
  if (key.code == KeyCode::kRelease) {
    const bool moved = drag_->moved;
    drag_.reset();
    return moved ? Ask::kColumnsChanged : Ask::kNothing;
  }
  const auto border = [&] {
    for (const ColumnPlace& place : placed_columns()) {
      if (place.id == static_cast<int>(drag_->right)) return layout_.rows.x + 2 + place.x;
    }
    return 0;
  };
  const int before = border();
  move_border(choices_, fit_, placed_columns(), drag_->left, drag_->right, key.x - drag_->x);
  // What the border did not follow, at the end of its way, is made up for on the way back.
  const int moved = border() - before;
  drag_->x += moved;
  drag_->moved = drag_->moved || moved != 0;
  if (chooser_) choose_columns();
  return {};
}

}  // namespace qi
