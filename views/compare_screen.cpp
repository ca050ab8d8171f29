#include "views/compare_screen.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/weight_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kLabelCells = 22;

}  // namespace

CompareScreen::CompareScreen(std::shared_ptr<const ResultSet> set, std::vector<ResultSide> sides)
    : TableScreen("", "compare", {}), set_(std::move(set)), sides_(std::move(sides)) {
  if (sides_.size() > kMostSides) sides_.resize(kMostSides);
  std::unordered_map<std::string_view, std::size_t> numbers;
  std::string_view last;  // rows mostly come weight after weight
  std::size_t line = 0;
  for (std::size_t i = 0; i < set_->size(); ++i) {
    const ResultRow& row = set_->row(i);
    if (row.is_total()) continue;
    for (std::size_t side = 0; side < sides_.size(); ++side) {
      if (set_->config_of(i) != sides_[side].config) continue;
      if (sides_[side].run != 0 && sides_[side].run != row.run) continue;
      if (lines_.empty() || row.tensor != last) {
        const auto [at, fresh] = numbers.try_emplace(row.tensor, lines_.size());
        if (fresh) {
          lines_.push_back({row.tensor, {}, 0, 0});
          lines_.back().rows.resize(sides_.size());
          names_.add(row.tensor);
        }
        line = at->second;
        last = row.tensor;
      }
      auto& there = lines_[line].rows[side];
      if (!there || set_->row(*there).run <= row.run) there = i;
    }
  }
  measure_lines();
}

void CompareScreen::arrange() {
  TableScreen::arrange();
  name_level_ = names_.level(column_width(0));
}

std::string CompareScreen::side_label(std::size_t side) const {
  std::string out = set_->configs()[sides_[side].config].label;
  const bool same_config = std::any_of(sides_.begin(), sides_.end(), [&](const ResultSide& other) {
    return other.config == sides_[side].config && other.run != sides_[side].run;
  });
  if (same_config) out = fmt::format("run {} {}", sides_[side].run, out);
  return out;
}

double CompareScreen::value(std::size_t line, std::size_t side) const {
  const auto& row = lines_[line].rows[side];
  return row ? result_number(measure_, set_->row(*row)) : kNoNumber;
}

void CompareScreen::measure_lines() {
  const bool more = result_column(measure_).better > 0;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    line.worst = kNoNumber;
    for (std::size_t side = 0; side < sides_.size(); ++side) {
      const double one = value(i, side);
      if (std::isnan(one)) continue;
      if (std::isnan(line.worst) || (more ? one < line.worst : one > line.worst)) line.worst = one;
    }
    const double first = value(i, 0), last = value(i, sides_.size() - 1);
    // Two that are exact differ by nothing.
    line.difference = first == last ? 0 : last - first;
  }
  const ResultColumn& measure = result_column(measure_);
  std::vector<TableColumn> columns = {{"weight", 20, 0, false, false, "tensor"}};
  for (std::size_t side = 0; side < sides_.size(); ++side) {
    const std::string label = side_label(side);
    const int cells = std::clamp(display_width(label), measure.width, kLabelCells);
    columns.push_back({elide_end(label, cells, "~"), cells, static_cast<int>(side) + 2, true, false,
                       fmt::format("{} of {}", measure.name, label)});
  }
  columns.push_back({sides_.size() == 2 ? "difference" : "last - first", 12, 1, true, false,
                     fmt::format("{} difference", measure.name)});
  set_columns(std::move(columns));
  set_title(fmt::format("Compare  {}", measure.plain));
  rows_changed();
}

TableCell CompareScreen::cell(std::size_t index, std::size_t column) const {
  const Line& line = lines_[index];
  if (column == 0) return {shown_name(line.name, name_level_)};
  if (column > sides_.size()) {
    const double difference = line.difference;
    if (std::isnan(difference)) return {""};
    const bool size = result_column(measure_).form == ResultForm::kSize;
    std::string text = size && difference < 0 ? "-" + result_number_text(measure_, -difference)
                                              : result_number_text(measure_, difference);
    if (difference > 0) text = "+" + text;
    const int better = result_column(measure_).better;
    const bool worse = difference * better < 0;
    return {text, worse ? Ink::kWarning : Ink::kText};
  }
  const auto& row = line.rows[column - 1];
  if (!row) return {""};
  if (!set_->row(*row).ok) return {"error", Ink::kError};
  return {result_number_text(measure_, value(index, column - 1))};
}

