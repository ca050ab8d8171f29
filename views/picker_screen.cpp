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

void PickerScreen::resize(Size size) {
  size_ = size;
  list_.resize(entries_.size(), std::max(0, size.height - 5));
}

void PickerScreen::draw(Canvas& canvas, const Glyphs& glyphs) const {
  if (too_small(size_)) return draw_too_small(canvas);
  const std::string count = fmt::format("{} models", entries_.size());
  const int x = canvas.text(canvas.bounds(), 1, 0, "qinspect", {Ink::kAccent}) + 2;
  canvas.text(
      canvas.bounds(), x, 0,
      elide_middle(escape(path_), size_.width - x - display_width(count) - 4, glyphs.ellipsis),
      {Ink::kStrong});
  canvas.text_right(canvas.bounds(), size_.width - 1, 0, count);
  canvas.fill({0, 1, size_.width, 1}, glyphs.horizontal, {Ink::kRule});
  const Rect area{0, 2, size_.width, list_.rows()};
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
  canvas.fill({0, size_.height - 3, size_.width, 1}, glyphs.horizontal, {Ink::kRule});
  const bool warn = !notice_.empty();
  const std::string line = warn || entries_.empty() ? notice_ : escape(entries_[list_.at()].path);
  canvas.text(canvas.bounds(), 1, size_.height - 2,
              elide_middle(line, size_.width - 2, glyphs.ellipsis),
              {warn ? Ink::kError : Ink::kDim});
  draw_footer(canvas, {0, size_.height - 1, size_.width, 1}, kInPicker,
              [this](Command command) { return command != Command::kEnter || !entries_.empty(); });
}

Request PickerScreen::handle(const Key& pressed) {
  notice_.clear();
  switch (pressed.code) {
    case KeyCode::kWheelUp:
      list_.move_by(-3);
      return Request::kNothing;
    case KeyCode::kWheelDown:
      list_.move_by(3);
      return Request::kNothing;
    case KeyCode::kClick: {
      const int row = pressed.y - 2;
      if (row < 0 || row >= list_.rows()) return Request::kNothing;
      const std::size_t target = list_.top() + static_cast<std::size_t>(row);
      if (target >= list_.count()) return Request::kNothing;
      const bool again = target == list_.at();
      list_.move_to(target);
      return again ? Request::kOpen : Request::kNothing;
    }
    default:
      break;
  }
  const Command command = command_of(pressed, kInPicker);
  if (list_.handle(command)) return Request::kNothing;
  switch (command) {
    case Command::kEnter:
      return entries_.empty() ? Request::kNothing : Request::kOpen;
    case Command::kHelp:
      return Request::kHelp;
    case Command::kQuit:
      return Request::kQuit;
    case Command::kBack:
      notice_ = "this is the first level: q quits";
      return Request::kNothing;
    default:
      notice_ = fmt::format("{} does nothing here: ? lists the keys", escape(key_name(pressed)));
      return Request::kNothing;
  }
}

}  // namespace qi
