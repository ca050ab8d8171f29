#include "app/result_plot.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "eval/results/pareto.h"
#include "views/result_columns.h"
#include "views/result_set.h"
#include "views/scatter.h"

namespace qi {

std::string result_plot(std::span<const ResultRow> totals, int width, bool unicode) {
  constexpr int kRows = 26;
  using Id = ResultColumnId;
  const auto evaluated = std::count_if(totals.begin(), totals.end(), [](const ResultRow& row) {
    return row.perplexity.has_value();
  });
  const Id y = evaluated >= 2 ? Id::kPerplexity : Id::kSnr;
  std::vector<ScatterPoint> points;
  std::vector<double> sizes, values;
  std::vector<std::string> families;
  for (const ResultRow& row : totals) {
    ScatterPoint point;
    point.x = result_number(Id::kBits, row);
    point.y = result_number(y, row);
    point.marker = family_marker(row.config.family);
    points.push_back(point);
    sizes.push_back(point.x);
    values.push_back(point.y);
    const bool drawn = point.x == point.x && point.y == point.y;
    const bool known =
        std::find(families.begin(), families.end(), row.config.family) != families.end();
    if (drawn && !known) families.push_back(row.config.family);
  }
  const auto front = pareto_front(sizes, values, result_column(y).better > 0);
  for (std::size_t i = 0; i < points.size(); ++i) points[i].front = front[i] != 0;

  const Glyphs& signs = glyphs(unicode);
  Canvas canvas({width, kRows});
  const Rect area{0, 0, width, kRows};
  draw_scatter(canvas, area, place_scatter(area, points, false, false), points, {}, points.size(),
               result_column(Id::kBits).plain, result_column(y).plain, signs);
  std::string out;
  for (int row = 0; row < kRows; ++row) out += canvas.row_text(row) + '\n';
  for (const std::string& family : families) {
    const int marker = family_marker(family);
    out += fmt::format("  {}{} {}", scatter_marker(marker, false, unicode),
                       scatter_marker(marker, true, unicode), escape(family));
  }
  return out + '\n';
}

}  // namespace qi
