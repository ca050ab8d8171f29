#include "views/diff_screen.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/columns.h"
#include "views/job_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t {
  kNameA,
  kNameB,
  kStatus,
  kShape,
  kType,
  kSnr,
  kRelative,
  kMaxError,
  kCosine,
};

using Line = DiffReport::Line;
using State = DiffReport::Progress;

bool measured(const Line& line) {
  return line.progress == State::kDone &&
         (line.row.status == DiffStatus::kSame || line.row.status == DiffStatus::kDiffers);
}

// What cannot be compared, then what differs most, then what nobody knows yet, then the same.
std::tuple<int, double> order_key(const Line& line) {
  constexpr double kWorst = -std::numeric_limits<double>::infinity();
  if (line.progress == State::kFailed) return {0, 3};
  if (line.progress == State::kWaiting) return {2, 0};
  switch (line.row.status) {
    case DiffStatus::kShape:
      return {0, 0};
    case DiffStatus::kOnlyA:
    case DiffStatus::kOnlyB:
      return {0, 1};
    case DiffStatus::kNotComparable:
      return {0, 2};
    case DiffStatus::kDiffers:
      return {1, line.row.metrics.snr_db.value_or(kWorst)};
    case DiffStatus::kSame:
      break;
  }
  return {3, 0};
}

TableCell status_cell(const Line& line) {
  if (line.progress == State::kFailed) return {"error", Ink::kError};
  if (line.progress == State::kWaiting) return {"to compare", Ink::kDim};
  switch (line.row.status) {
    case DiffStatus::kSame:
      return {"same", Ink::kDim};
    case DiffStatus::kDiffers:
      return {"differs", Ink::kSecond};
    case DiffStatus::kOnlyA:
      return {"only in A", Ink::kWarning};
    case DiffStatus::kOnlyB:
      return {"only in B", Ink::kWarning};
    case DiffStatus::kShape:
      return {"shape", Ink::kWarning};
    case DiffStatus::kNotComparable:
      return {"not comparable", Ink::kWarning};
  }
  return {};
}

std::string name_of(const Weight* weight, std::int64_t slice) {
  if (weight == nullptr) return "";
  return slice < 0 ? weight->name : fmt::format("{}[{}]", weight->name, slice);
}

std::string shape_of(const Weight* weight, std::int64_t slice) {
  if (weight == nullptr) return "";
  if (slice < 0 || weight->shape.empty()) return shape_text(weight->shape);
  return shape_text(Shape(weight->shape.begin() + 1, weight->shape.end()));
}

std::string label_of(const Model* model, const Weight* weight) {
  return weight == nullptr || model == nullptr ? "" : scheme_label(*model, *weight);
}

// "BF16" for two that are equal, else "BF16 / Q4_K".
std::string both(const std::string& a, const std::string& b) {
  if (a == b || b.empty()) return a;
  return a.empty() ? b : a + " / " + b;
}

const std::optional<double>* metric_of(const Line& line, std::size_t column) {
  const ErrorMetrics& m = line.row.metrics;
  switch (column) {
    case kSnr:
      return &m.snr_db;
    case kRelative:
      return &m.relative_error;
    case kMaxError:
      return &m.max_abs_error;
    case kCosine:
      return &m.cosine;
    default:
      return nullptr;
  }
}

std::string metric_text(double value, std::size_t column) {
  if (column == kSnr) return fmt::format("{:.2f}", value);
  if (column == kCosine) return fmt::format("{:.6f}", value);
  return human_number(value);
}

std::string padded(std::string text, int cells) {
  text.append(static_cast<std::size_t>(std::max(0, cells - display_width(text))), ' ');
  return text;
}

}  // namespace

// --- the report

