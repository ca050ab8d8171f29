#include "views/detail_view.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

struct Bar {
  std::string label;
  double bits = -1;
  Ink ink = Ink::kAccent;
  std::string note;
};

std::string base_name(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

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
    if (area_.height >= 12) return draw_tall(draw_facts(area_.y + 1, 3));
    const int y = draw_facts(area_.y + 1, area_.height >= 8 ? 2 : 1);
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
  // Pieces of a line, label dim and value plain; stops before what does not fit whole.
  struct Piece {
    std::string_view label;
    std::string value;
  };
  int draw_pieces(int x, int y, int right, const std::vector<Piece>& pieces) {
    for (const Piece& piece : pieces) {
      const int width =
          display_width(piece.label) + (piece.label.empty() ? 0 : 1) + display_width(piece.value);
      if (x + width > right) break;
      if (!piece.label.empty()) x = canvas_.text(area_, x, y, piece.label, {Ink::kDim}) + 1;
      x = canvas_.text(area_, x, y, piece.value) + 2;
    }
    return x;
  }

  std::string number(std::optional<double> value) const {
    return value ? with_minus(human_number(*value), glyphs_) : "";
  }
  // Floats have an exponent to code; of quantized weights the codes themselves are coded.
  bool has_exponent() const {
    return weight_.scheme == Scheme::kNone && !weight_.parts.empty() &&
           is_float(model_.tensor(weight_.parts[0]).dtype);
  }
  // Three digits, for the line that has to hold everything.
  std::string short_number(std::optional<double> value) const {
    return value ? with_minus(fmt::format("{:.3g}", *value), glyphs_) : "";
  }
  std::string count(std::optional<double> value) const {
    return value ? grouped(static_cast<std::uint64_t>(*value)) : "";
  }

  std::vector<Piece> moment_pieces() const {
    std::vector<Piece> out;
    const Statistics& s = *statistics_;
    const auto add = [&](std::string_view label, std::string value) {
      if (!value.empty()) out.push_back({label, std::move(value)});
    };
    add("min", number(s.min));
    add("max", number(s.max));
    add("mean", number(s.mean));
    add("std", number(s.std));
    add("zeros", count(s.zeros));
    add("nan", count(s.nan));
    add("inf", count(s.inf));
    return out;
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
    const Tensor* first = weight_.parts.empty() ? nullptr : &model_.tensor(weight_.parts[0]);
    std::string place;
    if (first != nullptr && first->file < model_.files.size()) {
      place = fmt::format("{} @ {}", escape(base_name(model_.file(*first).path())),
                          grouped(first->offset));
    }
    int room = area_.width - 2;
    const int width = display_width(place);
    const std::string name = escape(weight_.name);
    if (width + 3 + std::min(display_width(name), 24) <= room) {
      canvas_.text_right(area_, area_.right() - 1, y, place, {Ink::kDim});
      room -= width + 3;
    }
    canvas_.text(area_, area_.x + 1, y, elide_middle(name, room, glyphs_.ellipsis), {Ink::kStrong});
  }

  // What it is, in as few lines as hold it; returns the line after them.
  int draw_facts(int y, int most) {
    const int room = area_.width - 2;
    std::string role(role_name(weight_.role));
    if (weight_.layer >= 0) role += fmt::format(" of layer {}", weight_.layer);
    if (weight_.expert >= 0) role += fmt::format(", expert {}", weight_.expert);
    std::string size = human_bytes(weight_.size_bytes);
    if (weight_.parts.size() > 1) size += fmt::format(" in {} tensors", weight_.parts.size());
    const std::string dot = fmt::format(" {} ", glyphs_.dot);
    std::vector<std::string> lines(1);
    for (const std::string& fact : {shape_text(weight_.shape), counted(weight_.params, "param"),
                                    role, scheme_sentence(model_, weight_), size}) {
      std::string& line = lines.back();
      const bool fits = display_width(line) + display_width(dot) + display_width(fact) <= room;
      const bool last = static_cast<int>(lines.size()) == most;
      if (line.empty()) {
        line = fact;
      } else if (fits || last) {
        line += dot + fact;
      } else {
        lines.push_back(fact);
      }
    }
    for (const std::string& line : lines) {
      canvas_.text(area_, area_.x + 1, y++, elide_end(line, room, glyphs_.ellipsis));
    }
    return y;
  }

  void draw_moments(int y) {
    if (draw_absence(area_.x + 1, y)) return;
    draw_pieces(area_.x + 1, y, area_.right(), moment_pieces());
  }

  // "min −0.918 max 0.906 std 0.0178  ▁▁▂▅█▅▂▁▁  raw 16.00 → exponent 10.68 → pair 10.61"
  void draw_one_line(int y) {
    if (draw_absence(area_.x + 1, y)) return;
    const Statistics& s = *statistics_;
    std::vector<Piece> pieces;
    if (s.min) pieces.push_back({"min", short_number(s.min)});
    if (s.max) pieces.push_back({"max", short_number(s.max)});
    if (s.std) pieces.push_back({"std", short_number(s.std)});
    int x = draw_pieces(area_.x + 1, y, area_.right(), pieces);
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
    step(has_exponent() ? "exp" : "codes", planes_bits(weight_, s), false);
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
    const int y = area.bottom() - 1;
    const std::string low = with_minus(human_number(values.low), glyphs_);
    const std::string high = with_minus(human_number(values.high), glyphs_);
    canvas_.text(area, area.x, y, low, {Ink::kDim});
    canvas_.text_right(area, area.right(), y, high, {Ink::kDim});
    if (values.low < 0 && values.high > 0) {
      const int zero =
          area.x + static_cast<int>(area.width * (0 - values.low) / (values.high - values.low));
      const bool free =
          zero > area.x + display_width(low) + 1 && zero < area.right() - display_width(high) - 1;
      if (free) canvas_.text(area, zero, y, "0", {Ink::kDim});
    }
  }

  std::vector<Bar> bars() const {
    const Statistics& s = *statistics_;
    std::vector<Bar> out;
    out.push_back({"raw", weight_.bits_per_weight(), Ink::kAccent, ""});
    out.push_back({has_exponent() ? "exponent + raw" : "codes, coded", planes_bits(weight_, s),
                   Ink::kSecond, ""});
    out.push_back({"pair", pair_bits(weight_, s), Ink::kSecond, "16-bit and int8 in one"});
    out.push_back({"zstd", zstd_bits(weight_, s), Ink::kThird, ""});
    std::erase_if(out, [](const Bar& bar) { return !(bar.bits > 0); });
    return out;
  }

  void draw_bars(const Rect& area) {
    const std::vector<Bar> all = bars();
    double most = 0;
    for (const Bar& bar : all) most = std::max(most, bar.bits);
    constexpr int kLabel = 15;
    constexpr int kNumber = 6;
    const int room = std::max(0, area.width - kLabel - kNumber - 2);
    for (std::size_t i = 0; i < all.size() && static_cast<int>(i) < area.height; ++i) {
      const Bar& bar = all[i];
      const int y = area.y + static_cast<int>(i);
      canvas_.text(area, area.x, y, bar.label, {Ink::kDim});
      canvas_.text_right(area, area.x + kLabel + kNumber, y, fmt::format("{:.2f}", bar.bits));
      const int x = area.x + kLabel + kNumber + 1;
      draw_bar(canvas_, {x, y, room, 1}, bar.bits / most, {bar.ink}, glyphs_);
      const int used = static_cast<int>(room * bar.bits / most) + 2;
      if (!bar.note.empty() && used + display_width(bar.note) < room) {
        canvas_.text(area, x + used, y, bar.note, {Ink::kDim});
      }
    }
  }

  // The whole pane: parts, all numbers, a large histogram.
  void draw_tall(int y) {
    if (area_.height >= 24) ++y;
    y = draw_parts(y) + 1;
    if (draw_absence(area_.x + 1, y)) return;
    y = draw_numbers(y) + 1;
    const int bars_height = static_cast<int>(bars().size());
    const int chart = std::min(area_.bottom() - y - bars_height - 1, 12);
    if (chart >= 3) {
      draw_chart({area_.x + 1, y, std::min(area_.width - 2, 64), chart});
      y += chart + 1;
    }
    draw_bars({area_.x + 1, y, area_.width - 2, area_.bottom() - y});
  }

  int draw_parts(int y) {
    const int most = std::max(1, area_.height / 4);
    int name_width = 0;
    for (const Part& part : weight_.parts) {
      name_width = std::max(name_width, display_width(escape(model_.tensor(part).name)));
    }
    name_width = std::min(name_width, area_.width / 2);
    int line = 0;
    for (const Part& part : weight_.parts) {
      if (line == most) {
        canvas_.text(area_, area_.x + 1, y + line,
                     fmt::format("and {} more tensors", weight_.parts.size() - most), {Ink::kDim});
        return y + line + 1;
      }
      const Tensor& stored = model_.tensor(part);
      int x = area_.x + 1;
      canvas_.text(area_, x, y + line,
                   elide_middle(escape(stored.name), name_width, glyphs_.ellipsis));
      x += name_width + 2;
      draw_pieces(x, y + line, area_.right(),
                  {{"", escape(dtype_name(stored))},
                   {"", shape_text(stored.shape)},
                   {"", human_bytes(stored.size_bytes)},
                   {"@", grouped(stored.offset)}});
      ++line;
    }
    return y + line;
  }

  // Every column of --stats that applies, in a grid.
  int draw_numbers(int y) {
    constexpr int kCell = 24;
    const int across = std::max(1, (area_.width - 1) / kCell);
    std::vector<Piece> cells;
    for (const StatColumn& column : stat_columns()) {
      const std::optional<double> value = statistics_->*(column.value);
      if (!value) continue;
      cells.push_back(
          {column.name, column.kind == StatColumn::Kind::kCount ? count(value) : number(value)});
    }
    const int lines = (static_cast<int>(cells.size()) + across - 1) / across;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const int x = area_.x + 1 + static_cast<int>(i) / lines * kCell;
      const int row = y + static_cast<int>(i) % lines;
      canvas_.text(area_, x, row, cells[i].label, {Ink::kDim});
      canvas_.text_right(area_, x + kCell - 2, row, cells[i].value);
    }
    return y + lines;
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
