#include "views/jobs_screen.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/columns.h"
#include "views/job_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

enum ColumnOf : std::size_t {
  kName,
  kState,
  kBar,
  kUnits,
  kFailed,
  kRate,
  kElapsed,
  kEta,
  kRunning,
};
enum ErrorColumn : std::size_t { kUnit, kClass, kMessage };

bool is_active(const JobSnapshot& job) {
  return job.state == JobState::kActive;
}

Ink ink_of(const JobSnapshot& job) {
  if (is_active(job)) return job.paused ? Ink::kWarning : Ink::kAccent;
  if (job.state == JobState::kCancelled) return Ink::kWarning;
  return job.units_failed > 0 ? Ink::kError : Ink::kDim;
}

// Bytes per second: now, and of all its time once it has ended.
double rate_of(const JobSnapshot& job) {
  if (is_active(job)) return job.bytes_per_s;
  return job.elapsed_s > 0 ? static_cast<double>(job.bytes_done) / job.elapsed_s : 0;
}

// `level`: how short names are, as of shown_name().
std::string running_text(const JobSnapshot& job, int level) {
  std::string out;
  for (const std::string& label : job.running) {
    if (!out.empty()) out += ", ";
    out += shown_name(label, level);
  }
  return out;
}

}  // namespace

JobsScreen::JobsScreen(std::vector<JobSnapshot> jobs)
    : TableScreen("Jobs", "jobs",
                  {{"job", 20, 0},
                   {"state", 9, 1},
                   {"progress", 10, 5},
                   {"units", 13, 2, true},
                   {"failed", 6, 3, true},
                   {"MB/s", 7, 6, true},
                   {"elapsed", 8, 7, true},
                   {"ETA", 7, 4, true},
                   {"running now", 16, 8}}) {
  set_jobs(std::move(jobs));
}

void JobsScreen::set_jobs(std::vector<JobSnapshot> jobs) {
  const std::optional<JobId> at = current_job();
  jobs_ = std::move(jobs);
  rows_changed();
  if (!at || current_job() == at) return;
  // Jobs that were forgotten moved the others.
  const auto same = std::find_if(jobs_.begin(), jobs_.end(),
                                 [&](const JobSnapshot& job) { return job.id == *at; });
  if (same != jobs_.end()) select(static_cast<std::size_t>(same - jobs_.begin()));
}

std::optional<JobId> JobsScreen::current_job() const {
  const auto row = current();
  if (!row || *row >= jobs_.size()) return {};
  return jobs_[*row].id;
}

TableCell JobsScreen::cell(std::size_t row, std::size_t column) const {
  const JobSnapshot& job = jobs_[row];
  switch (column) {
    case kName:
      return {escape(job.name), is_active(job) ? Ink::kStrong : Ink::kText};
    case kState:
      return {std::string(job_word(job)), ink_of(job)};
    case kBar:
      return {fmt::format("{:.0f}%", job_fraction(job) * 100), Ink::kText, job_fraction(job)};
    case kUnits:
      return {fmt::format("{}/{}", units_finished(job), job.units_total)};
    case kFailed:
      if (job.units_failed == 0) return {};
      return {grouped(job.units_failed), Ink::kError};
    case kRate:
      if (rate_of(job) <= 0 || job.paused) return {};
      return {fmt::format("{:.{}f}", rate_of(job) / 1e6, rate_of(job) < 1e8 ? 1 : 0),
              is_active(job) ? Ink::kText : Ink::kDim};
    case kElapsed:
      return {human_duration(job.elapsed_s), is_active(job) ? Ink::kText : Ink::kDim};
    case kEta:
      if (!is_active(job) || !job.eta_s) return {};
      return {human_duration(*job.eta_s)};
    default:
      return {running_text(job, 3), Ink::kDim};
  }
}

std::string JobsScreen::export_text(std::size_t row, std::size_t column) const {
  const JobSnapshot& job = jobs_[row];
  switch (column) {
    case kName:
      return job.name;
    case kFailed:
      return std::to_string(job.units_failed);
    case kRate:
      return rate_of(job) > 0 ? exact_number(rate_of(job) / 1e6) : "";
    case kElapsed:
      return exact_number(job.elapsed_s);
    case kEta:
      return is_active(job) && job.eta_s ? exact_number(*job.eta_s) : "";
    default:
      return cell(row, column).text;
  }
}

