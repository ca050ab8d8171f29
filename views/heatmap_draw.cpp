// How the heat map is drawn.
#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/heatmap_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

// A step as a texture: with Unicode a bar that fills the cell from below, over all its rows; with
// ASCII a denser sign.
std::string_view texture(int step, int row, int rows, const Glyphs& glyphs) {
  if (!glyphs.unicode || rows == 1) return glyphs.density[static_cast<std::size_t>(step)];
  const int eighths = (step + 1) * rows - (rows - 1 - row) * 8;
  return eighths <= 0 ? " " : glyphs.density[static_cast<std::size_t>(std::min(eighths, 8) - 1)];
}

void fill_texture(Canvas& canvas, const Rect& area, int step, int rows, const Glyphs& glyphs) {
  for (int y = 0; y < area.height; ++y) {
    canvas.fill({area.x, area.y + y, area.width, 1},
                texture(step, rows - area.height + y, rows, glyphs),
                {Ink::kDim, ramp_ground(step)});
  }
}

}  // namespace

void HeatmapScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  paint_top(canvas, glyphs);
  const Place now = place();
  if (line_count() == 0) {
    canvas.text(bounds(), kLeft, now.grid.y, source_->when_empty(), {Ink::kDim});
  } else {
    paint_head(canvas, glyphs, now);
    paint_grid(canvas, glyphs, now);
    paint_strip(canvas, glyphs, now);
  }
  canvas.fill({0, now.rule, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  paint_words(canvas, glyphs, now);
  paint_legend(canvas, glyphs, now);
  paint_footer(canvas, glyphs);
}

void HeatmapScreen::paint_top(Canvas& canvas, const Glyphs& glyphs) const {
  std::string facts = has_layers()
                          ? fmt::format("{} {} {}", counted(map_.modules().size(), "module"),
                                        glyphs.dot, counted(map_.layers().size(), "layer"))
                          : "no weight is in a layer";
  if (map_.has_folds())
    facts += fmt::format(" {} {} of experts", glyphs.dot, heat_fold_name(fold_));
  paint_title(canvas, glyphs, "Heat map  " + source_->title(), facts);
  constexpr int kY = 1;
  int right = size().width - 1;
  if (const HeatSource::Progress now = source_->progress();
      now.done() < now.total && shown().comes_in) {
    const int bar = size().width >= 100 ? 10 : 6;
    right -= bar;
    draw_progress(canvas, {right, kY, bar, 1},
                  static_cast<double>(now.done()) / static_cast<double>(now.total), glyphs);
    const std::string text = fmt::format("analysed {}/{}", grouped(now.known), grouped(now.total));
    canvas.text_right(bounds(), right - 1, kY, text, {Ink::kDim});
    right -= display_width(text) + 3;
  }
  const std::string scale = fmt::format("{} scale", heat_scale_name(scale_));
  canvas.text_right(bounds(), right, kY, scale);
  right -= display_width(scale) + 2;
  const int x = canvas.text({0, kY, right, 1}, 1, kY, shown().title, {Ink::kAccent});
  if (right > x + 8) {
    canvas.text(bounds(), x + 2, kY, elide_end(shown().meaning, right - x - 2, glyphs.ellipsis),
                {Ink::kDim});
  }
}

// Titles above the cells: that of the cursor's, and of the others those that keep clear of it and
// of each other.
void HeatmapScreen::paint_head(Canvas& canvas, const Glyphs& glyphs, const Place& place) const {
  const Rect& head = place.head;
  // What the labels are, over them; what the titles are, before them.
  if (has_layers()) {
    canvas.text_right({0, head.y, head.x - 1, 1}, head.x - 1, head.y, "layer", {Ink::kDim});
  } else {
    canvas.text({kLeft, head.y, place.label, 1}, kLeft, head.y, "weight", {Ink::kDim});
  }
  const bool names = transposed_ || !has_layers();
  const auto title = [&](std::size_t cross) {
    const std::string text = cross_label(cross);
    return names ? elide_middle(text, std::max(1, place.cell - 1), glyphs.ellipsis) : text;
  };
  const auto x_of = [&](std::size_t cross) {
    return head.x + static_cast<int>(cross - cross_.top()) * place.cell;
  };
  const auto is_shown = [&](std::size_t cross) { return !in_strip_ && cross == cross_.at(); };
  const std::size_t at = cross_.at();
  int own_begin = head.right();
  int own_end = head.right();
  if (!in_strip_ && at < cross_.end()) {
    const std::string text = title(at);
    own_begin = std::min(x_of(at), head.right() - display_width(text));
    own_end = own_begin + display_width(text);
    canvas.text(head, own_begin, head.y, text, {Ink::kStrong});
  }
  // Numbers at a round step; names all.
  std::size_t step = 1;
  if (!names && cross_.end() > 0) {
    const int cells = display_width(cross_label(cross_.end() - 1)) + 1;
    constexpr std::array<std::size_t, 9> kSteps = {1, 2, 5, 10, 20, 50, 100, 500, 1000};
    for (const std::size_t one : kSteps) {
      step = one;
      if (static_cast<std::size_t>(place.cell) * one >= static_cast<std::size_t>(cells)) break;
    }
  }
  for (std::size_t cross = cross_.top(); cross < cross_.end(); ++cross) {
    if (cross % step != 0 || is_shown(cross)) continue;
    const std::string text = title(cross);
    const int begin = x_of(cross);
    const int end = begin + display_width(text);
    if (end > head.right() || (begin <= own_end && end >= own_begin)) continue;
    canvas.text(head, begin, head.y, text, {Ink::kDim});
  }
  // More to the left, more to the right.
  if (cross_.top() > 0) canvas.text(bounds(), head.x - 1, head.y, glyphs.ellipsis, {Ink::kAccent});
  if (cross_.end() < cross_.count()) {
    canvas.text(bounds(), head.right(), head.y, glyphs.ellipsis, {Ink::kAccent});
  }
}

void HeatmapScreen::paint_grid(Canvas& canvas, const Glyphs& glyphs, const Place& place) const {
  // Figures where all in view have room for them: bars beside figures would mislead.
  bool figures = place.cell >= 4;
  for (std::size_t line = lines_.top(); line < lines_.end() && figures; ++line) {
    for (std::size_t cross = cross_.top(); cross < cross_.end() && figures; ++cross) {
      const std::uint32_t cell = cell_at(line, cross);
      figures = cell == HeatMap::kNoCell || display_width(value_text(cell)) < place.cell;
    }
  }
  for (std::size_t line = lines_.top(); line < lines_.end(); ++line) {
    const int y = place.grid.y + static_cast<int>(line - lines_.top()) * place.height;
    const bool own = !in_strip_ && line == lines_.at();
    if (own) canvas.text(bounds(), 0, y, glyphs.cursor);
    const std::string label = elide_middle(line_label(line), place.label, glyphs.ellipsis);
    const Style style{own ? Ink::kStrong : Ink::kText};
    if (transposed_) {
      canvas.text_right(bounds(), kLeft + place.label, y, label, style);
    } else {
      canvas.text(bounds(), kLeft, y, label, style);
    }
    for (std::size_t cross = cross_.top(); cross < cross_.end(); ++cross) {
      const std::uint32_t cell = cell_at(line, cross);
      const Rect area{place.grid.x + static_cast<int>(cross - cross_.top()) * place.cell, y,
                      place.cell, place.height};
      paint_cell(canvas, glyphs, area, cell, figures, own && cross == cross_.at());
    }
  }
}

void HeatmapScreen::paint_cell(Canvas& canvas, const Glyphs& glyphs, const Rect& area,
                               std::uint32_t cell, bool figures, bool current) const {
  if (cell != HeatMap::kNoCell) {
    const Rect first{area.x, area.y, area.width, 1};
    if (!std::isnan(levels_[cell])) {
      const int step = heat_step(levels_[cell]);
      if (figures) {
        canvas.fill(area, " ", {Ink::kText, ramp_ground(step)});
        const int right = area.right() - (area.width > 6 ? 1 : 0);
        canvas.text_right(first, right, area.y, with_minus(value_text(cell), glyphs),
                          {Ink::kText, ramp_ground(step)});
      } else {
        fill_texture(canvas, area, step, area.height, glyphs);
      }
    } else if (has_failed(cell)) {
      canvas.text(first, area.x + (area.width - 1) / 2, area.y, "!", {Ink::kError});
    } else if (is_waiting(cell)) {
      canvas.text(first, area.x + (area.width - 1) / 2, area.y, glyphs.missing, {Ink::kDim});
    }
  }
  if (current) canvas.ground(area, Ground::kCursor);
}

void HeatmapScreen::paint_strip(Canvas& canvas, const Glyphs& glyphs, const Place& place) const {
  if (!has_strip()) return;
  const Rect& strip = place.strip;
  if (in_strip_) canvas.text(bounds(), 0, strip.y, glyphs.cursor);
  canvas.text({kLeft, strip.y, place.label, 1}, kLeft, strip.y, "no layer",
              {in_strip_ ? Ink::kStrong : Ink::kDim});
  for (const Slot& slot : slots(place)) {
    const bool own = in_strip_ && slot.index == strip_.at();
    const std::uint32_t cell = map_.outside_cell(slot.index);
    const bool figures = slot.cell.width >= 4 && display_width(value_text(cell)) < slot.cell.width;
    paint_cell(canvas, glyphs, slot.cell.intersect(strip), cell, figures, own);
    if (slot.label_x >= 0) {
      canvas.text(strip, slot.label_x, strip.y, map_.outside()[slot.index].label,
                  {own ? Ink::kStrong : Ink::kText});
    } else if (slot.index + 1 == strip_.end() && strip_.end() < strip_.count()) {
      canvas.text(bounds(), strip.right(), strip.y, glyphs.ellipsis, {Ink::kAccent});
    }
  }
  if (strip_.top() > 0) {
    canvas.text(bounds(), strip.x - 1, strip.y, glyphs.ellipsis, {Ink::kAccent});
  }
}

// --- in words

std::string HeatmapScreen::name_of(std::uint32_t cell) const {
  const auto weights = map_.weights(cell);
  if (weights.size() == 1) return source_->name(weights.front());
  return fmt::format("{} of {}", heat_fold_name(fold_), grouped(weights.size()));
}

std::string HeatmapScreen::value_words(std::uint32_t cell, const Glyphs& glyphs) const {
  const std::string& title = shown().title;
  const double value = values_.values[cell];
  const auto weights = map_.weights(cell);
  if (std::isnan(value)) {
    if (has_failed(cell)) {
      for (const std::uint32_t index : weights) {
        if (source_->gap(column_, index) != HeatGap::kFailed) continue;
        return fmt::format("{}: failed: {}", title, escape(source_->failure(index)));
      }
    }
    return fmt::format(
        "{}: {}", title,
        is_waiting(cell) ? source_->waiting_text() : "does not apply to this weight");
  }
  std::string out = fmt::format("{} {}", title, with_minus(value_text(cell), glyphs));
  const auto above =
      values_.sorted.end() - std::upper_bound(values_.sorted.begin(), values_.sorted.end(), value);
  if (std::isfinite(value) && values_.sorted.size() > 1) {
    out +=
        fmt::format("  {} {} of {} from the top", glyphs.dot,
                    grouped(static_cast<std::uint64_t>(above) + 1), grouped(values_.sorted.size()));
  }
  if (weights.size() < 2) return out;
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  std::size_t known = 0;
  for (const std::uint32_t index : weights) {
    const double one = source_->value(column_, index);
    if (std::isnan(one)) continue;
    ++known;
    low = std::min(low, one);
    high = std::max(high, one);
  }
  return out +
         fmt::format("  {} {} of {}{}, {} to {}", glyphs.dot, heat_fold_name(fold_), grouped(known),
                     known < weights.size() ? fmt::format(" (of {})", grouped(weights.size())) : "",
                     with_minus(source_->number_text(column_, low), glyphs),
                     with_minus(source_->number_text(column_, high), glyphs));
}

void HeatmapScreen::paint_words(Canvas& canvas, const Glyphs& glyphs, const Place& place) const {
  const Rect& area = place.words;
  const std::uint32_t cell = current_cell();
  if (line_count() == 0) return;
  if (cell == HeatMap::kNoCell) {
    const std::size_t layer = transposed_ ? lines_.at() : cross_.at();
    const std::size_t module = transposed_ ? cross_.at() : lines_.at();
    canvas.text(area, area.x, area.y,
                elide_middle(fmt::format("layer {} has no {}", map_.layers()[layer],
                                         map_.modules()[module].label),
                             area.width, glyphs.ellipsis),
                {Ink::kDim});
    return;
  }
  const std::uint32_t index = *current_item();
  const std::string name = escape(source_->name(index));
  const std::string words = value_words(cell, glyphs);
  if (area.height == 1) {
    // The value is what one came for; the name takes what is left.
    const int width = std::min(display_width(words), area.width);
    canvas.text_right(area, area.right(), area.y, elide_end(words, area.width, glyphs.ellipsis));
    canvas.text(area, area.x, area.y, elide_middle(name, area.width - width - 2, glyphs.ellipsis),
                {Ink::kStrong});
    return;
  }
  const std::size_t layer = transposed_ ? lines_.at() : cross_.at();
  std::string facts =
      has_layers() && !in_strip_ ? fmt::format("layer {}", map_.layers()[layer]) : "in no layer";
  facts += fmt::format(" {} {}", glyphs.dot, source_->facts(index, glyphs));
  std::string shown = name;
  if (map_.weights(cell).size() > 1) shown += " has the largest";
  int room = area.width;
  if (display_width(facts) + 3 + std::min(display_width(shown), 30) <= room) {
    canvas.text_right(area, area.right(), area.y, facts, {Ink::kDim});
    room -= display_width(facts) + 3;
  }
  canvas.text(area, area.x, area.y, elide_middle(shown, room, glyphs.ellipsis), {Ink::kStrong});
  canvas.text(area, area.x, area.y + 1, elide_end(words, area.width, glyphs.ellipsis));
}

void HeatmapScreen::paint_legend(Canvas& canvas, const Glyphs& glyphs, const Place& place) const {
  const Rect& area = place.legend;
  const HeatSource::Gaps gaps = source_->gaps(column_);
  const auto text_of = [&](double level) {
    return with_minus(source_->number_text(column_, heat_value_at(values_, scale_, level)), glyphs);
  };
  if (values_.sorted.empty() || values_.low() == values_.high()) {
    std::string text =
        shown().comes_in && gaps.waiting > 0 ? "no values yet" : "this column applies to no weight";
    if (values_.known > 0) text = "no value is finite";
    if (!values_.sorted.empty()) text = "all values are " + text_of(0);
    canvas.text(area, area.x, area.y, text, {Ink::kDim});
    return;
  }
  const bool ticks = area.height > 1;
  const std::string low = text_of(0);
  const std::string high = text_of(1);
  const int beside = ticks ? 0 : display_width(low) + display_width(high) + 2;
  const int step = std::clamp((std::min(area.width, 82) - beside) / kRampSteps, 1, ticks ? 10 : 4);
  int x = area.x;
  if (!ticks) x = canvas.text(area, x, area.y, low) + 1;
  const int begin = x;
  for (int i = 0; i < kRampSteps; ++i) {
    fill_texture(canvas, Rect{x, area.y, step, 1}.intersect(area), i, 1, glyphs);
    x += step;
  }
  std::string signs;
  if (gaps.waiting > 0) signs = fmt::format("{} {}", glyphs.missing, source_->waiting_text());
  if (gaps.failed > 0) {
    signs += fmt::format("{}! failed", signs.empty() ? "" : "  ");
  }
  if (!ticks) {
    x = canvas.text(area, x + 1, area.y, high);
  } else {
    const int y = area.y + 1;
    canvas.text(area, begin, y, low);
    canvas.text_right(area, x, y, high);
    int free = begin + display_width(low) + 1;
    const int end = x - display_width(high) - 1;
    for (const int quarter : {1, 2, 3}) {
      const std::string text = text_of(quarter / 4.0);
      const int at = begin + (x - begin) * quarter / 4 - display_width(text) / 2;
      if (at < free || at + display_width(text) > end) continue;
      free = canvas.text(area, at, y, text, {Ink::kDim}) + 1;
    }
  }
  if (x + 3 + display_width(signs) <= area.right()) {
    canvas.text(area, x + 3, area.y, signs, {Ink::kDim});
  }
}

}  // namespace qi
