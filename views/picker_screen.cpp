#include "views/picker_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/layout.h"
#include "views/widgets.h"

namespace qi {

PickerScreen::PickerScreen(std::string path, std::vector<PickerEntry> entries)
    : path_(std::move(path)), entries_(std::move(entries)) {}

void PickerScreen::arrange() {
  list_.resize(entries_.size(), std::max(0, size().height - 5));
}

void PickerScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  const std::string count = fmt::format("{} models", entries_.size());
  const int x = canvas.text(canvas.bounds(), 1, 0, "qinspect", {Ink::kAccent}) + 2;
  canvas.text(
      canvas.bounds(), x, 0,
      elide_middle(escape(path_), size().width - x - display_width(count) - 4, glyphs.ellipsis),
      {Ink::kStrong});
  canvas.text_right(canvas.bounds(), size().width - 1, 0, count);
  canvas.fill({0, 1, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  const Rect area{0, 2, size().width, list_.rows()};
  const int kind_width = 26;
  const int size_width = 10;
  const int name_width = area.width - kind_width - size_width - 7;
  for (std::size_t row = list_.top(); row < list_.end(); ++row) {
    const PickerEntry& entry = entries_[row];
    const int y = area.y + static_cast<int>(row - list_.top());
    canvas.text(area, 2, y, elide_middle(escape(entry.name), name_width, glyphs.ellipsis));
    canvas.text(area, name_width + 4, y, elide_end(entry.kind, kind_width, glyphs.ellipsis),
                {Ink::kDim});
    canvas.text_right(area, area.right() - 1, y, human_bytes(entry.size_bytes));
    if (row != list_.at()) continue;
    canvas.text(area, 0, y, glyphs.cursor);
    canvas.ground({0, y, area.width, 1}, Ground::kCursor);
  }
  canvas.fill({0, size().height - 3, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  if (!entries_.empty()) {
    canvas.text(bounds(), 1, size().height - 2,
                elide_middle(escape(entries_[list_.at()].path), size().width - 2, glyphs.ellipsis),
                {Ink::kDim});
  }
  paint_footer(canvas, glyphs);
}

std::string PickerScreen::why_not(Command command) const {
  if (command == Command::kEnter && entries_.empty()) return "there is no model to open";
  return command == Command::kBack ? "this is the first level: q quits" : "";
}

Request PickerScreen::run(Command command) {
  if (command == Command::kEnter) return {Ask::kOpen, list_.at()};
  list_.handle(command);
  return {};
}

Request PickerScreen::mouse(const Key& key) {
  if (key.code == KeyCode::kWheelUp) list_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) list_.move_by(3);
  const int row = key.y - 2;
  if (key.code != KeyCode::kClick || row < 0 || row >= list_.rows()) return {};
  const std::size_t target = list_.top() + static_cast<std::size_t>(row);
  if (target >= list_.count()) return {};
  const bool again = target == list_.at();
  list_.move_to(target);
  return again ? Request(Ask::kOpen, target) : Request();
}

}  // namespace qi
