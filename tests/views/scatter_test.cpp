#include "views/scatter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/width.h"

namespace qi {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::string labels(const ScatterAxis& axis) {
  std::string out;
  for (const auto& tick : axis.ticks) out += (out.empty() ? "" : " ") + tick.label;
  return out;
}
ScatterAxis fit(std::vector<double> values, bool log = false, int ticks = 6) {
  return fit_axis(values, log, ticks);
}

TEST(Scatter, TicksAreRound) {
  EXPECT_EQ(labels(fit({2.1, 9.7})), "2 4 6 8 10");
  EXPECT_EQ(labels(fit({14.2, 44.3}, false, 8)), "10 15 20 25 30 35 40 45");
  EXPECT_EQ(labels(fit({0.25, 0.5})), "0.25 0.30 0.35 0.40 0.45 0.50");
  EXPECT_EQ(labels(fit({-3, 4}, false, 3)), "-5 0 5");
  EXPECT_EQ(labels(fit({3e-7, 2e-3}, true)), "1e-7 1e-6 1e-5 1e-4 0.001 0.01");
  EXPECT_EQ(labels(fit({1, 1e12}, true, 4)), "1 10000 1e8 1e12");
}

TEST(Scatter, OddRanges) {
  EXPECT_EQ(fit({}).low, 0);
  EXPECT_EQ(fit({kNan, kInf, -kInf}).high, 1);
  const ScatterAxis same = fit({7, 7, 7});
  EXPECT_LT(same.low, 7);
  EXPECT_GT(same.high, 7);
  const ScatterAxis zero = fit({0, 0});
  EXPECT_LT(zero.low, zero.high);
  const ScatterAxis none = fit({-1, 0}, true);
  EXPECT_GT(none.low, 0);
  for (const bool log : {false, true}) {
    for (const auto& values : std::vector<std::vector<double>>{{1e-300, 1e300},
                                                               {5e-324, 5e-324},
                                                               {-1e308, 1e308},
                                                               {1, 1 + 1e-15},
                                                               {1e17, 1e17 + 64}}) {
      for (int ticks = 1; ticks < 12; ++ticks) {
        const ScatterAxis axis = fit_axis(values, log, ticks);
        EXPECT_LT(axis.low, axis.high);
        EXPECT_TRUE(std::isfinite(axis.high - axis.low));
        EXPECT_GE(axis.ticks.size(), 2u);
        EXPECT_LE(axis.ticks.size(), 20u);
      }
    }
  }
}

TEST(Scatter, TicksOfAnyRange) {
  std::mt19937 random(4);
  std::uniform_real_distribution<double> exponent(-12, 12), unit(-1, 1);
  for (int round = 0; round < 3000; ++round) {
    const bool log = round % 2 == 0;
    std::vector<double> values;
    for (unsigned i = 0; i <= random() % 4; ++i) {
      const double value = unit(random) * std::pow(10.0, exponent(random));
      values.push_back(log ? std::abs(value) : value);
    }
    const int most = 2 + static_cast<int>(random() % 10);
    const ScatterAxis axis = fit_axis(values, log, most);
    // Where 0 lies between two values there are at least three.
    EXPECT_LE(axis.ticks.size(), static_cast<std::size_t>(std::max(most, 3)));
    EXPECT_GE(axis.ticks.size(), 2u);
    const double slack = 1e-8 * (log ? axis.low : axis.high - axis.low);
    for (const double value : values) {
      EXPECT_LE(axis.low, value + slack);
      EXPECT_GE(axis.high * (log ? 1 + 1e-8 : 1), value - slack);
    }
    for (std::size_t i = 1; i < axis.ticks.size(); ++i) {
      EXPECT_LT(axis.ticks[i - 1].value, axis.ticks[i].value);
      EXPECT_NE(axis.ticks[i - 1].label, axis.ticks[i].label);
    }
  }
}

TEST(Scatter, PlacesOnTheAxis) {
  const ScatterAxis linear = fit({0, 10});
  EXPECT_DOUBLE_EQ(*linear.place(5), 0.5);
  EXPECT_DOUBLE_EQ(*linear.place(kInf), 1);
  EXPECT_DOUBLE_EQ(*linear.place(-kInf), 0);
  EXPECT_FALSE(linear.place(kNan));
  const ScatterAxis log = fit({1e-4, 1}, true);
  EXPECT_NEAR(*log.place(0.01), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(*log.place(0), 0);
  EXPECT_DOUBLE_EQ(*log.place(-3), 0);
}

std::vector<ScatterPoint> some_points() {
  std::vector<ScatterPoint> out;
  for (int i = 0; i < 9; ++i) {
    out.push_back(
        {.x = 2.0 + i, .y = 10.0 + 4 * i, .marker = i, .front = i % 3 == 0, .marked = i == 4});
  }
  out.push_back({.x = kNan, .y = 3});
  out.push_back({.x = 6, .y = kInf});
  return out;
}

TEST(Scatter, EveryPointInsideAtEverySize) {
  const std::vector<ScatterPoint> points = some_points();
  const std::vector<ScatterDot> dots = {{2, 10}, {10, 42}, {kNan, 1}, {kInf, -kInf}, {5, 20}};
  for (int width = 0; width <= 200; width += 3) {
    for (int height = 0; height <= 60; ++height) {
      const Rect area{3, 2, width, height};
      const ScatterPlace place = place_scatter(area, points, false, false);
      ASSERT_EQ(place.cells.size(), points.size());
      EXPECT_EQ(place.plot.intersect(area),
                place.plot.empty() ? place.plot.intersect(area) : place.plot);
      for (const auto& cell : place.cells) {
        if (cell.drawn()) {
          EXPECT_TRUE(place.plot.contains(cell.x, cell.y));
        }
      }
      EXPECT_FALSE(place.cells[9].drawn());
      // Nothing is drawn outside of the area.
      Canvas canvas({width + 8, height + 5});
      draw_scatter(canvas, area, place, points, dots, 3, "bits per weight", "SNR dB",
                   glyphs(height % 2 == 0));
      for (int y = 0; y < height + 5; ++y) {
        for (int x = 0; x < width + 8; ++x) {
          if (area.contains(x, y)) continue;
          ASSERT_EQ(canvas.at(x, y).text(), " ")
              << width << "x" << height << " at " << x << "," << y;
        }
      }
    }
  }
}

TEST(Scatter, CornersAndOrder) {
  const std::vector<ScatterPoint> points = {
      {.x = 0, .y = 0}, {.x = 10, .y = 100}, {.x = 5, .y = kInf}};
  const ScatterPlace place = place_scatter({0, 0, 60, 20}, points, false, false);
  EXPECT_EQ(place.cells[0].x, place.plot.x);
  EXPECT_EQ(place.cells[0].y, place.plot.bottom() - 1);
  EXPECT_EQ(place.cells[1].x, place.plot.right() - 1);
  EXPECT_EQ(place.cells[1].y, place.plot.y);
  EXPECT_EQ(place.cells[2].y, place.plot.y);
}

TEST(Scatter, Neighbours) {
  const std::vector<ScatterPoint> points = some_points();
  EXPECT_EQ(point_beside(points, 0, 1), 1u);
  EXPECT_EQ(point_beside(points, 0, -1), 0u);
  EXPECT_EQ(point_beside(points, 4, 1), 10u);  // the same x, a higher y
  EXPECT_EQ(point_beside(points, 10, 1), 5u);
  EXPECT_EQ(point_beside(points, 8, 1), 8u);
  EXPECT_EQ(point_beside(points, 9, 1), 0u);  // from what is not drawn
  EXPECT_EQ(point_beside({}, 0, 1), 0u);
  const ScatterPlace place = place_scatter({0, 0, 80, 24}, points, false, false);
  EXPECT_EQ(point_near(place, place.cells[3].x + 1, place.cells[3].y, 2), 3u);
  EXPECT_FALSE(point_near(place, place.plot.x, place.plot.y + 2, 1));
}

TEST(Scatter, ShapeAndColourOfTheFront) {
  const std::vector<ScatterPoint> points = some_points();
  const Rect area{0, 0, 80, 24};
  const ScatterPlace place = place_scatter(area, points, false, false);
  Canvas canvas({80, 24});
  draw_scatter(canvas, area, place, points, {}, 1, "x", "y", glyphs(true));
  const auto at = [&](std::size_t i) { return canvas.at(place.cells[i].x, place.cells[i].y); };
  EXPECT_EQ(at(0).text(), "●");
  EXPECT_EQ(at(0).style.ink, Ink::kAccent);
  EXPECT_EQ(at(2).text(), "△");
  EXPECT_EQ(at(2).style.ink, Ink::kText);
  EXPECT_EQ(at(4).style.ink, Ink::kMark);
  EXPECT_EQ(at(1).style.ground, Ground::kCursor);
}

TEST(Scatter, DotsAreBraille) {
  const std::vector<ScatterDot> dots = {{0, 0}, {1, 1}};
  const Rect area{0, 0, 40, 12};
  const ScatterPlace place = place_scatter(
      area, std::vector<ScatterPoint>{{.x = 0, .y = 0}, {.x = 1, .y = 1}}, false, false);
  Canvas canvas({40, 12});
  draw_scatter(canvas, area, place, {}, dots, 0, "x", "y", glyphs(true));
  EXPECT_EQ(canvas.at(place.plot.x, place.plot.bottom() - 1).text().substr(0, 1), "\xe2");
  EXPECT_NE(canvas.at(place.plot.right() - 1, place.plot.y).text(), " ");
  Canvas ascii({40, 12});
  draw_scatter(ascii, area, place, {}, dots, 0, "x", "y", glyphs(false));
  EXPECT_EQ(ascii.at(place.plot.x, place.plot.bottom() - 1).text(), ".");
}

}  // namespace
}  // namespace qi
