#include "views/detail_view.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/charts.h"
#include "views/weight_facts.h"
#include "views/widgets.h"

namespace qi {
namespace {

class Detail {
 public:
  Detail(Canvas& canvas, const Rect& area, const WeightTable& table, std::uint32_t index,
         const std::string& waiting, const Glyphs& glyphs)
      : canvas_(canvas),
        area_(area),
        model_(table.model()),
        weight_(table.weight(index)),
        statistics_(table.statistics(index)),
        failure_(table.failure(index)),
        waiting_(waiting),
        glyphs_(glyphs) {}

  void draw() {
    if (area_.empty()) return;
    if (area_.height == 1) return draw_one_line(area_.y);
    if (area_.height < 6) {
      draw_place(area_.y);
      return draw_one_line(area_.y + 1);
    }
    draw_place(area_.y);
    int y = area_.y + 1;
    for (const std::string& fact :
         fact_lines(model_, weight_, area_.width - 2, area_.height >= 8 ? 2 : 1, glyphs_)) {
      canvas_.text(area_, area_.x + 1, y++, elide_end(fact, area_.width - 2, glyphs_.ellipsis));
    }
    draw_moments(y);
    if (statistics_ != nullptr) {
      const int top = y + 1;
      const int height = area_.bottom() - top;
      const int chart = std::clamp(area_.width / 3, 16, 40);
      draw_chart({area_.x + 1, top, chart, height});
      draw_bars({area_.x + chart + 4, top + (height > 4 ? 1 : 0), area_.width - chart - 5,
                 height - (height > 4 ? 1 : 0)});
    }
  }

 private:
  // Three digits, for the line that has to hold everything.
  std::string short_number(std::optional<double> value) const {
    return value ? with_minus(fmt::format("{:.3g}", *value), glyphs_) : "";
  }

  // Why there is nothing to show, where statistics would stand.
  bool draw_absence(int x, int y) {
    if (!weight_.undecodable.empty()) {
      canvas_.text(area_, x, y,
                   fmt::format("values cannot be read: {}", escape(weight_.undecodable)),
                   {Ink::kWarning});
      return true;
    }
    if (!failure_.empty()) {
      canvas_.text(area_, x, y, fmt::format("failed: {}", escape(failure_)), {Ink::kError});
      return true;
    }
    if (statistics_ == nullptr) canvas_.text(area_, x, y, waiting_, {Ink::kDim});
    return statistics_ == nullptr;
  }

  void draw_place(int y) {
    const std::string place = place_text(model_, weight_);
    int room = area_.width - 2;
    const int width = display_width(place);
    const std::string name = escape(weight_.name);
    if (width + 3 + std::min(display_width(name), 24) <= room) {
      canvas_.text_right(area_, area_.right() - 1, y, place, {Ink::kDim});
      room -= width + 3;
    }
    canvas_.text(area_, area_.x + 1, y, elide_middle(name, room, glyphs_.ellipsis), {Ink::kStrong});
  }

  Rect line(int y) const { return {area_.x + 1, y, area_.width - 1, 1}; }

  void draw_moments(int y) {
    if (draw_absence(area_.x + 1, y)) return;
    draw_facts(canvas_, line(y), moment_facts(*statistics_, glyphs_));
  }

  // "min −0.918 max 0.906 std 0.0178  ▁▁▂▅█▅▂▁▁  raw 16.00 → exponent 10.68 → pair 10.61"
  void draw_one_line(int y) {
    if (draw_absence(area_.x + 1, y)) return;
    const Statistics& s = *statistics_;
    std::vector<Fact> facts;
    if (s.min) facts.push_back({"min", short_number(s.min)});
    if (s.max) facts.push_back({"max", short_number(s.max)});
    if (s.std) facts.push_back({"std", short_number(s.std)});
    int x = draw_facts(canvas_, line(y), facts);
    const int chart = area_.width >= 90 ? 16 : 8;
    if (x + chart < area_.right()) {
      draw_histogram(canvas_, {x, y, chart, 1}, s.values.bins, {Ink::kAccent}, glyphs_);
      x += chart + 2;
    }
    const auto step = [&](std::string_view label, double bits, bool first) {
      if (!(bits > 0)) return;
      const std::string text =
          fmt::format("{}{}{} {:.2f}", first ? "" : glyphs_.arrow, first ? "" : " ", label, bits);
      if (x + display_width(text) >= area_.right()) return;
      x = canvas_.text(area_, x, y, text) + 1;
    };
    step("raw", weight_.bits_per_weight(), true);
    step(has_exponent(model_, weight_) ? "exp" : "codes", planes_bits(weight_, s), false);
    step("pair", pair_bits(weight_, s), false);
  }

  // Value histogram over its axis: least, zero where it lies, greatest.
  void draw_chart(const Rect& area) {
    if (area.height < 2 || area.width < 8) return;
    const ValueHistogram& values = statistics_->values;
    if (std::all_of(values.bins.begin(), values.bins.end(), [](auto n) { return n == 0; })) {
      canvas_.text(area, area.x, area.y, "no finite values", {Ink::kDim});
      return;
    }
    if (!(values.low < values.high)) {
      canvas_.text(area, area.x, area.y,
                   fmt::format("every value is {}", with_minus(human_number(values.low), glyphs_)),
                   {Ink::kDim});
      return;
    }
    draw_histogram(canvas_, {area.x, area.y, area.width, area.height - 1}, values.bins,
                   {Ink::kAccent}, glyphs_);
    // Said where the tail leaves room for it.
    bool free_corner = true;
    for (int x = area.x; x < area.x + 4; ++x) {
      free_corner = free_corner && canvas_.at(x, area.y).text() == " ";
    }
    if (free_corner) canvas_.text(area, area.x, area.y, "log", {Ink::kDim});
    draw_axis(canvas_, {area.x, area.bottom() - 1, area.width, 1}, values.low, values.high,
              glyphs_);
  }

  std::vector<BitsBar> bars() const {
    const Statistics& s = *statistics_;
    std::vector<BitsBar> out;
    out.push_back({"raw", weight_.bits_per_weight(), Ink::kAccent, ""});
    out.push_back({has_exponent(model_, weight_) ? "exponent + raw" : "codes, coded",
                   planes_bits(weight_, s), Ink::kSecond, ""});
    out.push_back({"pair", pair_bits(weight_, s), Ink::kSecond, "16-bit and int8 in one"});
    out.push_back({"zstd", zstd_bits(weight_, s), Ink::kThird, ""});
    std::erase_if(out, [](const BitsBar& bar) { return !(bar.bits > 0); });
    return out;
  }

  void draw_bars(const Rect& area) {
    const std::vector<BitsBar> all = bars();
    double most = 0;
    for (const BitsBar& bar : all) most = std::max(most, bar.bits);
    draw_bits(canvas_, area, all, most, glyphs_);
  }

  Canvas& canvas_;
  const Rect area_;
  const Model& model_;
  const Weight& weight_;
  const Statistics* statistics_;
  const std::string& failure_;
  const std::string& waiting_;
  const Glyphs& glyphs_;
};

}  // namespace

void draw_detail(Canvas& canvas, const Rect& area, const WeightTable& table, std::uint32_t weight,
                 const std::string& waiting, const Glyphs& glyphs) {
  Detail(canvas, area, table, weight, waiting, glyphs).draw();
}

}  // namespace qi
