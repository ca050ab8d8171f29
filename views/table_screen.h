// A screen that is one table of lines with a filter: differences, faults, jobs, the log, metadata.
// Owns filter, order, cursor, drawing, copy and export; a subclass tells what the cells hold.
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "views/layout.h"
#include "views/list_cursor.h"
#include "views/name_search.h"
#include "views/screen.h"
#include "views/text_field.h"
#include "views/weight_order.h"

namespace qi {

struct TableColumn {
  std::string title;
  int width = 0;       // cells wanted
  int leave = 0;       // as ColumnWish: the highest leaves first, the one with 0 takes what is left
  bool right = false;  // numbers
  bool prose = false;  // sentences: cut at their end, names in the middle
  std::string exported = {};  // its name in exports; empty: the title
};

struct TableCell {
  std::string text;  // printable
  Ink ink = Ink::kText;
  std::optional<double> bar = {};  // drawn instead of the text: a progress bar, 0 … 1
};

class TableScreen : public Screen {
 public:
  Context context() const final { return filtering_ ? kInFilter : place(); }
  TextTable table_shown() const override;
  std::string copy_text() const override;
  std::string why_not(Command command) const override;

  std::size_t rows_shown() const { return rows_.size(); }
  const std::string& filter() const { return field_.text(); }
  /// The line under the cursor, as the subclass counts them.
  std::optional<std::size_t> current() const;

 protected:
  /// `title`: what this screen is, printable; `name`: of its export, one word.
  TableScreen(std::string title, std::string name, std::vector<TableColumn> columns);

  // --- what a subclass tells; lines are 0 … row_count() − 1, in their own order
  virtual Context place() const = 0;
  virtual std::size_t row_count() const = 0;
  virtual TableCell cell(std::size_t row, std::size_t column) const = 0;
  /// The cell as `e` writes it: raw, numbers unrounded. The same as shown unless told otherwise.
  virtual std::string export_text(std::size_t row, std::size_t column) const {
    return cell(row, column).text;
  }
  /// The order of the lines while none was asked for; `rows` come in ascending.
  virtual void own_order(std::vector<std::size_t>&) const {}
  /// What the filter looks in: all cells unless told otherwise.
  virtual std::string filter_text(std::size_t row) const;
  /// The lines' texts in one block, for tables that are too long to make every line's text while
  /// somebody types; nullptr: filter_text() is asked.
  virtual NameSearch* search_index() { return nullptr; }
  /// The sort key of a number; NaN sorts by the text.
  virtual double sort_key(std::size_t row, std::size_t column) const;
  /// What stands right of the title, and what is said when there is no line at all (wrapped,
  /// several lines apart by '\n').
  virtual std::string facts() const { return ""; }
  virtual bool is_marked(std::size_t) const { return false; }
  virtual std::string when_empty() const { return "nothing here"; }
  /// The line under the cursor in full, below the table: wrapped, or one line each where it holds
  /// '\n'; empty: no such pane.
  virtual std::string detail(std::size_t) const { return ""; }
  /// Lines of that pane on a screen of this height.
  virtual int detail_lines(int height) const { return height >= 20 ? 3 : 1; }
  /// Cells left of the table for something else, its rule included; 0: the table has all.
  virtual int left_pane() const { return 0; }
  virtual void paint_left(Canvas&, const Rect&, const Glyphs&) const {}
  virtual Request click_left(const Key&) { return {}; }
  /// Rows of that pane, from the table's titles (row 2) on.
  int plot_rows() const { return body().height + 1; }
  /// How far the job behind the table is, 0 … 1, and what to say beside the bar.
  struct Progress {
    double fraction = 0;
    std::string text;
  };
  virtual std::optional<Progress> progress() const { return {}; }
  /// Enter on a line, and commands that only this screen knows.
  virtual Request enter(std::size_t) { return {}; }
  /// Enter is of the screen, not of a line: it comes to run_own().
  virtual bool enters_itself() const { return false; }
  virtual Request run_own(Command) { return {}; }
  /// A key while place() is a text field of the subclass.
  virtual Request typed_own(const Key&, Command) { return {}; }

  /// Lines were added, or changed: the rows shown follow, the cursor stays on its line.
  void rows_changed();
  void set_column(std::size_t column, TableColumn wanted) { columns_[column] = std::move(wanted); }
  void set_columns(std::vector<TableColumn> columns);
  void set_title(std::string title) { title_ = std::move(title); }
  /// Moves the cursor to a line, taking the filter away when that hides it.
  void select(std::size_t row);
  /// Follows the last line as lines come in, as long as the cursor stands on it.
  void follow_end(bool follow) { follow_ = follow; }
  /// The same for the first line, where the lines' order changes as they come in.
  void follow_first(bool follow) { follow_first_ = follow; }
  /// Cells of a column at this size; 0: it left.
  int column_width(std::size_t column) const;
  int width() const { return size().width; }
  /// The lines shown, in their order.
  const std::vector<std::size_t>& lines_shown() const { return rows_; }
  void move_cursor(long step) { list_.move_by(step); }

  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) final;
  Request mouse(const Key& key) final;
  Request typed(const Key& key, Command command) final;

 private:
  std::vector<ColumnPlace> placed() const;
  void order_lines();
  void pick_rows();
  void filter_changed();
  void find(int step);
  void sort_by(std::size_t column, bool descending);
  int detail_height() const;
  Rect body() const;
  void paint_filter(Canvas& canvas, const Glyphs& glyphs) const;
  void paint_row(Canvas& canvas, const Glyphs& glyphs, std::size_t row, int y,
                 std::span<const ColumnPlace> places) const;

  std::string title_;
  std::string name_;
  std::vector<TableColumn> columns_;
  std::vector<std::size_t> order_;  // all lines; whoever types a filter need not sort them again
  bool ordered_ = false;
  std::vector<std::size_t> rows_;  // those of them that are shown
  WeightSorter sorter_;
  ListCursor list_;
  TextField field_;
  NamePattern pattern_;
  std::string last_pattern_;  // of n and N, when the filter is gone
  bool filtering_ = false;
  bool follow_ = false;
  bool follow_first_ = false;
  int sort_ = -1;  // −1: the lines' own order
  bool descending_ = false;
};

}  // namespace qi
