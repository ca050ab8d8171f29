#include "views/scatter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kTickCells = 8;      // cells of a tick's label on the y axis
constexpr int kBelow = 2;          // the x axis and its labels
constexpr int kCellsPerTick = 10;  // of the x axis
constexpr int kRowsPerTick = 3;

// The shortest text of a tick that tells it from the next one, `step` away.
std::string tick_label(double value, double step) {
  if (value == 0) return "0";
  const double size = std::max(std::abs(value), step);
  if (size >= 1e5 || step < 1e-4) {
    const double places = std::floor(std::log10(size) + 1e-9) - std::floor(std::log10(step) + 1e-9);
    return fmt::format("{:.{}g}", value, std::clamp(static_cast<int>(places) + 1, 1, 15));
  }
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 5);
  return fmt::format("{:.{}f}", value, digits);
}

// 1, 2 or 5 times a power of ten, at least `raw`.
double round_step(double raw) {
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

void linear_ticks(ScatterAxis& axis, int most) {
  double span = axis.high - axis.low;
  // Values that are all the same, or nearly: some air around them.
  const double least = std::max(std::abs(axis.low), std::abs(axis.high)) * 1e-6;
  if (!(span > least)) {
    const double air = axis.low == 0 ? 0.5 : std::abs(axis.low) * 0.1;
    axis.low -= air;
    axis.high += air;
    span = axis.high - axis.low;
  }
  double step = round_step(span / std::max(1, most - 1));
  // Rounding the ends outwards may add two ticks.
  for (int tries = 0; tries < 4; ++tries) {
    const double first = std::floor(axis.low / step + 1e-9);
    const double last = std::ceil(axis.high / step - 1e-9);
    if (last - first + 1 <= std::max(2, most) || tries == 3) {
      for (double at = first; at <= last; at += 1) {
        axis.ticks.push_back({at * step, tick_label(at * step, step)});
      }
      axis.low = first * step;
      axis.high = last * step;
      return;
    }
    step = round_step(step * 1.5);
  }
}

void log_ticks(ScatterAxis& axis, int most) {
  double first = std::floor(std::log10(axis.low) + 1e-9);
  double last = std::ceil(std::log10(axis.high) - 1e-9);
  if (last <= first) last = first + 1;
  const double step = std::max(1.0, std::ceil((last - first) / std::max(1, most - 1)));
  last = first + step * std::ceil((last - first) / step);
  for (double at = first; at <= last; at += step) {
    const double value = std::pow(10.0, at);
    axis.ticks.push_back({value, at > -4 && at < 5 ? fmt::format("{:g}", value)
                                                   : fmt::format("1e{}", static_cast<int>(at))});
  }
  axis.low = std::pow(10.0, first);
  axis.high = std::pow(10.0, last);
}

int widest(const ScatterAxis& axis) {
  int width = 1;
  for (const auto& tick : axis.ticks) width = std::max(width, display_width(tick.label));
  return std::min(width, kTickCells);
}

int cell_of(double level, int cells) {
  return static_cast<int>(std::lround(level * (cells - 1)));
}

// Dots of two across and four down, as braille counts them.
constexpr std::array<std::array<std::uint8_t, 2>, 4> kBraille = {
    {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}};

void draw_dots(Canvas& canvas, const ScatterPlace& place, std::span<const ScatterDot> dots,
               const Glyphs& glyphs) {
  const Rect& plot = place.plot;
  std::vector<std::uint8_t> cells(static_cast<std::size_t>(plot.width) *
                                  static_cast<std::size_t>(plot.height));
  for (const ScatterDot& dot : dots) {
    const auto x = place.x.place(dot.x), y = place.y.place(dot.y);
    if (!x || !y || dot.x < place.x.low || dot.x > place.x.high || dot.y < place.y.low ||
        dot.y > place.y.high) {
      continue;
    }
    // The dot nearest to the cell that a point of the same numbers has.
    const int across = std::clamp(static_cast<int>(std::lround(*x * (plot.width - 1) * 2 + 0.5)), 0,
                                  plot.width * 2 - 1);
    const int down =
        std::clamp(static_cast<int>(std::lround((1 - *y) * (plot.height - 1) * 4 + 1.5)), 0,
                   plot.height * 4 - 1);
    cells[static_cast<std::size_t>(down / 4) * static_cast<std::size_t>(plot.width) +
          static_cast<std::size_t>(across / 2)] |=
        kBraille[static_cast<std::size_t>(down % 4)][static_cast<std::size_t>(across % 2)];
  }
  for (int y = 0; y < plot.height; ++y) {
    for (int x = 0; x < plot.width; ++x) {
      const std::uint8_t bits =
          cells[static_cast<std::size_t>(y) * static_cast<std::size_t>(plot.width) +
                static_cast<std::size_t>(x)];
      if (bits == 0) continue;
      if (glyphs.unicode) {
        // U+2800 and the dots, as UTF-8.
        const std::array<char, 3> text = {'\xe2', static_cast<char>(0xa0 | (bits >> 6)),
                                          static_cast<char>(0x80 | (bits & 0x3f))};
        canvas.text(plot, plot.x + x, plot.y + y, {text.data(), text.size()}, {Ink::kDim});
      } else {
        canvas.text(plot, plot.x + x, plot.y + y, (bits & (bits - 1)) == 0 ? "." : ":",
                    {Ink::kDim});
      }
    }
  }
}

void draw_axes(Canvas& canvas, const Rect& area, const ScatterPlace& place,
               std::string_view x_title, std::string_view y_title, const Glyphs& glyphs) {
  const Rect& plot = place.plot;
  const int axis = place.label_end;
  canvas.text(area, area.x, area.y, elide_end(y_title, area.width, glyphs.ellipsis), {Ink::kDim});
  for (int y = plot.y; y < place.axis_row; ++y) {
    canvas.text(area, axis, y, glyphs.vertical, {Ink::kRule});
  }
  for (const auto& tick : place.y.ticks) {
    const auto level = place.y.place(tick.value);
    const int row = plot.y + cell_of(1 - *level, plot.height);
    canvas.text_right({area.x, row, axis - area.x, 1}, axis, row,
                      elide_end(with_minus(tick.label, glyphs), axis - area.x, glyphs.ellipsis),
                      {Ink::kDim});
    canvas.text(area, axis, row, glyphs.unicode ? "┤" : "+", {Ink::kRule});
  }
  canvas.text(area, axis, place.axis_row, glyphs.unicode ? "└" : "+", {Ink::kRule});
  canvas.fill(Rect{axis + 1, place.axis_row, plot.width, 1}.intersect(area), glyphs.horizontal,
              {Ink::kRule});
  const int labels = place.axis_row + 1;
  // The title stands at the right end; ticks give way to it.
  const int title_width = std::min(display_width(x_title), plot.width);
  const int title = plot.right() - title_width;
  canvas.text(area, title, labels, elide_end(x_title, title_width, glyphs.ellipsis), {Ink::kDim});
  int free = area.x;
  for (const auto& tick : place.x.ticks) {
    const auto level = place.x.place(tick.value);
    const int column = plot.x + cell_of(*level, plot.width);
    canvas.text(area, column, place.axis_row, glyphs.tee_down, {Ink::kRule});
    const std::string label = with_minus(tick.label, glyphs);
    const int width = display_width(label);
    const int begin = std::max(area.x, column - (width - 1) / 2);
    if (begin < free || begin + width > title - 1) continue;
    canvas.text(area, begin, labels, label, {Ink::kDim});
    free = begin + width + 1;
  }
}

}  // namespace

