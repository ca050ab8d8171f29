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

#include "views/column_choice.h"
#include "views/column_chooser.h"
#include "views/layout.h"
#include "views/list_cursor.h"
#include "views/screen.h"
#include "views/text_field.h"
#include "views/weight_table.h"

namespace qi {

inline constexpr int kMarkCells = 2;  // cursor and mark, left of the table's first column

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
  /// Sorts by a column; what was sorted by decides among equals.
  void sort_by(ColumnId column, bool descending);
  /// The columns chosen, their order and widths: "weight,shape,b/w:8". Ask::kColumnsChanged says
  /// that they changed.
  std::string columns_text() const { return qi::columns_text(choices_); }
  /// The other way; "" for the built-in ones. False, and `problem` (printable), for other words.
  bool set_columns(std::string_view text, std::string& problem);
  /// Opens the list of columns.
  void choose_columns();
  bool choosing_columns() const { return chooser_.has_value(); }
  /// Moves the cursor to a weight, taking away the filter and the module that hide it.
  void select(std::uint32_t weight);

  enum class Pane : std::uint8_t { kTree, kTable };
  Pane pane() const { return pane_; }
  const ModelLayout& layout() const { return layout_; }
  /// Where the columns stand, relative to the rows' first cell.
  std::vector<ColumnPlace> placed_columns() const;

 private:
  // A border between two columns, held with the mouse.
  struct Drag {
    ColumnId left, right;
    int x = 0;
    bool moved = false;
  };

  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;
  Request typed(const Key& key, Command command) override;
  std::string why_not_rows(Command command) const;
  Request run_chooser(Command command);
  void close_chooser();
  void back();
  Request enter();
  void left();
  Request right();
  void sort_next(bool cycling);
  void mark();
  void find(int step);
  void go_to_tied();
  void set_pane(Pane pane);
  void set_filter(const std::string& text);
  void set_scope();
  /// Runs a change of the rows and keeps the cursor on its weight when that is still there.
  template <typename Change>
  void keep_weight(Change change) {
    const auto weight = current_weight();
    change();
    rows_.resize(table_.rows().size(), layout_.rows.height);
    const auto row = weight ? table_.row_of(*weight) : std::nullopt;
    rows_.move_to(row.value_or(0));
  }
  /// The tree alone is on the screen.
  bool only_tree() const { return layout_.rows.empty() && !layout_.tree.empty(); }

  void wheel(const Key& key);
  Request click_tree(const Key& key);
  Request click_rows(const Key& key);
  void click_head(const Key& key);
  Request drag_border(const Key& key);

  void draw_title(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_filter(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_rules(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_tree_head(Canvas& canvas, const std::vector<ColumnPlace>& places) const;
  void draw_tree(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_module(Canvas& canvas, const Glyphs& glyphs, std::uint32_t node, int y,
                   const std::vector<ColumnPlace>& places) const;
  void draw_head(Canvas& canvas, const Glyphs& glyphs,
                 const std::vector<ColumnPlace>& places) const;
  void draw_table(Canvas& canvas, const Glyphs& glyphs) const;
  void draw_row(Canvas& canvas, const Glyphs& glyphs, std::size_t row, int y, int level,
                const std::vector<ColumnPlace>& places) const;
  void draw_name(Canvas& canvas, const Glyphs& glyphs, const Rect& cell, std::uint32_t weight,
                 int level) const;
  void draw_bits(Canvas& canvas, const Glyphs& glyphs, const Rect& cell,
                 std::uint32_t weight) const;
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
  bool cycling_ = false;  // the key before this one was `s`: its column is not yet settled on
  std::vector<SortKey> sort_before_;  // what was sorted by when that began
  TextField field_;
  std::string last_pattern_;  // of n and N, when the filter is gone
  ListCursor rows_;
  ListCursor lines_;
  ColumnChoices choices_ = default_columns();
  std::optional<ColumnChooser> chooser_;
  std::optional<Drag> drag_;
  JobStatus job_;
  std::vector<JobStatus> others_;
  std::string warning_;
};

}  // namespace qi
