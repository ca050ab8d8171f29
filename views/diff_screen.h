// The Diff screen: two models side by side, one line a pair of weights, differences first. Shows a
// report that the program fills as pairs are compared; reads no file. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "engine/tensor/model.h"
#include "eval/check/diff.h"
#include "views/name_fit.h"
#include "views/table_screen.h"

namespace qi {

/// What comparing two models came to so far.
struct DiffReport {
  enum class Progress : std::uint8_t { kWaiting, kDone, kFailed };
  struct Line {
    DiffRow row;
    Progress progress = Progress::kDone;
    std::string error;  // of kFailed, raw
  };

  DiffReport(std::shared_ptr<const Model> a_in, std::string path)
      : a(std::move(a_in)), path_b(std::move(path)) {}
  /// B is open: the rows as align_models() left them. Looks at every one of them: for another
  /// thread than the UI's.
  void begin(std::shared_ptr<const Model> b_in, std::vector<DiffRow> rows);
  /// Row `index` is compared, or could not be.
  void finish(std::size_t index, DiffRow row);
  void fail(std::size_t index, std::string error);
  bool is_open() const { return b != nullptr; }

  std::shared_ptr<const Model> a;
  std::shared_ptr<const Model> b;  // nullptr until it is open
  std::string path_b;              // raw, as given
  std::string error;               // why B cannot be opened, raw
  std::vector<Line> lines;
  std::uint64_t pairs = 0;     // lines that are or were to be compared
  std::uint64_t compared = 0;  // of those, with failed ones
  std::uint64_t failed = 0;
  std::array<std::uint64_t, 6> totals{};  // by DiffStatus, of finished lines
  bool names_differ = false;              // some pair has two names
  int shape_cells = 5;                    // what columns need
  int type_cells = 4;
  NameFit names;
  std::optional<JobSnapshot> job;
};

class DiffScreen final : public TableScreen {
 public:
  /// `report`: the program keeps filling it.
  explicit DiffScreen(std::shared_ptr<const DiffReport> report);
  /// Another report in its place: the one of the opened model.
  void show(std::shared_ptr<const DiffReport> report);
  /// Lines came or changed their places.
  void refresh() { rows_changed(); }

  std::string copy_text() const override;
  std::string why_not(Command command) const override;

 private:
  void arrange() override;
  void fit_names();
  std::string name_shown(const Weight* weight, std::int64_t slice) const;
  Context place() const override { return kInDiff; }
  std::size_t row_count() const override { return report_->lines.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string export_text(std::size_t row, std::size_t column) const override;
  void own_order(std::vector<std::size_t>& rows) const override;
  std::string filter_text(std::size_t row) const override;
  double sort_key(std::size_t row, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t row) const override;
  std::optional<Progress> progress() const override;
  Request enter(std::size_t row) override;
  Request run_own(Command command) override;
  bool active() const { return report_->job && report_->job->state == JobState::kActive; }

  std::shared_ptr<const DiffReport> report_;
  int name_level_ = 0;  // of shown_name()
};

}  // namespace qi