std::optional<double> ScatterAxis::place(double value) const {
  if (std::isnan(value)) return std::nullopt;
  if (value >= high) return 1;
  if (value <= low) return 0;
  if (logarithmic) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

ScatterAxis fit_axis(std::span<const double> values, bool logarithmic, int most_ticks) {
  ScatterAxis axis;
  axis.logarithmic = logarithmic;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  // Beyond these a range or a step is no number any more.
  const double least = logarithmic ? 1e-290 : -1e290;
  for (const double value : values) {
    if (!(value >= least) || !(value <= 1e290)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (!(low <= high)) {
    low = logarithmic ? 0.1 : 0;
    high = 1;
  }
  axis.low = low;
  axis.high = high;
  if (!logarithmic && std::max(std::abs(low), std::abs(high)) < 1e-290) {
    axis.low = 0;
    axis.high = 1;
  }
  if (logarithmic) {
    log_ticks(axis, most_ticks);
  } else {
    linear_ticks(axis, most_ticks);
  }
  return axis;
}

ScatterPlace place_scatter(const Rect& area, std::span<const ScatterPoint> points, bool log_x,
                           bool log_y) {
  ScatterPlace out;
  out.cells.resize(points.size());
  const int rows = area.height - 1 - kBelow;  // below the title of the y axis
  if (rows < 2) return out;
  std::vector<double> values;
  values.reserve(points.size());
  for (const ScatterPoint& point : points) values.push_back(point.y);
  out.y = fit_axis(values, log_y, std::max(2, rows / kRowsPerTick + 1));
  const int labels = widest(out.y) + 1;
  // A cell is left free on the right for the label of the last tick.
  const int columns = area.width - labels - 2;
  if (columns < 4) return out;
  values.clear();
  for (const ScatterPoint& point : points) values.push_back(point.x);
  out.x = fit_axis(values, log_x, std::max(2, columns / kCellsPerTick + 1));
  out.label_end = area.x + labels;
  out.plot = {out.label_end + 1, area.y + 1, columns, rows};
  out.axis_row = out.plot.bottom();
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto x = out.x.place(points[i].x), y = out.y.place(points[i].y);
    if (!x || !y) continue;
    out.cells[i] = {out.plot.x + cell_of(*x, columns), out.plot.y + cell_of(1 - *y, rows)};
  }
  return out;
}

std::optional<std::size_t> point_near(const ScatterPlace& place, int x, int y, int reach) {
  std::optional<std::size_t> best;
  int best_distance = reach;
  for (std::size_t i = 0; i < place.cells.size(); ++i) {
    const ScatterPlace::Cell& cell = place.cells[i];
    if (!cell.drawn()) continue;
    const int distance = std::max(std::abs(cell.x - x), std::abs(cell.y - y));
    if (distance > best_distance) continue;
    best = i;
    best_distance = distance;
  }
  return best;
}

std::size_t point_beside(std::span<const ScatterPoint> points, std::size_t from, int step) {
  if (from >= points.size() || std::isnan(points[from].x) || std::isnan(points[from].y)) {
    // From nowhere to the leftmost one.
    std::size_t best = from;
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (std::isnan(points[i].x) || std::isnan(points[i].y)) continue;
      if (best == from || points[i].x < points[best].x) best = i;
    }
    return best;
  }
  const auto key = [&](std::size_t i) { return std::tuple(points[i].x, points[i].y, i); };
  std::size_t best = from;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (std::isnan(points[i].x) || std::isnan(points[i].y)) continue;
    const bool beyond = step > 0 ? key(i) > key(from) : key(i) < key(from);
    const bool nearer = best == from || (step > 0 ? key(i) < key(best) : key(i) > key(best));
    if (beyond && nearer) best = i;
  }
  return best;
}

