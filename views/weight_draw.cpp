#include "views/weight_draw.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/charts.h"
#include "views/layout.h"
#include "views/weight_facts.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kBoxHeight = 5;  // title, three rows of columns, axis
constexpr int kBoxWidth = 36;
constexpr int kBothHeight = 30;  // of a screen with both panes, one above the other
constexpr int kBothWidth = 160;  // side by side
constexpr int kWide = 100;       // numbers stand beside the waterfall

// A chart with a title, or a list: what can be drawn as a box, or squeezed into one line.
struct Box {
  std::string title;
  std::string note;
  Ink ink = Ink::kAccent;
  std::function<std::vector<double>(int width)> heights;
  std::string low, high;      // the ends of its axis
  bool crosses_zero = false;  // then the axis is drawn from these
  double from = 0, to = 0;
  std::vector<std::string> lines;  // of a list, instead of heights
  int selected = -1;               // −1: words, not a list
};

class OverviewDrawing {
 public:
  OverviewDrawing(Canvas& canvas, const Rect& area, const Overview& overview, const Glyphs& glyphs)
      : canvas_(canvas),
        area_{area.x + 1, area.y, area.width - 2, area.height},
        o_(overview),
        model_(overview.table.model()),
        weight_(overview.table.weight(overview.weight)),
        statistics_(overview.table.statistics(overview.weight)),
        glyphs_(glyphs) {}

  void draw() {
    if (area_.empty()) return;
    int y = draw_head(area_.y);
    if (statistics_ == nullptr) {
      const bool failed = !weight_.undecodable.empty() || !o_.table.failure(o_.weight).empty();
      for (const std::string& line : wrap(o_.no_statistics, area_.width)) {
        if (y < area_.bottom()) {
          canvas_.text(area_, area_.x, y++, line, {failed ? Ink::kWarning : Ink::kDim});
        }
      }
      ++y;
    } else {
      y = draw_waterfall(y);
    }
    draw_boxes(y);
  }

 private:
  std::string number(double value) const { return with_minus(human_number(value), glyphs_); }

  int draw_head(int y) {
    const int most = area_.height >= 18 ? 2 : 1;
    std::vector<std::string> lines = fact_lines(model_, weight_, area_.width, most, glyphs_);
    for (const std::string& line : lines) {
      canvas_.text(area_, area_.x, y++, elide_end(line, area_.width, glyphs_.ellipsis));
    }
    if (area_.height >= 24) {
      canvas_.text(area_, area_.x, y++, elide_middle(parts_text(), area_.width, glyphs_.ellipsis),
                   {Ink::kDim});
    }
    if (statistics_ != nullptr && area_.width < kWide) {
      draw_facts(canvas_, {area_.x, y++, area_.width, 1}, moment_facts(*statistics_, glyphs_));
    }
    return area_.height >= 20 ? y + 1 : y;
  }

  // "model.safetensors @ 4 096   qweight I32 512x4096 + scales F16 32x4096"
  std::string parts_text() const {
    std::string out = place_text(model_, weight_);
    if (!out.empty()) out += "   ";
    for (std::size_t i = 0; i < weight_.parts.size(); ++i) {
      const Tensor& stored = model_.tensor(weight_.parts[i]);
      if (i > 0) out += " + ";
      std::string name = stored.name;
      if (weight_.parts.size() > 1) name = name.substr(name.find_last_of('.') + 1);
      out += fmt::format("{} {} {}", escape(name), escape(dtype_name(stored)),
                         shape_text(stored.shape));
      if (i < o_.stored.size()) out += fmt::format(" ({})", stored_text(o_.stored[i]));
    }
    return out;
  }

  int draw_waterfall(int y) {
    const std::vector<BitsBar> bars =
        waterfall(model_, weight_, *statistics_, o_.details, o_.stored);
    double most = 0;
    for (const BitsBar& bar : bars) most = std::max(most, bar.bits);
    const bool wide = area_.width >= kWide;
    const int width = wide ? area_.width * 3 / 5 : area_.width;
    const int room = area_.bottom() - y - kBoxHeight;
    const bool with_scale = room > static_cast<int>(bars.size());
    const int begin = y;
    if (with_scale) draw_bits_scale(canvas_, {area_.x, y++, width, 1}, most);
    const int shown = std::clamp(room - (with_scale ? 1 : 0), std::min(2, area_.bottom() - y),
                                 static_cast<int>(bars.size()));
    draw_bits(canvas_, {area_.x, y, width, shown}, bars, most, glyphs_);
    y += shown;
    if (wide) {
      const int left = area_.x + width + 3;
      draw_fact_grid(canvas_, {left, begin, area_.right() - left, y - begin},
                     all_facts(*statistics_, glyphs_), area_.width >= 140 ? 3 : 2);
    }
    return area_.bottom() - y > 2 * kBoxHeight ? y + 1 : y;
  }

