// The weight table as a source of the heat map: every column of numbers, values of the analysis as
// they come in. Reads nothing but the table. One thread.
#pragma once

#include <memory>
#include <vector>

#include "views/columns.h"
#include "views/heat_source.h"
#include "views/weight_table.h"

namespace qi {

/// Columns that are numbers.
std::vector<ColumnId> heat_columns();

class WeightHeat final : public HeatSource {
 public:
  explicit WeightHeat(std::shared_ptr<const WeightTable> table);

  std::string title() const override;
  std::string when_empty() const override { return "this model has no weights"; }
  std::vector<HeatItem> items() const override;
  std::string name(std::size_t item) const override { return table_->weight(item).name; }
  std::string facts(std::size_t item, const Glyphs& glyphs) const override;
  const std::vector<HeatColumn>& columns() const override { return columns_; }
  /// What was found by reading says more than what the headers say, once there is some.
  std::size_t first_column() const override;

  double value(std::size_t column, std::size_t item) const override;
  std::string cell_text(std::size_t column, std::size_t item) const override;
  std::string number_text(std::size_t column, double value) const override;
  double exported_number(std::size_t column, double value) const override;

  HeatGap gap(std::size_t column, std::size_t item) const override;
  Gaps gaps(std::size_t column) const override;
  std::string_view waiting_text() const override { return "not analysed yet"; }
  std::string failure(std::size_t item) const override { return table_->failure(item); }
  Progress progress() const override;
  std::string why_not_analyse() const override;

  Request open(std::size_t item) const override;
  std::optional<std::uint32_t> weight(std::size_t item) const override {
    return static_cast<std::uint32_t>(item);
  }

 private:
  std::shared_ptr<const WeightTable> table_;
  ColumnFit fit_;
  std::vector<ColumnId> ids_;
  std::vector<HeatColumn> columns_;
};

}  // namespace qi
