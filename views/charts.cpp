#include "views/charts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kLabel = 15;  // cells of a bar's label
constexpr int kNumber = 6;  // and of its number
constexpr int kBarBegin = kLabel + kNumber + 1;

}  // namespace

int draw_facts(Canvas& canvas, const Rect& area, std::span<const Fact> facts) {
  int x = area.x;
  for (const Fact& fact : facts) {
    const int width =
        display_width(fact.label) + (fact.label.empty() ? 0 : 1) + display_width(fact.value);
    if (x + width > area.right()) break;
    if (!fact.label.empty()) x = canvas.text(area, x, area.y, fact.label, {Ink::kDim}) + 1;
    x = canvas.text(area, x, area.y, fact.value) + 2;
  }
  return x;
}

void draw_fact_grid(Canvas& canvas, const Rect& area, std::span<const Fact> facts, int across) {
  if (area.empty() || across < 1) return;
  const int cell = area.width / across;
  const int count = std::min(static_cast<int>(facts.size()), across * area.height);
  const int lines = (count + across - 1) / across;
  for (int i = 0; i < count; ++i) {
    const Fact& fact = facts[static_cast<std::size_t>(i)];
    const Rect place{area.x + i / lines * cell, area.y + i % lines, cell - 2, 1};
    canvas.text(place, place.x, place.y, fact.label, {Ink::kDim});
    canvas.text_right(place, place.right(), place.y, fact.value);
  }
}

void draw_bits(Canvas& canvas, const Rect& area, std::span<const BitsBar> bars, double most,
               const Glyphs& glyphs) {
  const int room = area.width - kBarBegin;
  for (std::size_t i = 0; i < bars.size() && static_cast<int>(i) < area.height; ++i) {
    const BitsBar& bar = bars[i];
    const int y = area.y + static_cast<int>(i);
    canvas.text(area, area.x, y, bar.label, {Ink::kDim});
    canvas.text_right(area, area.x + kLabel + kNumber, y, fmt::format("{:.2f}", bar.bits));
    if (room <= 0 || !(most > 0)) continue;
    draw_bar(canvas, {area.x + kBarBegin, y, room, 1}, bar.bits / most, {bar.ink}, glyphs);
    const int used = static_cast<int>(room * std::min(1.0, bar.bits / most)) + 2;
    if (!bar.note.empty() && used + display_width(bar.note) <= room) {
      canvas.text(area, area.x + kBarBegin + used, y, bar.note, {Ink::kDim});
    }
  }
}

void draw_bits_scale(Canvas& canvas, const Rect& area, double most) {
  canvas.text({area.x, area.y, std::min(area.width, kBarBegin - 1), 1}, area.x, area.y,
              "bits per weight", {Ink::kDim});
  const int room = area.width - kBarBegin;
  if (room < 8 || !(most > 0)) return;
  double step = 0.25;
  while (step / most * room < 5) step *= 2;
  for (double at = 0; at <= most * 1.0001; at += step) {
    const std::string text = exact_number(at);
    const int x = std::min(area.x + kBarBegin + static_cast<int>(std::lround(at / most * room)),
                           area.right() - display_width(text));
    canvas.text(area, x, area.y, text, {Ink::kDim});
  }
}

void draw_columns(Canvas& canvas, const Rect& area, std::span<const double> heights, Style style,
                  const Glyphs& glyphs) {
  const int columns = std::min(area.width, static_cast<int>(heights.size()));
  for (int column = 0; column < columns; ++column) {
    const double height = heights[static_cast<std::size_t>(column)];
    if (!(height > 0)) continue;
    const int eighths =
        std::max(1, static_cast<int>(std::lround(std::min(height, 1.0) * area.height * 8)));
    for (int row = 0; row < area.height; ++row) {
      const int here = std::clamp(eighths - row * 8, 0, 8);
      if (here == 0) break;
      canvas.text(area, area.x + column, area.bottom() - 1 - row,
                  glyphs.up[static_cast<std::size_t>(here - 1)], style);
    }
  }
}

std::vector<double> heights_of(std::span<const std::uint64_t> counts, bool logarithmic) {
  std::vector<double> out;
  out.reserve(counts.size());
  double most = 0;
  for (const std::uint64_t count : counts) {
    const auto number = static_cast<double>(count);
    out.push_back(logarithmic ? std::log1p(number) : number);
    most = std::max(most, out.back());
  }
  for (double& height : out) height = most > 0 ? height / most : 0;
  return out;
}

std::vector<double> spread(std::span<const double> values, int columns) {
  std::vector<double> out(static_cast<std::size_t>(std::max(0, columns)), 0);
  if (values.empty() || out.empty()) return out;
  if (out.size() >= values.size()) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = values[i * values.size() / out.size()];
    return out;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    double& place = out[i * out.size() / values.size()];
    place = std::max(place, values[i]);
  }
  return out;
}

void draw_axis(Canvas& canvas, const Rect& line, double low, double high, const Glyphs& glyphs) {
  const std::string left = with_minus(human_number(low), glyphs);
  const std::string right = with_minus(human_number(high), glyphs);
  canvas.text(line, line.x, line.y, left, {Ink::kDim});
  if (display_width(left) + display_width(right) + 1 > line.width) return;
  canvas.text_right(line, line.right(), line.y, right, {Ink::kDim});
  if (!(low < 0 && high > 0)) return;
  const int zero = line.x + static_cast<int>(line.width * (0 - low) / (high - low));
  const bool free =
      zero > line.x + display_width(left) + 1 && zero < line.right() - display_width(right) - 1;
  if (free) canvas.text(line, zero, line.y, "0", {Ink::kDim});
}

}  // namespace qi
