// A plot of points over two axes: ticks at round numbers, a marker a family, the Pareto front by
// filled shape and colour, a cloud of small dots behind, a cursor on one point. Pure geometry first
// (where everything stands, testable without a canvas), then the drawing. Refuses nothing: what has
// no number is not drawn, infinities stand at the edge. Any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/glyphs.h"

namespace qi {

struct ScatterPoint {
  double x = 0;
  double y = 0;
  int marker = 0;  // of its family: scatter_marker()
  bool front = false;
  bool marked = false;
};
struct ScatterDot {
  double x = 0;
  double y = 0;
};

/// One direction: its range, round at both ends where it is linear, and where its ticks stand.
struct ScatterAxis {
  struct Tick {
    double value;
    std::string label;
  };
  double low = 0;
  double high = 1;
  bool logarithmic = false;
  std::vector<Tick> ticks;  // rising, inside the range

  /// 0 … 1; beyond the range the end, of NaN nothing.
  std::optional<double> place(double value) const;
};
/// The range of the finite values (logarithmic: the positive ones), and at most `most_ticks` ticks,
/// at least two. Without values 0 … 1.
ScatterAxis fit_axis(std::span<const double> values, bool logarithmic, int most_ticks);

/// Where the plot stands inside `area`: the y axis with its labels on the left, the x axis below.
struct ScatterPlace {
  struct Cell {
    int x = -1;  // −1: not drawn
    int y = -1;
    bool drawn() const { return x >= 0; }
  };
  Rect plot;          // where points stand; empty: no room
  int label_end = 0;  // labels of the y axis end before this column, the axis stands on it
  int axis_row = 0;   // the x axis; its labels stand below
  ScatterAxis x, y;
  std::vector<Cell> cells;  // by point
};
ScatterPlace place_scatter(const Rect& area, std::span<const ScatterPoint> points, bool log_x,
                           bool log_y);

/// The point whose cell is nearest to (x, y), at most `reach` cells away; among equal ones the one
/// drawn on top.
std::optional<std::size_t> point_near(const ScatterPlace& place, int x, int y, int reach);
/// The next point to the right (`step` > 0) or left of point `from` in the order of x and then y;
/// `from` itself at the end.
std::size_t point_beside(std::span<const ScatterPoint> points, std::size_t from, int step);

/// "○" of family number `marker`, and "●" on the front; in ASCII small and capital letters.
std::string_view scatter_marker(int marker, bool front, bool unicode);

/// Dots outside of the axes' ranges are left out. `cursor`: index of the point under it, or any
/// other number for none. `x_title` stands at the end of the x axis, `y_title` above the y axis.
void draw_scatter(Canvas& canvas, const Rect& area, const ScatterPlace& place,
                  std::span<const ScatterPoint> points, std::span<const ScatterDot> dots,
                  std::size_t cursor, std::string_view x_title, std::string_view y_title,
                  const Glyphs& glyphs);

}  // namespace qi
