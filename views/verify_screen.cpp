#include "views/verify_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/job_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t { kClass, kTensor, kPart, kBlock, kOffset, kLength, kMessage };

// Other containers have no blocks of their own: too wide for any screen, the column leaves them
// all.
const TableColumn kNoBlocks = {"block", 10'000, 9, true};

const std::optional<std::uint64_t>* number_of(const Fault& fault, std::size_t column) {
  switch (column) {
    case kBlock:
      return &fault.block;
    case kOffset:
      return &fault.offset;
    case kLength:
      return &fault.length;
    default:
      return nullptr;
  }
}

// "scales" for layers.0.q_proj.scales of layers.0.q_proj.weight.
std::string_view short_part(const Fault& fault) {
  const std::string_view part = fault.part;
  const std::string_view name = fault.tensor;
  const std::size_t stem = name.rfind('.');
  if (stem == std::string_view::npos || !part.starts_with(name.substr(0, stem + 1))) return part;
  return part.substr(stem + 1);
}

std::string file_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

VerifyReport::VerifyReport(std::shared_ptr<const Model> model_in) : model(std::move(model_in)) {
  undecodable = static_cast<std::uint64_t>(
      std::count_if(model->weights.begin(), model->weights.end(),
                    [](const Weight& weight) { return !weight.undecodable.empty(); }));
}

void VerifyReport::keep(Line line) {
  if (lines.size() < kMostLines) lines.push_back(std::move(line));
}

void VerifyReport::add(std::uint32_t weight, std::vector<Fault> found) {
  ++checked;
  for (Fault& fault : found) {
    ++(fault.odd_only ? odd : faults);
    keep({weight, std::move(fault), false});
  }
}

void VerifyReport::add(std::uint32_t weight, const Error& error) {
  ++checked;
  ++unread;
  keep({weight, fault_of(error, model->weights[weight].name, ""), true});
}

VerifyScreen::VerifyScreen(std::shared_ptr<const VerifyReport> report)
    : TableScreen("", "faults",
                  {{"class", 13, 2},
                   {"tensor", 26, 1},
                   {"part", 10, 6},
                   kNoBlocks,
                   {"offset B", 14, 3, true},
                   {"length B", 9, 5, true},
                   {"what is wrong", 18, 0, false, true}}) {
  show(std::move(report));
}

void VerifyScreen::show(std::shared_ptr<const VerifyReport> report) {
  report_ = std::move(report);
  set_title("Verify  " + escape(report_->model->name));
  const bool blocks = report_->model->container == Container::kPrototype;
  set_column(kBlock, blocks ? TableColumn{"block", 7, 4, true} : kNoBlocks);
  measured_ = 0;
  refresh();
}

void VerifyScreen::refresh() {
  for (; measured_ < report_->lines.size(); ++measured_) {
    names_.add(report_->lines[measured_].fault.tensor);
  }
  rows_changed();
  name_level_ = names_.level(column_width(kTensor));
}

void VerifyScreen::arrange() {
  name_level_ = names_.level(column_width(kTensor));
  TableScreen::arrange();
}

TableCell VerifyScreen::cell(std::size_t row, std::size_t column) const {
  const VerifyReport::Line& line = report_->lines[row];
  const Fault& fault = line.fault;
  switch (column) {
    case kClass:
      if (fault.odd_only) return {"odd", Ink::kWarning};
      return {std::string(class_word(fault.code)), Ink::kError};
    case kTensor:
      return {shown_name(fault.tensor, name_level_)};
    case kPart:
      return {escape(short_part(fault)), Ink::kDim};
    case kMessage:
      return {escape(fault.message)};
    default: {
      const auto& number = *number_of(fault, column);
      return {number ? grouped(*number) : ""};
    }
  }
}

std::string VerifyScreen::export_text(std::size_t row, std::size_t column) const {
  const Fault& fault = report_->lines[row].fault;
  if (const auto* number = number_of(fault, column)) {
    return *number ? std::to_string(**number) : "";
  }
  switch (column) {
    case kTensor:
      return fault.tensor;
    case kPart:
      return fault.part;
    case kMessage:
      return fault.message;
    default:
      return cell(row, column).text;
  }
}

double VerifyScreen::sort_key(std::size_t row, std::size_t column) const {
  const auto* number = number_of(report_->lines[row].fault, column);
  return number != nullptr && *number ? static_cast<double>(**number) : kNoNumber;
}

std::string VerifyScreen::copy_text() const {
  const auto row = current();
  return row ? report_->lines[*row].fault.tensor : "";
}

std::string VerifyScreen::facts() const {
  const VerifyReport& report = *report_;
  const std::uint64_t total = report.model->weights.size();
  std::string out = counted(report.faults, "fault");
  if (report.odd > 0) out += fmt::format(", {} odd", grouped(report.odd));
  if (report.unread > 0) out += fmt::format(", {} not read", grouped(report.unread));
  out += report.checked < total ? fmt::format(" in {} of", grouped(report.checked)) : " in";
  return fmt::format("{} {}", out, counted(total, "weight"));
}

std::string VerifyScreen::when_empty() const {
  const VerifyReport& report = *report_;
  std::string out = !active() && finished() ? "sound: every byte was read, no fault"
                    : active()              ? "no fault so far"
                               : "stopped before the end, no fault so far: v starts again";
  if (const std::string_view remark = unchecked_remark(report.model->container); !remark.empty()) {
    out += fmt::format("\n{}", remark);
  }
  if (report.undecodable > 0) {
    out += fmt::format("\nvalues of {} are not checked: nobody here can decode them",
                       counted(report.undecodable, "weight"));
  }
  return out;
}

std::string VerifyScreen::detail(std::size_t row) const {
  const Fault& fault = report_->lines[row].fault;
  std::string out = fault.odd_only ? "odd: " : "";
  out += escape(fault.message);
  std::string place = escape(fault.tensor);
  if (!fault.part.empty() && fault.part != fault.tensor) {
    place += fmt::format("  part {}", escape(fault.part));
  }
  if (fault.block) place += fmt::format("  block {}", grouped(*fault.block));
  std::string file = escape(file_name(fault.file));
  if (fault.offset) file += fmt::format("  @ {}", grouped(*fault.offset));
  if (fault.length) file += fmt::format("  {} bytes", grouped(*fault.length));
  return fmt::format("{}\n{}\n{}", out, place, file);
}

std::optional<TableScreen::Progress> VerifyScreen::progress() const {
  if (!report_->job) return {};
  const double fraction = !active() && finished() ? 1 : job_fraction(*report_->job);
  return Progress{fraction,
                  job_progress(report_->checked, report_->model->weights.size(), *report_->job)};
}

std::string VerifyScreen::why_not(Command command) const {
  switch (command) {
    case Command::kCancel:
      return active() ? "" : "nothing to cancel: v looks for faults once more";
    case Command::kShowVerify:
      return active() ? "the search is running: x cancels it" : "";
    default:
      return TableScreen::why_not(command);
  }
}

Request VerifyScreen::enter(std::size_t row) {
  return {Ask::kShowWeight, std::uint64_t{report_->lines[row].weight}};
}

Request VerifyScreen::run_own(Command command) {
  if (command == Command::kCancel) return Ask::kCancelJobs;
  if (command == Command::kShowVerify) return Ask::kShowVerify;
  return {};
}

}  // namespace qi
