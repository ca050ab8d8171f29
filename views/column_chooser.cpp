#include "views/column_chooser.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kMeaningLines = 3;
constexpr int kBefore = 6;  // cells left of a name: the cursor and the box
constexpr int kNameCells = 10;

}  // namespace

ColumnChooser::ColumnChooser(ColumnChoices choices, const ColumnFit& fit)
    : choices_(std::move(choices)), fit_(fit) {
  list_lines();
}

// A column that is switched off stays where it is until the list is made anew: what is under the
// cursor must not run away from it.
void ColumnChooser::list_lines() {
  lines_.clear();
  for (const ColumnChoice& one : choices_) lines_.push_back(one.id);
  for (const ColumnInfo& info : columns()) {
    if (chosen(info.id) == nullptr) lines_.push_back(info.id);
  }
}

const ColumnChoice* ColumnChooser::chosen(ColumnId id) const {
  const auto it = std::find_if(choices_.begin(), choices_.end(),
                               [id](const ColumnChoice& one) { return one.id == id; });
  return it == choices_.end() ? nullptr : &*it;
}

// The title, the list, a rule and what the column means.
Rect ColumnChooser::list_area() const {
  const int below = area_.height >= 14 ? kMeaningLines + 1 : 0;
  return {area_.x, area_.y + 1, std::max(0, area_.width - 1),
          std::max(0, area_.height - 1 - below)};
}

void ColumnChooser::resize(Rect area) {
  area_ = area;
  list_.resize(lines_.size(), list_area().height);
}

std::string ColumnChooser::why_not(Command command) const {
  const bool on = chosen(current()) != nullptr;
  switch (command) {
    case Command::kEnter:
      return current() == ColumnId::kName ? "the name stays: without it rows say nothing" : "";
    case Command::kZoomIn:
    case Command::kZoomOut:
    case Command::kLeft:
    case Command::kRight:
      return on ? "" : "this column is not shown: Enter shows it";
    case Command::kReset:
      return choices_ == default_columns() ? "these are the built-in columns" : "";
    default:
      return "";
  }
}

bool ColumnChooser::run(Command command) {
  if (list_.handle(command)) return false;
  const ColumnChoices before = choices_;
  switch (command) {
    case Command::kEnter:
      switch_current();
      break;
    case Command::kLeft:
      move_current(-1);
      break;
    case Command::kRight:
      move_current(1);
      break;
    case Command::kZoomIn:
      widen_current(1);
      break;
    case Command::kZoomOut:
      widen_current(-1);
      break;
    case Command::kReset:
      choices_ = default_columns();
      list_lines();
      break;
    default:
      break;
  }
  return choices_ != before;
}

void ColumnChooser::switch_current() {
  const ColumnId id = current();
  if (id == ColumnId::kName) return;
  if (chosen(id) != nullptr) {
    std::erase_if(choices_, [id](const ColumnChoice& one) { return one.id == id; });
    return;
  }
  // Behind the column that stands above it in the list.
  auto at = choices_.begin();
  for (std::size_t line = list_.at(); line-- > 0;) {
    const ColumnChoice* above = chosen(lines_[line]);
    if (above == nullptr) continue;
    at = choices_.begin() + (above - choices_.data()) + 1;
    break;
  }
  choices_.insert(at, {id, 0});
}

void ColumnChooser::move_current(int step) {
  const ColumnChoice* one = chosen(current());
  if (one == nullptr) return;
  const auto at = static_cast<int>(one - choices_.data());
  const int to = at + step;
  if (to < 0 || to >= static_cast<int>(choices_.size())) return;
  std::swap(choices_[static_cast<std::size_t>(at)], choices_[static_cast<std::size_t>(to)]);
  list_lines();
  list_.move_to(static_cast<std::size_t>(to));
}

void ColumnChooser::widen_current(int step) {
  const ColumnChoice* one = chosen(current());
  if (one == nullptr) return;
  const int least = one->id == ColumnId::kName ? kMinName : kMinColumn;
  const int now = one->width > 0 ? one->width : wanted_width(column(one->id), fit_);
  choices_[static_cast<std::size_t>(one - choices_.data())].width =
      std::clamp(now + step, least, kMaxColumn);
}

bool ColumnChooser::mouse(const Key& key) {
  if (key.code == KeyCode::kWheelUp) list_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) list_.move_by(3);
  const Rect list = list_area();
  if (key.code != KeyCode::kClick || !list.contains(key.x, key.y)) return false;
  const std::size_t line = list_.top() + static_cast<std::size_t>(key.y - list.y);
  if (line >= lines_.size()) return false;
  list_.move_to(line);
  return run(Command::kEnter);
}

void ColumnChooser::draw(Canvas& canvas, std::span<const ColumnPlace> places,
                         const Glyphs& glyphs) const {
  canvas.fill(area_, " ");
  canvas.fill({area_.right() - 1, area_.y, 1, area_.height}, glyphs.vertical, {Ink::kRule});
  const Rect inner{area_.x, area_.y, area_.width - 1, area_.height};
  canvas.text(inner, inner.x + 1, inner.y, "columns", {Ink::kStrong});
  canvas.text_right(inner, inner.right() - 1, inner.y,
                    fmt::format("{} of {} shown", choices_.size(), lines_.size()), {Ink::kDim});
  const Rect list = list_area();
  for (std::size_t line = list_.top(); line < list_.end(); ++line) {
    const ColumnId id = lines_[line];
    const ColumnChoice* choice = chosen(id);
    const int y = list.y + static_cast<int>(line - list_.top());
    const bool on = choice != nullptr;
    const bool placed = std::any_of(places.begin(), places.end(), [id](const ColumnPlace& place) {
      return place.id == static_cast<int>(id);
    });
    canvas.text(list, list.x + 2, y, on ? "[x]" : "[ ]", {on ? Ink::kAccent : Ink::kDim});
    canvas.text(list, list.x + kBefore, y, column(id).name, {on ? Ink::kText : Ink::kDim});
    std::string right;
    if (on && !placed) right = "no room";
    if (on && choice->width > 0)
      right += fmt::format("{}{} wide", right.empty() ? "" : ", ", choice->width);
    const int x = list.x + kBefore + kNameCells + 1;
    const int room = list.right() - 1 - x - (right.empty() ? 0 : display_width(right) + 2);
    canvas.text(list, x, y, elide_end(column(id).meaning, std::max(0, room), glyphs.ellipsis),
                {Ink::kDim});
    canvas.text_right(list, list.right() - 1, y, right, {placed ? Ink::kDim : Ink::kWarning});
    if (line != list_.at()) continue;
    canvas.text(list, list.x, y, glyphs.cursor);
    canvas.ground({list.x, y, list.width, 1}, Ground::kCursor);
  }
  if (list.bottom() >= area_.bottom()) return;
  canvas.fill({inner.x, list.bottom(), inner.width, 1}, glyphs.horizontal, {Ink::kRule});
  const ColumnInfo& info = column(current());
  const std::string text = fmt::format("{}: {}", column_title(info.id, fit_), info.meaning);
  int y = list.bottom() + 1;
  for (const std::string& part : wrap(text, inner.width - 2)) {
    if (y >= inner.bottom()) break;
    canvas.text(inner, inner.x + 1, y++, part);
  }
}

}  // namespace qi
