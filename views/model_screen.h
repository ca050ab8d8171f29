// The Model screen: the tree of modules, the table of weights with its live filter, the detail pane
// and the state of the background analysis. Keys in, state out; drawing never changes it.
// One thread: results of jobs are handed in by the program's event loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "views/layout.h"
#include "views/list_cursor.h"
#include "views/screen.h"
#include "views/text_field.h"
#include "views/weight_table.h"

namespace qi {

/// A job as the status line shows it.
struct JobStatus {
  bool active = false;
  std::uint64_t done = 0;  // weights
  std::uint64_t total = 0;
  double bytes_per_s = 0;
  std::optional<double> eta_s;
  unsigned tick = 0;  // turns the spinner
  bool paused = false;
  std::string name = "stats";
};

/// What is analysed without being asked.
enum class AnalysisPlan : std::uint8_t { kAll, kVisible, kNone };

class ModelScreen final : public Screen {
 public:
  /// `has_picker`: Esc on the top level goes back to a list of models.
  ModelScreen(std::shared_ptr<const Model> model, AnalysisPlan plan, bool has_picker);

  Context context() const override;
  std::string why_not(Command command) const override;
  TextTable table_shown() const override;
  std::string copy_text() const override;

  WeightTable& table() { return table_; }
  const WeightTable& table() const { return table_; }
  /// The same, for the other screens of this model.
  std::shared_ptr<const WeightTable> shared_table() const { return shared_; }
  void set_statistics(std::size_t weight, std::shared_ptr<const Statistics> statistics) {
    table_.set_statistics(weight, std::move(statistics));
  }
  void set_failure(std::size_t weight, std::string reason) {
    table_.set_failure(weight, std::move(reason));
  }
  /// After results came in: puts rows where they belong and keeps the cursor on its weight.
  void settle();
  /// The analysis, which `x` cancels here, and what else runs.
  void set_job(const JobStatus& job, std::vector<JobStatus> others = {}) {
    job_ = job;
    others_ = std::move(others);
  }
  /// Stays at the right of the status line; raw.
  void set_warning(std::string text) { warning_ = std::move(text); }
  void set_plan(AnalysisPlan plan) { plan_ = plan; }
  AnalysisPlan plan() const { return plan_; }

  /// Weights in view, the one under the cursor first: what to analyse next.
  std::vector<std::uint32_t> visible_weights() const;
  std::optional<std::uint32_t> current_weight() const;

  /// As typed into the filter's field.
  void filter_by(const std::string& text);
  /// Moves the cursor to a weight, taking away the filter and the module that hide it.
  void select(std::uint32_t weight);

  enum class Pane : std::uint8_t { kTree, kTable };
  Pane pane() const { return pane_; }
  const ModelLayout& layout() const { return layout_; }

 private:
  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;
  Request typed(const Key& key, Command command) override;
  void back();
  Request enter();
  void left();
  Request right();
  void sort_next();
  void mark();
  void set_pane(Pane pane);
  void set_filter(const std::string& text);
  void set_scope();
  /// Runs a change of the rows and keeps the cursor on its weight when that is still there.
  template <typename Change>
  void keep_weight(Change change);
  std::vector<ColumnPlace> placed_columns() const;

  void draw_title(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_filter(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_rules(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_tree(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_table(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_row(Canvas& canvas, const Glyphs& glyphs, std::size_t row, int y, int level,
                const std::vector<ColumnPlace>& places) const;
  void draw_status(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_footer_line(Canvas& canvas, const Glyphs& glyphs) const;
  std::string resting_text() const;

  std::shared_ptr<WeightTable> shared_;
  WeightTable& table_;
  ColumnFit fit_;
  AnalysisPlan plan_;
  bool has_picker_;
  ModelLayout layout_;
  Pane pane_ = Pane::kTable;
  bool filtering_ = false;
  bool zoomed_ = false;
  TextField field_;
  ListCursor rows_;
  ListCursor lines_;
  JobStatus job_;
  std::vector<JobStatus> others_;
  std::string warning_;
};

}  // namespace qi