  // --- charts

  Box values_box() const {
    Box box;
    box.title = "values";
    const ValueHistogram& coarse = statistics_->values;
    const auto [low, high] =
        zoomed_range(coarse.low, coarse.high, statistics_->mean.value_or(0), o_.zoom);
    box.note = o_.logarithmic ? "log" : "linear";
    if (o_.zoom > 0) box.note += fmt::format(", zoom {}", std::uint64_t{1} << o_.zoom);
    if (!(coarse.low < coarse.high)) {
      const bool none = std::all_of(coarse.bins.begin(), coarse.bins.end(),
                                    [](std::uint64_t count) { return count == 0; });
      box.lines = {none ? "no finite values" : fmt::format("every value is {}", number(low))};
      return box;
    }
    box.from = low;
    box.to = high;
    box.crosses_zero = true;
    box.heights = [this, from = low, to = high](int width) {
      if (o_.details != nullptr) {
        return heights_of(histogram_of(o_.details->values, from, to, width), o_.logarithmic);
      }
      return heights_of(coarse_bins(from, to, width), o_.logarithmic);
    };
    return box;
  }

  // The 64 bins of --stats, as far as they lie in the range.
  std::vector<std::uint64_t> coarse_bins(double from, double to, int width) const {
    const ValueHistogram& coarse = statistics_->values;
    std::vector<std::uint64_t> out(static_cast<std::size_t>(width), 0);
    for (int i = 0; i < width; ++i) {
      const double x = from + (to - from) * (i + 0.5) / width;
      const double bin = (x - coarse.low) / (coarse.high - coarse.low) * 64;
      out[static_cast<std::size_t>(i)] =
          coarse.bins[static_cast<std::size_t>(std::clamp(bin, 0.0, 63.0))];
    }
    return out;
  }

  Box exponents_box() const {
    Box box;
    box.title = "exponents";
    box.ink = Ink::kSecond;
    const ExponentHistogram& exponents = statistics_->exponents;
    box.note = o_.logarithmic ? "log" : "linear";
    box.low = with_minus(fmt::format("2^{}", exponents.first), glyphs_);
    box.high = with_minus(
        fmt::format("2^{}", exponents.first + static_cast<int>(exponents.counts.size()) - 1),
        glyphs_);
    box.heights = [this](int width) {
      return spread(heights_of(statistics_->exponents.counts, o_.logarithmic), width);
    };
    return box;
  }

  Box numbers_box(std::string title, const NumberHistogram& counted, Ink ink) const {
    Box box;
    box.title = std::move(title);
    box.ink = ink;
    box.note = grouped(counted.count);
    if (counted.distinct) box.note += fmt::format(", {} different", grouped(*counted.distinct));
    if (counted.logarithmic) box.note += ", log axis";
    if (!(counted.low < counted.high)) {
      box.lines = {fmt::format("all are {}", number(counted.low))};
      return box;
    }
    box.low = number(counted.low);
    box.high = number(counted.high);
    box.heights = [&counted](int width) { return heights_of(rebin(counted.bins, width), true); };
    return box;
  }

  // A profile over the rows: the largest of each column's rows.
  Box rows_box(std::string title, double RowBin::*field, Ink ink) const {
    Box box;
    box.title = std::move(title);
    box.ink = ink;
    box.low = "row 0";
    box.high = grouped(weight_.rows() - 1);
    box.heights = [this, field](int width) {
      std::vector<double> values;
      double most = 0;
      for (const RowBin& bin : o_.details->rows) {
        values.push_back(bin.*field);
        most = std::max(most, values.back());
      }
      for (double& value : values) value = most > 0 ? value / most : 0;
      return spread(values, width);
    };
    return box;
  }

  Box errors_box() const {
    const RowErrors& errors = *o_.details->errors;
    Box box = rows_box(fmt::format("error by row of {}", escape(errors.reference)), &RowBin::error,
                       Ink::kThird);
    box.note = fmt::format("worst {}: {}", grouped(errors.worst_row), number(errors.worst_rms));
    return box;
  }