void DiffReport::begin(std::shared_ptr<const Model> b_in, std::vector<DiffRow> rows) {
  b = std::move(b_in);
  lines.reserve(rows.size());
  for (DiffRow& row : rows) {
    const bool waits = row.status == DiffStatus::kSame;
    if (waits) {
      ++pairs;
    } else {
      ++totals[static_cast<std::size_t>(row.status)];
    }
    if (row.a != nullptr && row.b != nullptr &&
        (row.a->name != row.b->name || row.slice_a != row.slice_b)) {
      names_differ = true;
    }
    for (const auto& [weight, slice] : {std::pair(row.a, row.slice_a), {row.b, row.slice_b}}) {
      if (weight != nullptr) names.add(weight->name, slice < 0 ? 0 : 5);
    }
    const std::string shape = both(shape_of(row.a, row.slice_a), shape_of(row.b, row.slice_b));
    const std::string type = both(label_of(a.get(), row.a), label_of(b.get(), row.b));
    shape_cells = std::max(shape_cells, display_width(shape));
    type_cells = std::max(type_cells, display_width(type));
    lines.push_back({std::move(row), waits ? State::kWaiting : State::kDone, {}});
  }
}

void DiffReport::finish(std::size_t index, DiffRow row) {
  ++compared;
  ++totals[static_cast<std::size_t>(row.status)];
  lines[index].row = std::move(row);
  lines[index].progress = State::kDone;
}

void DiffReport::fail(std::size_t index, std::string reason) {
  ++compared;
  ++failed;
  lines[index].progress = State::kFailed;
  lines[index].error = std::move(reason);
}

// --- the screen

DiffScreen::DiffScreen(std::shared_ptr<const DiffReport> report)
    : TableScreen("", "diff",
                  {{"weight of A", 24, 0},
                   {"weight of B", 24, 9},
                   {"status", 14, 1},
                   {"shape", 11, 5},
                   {"type", 11, 4},
                   {"SNR dB", 7, 2, true},
                   {"rel error", 9, 3, true},
                   {"max |e|", 9, 6, true},
                   {"cosine", 9, 7, true}}),
      report_(std::move(report)) {
  follow_first(true);
  show(report_);
}

void DiffScreen::show(std::shared_ptr<const DiffReport> report) {
  report_ = std::move(report);
  // Both names are worth their room only where they are two.
  if (report_->names_differ) set_column(kNameB, {"weight of B", 24, 3});
  set_column(kShape, {"shape", std::min(report_->shape_cells, 25), 5, true});
  set_column(kType, {"type", std::min(report_->type_cells, 20), 4});
  const std::string name = report_->is_open() ? report_->b->name : report_->path_b;
  set_title(fmt::format("Diff  A {}  B {}", escape(report_->a->name), escape(name)));
  rows_changed();
  fit_names();
}

void DiffScreen::fit_names() {
  const int a = column_width(kNameA);
  const int b = column_width(kNameB);
  name_level_ = report_->names.level(b > 0 ? std::min(a, b) : a);
}

void DiffScreen::arrange() {
  fit_names();
  TableScreen::arrange();
}

std::string DiffScreen::name_shown(const Weight* weight, std::int64_t slice) const {
  if (weight == nullptr) return "";
  const std::string name = shown_name(weight->name, name_level_);
  return slice < 0 ? name : fmt::format("{}[{}]", name, slice);
}

TableCell DiffScreen::cell(std::size_t row, std::size_t column) const {
  const Line& line = report_->lines[row];
  const DiffRow& diff = line.row;
  switch (column) {
    case kNameA:
      if (diff.a == nullptr) return {name_shown(diff.b, diff.slice_b), Ink::kDim};
      return {name_shown(diff.a, diff.slice_a)};
    case kNameB:
      return {name_shown(diff.b, diff.slice_b), Ink::kDim};
    case kStatus:
      return status_cell(line);
    case kShape:
      return {both(shape_of(diff.a, diff.slice_a), shape_of(diff.b, diff.slice_b))};
    case kType:
      return {both(label_of(report_->a.get(), diff.a), label_of(report_->b.get(), diff.b))};
    default: {
      const auto& metric = *metric_of(line, column);
      if (!measured(line) || !metric) return {};
      const Ink ink = diff.status == DiffStatus::kSame ? Ink::kDim : Ink::kText;
      return {metric_text(*metric, column), ink};
    }
  }
}

