#include "views/message_screen.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/layout.h"
#include "views/widgets.h"

namespace qi {

MessageScreen::MessageScreen(std::string title, std::string text, bool is_error, bool has_back)
    : title_(std::move(title)), text_(std::move(text)), is_error_(is_error), has_back_(has_back) {}

void MessageScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  const int width = std::min(size().width - 4, 100);
  const std::vector<std::string> lines = wrap(text_, width - 2);
  const int x = (size().width - width) / 2;
  int y = std::max(1, (size().height - static_cast<int>(lines.size()) - 3) / 2);
  canvas.text(canvas.bounds(), x, y, is_error_ ? "!" : glyphs.cursor,
              {is_error_ ? Ink::kError : Ink::kAccent});
  canvas.text(canvas.bounds(), x + 2, y, elide_middle(title_, width - 2, glyphs.ellipsis),
              {Ink::kStrong});
  y += 2;
  const Rect area{0, 0, size().width, size().height - 2};
  for (const std::string& line : lines) canvas.text(area, x + 2, y++, line);
  paint_footer(canvas, glyphs);
}

std::string MessageScreen::why_not(Command command) const {
  return command == Command::kBack && !has_back_ ? "this is the first level: q quits" : "";
}

Request MessageScreen::run(Command command) {
  return command == Command::kBack ? Ask::kBack : Ask::kNothing;
}

}  // namespace qi
