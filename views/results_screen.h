// The Results screen: rows of all runs, or some of them, one a line, or summed by family,
// configuration, layer or module. Rows come from a set that is read in the background; reads no
// file. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "views/name_fit.h"
#include "views/name_search.h"
#include "views/result_source.h"
#include "views/table_screen.h"

namespace qi {

enum class ResultGroup : std::uint8_t { kNone, kFamily, kConfig, kLayer, kModule };
inline constexpr int kResultGroups = 5;

class ResultsScreen final : public TableScreen, public ResultSource {
 public:
  /// Nothing yet: the database is being read.
  ResultsScreen();
  /// Some rows of a set.
  ResultsScreen(std::shared_ptr<const ResultSet> set, ResultPart part);
  /// All rows of a set are there; cursor and filter stay, marks are taken away.
  void show(std::shared_ptr<const ResultSet> set);
  /// The database could not be read, raw.
  void fail(std::string error);

  std::string why_not(Command command) const override;
  TextTable table_shown() const override;
  ResultGroup group() const { return group_; }
  std::size_t marked() const { return marked_count_; }
  bool shows_all() const { return !part_; }

  std::shared_ptr<const ResultSet> result_set() const override { return set_; }
  ResultPart rows_under_cursor() const override;
  std::vector<ResultPart> heat_parts() const override { return {rows_under_cursor()}; }
  std::vector<ResultSide> compared_sides() const override { return sides_; }
  ResultPart planned_rows() const override;

 private:
  struct Group {
    std::string label;  // printable
    ResultRow total;
    std::vector<std::size_t> rows;  // of the set
    double key = 0;
  };

  void arrange() override;
  Context place() const override { return kInResults; }
  std::size_t row_count() const override;
  TableCell cell(std::size_t line, std::size_t column) const override;
  std::string filter_text(std::size_t line) const override;
  NameSearch* search_index() override;
  double sort_key(std::size_t line, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t line) const override;
  bool is_marked(std::size_t line) const override;
  Request enter(std::size_t line) override;
  Request run_own(Command command) override;

  /// Of a line without groups: the row of the set.
  std::size_t row_of(std::size_t line) const { return part_ ? part_->rows[line] : line; }
  std::size_t part_size() const;
  const ResultRow& shown(std::size_t line) const;
  bool grouped() const { return group_ != ResultGroup::kNone; }
  std::string group_label(std::size_t row) const;
  void choose_columns();
  void make_groups();
  void mark(std::size_t line);
  void find_sides();

  std::shared_ptr<const ResultSet> set_;
  std::optional<ResultPart> part_;
  std::string error_;
  ResultGroup group_ = ResultGroup::kNone;
  std::vector<ResultColumnId> ids_;  // by column; of groups the first is the label
  std::vector<Group> groups_;
  std::vector<std::uint8_t> marked_;  // by row of the set
  std::size_t marked_count_ = 0;
  std::vector<ResultSide> sides_;  // of the marked rows
  NameFit names_;
  int name_level_ = 0;
  std::unique_ptr<NameSearch> index_;  // of rows; made when somebody types a filter
};

/// "SNR 22.7 dB, rel error …": a row in a sentence or two, for the pane below a table.
std::string result_detail(const ResultRow& row, std::string_view label);

}  // namespace qi
