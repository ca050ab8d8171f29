// The Evaluation screen: what evaluations of a model came to, those of earlier runs among them, and
// the running value of the one that is at work, as a number and as a curve. Shows a report that the
// program fills; reads no file. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/jobs/job_queue.h"
#include "eval/results/eval_row.h"
#include "views/scatter.h"
#include "views/table_screen.h"

namespace qi {

/// What evaluations came to so far.
struct EvalReport {
  std::string title;  // printable: what is evaluated now
  std::vector<EvalRow> rows;
  /// The kind at work, and how far it is; its value follows in `curve`.
  struct Live {
    std::string kind;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
  };
  std::optional<Live> live;
  /// Values of the kind at work, or of the last one, over the share that was done: 0 … 1. At most
  /// kMostPoints, evenly thinned out.
  struct Point {
    double share = 0;
    double value = 0;
  };
  static constexpr std::size_t kMostPoints = 256;
  std::string curve_kind;
  std::vector<Point> curve;
  std::string error;  // what ended it, raw
  std::optional<JobSnapshot> job;

  void follow(Live now, std::optional<double> value);
  bool active() const { return job && job->state == JobState::kActive; }
};

class EvalScreen final : public TableScreen {
 public:
  /// `report`: the program keeps filling it.
  explicit EvalScreen(std::shared_ptr<const EvalReport> report);
  /// Another evaluation in its place.
  void show(std::shared_ptr<const EvalReport> report);
  /// Something came.
  void refresh();

  std::string why_not(Command command) const override;

 private:
  Context place() const override { return kInEval; }
  std::size_t row_count() const override { return report_->rows.size(); }
  TableCell cell(std::size_t line, std::size_t column) const override;
  std::string export_text(std::size_t line, std::size_t column) const override;
  double sort_key(std::size_t line, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t line) const override;
  std::optional<Progress> progress() const override;
  int left_pane() const override;
  void paint_left(Canvas& canvas, const Rect& area, const Glyphs& glyphs) const override;
  Request run_own(Command command) override;

  std::shared_ptr<const EvalReport> report_;
};

}  // namespace qi
