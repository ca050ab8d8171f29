#include "views/eval_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/methods/method.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/job_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t {
  kWeights,
  kKind,
  kValue,
  kError,
  kBits,
  kData,
  kTokens,
  kSpeed,
  kSeconds,
  kMemory,
  kRun
};

constexpr int kLeastPlotCells = 30;

std::string weights_text(const EvalRow& row) {
  if (row.family.empty()) return "as stored";
  try {
    return escape(config_label({row.family, Params::parse(row.config)}));
  } catch (const Error&) {
    // Parameters of another version, which this one cannot put into words.
    return escape(row.family + " " + row.config);
  }
}

double number_of(const EvalRow& row, std::size_t column) {
  if (column == kBits) return row.bits_per_weight;
  if (column == kRun) return static_cast<double>(row.run);
  if (!row.error.empty()) return kNoNumber;  // nothing was measured
  switch (column) {
    case kValue:
      return row.measured.value;
    case kError:
      return row.measured.standard_error.value_or(kNoNumber);
    case kTokens:
      return row.measured.tokens > 0 ? static_cast<double>(row.measured.tokens) : kNoNumber;
    case kSpeed:
      return row.measured.tokens_per_s().value_or(kNoNumber);
    case kSeconds:
      return row.measured.seconds;
    case kMemory:
      return row.measured.peak_memory_bytes > 0
                 ? static_cast<double>(row.measured.peak_memory_bytes)
                 : kNoNumber;
    default:
      return kNoNumber;
  }
}

}  // namespace

void EvalReport::follow(Live now, std::optional<double> value) {
  if (curve_kind != now.kind) {
    curve.clear();
    curve_kind = now.kind;
  }
  if (value && now.total > 0) {
    const double share = static_cast<double>(now.done) / static_cast<double>(now.total);
    // Between two windows the value stays: one point for it.
    if (curve.empty() || curve.back().value != *value) curve.push_back({share, *value});
    if (curve.size() > kMostPoints) {
      std::size_t kept = 0;
      for (std::size_t i = 1; i < curve.size(); i += 2) curve[kept++] = curve[i];
      curve.resize(kept);
    }
  }
  live = std::move(now);
}

EvalScreen::EvalScreen(std::shared_ptr<const EvalReport> report)
    : TableScreen("", "evaluations",
                  {{"weights", 16, 0},
                   {"kind", 9, 1},
                   {"value", 10, 2, true},
                   {"stderr", 8, 4, true},
                   {"b/w", 6, 3, true},
                   {"data", 12, 5},
                   {"tokens", 8, 7, true},
                   {"tokens/s", 8, 6, true},
                   {"time", 8, 8, true},
                   {"memory", 9, 9, true},
                   {"run", 5, 10, true}}) {
  show(std::move(report));
}

void EvalScreen::show(std::shared_ptr<const EvalReport> report) {
  report_ = std::move(report);
  set_title("Evaluate  " + report_->title);
  follow_end(true);
  refresh();
}

void EvalScreen::refresh() {
  rows_changed();
}

std::string EvalScreen::why_not(Command command) const {
  if (command == Command::kCancel) return report_->active() ? "" : "nothing is being evaluated";
  return TableScreen::why_not(command);
}

TableCell EvalScreen::cell(std::size_t line, std::size_t column) const {
  const EvalRow& row = report_->rows[line];
  const double number = number_of(row, column);
  const bool known = number == number;
  switch (column) {
    case kWeights:
      return {weights_text(row)};
    case kKind:
      return {escape(row.kind)};
    case kData:
      return {escape(row.dataset), Ink::kDim};
    case kValue:
      if (!row.error.empty()) return {"error", Ink::kError};
      return {fmt::format("{:.4f}", number), Ink::kStrong};
    case kError:
      return {known ? fmt::format("{:.4f}", number) : ""};
    case kBits:
      return {fmt::format("{:.2f}", number)};
    case kTokens:
      return {known ? grouped(row.measured.tokens) : ""};
    case kSpeed:
      return {known ? human_number(number) : ""};
    case kSeconds:
      return {known ? human_duration(number) : ""};
    case kMemory:
      return {known ? human_bytes(row.measured.peak_memory_bytes) : ""};
    default:
      return {grouped(static_cast<std::uint64_t>(row.run)), Ink::kDim};
  }
}

std::string EvalScreen::export_text(std::size_t line, std::size_t column) const {
  const EvalRow& row = report_->rows[line];
  switch (column) {
    case kWeights:
      return row.family.empty() ? "" : row.family + " " + row.config;
    case kKind:
      return row.kind;
    case kData:
      return row.dataset;
    default: {
      const double number = number_of(row, column);
      return number == number ? fmt::format("{}", number) : "";
    }
  }
}

double EvalScreen::sort_key(std::size_t line, std::size_t column) const {
  return number_of(report_->rows[line], column);
}

std::string EvalScreen::facts() const {
  return counted(report_->rows.size(), "row");
}

std::string EvalScreen::when_empty() const {
  if (!report_->error.empty()) return escape(report_->error);
  return report_->active() ? "nothing is finished yet" : "nothing was finished";
}

std::string EvalScreen::detail(std::size_t line) const {
  const EvalRow& row = report_->rows[line];
  std::string out =
      fmt::format("{} of {}, {}", escape(row.kind), escape(row.model), weights_text(row));
  if (!row.error.empty()) return out + "\n" + escape(row.error);
  std::string value = fmt::format("{}", row.measured.value);
  if (row.measured.standard_error) value += fmt::format(" ± {}", *row.measured.standard_error);
  return fmt::format("{}\n{}  {}\n{}", out, value, escape(row.dataset), escape(row.params.text()));
}

std::optional<TableScreen::Progress> EvalScreen::progress() const {
  const EvalReport& report = *report_;
  if (!report.active() || !report.live || report.live->total == 0) return {};
  const double fraction =
      static_cast<double>(report.live->done) / static_cast<double>(report.live->total);
  std::string text = fmt::format("{} {:.0f} %", report.live->kind, 100 * fraction);
  if (report.curve_kind == report.live->kind && !report.curve.empty()) {
    text += fmt::format("  {:.4f}", report.curve.back().value);
  }
  if (report.job->eta_s) text += fmt::format("  ETA {}", human_duration(*report.job->eta_s));
  return Progress{fraction, std::move(text)};
}

int EvalScreen::left_pane() const {
  if (report_->curve.size() < 2 || width() < 3 * kLeastPlotCells) return 0;
  return width() * 2 / 5;
}

void EvalScreen::paint_left(Canvas& canvas, const Rect& area, const Glyphs& glyphs) const {
  std::vector<ScatterPoint> points;
  for (const EvalReport::Point& one : report_->curve)
    points.push_back({100 * one.share, one.value});
  const ScatterPlace place = place_scatter(area, points, false, false);
  draw_scatter(canvas, area, place, points, {}, points.size(), "% of the text",
               fmt::format("{} so far", report_->curve_kind), glyphs);
}

Request EvalScreen::run_own(Command command) {
  switch (command) {
    case Command::kShowEval:
      return Ask::kShowEval;
    case Command::kCancel:
      return {Ask::kCancelJobs, std::uint64_t{0}};
    case Command::kShowResults:
      return Ask::kShowResults;
    default:
      return {};
  }
}

}  // namespace qi
