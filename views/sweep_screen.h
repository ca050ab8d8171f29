// The Sweep screen: configurations as points of a plot and as lines of a table, while the sweep
// runs and after it. Shows a report that the program fills as rows are finished; reads no file. One
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "eval/results/eval_row.h"
#include "eval/results/row_sums.h"
#include "views/result_source.h"
#include "views/scatter.h"
#include "views/table_screen.h"

namespace qi {

/// What a sweep came to so far.
struct SweepReport {
  std::string title;  // printable: "rtn, zfp  224 weights x 41 configurations"
  std::string model;  // raw
  std::shared_ptr<ResultSet> set = std::make_shared<ResultSet>();
  std::vector<RowSums> sums;                              // by configuration of the set
  std::vector<std::optional<std::uint64_t>> model_bytes;  // of those whose rows are all there
  std::vector<EvalRow> evaluations;  // of the whole model with a configuration, or as stored
  std::uint64_t units = 0;           // rows there will be
  std::uint64_t finished = 0;
  std::uint64_t failed = 0;
  /// The evaluation at work, once all rows are there.
  struct Stage {
    std::string label;  // of the configuration, printable
    std::string kind;
    double done = 0;  // 0 … 1
  };
  std::optional<Stage> stage;
  std::string error;  // what ended it, raw
  std::optional<JobSnapshot> job;

  void add(ResultRow row);
  /// The total of a configuration.
  void add_total(const ResultRow& row);
  bool active() const { return job && job->state == JobState::kActive; }
};

class SweepScreen final : public TableScreen, public ResultSource {
 public:
  /// `report`: the program keeps filling it.
  explicit SweepScreen(std::shared_ptr<const SweepReport> report);
  /// Another sweep in its place.
  void show(std::shared_ptr<const SweepReport> report);
  /// Rows came.
  void refresh();

  std::string why_not(Command command) const override;
  TextTable table_shown() const override;
  ResultColumnId x_axis() const { return x_; }
  ResultColumnId y_axis() const { return y_; }
  /// Whether the configuration of a line is on the Pareto front of the two axes.
  bool on_front(std::size_t line) const { return points_[line].front; }

  std::shared_ptr<const ResultSet> result_set() const override { return report_->set; }
  ResultPart rows_under_cursor() const override;
  std::vector<ResultPart> heat_parts() const override { return {rows_under_cursor()}; }
  std::vector<ResultSide> compared_sides() const override;
  ResultPart planned_rows() const override;

 private:
  enum class Panes : std::uint8_t { kBoth, kPlot, kTable };

  Context place() const override { return kInSweep; }
  std::size_t row_count() const override { return totals_.size(); }
  TableCell cell(std::size_t line, std::size_t column) const override;
  double sort_key(std::size_t line, std::size_t column) const override;
  void own_order(std::vector<std::size_t>& lines) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t line) const override;
  std::optional<Progress> progress() const override;
  bool is_marked(std::size_t line) const override;
  int left_pane() const override;
  void paint_left(Canvas& canvas, const Rect& area, const Glyphs& glyphs) const override;
  Request click_left(const Key& key) override;
  Request enter(std::size_t) override { return Ask::kShowRows; }
  Request run_own(Command command) override;

  void choose_columns();
  void next_axis(ResultColumnId& axis, ResultColumnId other);
  void find_points();
  ScatterPlace plot_place(const Rect& area) const;
  const std::string& label(std::size_t line) const { return report_->set->configs()[line].label; }

  std::shared_ptr<const SweepReport> report_;
  Panes panes_ = Panes::kBoth;
  ResultColumnId x_ = ResultColumnId::kBits;
  ResultColumnId y_ = ResultColumnId::kSnr;
  std::vector<ResultColumnId> ids_;   // by column
  std::vector<ResultRow> totals_;     // by configuration: a line each
  std::vector<ScatterPoint> points_;  // the same
  std::vector<std::uint8_t> marked_;  // the same
};

}  // namespace qi