std::string_view scatter_marker(int marker, bool front, bool unicode) {
  using Signs = std::array<std::string_view, 14>;
  constexpr Signs kHollow = {"○", "□", "△", "◇", "▽", "☆", "▷", "◁", "▭", "♤", "♧", "♡", "◎", "⬡"};
  constexpr Signs kFilled = {"●", "■", "▲", "◆", "▼", "★", "▶", "◀", "▬", "♠", "♣", "♥", "◉", "⬢"};
  constexpr Signs kSmall = {"o", "x", "a", "v", "s", "n", "z", "c", "l", "g", "w", "q", "p", "f"};
  constexpr Signs kCapital = {"O", "X", "A", "V", "S", "N", "Z", "C", "L", "G", "W", "Q", "P", "F"};
  const auto at = static_cast<std::size_t>(marker < 0 ? 0 : marker) % kHollow.size();
  if (unicode) return front ? kFilled[at] : kHollow[at];
  return front ? kCapital[at] : kSmall[at];
}

void draw_scatter(Canvas& canvas, const Rect& area, const ScatterPlace& place,
                  std::span<const ScatterPoint> points, std::span<const ScatterDot> dots,
                  std::size_t cursor, std::string_view x_title, std::string_view y_title,
                  const Glyphs& glyphs) {
  if (place.plot.empty()) return;
  draw_axes(canvas, area, place, x_title, y_title, glyphs);
  draw_dots(canvas, place, dots, glyphs);
  const auto draw = [&](std::size_t i) {
    const ScatterPlace::Cell& cell = place.cells[i];
    if (!cell.drawn()) return;
    const ScatterPoint& point = points[i];
    const Ink ink = point.marked ? Ink::kMark : point.front ? Ink::kAccent : Ink::kText;
    canvas.text(place.plot, cell.x, cell.y,
                scatter_marker(point.marker, point.front, glyphs.unicode), {ink});
    if (i != cursor) return;
    canvas.ground({cell.x, cell.y, 1, 1}, Ground::kCursor);
  };
  // What matters more is drawn over the rest.
  for (const bool front : {false, true}) {
    for (std::size_t i = 0; i < points.size() && i < place.cells.size(); ++i) {
      if (points[i].front == front) draw(i);
    }
  }
  if (cursor < points.size() && cursor < place.cells.size()) draw(cursor);
}

}  // namespace qi
