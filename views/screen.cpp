#include "views/screen.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/layout.h"
#include "views/widgets.h"

namespace qi {
namespace {

bool is_mouse(KeyCode code) {
  switch (code) {
    case KeyCode::kWheelUp:
    case KeyCode::kWheelDown:
    case KeyCode::kClick:
    case KeyCode::kDrag:
    case KeyCode::kRelease:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Screen::resize(Size size) {
  size_ = size;
  arrange();
}

void Screen::draw(Canvas& canvas, const Glyphs& glyphs) const {
  if (too_small(size_)) return draw_too_small(canvas);
  paint(canvas, glyphs);
}

Request Screen::handle(const Key& key) {
  notice_.clear();
  const Context here = context();
  if (too_small(size_)) {
    // Nothing can be seen, so nothing but leaving makes sense.
    return command_of(key, kInTable) == Command::kQuit ? Ask::kQuit : Ask::kNothing;
  }
  if (is_mouse(key.code)) return mouse(key);
  if (key.code == KeyCode::kPaste && (here & kTextFields) == 0) {
    // Never as keys: a pasted "q" must not quit.
    notice_ = "pasted text goes into a filter or a command: ask for one first";
    return {};
  }
  const Command command = command_of(key, here);
  if ((here & kTextFields) != 0) return typed(key, command);
  if (command == Command::kNone) {
    notice_ = fmt::format("{} does nothing here", escape(key_name(key)));
    const std::string_view help = first_key(Command::kHelp, here);
    if (!help.empty()) notice_ += fmt::format(": {} lists the keys", help);
    return {};
  }
  notice_ = why_not(command);
  if (!notice_.empty()) return {};
  switch (command) {
    case Command::kHelp:
      return Ask::kHelp;
    case Command::kQuit:
      return Ask::kQuit;
    case Command::kCommandLine:
      return Ask::kCommandLine;
    case Command::kShowJobs:
      return Ask::kShowJobs;
    case Command::kShowLog:
      return Ask::kShowLog;
    case Command::kCopy:
      if (copy_text().empty()) notice_ = "there is nothing to copy here";
      return notice_.empty() ? Ask::kCopy : Ask::kNothing;
    case Command::kExport:
      return Ask::kExport;
    default:
      return run(command);
  }
}

void Screen::paint_footer(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect area{0, size_.height - 1, size_.width, 1};
  if (!notice_.empty()) {
    canvas.text(area, 1, area.y, elide_end(notice_, area.width - 2, glyphs.ellipsis),
                {Ink::kWarning});
    return;
  }
  draw_footer(canvas, area, context(),
              [this](Command command) { return why_not(command).empty(); });
}

void Screen::paint_title(Canvas& canvas, const Glyphs& glyphs, std::string_view title,
                         std::string_view facts) const {
  const Rect area{0, 0, size_.width, 1};
  int room = area.width - 2;
  const int right = display_width(facts);
  if (right + 3 + std::min(display_width(title), 30) <= room) {
    canvas.text_right(area, area.width - 1, 0, facts, {Ink::kDim});
    room -= right + 3;
  }
  canvas.text(area, 1, 0, elide_middle(title, room, glyphs.ellipsis), {Ink::kStrong});
}

}  // namespace qi
