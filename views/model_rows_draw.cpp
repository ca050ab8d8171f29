// How the Model screen draws its table of weights. See model_screen.h.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/width.h"
#include "views/model_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

// "↓", and with several keys "↓¹", "↑²": which way, and how much the column counts. Two cells.
std::string sort_sign(const std::vector<SortKey>& keys, ColumnId id, const Glyphs& glyphs) {
  constexpr std::array<std::string_view, kMaxSortKeys> kRanks = {"¹", "²", "³"};
  for (std::size_t rank = 0; rank < keys.size(); ++rank) {
    if (keys[rank].column != id) continue;
    std::string out(keys[rank].descending ? glyphs.sort_down : glyphs.sort_up);
    if (keys.size() == 1) return out;
    return out + (glyphs.unicode ? std::string(kRanks[rank]) : std::to_string(rank + 1));
  }
  return "";
}

}  // namespace

void ModelScreen::draw_head(Canvas& canvas, const Glyphs& glyphs,
                            const std::vector<ColumnPlace>& places) const {
  const Rect& head = layout_.head;
  for (const ColumnPlace& place : places) {
    const auto id = static_cast<ColumnId>(place.id);
    const int x = head.x + kMarkCells + place.x;
    const std::string sign = sort_sign(table_.sort(), id, glyphs);
    const std::string title = elide_end(column_title(id, fit_), place.width, glyphs.ellipsis);
    const Style style{sign.empty() ? Ink::kDim : Ink::kStrong};
    int end = x + place.width;
    if (column(id).right) {
      canvas.text_right(head, end, head.y, title, style);
    } else {
      end = canvas.text(head, x, head.y, title, style);
    }
    canvas.text(head, end, head.y, sign, {Ink::kAccent});
  }
}

void ModelScreen::draw_table(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect& area = layout_.rows;
  if (area.empty()) return;
  const std::vector<ColumnPlace> places = placed_columns();
  draw_head(canvas, glyphs, places);
  if (table_.rows().empty()) {
    canvas.text(area, area.x + kMarkCells, area.y + 1,
                table_.size() == 0 ? "no weights in this model" : "no weight matches the filter",
                {Ink::kDim});
    return;
  }
  // One length of names for all rows in view: the fullest that fits them all.
  int room = 0;
  for (const ColumnPlace& place : places) {
    if (place.id == static_cast<int>(ColumnId::kName)) room = place.width;
  }
  int level = 0;
  for (std::size_t row = rows_.top(); row < rows_.end() && level < 3; ++row) {
    const std::string& name = table_.weight(table_.rows()[row]).name;
    while (level < 3 && display_width(shown_name(name, level)) > room) ++level;
  }
  for (std::size_t row = rows_.top(); row < rows_.end(); ++row) {
    draw_row(canvas, glyphs, row, area.y + static_cast<int>(row - rows_.top()), level, places);
  }
}

void ModelScreen::draw_name(Canvas& canvas, const Glyphs& glyphs, const Rect& cell,
                            std::uint32_t weight, int level) const {
  const std::string name =
      elide_middle(shown_name(table_.weight(weight).name, level), cell.width, glyphs.ellipsis);
  canvas.text(cell, cell.x, cell.y, name);
  for (const auto& [at, length] : table_.pattern().spans(name)) {
    const int begin = display_width(std::string_view(name).substr(0, at));
    const int cells = display_width(std::string_view(name).substr(at, length));
    canvas.ink(Rect{cell.x + begin, cell.y, cells, 1}.intersect(cell), Ink::kMatch);
  }
}

// What is stored, and in it what is left after coding.
void ModelScreen::draw_bits(Canvas& canvas, const Glyphs& glyphs, const Rect& cell,
                            std::uint32_t weight) const {
  const Weight& one = table_.weight(weight);
  const Statistics* statistics = table_.statistics(weight);
  const double coded = statistics != nullptr ? planes_bits(one, *statistics) : -1;
  const double stored = one.bits_per_weight();
  const double left = coded > 0 ? std::min(coded, stored) : stored;
  const Rect track{
      cell.x, cell.y,
      std::clamp(static_cast<int>(stored / fit_.bar_bits * cell.width + 0.5), 0, cell.width), 1};
  if (left < stored) canvas.fill(track, glyphs.track, {Ink::kDim});
  draw_bar(canvas, cell, left / fit_.bar_bits, {Ink::kAccent}, glyphs);
}

void ModelScreen::draw_row(Canvas& canvas, const Glyphs& glyphs, std::size_t row, int y, int level,
                           const std::vector<ColumnPlace>& places) const {
  const Rect& area = layout_.rows;
  const std::uint32_t index = table_.rows()[row];
  const Weight& weight = table_.weight(index);
  const Statistics* statistics = table_.statistics(index);
  const bool failed = !table_.failure(index).empty() || !weight.undecodable.empty();
  const bool marked = table_.is_marked(index);
  bool said = false;
  for (const ColumnPlace& place : places) {
    const auto id = static_cast<ColumnId>(place.id);
    const int x = area.x + kMarkCells + place.x;
    const Rect cell{x, y, place.width, 1};
    if (id == ColumnId::kName) {
      draw_name(canvas, glyphs, cell, index, level);
      continue;
    }
    if (id == ColumnId::kBar) {
      draw_bits(canvas, glyphs, cell, index);
      continue;
    }
    const ColumnInfo& info = column(id);
    if (info.from_statistics && statistics == nullptr) {
      if (failed && !said) {
        canvas.text_right(cell, cell.right(), y, "error", {Ink::kError});
      } else if (!failed) {
        canvas.text_right(cell, cell.right() - 2, y, glyphs.missing, {Ink::kDim});
      }
      said = true;
      continue;
    }
    std::string text = elide_middle(cell_text(id, table_.model(), weight, statistics, fit_),
                                    place.width, glyphs.ellipsis);
    if (info.form == ColumnForm::kReal) text = with_minus(text, glyphs);
    const Style style{id == ColumnId::kRole ? Ink::kDim : Ink::kText};
    if (info.right) {
      canvas.text_right(cell, cell.right(), y, text, style);
    } else {
      canvas.text(cell, x, y, text, style);
    }
  }
  if (marked) canvas.text(area, area.x + 1, y, glyphs.mark, {Ink::kMark});
  if (row == rows_.at()) {
    const Ground ground =
        pane_ == Pane::kTable && !filtering_ ? Ground::kCursor : Ground::kCursorAway;
    canvas.text(area, area.x, y, glyphs.cursor);
    canvas.ground({area.x, y, area.width, 1}, ground);
  }
}

}  // namespace qi
