#include "views/sweep_screen.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "eval/results/model_damage.h"
#include "eval/results/pareto.h"
#include "views/job_text.h"
#include "views/results_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

using Id = ResultColumnId;

constexpr int kPointLabelCells = 26;
constexpr int kLeastPlot = 36;  // cells, with its rule

}  // namespace

void SweepReport::add(ResultRow row) {
  ++finished;
  failed += row.ok ? 0 : 1;
  const std::size_t index = set->add(std::move(row));
  const std::uint32_t config = set->config_of(index);
  if (config >= sums.size()) {
    sums.resize(config + 1);
    model_bytes.resize(config + 1);
  }
  sums[config].add(set->row(index));
}

void SweepReport::add_total(const ResultRow& row) {
  for (std::size_t i = 0; i < set->configs().size() && i < model_bytes.size(); ++i) {
    if (set->configs()[i].config == row.config) model_bytes[i] = row.model_bytes;
  }
}

SweepScreen::SweepScreen(std::shared_ptr<const SweepReport> report)
    : TableScreen("", "sweep", {}), report_(std::move(report)) {
  show(report_);
}

void SweepScreen::show(std::shared_ptr<const SweepReport> report) {
  report_ = std::move(report);
  set_title("Sweep  " + report_->title);
  marked_.clear();
  choose_columns();
  refresh();
}

void SweepScreen::refresh() {
  const bool first = totals_.empty();
  totals_.clear();
  for (std::size_t i = 0; i < report_->sums.size(); ++i) {
    totals_.push_back(report_->sums[i].total());
    totals_.back().model_bytes = report_->model_bytes[i];
    totals_.back().model = report_->model;
  }
  join_evaluations(totals_, report_->evaluations);
  marked_.resize(totals_.size());
  find_points();
  if (first) choose_columns();
  rows_changed();
}

void SweepScreen::find_points() {
  std::vector<double> sizes, values;
  points_.clear();
  for (std::size_t i = 0; i < totals_.size(); ++i) {
    ScatterPoint point;
    point.x = result_number(x_, totals_[i]);
    point.y = result_number(y_, totals_[i]);
    point.marker = family_marker(totals_[i].config.family);
    point.marked = marked_[i] != 0;
    points_.push_back(point);
    // Less of x is better; where more of it is, its negative is what should be small.
    sizes.push_back(result_column(x_).better > 0 ? -point.x : point.x);
    values.push_back(point.y);
  }
  const auto front = pareto_front(sizes, values, result_column(y_).better > 0);
  for (std::size_t i = 0; i < points_.size(); ++i) points_[i].front = front[i] != 0;
}

void SweepScreen::choose_columns() {
  ids_ = {Id::kConfig, x_, y_};
  for (const Id id : {Id::kBytesOut, Id::kRelative, Id::kMaxError, Id::kEncode, Id::kDecode}) {
    if (std::find(ids_.begin(), ids_.end(), id) == ids_.end()) ids_.push_back(id);
  }
  int width = 13;
  for (const auto& config : report_->set->configs()) {
    width = std::max(width, display_width(config.label) + 2);
  }
  std::vector<TableColumn> columns;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    const ResultColumn& column = result_column(ids_[i]);
    columns.push_back({std::string(column.title),
                       i == 0 ? std::min(width, kPointLabelCells) : column.width,
                       static_cast<int>(i), column.right(), false, std::string(column.name)});
  }
  set_columns(std::move(columns));
}

TableCell SweepScreen::cell(std::size_t line, std::size_t column) const {
  const Id id = ids_[column];
  const bool front = points_[line].front;
  if (id != Id::kConfig) return {result_text(id, totals_[line])};
  if (report_->sums[line].failed() == report_->sums[line].rows()) {
    return {"! " + label(line), Ink::kError};
  }
  return {fmt::format("{} {}", front ? "*" : " ", label(line)), front ? Ink::kAccent : Ink::kText};
}

double SweepScreen::sort_key(std::size_t line, std::size_t column) const {
  return result_number(ids_[column], totals_[line]);
}

