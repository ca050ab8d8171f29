// The Jobs screen: what runs in the background and what ran, the newest first; and the list of what
// went wrong in one job. Draws snapshots that the program hands in; pausing and cancelling are
// asked of the program. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "views/table_screen.h"

namespace qi {

class JobsScreen final : public TableScreen {
 public:
  explicit JobsScreen(std::vector<JobSnapshot> jobs);
  /// How things stand now; the cursor stays on its job.
  void set_jobs(std::vector<JobSnapshot> jobs);

  std::string why_not(Command command) const override;
  /// The job under the cursor.
  std::optional<JobId> current_job() const;

 private:
  Context place() const override { return kInJobs; }
  std::size_t row_count() const override { return jobs_.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string export_text(std::size_t row, std::size_t column) const override;
  void own_order(std::vector<std::size_t>& rows) const override;
  double sort_key(std::size_t row, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override { return "nothing has run in the background yet"; }
  std::string detail(std::size_t row) const override;
  Request enter(std::size_t row) override;
  Request run_own(Command command) override;

  std::vector<JobSnapshot> jobs_;
};

/// The errors of one job, in the order they happened. They are read, so its keys are the log's.
class JobErrorsScreen final : public TableScreen {
 public:
  JobErrorsScreen(const JobSnapshot& job, std::vector<UnitError> errors);
  std::string copy_text() const override;

 private:
  Context place() const override { return kInLog; }
  std::size_t row_count() const override { return errors_.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string export_text(std::size_t row, std::size_t column) const override;
  std::string detail(std::size_t row) const override;

  std::vector<UnitError> errors_;
};

}  // namespace qi