std::string DiffScreen::export_text(std::size_t row, std::size_t column) const {
  const Line& line = report_->lines[row];
  const DiffRow& diff = line.row;
  if (const auto* metric = metric_of(line, column)) {
    return measured(line) && *metric ? exact_number(**metric) : "";
  }
  if (column == kNameA) return name_of(diff.a, diff.slice_a);
  if (column == kNameB) return name_of(diff.b, diff.slice_b);
  return cell(row, column).text;
}

void DiffScreen::own_order(std::vector<std::size_t>& rows) const {
  std::vector<std::pair<std::tuple<int, double>, std::size_t>> keyed;
  keyed.reserve(rows.size());
  for (const std::size_t row : rows) keyed.emplace_back(order_key(report_->lines[row]), row);
  std::sort(keyed.begin(), keyed.end());
  for (std::size_t i = 0; i < keyed.size(); ++i) rows[i] = keyed[i].second;
}

// Names and status: of 100,000 lines the numbers would take too long to print for each look.
std::string DiffScreen::filter_text(std::size_t row) const {
  const Line& line = report_->lines[row];
  const DiffRow& diff = line.row;
  std::string out = name_of(diff.a, diff.slice_a);
  if (diff.b != nullptr && (diff.a == nullptr || report_->names_differ)) {
    out += ' ' + name_of(diff.b, diff.slice_b);
  }
  return out + ' ' + status_cell(line).text;
}

double DiffScreen::sort_key(std::size_t row, std::size_t column) const {
  const Line& line = report_->lines[row];
  const auto* metric = metric_of(line, column);
  return metric != nullptr && measured(line) && *metric ? **metric : kNoNumber;
}

std::string DiffScreen::copy_text() const {
  const auto row = current();
  if (!row) return "";
  const DiffRow& diff = report_->lines[*row].row;
  return diff.a != nullptr ? name_of(diff.a, diff.slice_a) : name_of(diff.b, diff.slice_b);
}

std::string DiffScreen::facts() const {
  const DiffReport& report = *report_;
  if (!report.is_open()) return "";
  const auto total = [&](DiffStatus status) {
    return report.totals[static_cast<std::size_t>(status)];
  };
  std::string out;
  const auto add = [&](std::uint64_t count, std::string_view what) {
    if (count == 0) return;
    out += fmt::format("{}{} {}", out.empty() ? "" : "  ", grouped(count), what);
  };
  add(report.failed, "failed");
  add(total(DiffStatus::kShape), "of other shape");
  add(total(DiffStatus::kOnlyA), "only in A");
  add(total(DiffStatus::kOnlyB), "only in B");
  add(total(DiffStatus::kNotComparable), "not comparable");
  add(total(DiffStatus::kDiffers), total(DiffStatus::kDiffers) == 1 ? "differs" : "differ");
  add(total(DiffStatus::kSame), "same");
  add(report.pairs - report.compared, "to compare");
  return out;
}

std::string DiffScreen::when_empty() const {
  const DiffReport& report = *report_;
  if (!report.error.empty()) {
    return fmt::format("B cannot be opened: {}\nd asks for another model", escape(report.error));
  }
  if (!report.is_open()) {
    return active() ? "opening B" : "cancelled before B was open: d asks for another model";
  }
  return "neither model has any weight";
}

