// What a quantizer left of a weight, drawn: bars for distributions and columns, shades for places.
#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/charts.h"
#include "views/quantize_screen.h"

namespace qi {
namespace {

/// One chart: its title, and how it is drawn below that.
struct Chart {
  std::string title;
  std::function<void(const Rect& area)> draw;
  int least = 2;  // rows, title included
  int most = 6;
};

std::string ends(double low, double high) {
  return fmt::format("{:.3g} … {:.3g}", low, high);
}

/// Means of cells in columns of the screen: the largest is the whole height.
std::vector<double> column_heights(std::span<const double> values, int width) {
  std::vector<double> heights = spread(values, width);
  const double most = heights.empty() ? 0 : *std::max_element(heights.begin(), heights.end());
  for (double& height : heights) height = most > 0 ? height / most : 0;
  return heights;
}

void draw_counts(Canvas& canvas, const Rect& area, const FactHistogram& histogram,
                 const Glyphs& glyphs) {
  std::vector<double> heights = heights_of(histogram.counts, false);
  draw_columns(canvas, area, spread(heights, area.width), {Ink::kAccent}, glyphs);
}

/// Shades by share of the fullest cell; a cell of the screen is the sum of those it stands for.
void draw_places(Canvas& canvas, const Rect& area, const OutlierMap& map, const Glyphs& glyphs) {
  const auto width = std::min<std::uint64_t>(static_cast<std::uint64_t>(area.width), map.cols);
  const auto height = std::min<std::uint64_t>(static_cast<std::uint64_t>(area.height), map.rows);
  std::vector<std::uint64_t> sums(width * height);
  for (std::uint64_t r = 0; r < map.rows; ++r) {
    for (std::uint64_t c = 0; c < map.cols; ++c) {
      sums[r * height / map.rows * width + c * width / map.cols] += map.counts[r * map.cols + c];
    }
  }
  const std::uint64_t most = *std::max_element(sums.begin(), sums.end());
  for (std::uint64_t y = 0; y < height; ++y) {
    for (std::uint64_t x = 0; x < width; ++x) {
      const std::uint64_t count = sums[y * width + x];
      if (count == 0) continue;
      const auto step = static_cast<std::size_t>((count - 1) * kRampSteps / most);
      canvas.text(area, area.x + static_cast<int>(x), area.y + static_cast<int>(y),
                  glyphs.density[std::min<std::size_t>(step, kRampSteps - 1)], {Ink::kAccent});
    }
  }
}

std::vector<Chart> charts_of(Canvas& canvas, const QuantizedFacts& facts, const Glyphs& glyphs) {
  std::vector<Chart> charts;
  if (!facts.scales.counts.empty()) {
    charts.push_back({fmt::format("scales, logarithmic  {}", ends(std::pow(10, facts.scales.low),
                                                                  std::pow(10, facts.scales.high))),
                      [&](const Rect& area) { draw_counts(canvas, area, facts.scales, glyphs); }});
  }
  if (!facts.zeros.counts.empty()) {
    charts.push_back({fmt::format("zero points  {}", ends(facts.zeros.low, facts.zeros.high)),
                      [&](const Rect& area) { draw_counts(canvas, area, facts.zeros, glyphs); }});
  }
  const auto columns = [&](const std::vector<double>& values, const char* title, Ink ink) {
    if (values.empty()) return;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    charts.push_back({fmt::format("{}  {}", title, ends(*low, *high)),
                      [&canvas, &values, &glyphs, ink](const Rect& area) {
                        draw_columns(canvas, area, column_heights(values, area.width), {ink},
                                     glyphs);
                      }});
  };
  columns(facts.input_square, "inputs by column, mean square (Hessian's diagonal)", Ink::kSecond);
  columns(facts.column_error, "error by column, mean square", Ink::kThird);
  if (!facts.places.counts.empty()) {
    const double share = 100 * static_cast<double>(facts.outliers) /
                         (static_cast<double>(facts.rows) * static_cast<double>(facts.cols));
    charts.push_back(
        {fmt::format("outliers by place  {} ({:.2f} %)", grouped(facts.outliers), share),
         [&](const Rect& area) { draw_places(canvas, area, facts.places, glyphs); }, 3,
         1 + static_cast<int>(facts.places.rows)});
  }
  return charts;
}

}  // namespace

void draw_quantized(Canvas& canvas, const Rect& area, const QuantizedFacts& facts,
                    const Glyphs& glyphs) {
  std::vector<Chart> charts = charts_of(canvas, facts, glyphs);
  if (charts.empty()) {
    canvas.text(area, area.x, area.y,
                elide_end("its rows were rounded by themselves", area.width, glyphs.ellipsis),
                {Ink::kDim});
  }
  // Everyone its least, the last ones away where that is too much; then a row each in turn.
  int used = 0;
  for (std::size_t i = 0; i < charts.size(); ++i) {
    if (used + charts[i].least > area.height) charts.resize(i);
    if (i < charts.size()) used += charts[i].least;
  }
  std::vector<int> rows;
  for (const Chart& chart : charts) rows.push_back(chart.least);
  for (bool grew = true; grew && used < area.height;) {
    grew = false;
    for (std::size_t i = 0; i < charts.size() && used < area.height; ++i) {
      if (rows[i] == charts[i].most) continue;
      ++rows[i], ++used;
      grew = true;
    }
  }
  int y = area.y;
  for (std::size_t i = 0; i < charts.size(); ++i) {
    canvas.text(area, area.x, y, elide_end(charts[i].title, area.width, glyphs.ellipsis),
                {Ink::kDim});
    charts[i].draw({area.x, y + 1, area.width, rows[i] - 1});
    y += rows[i];
  }
}

}  // namespace qi
