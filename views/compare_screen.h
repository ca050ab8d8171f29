// The Compare screen: two or more configurations or runs side by side, a line a weight, one measure
// at a time, the worst weights first. Reads no file. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "views/name_fit.h"
#include "views/result_source.h"
#include "views/table_screen.h"

namespace qi {

class CompareScreen final : public TableScreen, public HeatRows {
 public:
  /// At least two sides; more than kMostSides are left out.
  CompareScreen(std::shared_ptr<const ResultSet> set, std::vector<ResultSide> sides);

  static constexpr std::size_t kMostSides = 8;
  ResultColumnId measure() const { return measure_; }

  std::string why_not(Command command) const override;
  std::shared_ptr<const ResultSet> result_set() const override { return set_; }
  std::vector<ResultPart> heat_parts() const override;

 private:
  struct Line {
    std::string name;                              // raw
    std::vector<std::optional<std::size_t>> rows;  // by side: of the set
    double worst = 0;       // of the measure over the sides; NaN: none has it
    double difference = 0;  // the last side's less the first's; NaN: one of them has none
  };

  void arrange() override;
  Context place() const override { return kInCompare; }
  std::size_t row_count() const override { return lines_.size(); }
  TableCell cell(std::size_t line, std::size_t column) const override;
  std::string export_text(std::size_t line, std::size_t column) const override;
  std::string filter_text(std::size_t line) const override { return lines_[line].name; }
  NameSearch* search_index() override;
  double sort_key(std::size_t line, std::size_t column) const override;
  void own_order(std::vector<std::size_t>& lines) const override;
  std::string facts() const override;
  std::string detail(std::size_t line) const override;
  std::string when_empty() const override { return "these have no weight"; }
  Request enter(std::size_t line) override { return {Ask::kShowNamed, lines_[line].name}; }
  Request run_own(Command command) override;

  double value(std::size_t line, std::size_t side) const;
  void measure_lines();
  std::string side_label(std::size_t side) const;

  std::shared_ptr<const ResultSet> set_;
  std::vector<ResultSide> sides_;
  std::vector<Line> lines_;
  ResultColumnId measure_ = ResultColumnId::kSnr;
  NameFit names_;
  int name_level_ = 0;
  std::unique_ptr<NameSearch> index_;  // made when somebody types a filter
};

}  // namespace qi