std::string DiffScreen::detail(std::size_t index) const {
  const DiffReport& report = *report_;
  const Line& line = report.lines[index];
  const DiffRow& diff = line.row;
  std::string out = status_cell(line).text;
  if (line.progress == State::kDone && diff.status == DiffStatus::kShape) out = "shapes differ";
  if (line.progress == State::kFailed) {
    out += ": " + escape(line.error);
  } else if (!diff.reason.empty()) {
    out += ": " + escape(diff.reason);
  } else if (measured(line)) {
    const ErrorMetrics& m = diff.metrics;
    if (diff.status == DiffStatus::kDiffers) {
      out = m.differing == m.elements
                ? fmt::format("all {} values differ", grouped(m.elements))
                : fmt::format("{} of {} values differ", grouped(m.differing), grouped(m.elements));
    } else {
      out = fmt::format("all {} values are the same", grouped(m.elements));
    }
    if (m.snr_db) out += fmt::format("  SNR {:.2f} dB", *m.snr_db);
    if (m.relative_error) out += fmt::format("  rel error {}", human_number(*m.relative_error));
    if (m.max_abs_error) out += fmt::format("  max |e| {}", human_number(*m.max_abs_error));
    if (m.cosine) out += fmt::format("  cosine {:.6f}", *m.cosine);
  }
  const std::string shape_a = shape_of(diff.a, diff.slice_a);
  const std::string shape_b = shape_of(diff.b, diff.slice_b);
  const std::string label_a = label_of(report.a.get(), diff.a);
  const std::string label_b = label_of(report.b.get(), diff.b);
  const int shape_cells = std::max(display_width(shape_a), display_width(shape_b));
  const int label_cells = std::max(display_width(label_a), display_width(label_b));
  const auto side = [&](char letter, const Model* model, const Weight* weight, std::int64_t slice,
                        const std::string& shape, const std::string& label) {
    if (weight == nullptr || model == nullptr) return fmt::format("{}  has no such weight", letter);
    const Tensor& tensor = model->tensor(weight->parts.front());
    std::string text =
        fmt::format("{}  {}  {}  {:5.2f} b/w  {:>9}  {}", letter, padded(shape, shape_cells),
                    padded(label, label_cells), weight->bits_per_weight(),
                    human_bytes(weight->size_bytes), escape(name_of(weight, slice)));
    if (tensor.file < model->files.size()) {
      const std::string& path = model->file(tensor).path();
      text += fmt::format("  {}  @ {}", escape(path.substr(path.rfind('/') + 1)),
                          grouped(tensor.offset));
    }
    return text;
  };
  return fmt::format("{}\n{}\n{}", out,
                     side('A', report.a.get(), diff.a, diff.slice_a, shape_a, label_a),
                     side('B', report.b.get(), diff.b, diff.slice_b, shape_b, label_b));
}

std::optional<TableScreen::Progress> DiffScreen::progress() const {
  const DiffReport& report = *report_;
  if (!report.job || !report.error.empty()) return {};
  const bool all = report.is_open() && report.compared == report.pairs;
  return Progress{all ? 1 : job_fraction(*report.job),
                  job_progress(report.compared, report.pairs, *report.job)};
}

std::string DiffScreen::why_not(Command command) const {
  switch (command) {
    case Command::kCancel:
      return active() ? "" : "nothing to cancel: the comparison has ended";
    case Command::kEnter:
      if (const auto row = current(); row && report_->lines[*row].row.a == nullptr) {
        return "this weight is in B only: there is nothing of A to open";
      }
      return TableScreen::why_not(command);
    default:
      return TableScreen::why_not(command);
  }
}

Request DiffScreen::enter(std::size_t row) {
  const Weight* weight = report_->lines[row].row.a;
  if (weight == nullptr) return {};
  return {Ask::kShowWeight, static_cast<std::uint64_t>(weight - report_->a->weights.data())};
}

Request DiffScreen::run_own(Command command) {
  if (command == Command::kCancel) return Ask::kCancelJobs;
  if (command == Command::kShowDiff) return Ask::kShowDiff;
  return {};
}

}  // namespace qi