  Box outliers_box() const {
    Box box;
    box.title = "outliers";
    const WeightDetails& details = *o_.details;
    const std::size_t count = outlier_count(details);
    for (std::size_t i = 0; i < count; ++i) {
      const Outlier& one = outlier_at(details, i);
      const std::string value = std::isfinite(one.value)
                                    ? number(static_cast<double>(one.value))
                                    : with_minus(fmt::format("{}", one.value), glyphs_);
      const std::string sigmas =
          std::isfinite(one.value) ? fmt::format("{:.1f} std", one.sigmas) : "";
      box.lines.push_back(
          fmt::format("{}, {}|{}|{}", grouped(one.row), grouped(one.col), value, sigmas));
    }
    box.selected = static_cast<int>(o_.outlier);
    box.note = count == 0 ? "none" : "row, column";
    return box;
  }

  std::vector<Box> boxes() const {
    std::vector<Box> out;
    if (statistics_ != nullptr) {
      out.push_back(values_box());
      if (!statistics_->exponents.counts.empty()) out.push_back(exponents_box());
    }
    if (o_.details == nullptr) {
      Box box;
      box.title = "rows, outliers, scales";
      box.lines = wrap(o_.no_details, kBoxWidth - 2);
      if (weight_.undecodable.empty()) out.push_back(std::move(box));
      return out;
    }
    if (const auto& scales = o_.details->scales) {
      out.push_back(numbers_box("scales", scales->scales, Ink::kThird));
      if (scales->zeros.count > 0) {
        out.push_back(
            numbers_box(scales->added ? "minima" : "zero points", scales->zeros, Ink::kSecond));
      }
    }
    const bool rows = o_.details->rows.size() > 1;
    if (o_.details->errors && rows) out.push_back(errors_box());
    out.push_back(outliers_box());
    if (rows) out.push_back(rows_box("largest by row", &RowBin::absmax, Ink::kAccent));
    return out;
  }

  void draw_boxes(int y) {
    const std::vector<Box> all = boxes();
    const int room = area_.bottom() - y;
    if (all.empty() || room <= 0) return;
    const int count = static_cast<int>(all.size());
    const int across = std::clamp(area_.width / kBoxWidth, 1, count);
    // As many rows of boxes as leave a line for each chart that gets none.
    int fit = std::min((count + across - 1) / across, room / kBoxHeight);
    while (fit > 1 && room - fit * kBoxHeight < count - fit * across) --fit;
    const int boxed = std::min(count, fit * across);
    const int left = count - boxed;
    if (fit > 0) {
      // Lines of their own for those left over; the rest of the room makes the boxes higher.
      const int lines = std::min(left, room - fit * kBoxHeight);
      const int height = (room - lines) / fit;
      const int cell = (area_.width + 2) / across;
      for (int i = 0; i < boxed; ++i) {
        draw_box(all[static_cast<std::size_t>(i)],
                 {area_.x + i % across * cell, y + i / across * height, cell - 2, height});
      }
      y += fit * height;
    }
    for (int i = boxed; i < count && y < area_.bottom(); ++i) {
      draw_line(all[static_cast<std::size_t>(i)], y++);
    }
  }

  void draw_box(const Box& box, const Rect& place) {
    canvas_.text(place, place.x, place.y, elide_end(box.title, place.width, glyphs_.ellipsis),
                 {Ink::kStrong});
    const int after = display_width(box.title) + 2;
    const bool beside = after + display_width(box.note) <= place.width;
    if (beside) canvas_.text_right(place, place.right(), place.y, box.note, {Ink::kDim});
    const bool air = place.height > kBoxHeight;
    const Rect body{place.x, place.y + 1, place.width, place.height - (air ? 3 : 2)};
    if (!box.heights) return draw_list(box, {body.x, body.y, body.width, body.height + 1});
    draw_columns(canvas_, body, box.heights(body.width), {box.ink}, glyphs_);
    const Rect axis{place.x, body.bottom(), place.width, 1};
    if (box.crosses_zero) return draw_axis(canvas_, axis, box.from, box.to, glyphs_);
    canvas_.text(axis, axis.x, axis.y, box.low, {Ink::kDim});
    canvas_.text_right(axis, axis.right(), axis.y, box.high, {Ink::kDim});
    const int begin = axis.x + display_width(box.low) + 2;
    const int space = axis.right() - display_width(box.high) - 2 - begin;
    if (!beside && display_width(box.note) <= space) {
      canvas_.text(axis, begin + (space - display_width(box.note)) / 2, axis.y, box.note);
    }
  }

