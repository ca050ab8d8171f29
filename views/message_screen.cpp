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

void MessageScreen::draw(Canvas& canvas, const Glyphs& glyphs) const {
  if (too_small(size_)) return draw_too_small(canvas);
  const int width = std::min(size_.width - 4, 100);
  const std::vector<std::string> lines = wrap(text_, width - 2);
  const int x = (size_.width - width) / 2;
  int y = std::max(1, (size_.height - static_cast<int>(lines.size()) - 3) / 2);
  canvas.text(canvas.bounds(), x, y, is_error_ ? "!" : glyphs.cursor,
              {is_error_ ? Ink::kError : Ink::kAccent});
  canvas.text(canvas.bounds(), x + 2, y, elide_middle(title_, width - 2, glyphs.ellipsis),
              {Ink::kStrong});
  y += 2;
  const Rect area{0, 0, size_.width, size_.height - 2};
  for (const std::string& line : lines) canvas.text(area, x + 2, y++, line);
  const Rect footer{0, size_.height - 1, size_.width, 1};
  if (!notice_.empty()) {
    canvas.text(footer, 1, footer.y, notice_, {Ink::kWarning});
    return;
  }
  draw_footer(canvas, footer, kInMessage, [](Command) { return true; });
}

Request MessageScreen::handle(const Key& pressed) {
  notice_.clear();
  switch (command_of(pressed, kInMessage)) {
    case Command::kQuit:
      return Request::kQuit;
    case Command::kHelp:
      return Request::kHelp;
    case Command::kBack:
      if (has_back_) return Request::kBack;
      notice_ = "this is the first level: q quits";
      return Request::kNothing;
    default:
      notice_ = fmt::format("{} does nothing here: q quits", escape(key_name(pressed)));
      return Request::kNothing;
  }
}

}  // namespace qi
