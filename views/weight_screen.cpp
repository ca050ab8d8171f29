#include "views/weight_screen.h"

#include <utility>

#include "engine/text/escape.h"
#include "views/detail_view.h"

namespace qi {

WeightScreen::WeightScreen(std::shared_ptr<const WeightTable> table, std::uint32_t weight)
    : table_(std::move(table)), weight_(weight) {}

void WeightScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  paint_title(canvas, glyphs, escape(table_->weight(weight_).name), "");
  canvas.fill({0, 1, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  draw_detail(canvas, {0, 2, size().width, size().height - 3}, *table_, weight_, "not analysed yet",
              glyphs);
  paint_footer(canvas, glyphs);
}

Request WeightScreen::run(Command command) {
  return command == Command::kBack ? Ask::kBack : Ask::kNothing;
}

}  // namespace qi