  void draw_list(const Box& box, const Rect& place) {
    const int count = static_cast<int>(box.lines.size());
    const int top = std::clamp(box.selected - place.height + 1, 0, std::max(0, count - 1));
    for (int i = top; i < count && i - top < place.height; ++i) {
      const Rect line{place.x, place.y + i - top, place.width, 1};
      const std::string& text = box.lines[static_cast<std::size_t>(i)];
      if (box.selected < 0) {
        canvas_.text(line, line.x, line.y, text, {Ink::kDim});
        continue;
      }
      draw_list_line(text, line);
      if (i == box.selected) {
        canvas_.ground(line, o_.focused ? Ground::kCursor : Ground::kCursorAway);
      }
    }
  }

  // "place|value|sigmas" in three columns.
  void draw_list_line(const std::string& text, const Rect& line) {
    const std::size_t first = text.find('|');
    const std::size_t second = text.find('|', first + 1);
    canvas_.text(line, line.x, line.y, text.substr(0, first), {Ink::kDim});
    canvas_.text_right(line, line.right(), line.y, text.substr(second + 1), {Ink::kDim});
    canvas_.text_right(line, line.right() - 11, line.y, text.substr(first + 1, second - first - 1));
  }

  // "scales ▁▃█▆▂▁▁ 0.001 … 0.02  32 768, 255 different"
  void draw_line(const Box& box, int y) {
    constexpr int kTitle = 16;
    constexpr int kSpark = 24;
    const Rect line{area_.x, y, area_.width, 1};
    int x = canvas_.text(line, line.x, y, box.title, {Ink::kStrong});
    x = std::max(x + 2, line.x + kTitle);
    if (!box.heights) {
      if (box.lines.empty()) return;
      const auto at = static_cast<std::size_t>(std::max(0, box.selected));
      std::string text = box.lines[std::min(at, box.lines.size() - 1)];
      std::replace(text.begin(), text.end(), '|', ' ');
      canvas_.text(line, x, y, text);
      return;
    }
    if (x + kSpark > line.right()) return;
    draw_columns(canvas_, {x, y, kSpark, 1}, box.heights(kSpark), {box.ink}, glyphs_);
    x += kSpark + 2;
    const std::string low = box.crosses_zero ? number(box.from) : box.low;
    const std::string high = box.crosses_zero ? number(box.to) : box.high;
    x = canvas_.text(line, x, y, low + std::string(glyphs_.range) + high, {Ink::kDim}) + 2;
    if (x + display_width(box.note) <= line.right()) canvas_.text(line, x, y, box.note);
  }

  Canvas& canvas_;
  const Rect area_;
  const Overview& o_;
  const Model& model_;
  const Weight& weight_;
  const Statistics* statistics_;
  const Glyphs& glyphs_;
};

}  // namespace

WeightLayout weight_layout(Size size, bool in_values, bool zoomed) {
  WeightLayout out;
  if (size.width < 1 || size.height < 1) return out;
  out.title = {0, 0, size.width, 1};
  out.footer = {0, size.height - 1, size.width, size.height > 1 ? 1 : 0};
  const Rect body{0, 1, size.width, std::max(0, size.height - 2)};
  if (!zoomed && size.width >= kBothWidth) {
    const int left = size.width * 3 / 5;
    out.overview = {0, body.y, left, body.height};
    out.rule = {left + 1, body.y, size.width - left - 1, std::min(1, body.height)};
    out.values = {left + 1, body.y + 1, size.width - left - 1, std::max(0, body.height - 1)};
  } else if (!zoomed && size.height >= kBothHeight) {
    const int below = std::clamp(size.height / 4, 8, 20);
    out.overview = {0, body.y, size.width, body.height - below - 1};
    out.rule = {0, body.bottom() - below - 1, size.width, 1};
    out.values = {0, body.bottom() - below, size.width, below};
  } else if (in_values) {
    out.rule = {0, body.y, size.width, std::min(1, body.height)};
    out.values = {0, body.y + 1, size.width, std::max(0, body.height - 1)};
  } else {
    out.overview = body;
  }
  return out;
}

void draw_overview(Canvas& canvas, const Rect& area, const Overview& overview,
                   const Glyphs& glyphs) {
  OverviewDrawing(canvas, area, overview, glyphs).draw();
}

std::size_t outlier_count(const WeightDetails& details) {
  return details.not_finite.size() + details.outliers.size();
}

const Outlier& outlier_at(const WeightDetails& details, std::size_t index) {
  const std::size_t first = details.not_finite.size();
  return index < first ? details.not_finite[index] : details.outliers[index - first];
}

std::pair<double, double> zoomed_range(double low, double high, double middle, int zoom) {
  const double width = (high - low) * std::ldexp(1.0, -zoom);
  const double from = std::clamp(middle - width / 2, low, std::max(low, high - width));
  return {from, zoom == 0 ? high : from + width};
}

}  // namespace qi