void SweepScreen::own_order(std::vector<std::size_t>& lines) const {
  // The largest first, as the plot has them from the right; what has no number last.
  const auto key = [&](std::size_t line) {
    const double x = points_[line].x;
    return std::isnan(x) ? -HUGE_VAL : x;
  };
  std::stable_sort(lines.begin(), lines.end(),
                   [&](std::size_t a, std::size_t b) { return key(a) > key(b); });
}

std::string SweepScreen::facts() const {
  const SweepReport& report = *report_;
  std::string out = fmt::format("{} of {} rows", grouped(report.finished), grouped(report.units));
  if (report.failed > 0) out += fmt::format("  {} failed", grouped(report.failed));
  return out;
}

std::optional<TableScreen::Progress> SweepScreen::progress() const {
  const SweepReport& report = *report_;
  if (!report.job) return {};
  const double done =
      report.units == 0 ? 0
                        : static_cast<double>(report.finished) / static_cast<double>(report.units);
  std::string text(job_word(*report.job));
  if (!report.error.empty()) text = "failed";
  if (report.active() && report.stage) {
    text = fmt::format("{}  {}  {}", report.stage->kind, report.stage->label,
                       human_duration(report.job->elapsed_s));
    return Progress{std::min(1.0, report.stage->done), std::move(text)};
  }
  if (report.active()) {
    text += fmt::format("  {}", human_duration(report.job->elapsed_s));
    if (report.job->eta_s) text += fmt::format("  ETA {}", human_duration(*report.job->eta_s));
  }
  return Progress{std::min(1.0, done), std::move(text)};
}

std::string SweepScreen::when_empty() const {
  if (!report_->error.empty()) return escape(report_->error);
  return report_->active() ? "the first row is being measured" : "cancelled before the first row";
}

std::string SweepScreen::detail(std::size_t line) const {
  if (!report_->error.empty()) return escape(report_->error);
  std::string out = result_detail(totals_[line], label(line));
  if (points_[line].front) {
    out += fmt::format("  * on the Pareto front of {} and {}", result_column(x_).plain,
                       result_column(y_).plain);
  }
  return out;
}

TextTable SweepScreen::table_shown() const {
  std::vector<const ResultRow*> rows;
  for (const std::size_t line : lines_shown()) rows.push_back(&totals_[line]);
  return result_table("sweep", rows);
}

// --- the plot

int SweepScreen::left_pane() const {
  if (panes_ == Panes::kTable) return 0;
  if (panes_ == Panes::kPlot) return width();
  const int table = std::clamp(width() * 45 / 100, 40, 64);
  return width() - table >= kLeastPlot ? width() - table : 0;
}

ScatterPlace SweepScreen::plot_place(const Rect& area) const {
  return place_scatter(area, points_, result_column(x_).logarithmic, result_column(y_).logarithmic);
}

void SweepScreen::paint_left(Canvas& canvas, const Rect& area, const Glyphs& glyphs) const {
  const std::size_t under = current().value_or(points_.size());
  // The cloud behind: each weight in the configuration under the cursor.
  std::vector<ScatterDot> dots;
  if (under < points_.size()) {
    for (std::size_t i = 0; i < report_->set->size(); ++i) {
      if (report_->set->config_of(i) != under) continue;
      const ResultRow& row = report_->set->row(i);
      dots.push_back({result_number(x_, row), result_number(y_, row)});
    }
  }
  draw_scatter(canvas, area, plot_place(area), points_, dots, under, result_column(x_).plain,
               result_column(y_).plain, glyphs);
  // Which sign is which family: in the corner where good points hardly are.
  int y = area.bottom() - 3;
  for (auto it = report_->set->families().rbegin(); it != report_->set->families().rend(); ++it) {
    if (y < area.y + 2) break;
    const std::string name = escape(*it);
    canvas.text_right(
        area, area.right() - 1, y--,
        fmt::format("{} {}", scatter_marker(family_marker(*it), false, glyphs.unicode), name),
        {Ink::kDim});
  }
}