std::string CompareScreen::export_text(std::size_t index, std::size_t column) const {
  if (column == 0) return lines_[index].name;
  const double number =
      column > sides_.size() ? lines_[index].difference : value(index, column - 1);
  return std::isfinite(number) ? exact_number(number) : "";
}

double CompareScreen::sort_key(std::size_t index, std::size_t column) const {
  if (column == 0) {
    // A line has a row of one side at least.
    const auto& rows = lines_[index].rows;
    const auto any = std::find_if(rows.begin(), rows.end(), [](const auto& row) { return !!row; });
    return set_->sort_key(ResultColumnId::kTensor, **any);
  }
  return column > sides_.size() ? lines_[index].difference : value(index, column - 1);
}

void CompareScreen::own_order(std::vector<std::size_t>& lines) const {
  const double sign = result_column(measure_).better > 0 ? 1 : -1;
  // What nobody measured last.
  const auto key = [&](std::size_t line) {
    const double worst = lines_[line].worst;
    return std::isnan(worst) ? HUGE_VAL : sign * worst;
  };
  std::stable_sort(lines.begin(), lines.end(),
                   [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
}

NameSearch* CompareScreen::search_index() {
  if (index_ == nullptr) {
    index_ = std::make_unique<NameSearch>();
    for (const Line& line : lines_) index_->add(line.name);
  }
  return index_.get();
}

std::string CompareScreen::facts() const {
  std::size_t whole = 0, worse = 0;
  for (const Line& line : lines_) {
    if (std::isnan(line.difference)) continue;
    ++whole;
    worse += line.difference * result_column(measure_).better < 0 ? 1 : 0;
  }
  return fmt::format("{} of {} in both  {} worse in the last", grouped(whole),
                     counted(lines_.size(), "weight"), grouped(worse));
}

std::string CompareScreen::detail(std::size_t index) const {
  std::string out = escape(lines_[index].name);
  for (std::size_t side = 0; side < sides_.size(); ++side) {
    const auto& row = lines_[index].rows[side];
    out += fmt::format("\n{}  ", side_label(side));
    if (!row) {
      out += "has no such weight";
    } else if (!set_->row(*row).ok) {
      out += "error: " + escape(set_->row(*row).error);
    } else {
      out += fmt::format("{} b/w  SNR {} dB  rel error {}  max |e| {}",
                         result_text(ResultColumnId::kBits, set_->row(*row)),
                         result_text(ResultColumnId::kSnr, set_->row(*row)),
                         result_text(ResultColumnId::kRelative, set_->row(*row)),
                         result_text(ResultColumnId::kMaxError, set_->row(*row)));
    }
  }
  return out;
}

std::string CompareScreen::why_not(Command command) const {
  if (command == Command::kShowHeatmap) return lines_.empty() ? when_empty() : "";
  return TableScreen::why_not(command);
}

std::vector<ResultPart> CompareScreen::heat_parts() const {
  std::vector<ResultPart> out;
  for (std::size_t side = 0; side < sides_.size(); ++side) {
    out.push_back({side_label(side), {}});
    for (const Line& line : lines_) {
      if (line.rows[side]) out.back().rows.push_back(*line.rows[side]);
    }
  }
  return out;
}

Request CompareScreen::run_own(Command command) {
  if (command == Command::kShowHeatmap) {
    return {Ask::kShowHeatmap, std::string(result_column(measure_).name)};
  }
  if (command != Command::kAxis) return {};
  const auto axes = result_axes();
  auto at = std::find(axes.begin(), axes.end(), measure_);
  // Measures that no line has are passed over.
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (at == axes.end() || ++at == axes.end()) at = axes.begin();
    measure_ = *at;
    for (std::size_t line = 0; line < lines_.size(); ++line) {
      for (std::size_t side = 0; side < sides_.size(); ++side) {
        if (std::isnan(value(line, side))) continue;
        measure_lines();
        return {};
      }
    }
  }
  measure_lines();
  return {};
}

}  // namespace qi