void JobsScreen::own_order(std::vector<std::size_t>& rows) const {
  std::sort(rows.begin(), rows.end(), [this](std::size_t a, std::size_t b) {
    const bool active_a = is_active(jobs_[a]);
    const bool active_b = is_active(jobs_[b]);
    return active_a != active_b ? active_a : jobs_[a].id > jobs_[b].id;
  });
}

double JobsScreen::sort_key(std::size_t row, std::size_t column) const {
  const JobSnapshot& job = jobs_[row];
  switch (column) {
    case kBar:
      return job_fraction(job);
    case kUnits:
      return static_cast<double>(units_finished(job));
    case kFailed:
      return static_cast<double>(job.units_failed);
    case kRate:
      return rate_of(job);
    case kElapsed:
      return job.elapsed_s;
    case kEta:
      if (is_active(job) && job.eta_s) return *job.eta_s;
      [[fallthrough]];
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

std::string JobsScreen::facts() const {
  const auto active =
      static_cast<std::size_t>(std::count_if(jobs_.begin(), jobs_.end(), is_active));
  if (active == 0) return "nothing runs";
  return fmt::format("{} active, {} ended", active, jobs_.size() - active);
}

std::string JobsScreen::detail(std::size_t row) const {
  const JobSnapshot& job = jobs_[row];
  std::string first = fmt::format("{}  {}", escape(job.name), job_word(job));
  if (is_active(job)) {
    first += fmt::format("  {}", job_progress(units_finished(job), job.units_total, job));
  } else {
    first += fmt::format(" after {}", human_duration(job.elapsed_s));
  }
  std::string second =
      fmt::format("{} of {} units", grouped(units_finished(job)), grouped(job.units_total));
  if (job.bytes_total > 0) {
    second += fmt::format("  {} of {}", human_bytes(job.bytes_done), human_bytes(job.bytes_total));
  }
  if (job.units_failed > 0) second += fmt::format("  {} failed", grouped(job.units_failed));
  if (job.units_cancelled > 0) {
    second += fmt::format("  {} cancelled", grouped(job.units_cancelled));
  }
  std::string third;
  if (!job.running.empty()) {
    third = (job.paused ? "still running: " : "running: ") + running_text(job, 0);
  }
  return fmt::format("{}\n{}\n{}", first, second, third);
}

std::string JobsScreen::why_not(Command command) const {
  const auto row = current();
  switch (command) {
    case Command::kEnter:
      if (row && jobs_[*row].units_failed == 0) return "nothing went wrong in this job";
      break;
    case Command::kPause:
      if (!row) return "no job to pause";
      return is_active(jobs_[*row]) ? "" : "the job has ended: there is nothing to pause";
    case Command::kCancel:
      if (!row) return "no job to cancel";
      return is_active(jobs_[*row]) ? "" : "the job has ended: there is nothing to cancel";
    default:
      break;
  }
  return TableScreen::why_not(command);
}

Request JobsScreen::enter(std::size_t row) {
  return {Ask::kShowJobErrors, jobs_[row].id};
}

Request JobsScreen::run_own(Command command) {
  const auto job = current_job();
  if (!job) return {};
  if (command == Command::kPause) return {Ask::kPauseJob, *job};
  if (command == Command::kCancel) return {Ask::kCancelJobs, *job};
  return {};
}

// --- errors

JobErrorsScreen::JobErrorsScreen(const JobSnapshot& job, std::vector<UnitError> errors)
    : TableScreen(fmt::format("Errors of job {}", escape(job.name)), "errors",
                  {{"weight", 24, 0}, {"class", 13, 2}, {"what went wrong", 36, 1, false, true}}),
      errors_(std::move(errors)) {
  rows_changed();
}

TableCell JobErrorsScreen::cell(std::size_t row, std::size_t column) const {
  const UnitError& found = errors_[row];
  switch (column) {
    case kUnit:
      return {escape(found.label)};
    case kClass:
      return {std::string(class_word(found.error.code)), Ink::kError};
    default:
      return {escape(found.error.message)};
  }
}

std::string JobErrorsScreen::export_text(std::size_t row, std::size_t column) const {
  if (column == kUnit) return errors_[row].label;
  if (column == kMessage) return errors_[row].error.message;
  return cell(row, column).text;
}

std::string JobErrorsScreen::copy_text() const {
  const auto row = current();
  return row ? describe(errors_[*row].error) : "";
}

std::string JobErrorsScreen::detail(std::size_t row) const {
  return fmt::format("{}\n{}", escape(errors_[row].label), describe(errors_[row].error));
}

}  // namespace qi