Request SweepScreen::click_left(const Key& key) {
  const Rect area{0, 2, left_pane() - 1, plot_rows()};
  if (const auto point = point_near(plot_place(area), key.x, key.y, 2)) select(*point);
  return {};
}

// --- keys

bool SweepScreen::is_marked(std::size_t line) const {
  return marked_[line] != 0;
}

ResultPart SweepScreen::rows_under_cursor() const {
  ResultPart out;
  const auto line = current();
  if (!line) return out;
  out.title = label(*line);
  for (std::size_t i = 0; i < report_->set->size(); ++i) {
    if (report_->set->config_of(i) == *line) out.rows.push_back(i);
  }
  return out;
}

std::vector<ResultSide> SweepScreen::compared_sides() const {
  std::vector<ResultSide> out;
  for (std::size_t i = 0; i < marked_.size(); ++i) {
    if (marked_[i] != 0) out.push_back({static_cast<std::uint32_t>(i), 0});
  }
  return out;
}

ResultPart SweepScreen::planned_rows() const {
  ResultPart out;
  out.title = escape(report_->model);
  const bool any = std::find(marked_.begin(), marked_.end(), 1) != marked_.end();
  for (std::size_t i = 0; i < report_->set->size(); ++i) {
    if (!any || marked_[report_->set->config_of(i)] != 0) out.rows.push_back(i);
  }
  return out;
}

std::string SweepScreen::why_not(Command command) const {
  const auto marks = std::count(marked_.begin(), marked_.end(), 1);
  switch (command) {
    case Command::kCancel:
      return report_->active() ? "" : "nothing to cancel: the sweep has ended";
    case Command::kUnmarkAll:
      return marks > 0 ? "" : "nothing is marked";
    case Command::kCompare:
      return marks >= 2 ? "" : "mark two configurations first: Space";
    case Command::kMark:
    case Command::kPlan:
    case Command::kShowHeatmap:
    case Command::kLeft:
    case Command::kRight:
      return current() ? "" : "no line to act on";
    default:
      return TableScreen::why_not(command);
  }
}

void SweepScreen::next_axis(Id& axis, Id other) {
  // Columns that no configuration has a number of are passed over.
  const auto axes = result_axes();
  auto at = std::find(axes.begin(), axes.end(), axis);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (at == axes.end() || ++at == axes.end()) at = axes.begin();
    const bool known = std::any_of(totals_.begin(), totals_.end(), [&](const ResultRow& row) {
      return !std::isnan(result_number(*at, row));
    });
    if (*at == other || !known) continue;
    axis = *at;
    break;
  }
  set_notice(fmt::format("{} over {}", result_column(y_).plain, result_column(x_).plain));
  choose_columns();
  find_points();
  rows_changed();
}

Request SweepScreen::run_own(Command command) {
  switch (command) {
    case Command::kAxis:
      next_axis(y_, x_);
      return {};
    case Command::kOtherAxis:
      next_axis(x_, y_);
      return {};
    case Command::kLeft:
    case Command::kRight: {
      const std::size_t next =
          point_beside(points_, *current(), command == Command::kRight ? 1 : -1);
      if (next < points_.size()) select(next);
      return {};
    }
    case Command::kZoom:
      panes_ = static_cast<Panes>((static_cast<int>(panes_) + 1) % 3);
      arrange();
      return {};
    case Command::kMark:
      marked_[*current()] ^= 1;
      find_points();
      move_cursor(1);
      return {};
    case Command::kUnmarkAll:
      std::fill(marked_.begin(), marked_.end(), std::uint8_t{0});
      find_points();
      return {};
    case Command::kCancel:
      return Ask::kCancelJobs;
    case Command::kCompare:
      return Ask::kCompare;
    case Command::kPlan:
      return Ask::kPlan;
    case Command::kShowHeatmap:
      return {Ask::kShowHeatmap, std::string(result_column(y_).name)};
    case Command::kShowSweep:
      return Ask::kShowSweep;
    case Command::kShowResults:
      return Ask::kShowResults;
    case Command::kShowEval:
      return Ask::kShowEval;
    default:
      return {};
  }
}

}  // namespace qi
