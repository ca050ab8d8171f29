// Measured rows as a source of the heat map: one configuration, or the sides of a comparison, one
// of them shown at a time on the same cells. Totals are left out; of a weight that was measured
// more than once the newest run's row counts. Reads no file. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "views/heat_source.h"
#include "views/result_source.h"

namespace qi {

class ResultHeat final : public HeatSource {
 public:
  /// `parts`: at least one, each the rows of one configuration. Of a part with rows of several
  /// models those of the newest run's model are taken.
  ResultHeat(std::shared_ptr<const ResultSet> set, std::vector<ResultPart> parts);

  std::string title() const override;
  std::string when_empty() const override { return "no row of a weight is there"; }
  std::vector<HeatItem> items() const override;
  std::string name(std::size_t item) const override { return any_row(item).tensor; }
  std::string facts(std::size_t item, const Glyphs& glyphs) const override;
  /// Those that some row has a number of; the error first.
  const std::vector<HeatColumn>& columns() const override { return columns_; }
  std::size_t first_column() const override;

  double value(std::size_t column, std::size_t item) const override;
  std::string cell_text(std::size_t column, std::size_t item) const override;
  std::string number_text(std::size_t column, double value) const override;

  HeatGap gap(std::size_t column, std::size_t item) const override;
  Gaps gaps(std::size_t column) const override;
  std::string_view waiting_text() const override { return "not measured"; }
  std::string failure(std::size_t item) const override;
  std::string why_not_analyse() const override { return "these are rows of a sweep"; }

  Request open(std::size_t item) const override;

  std::size_t variants() const override { return sides_.size(); }
  std::size_t variant() const override { return shown_; }
  void show_variant(std::size_t variant) override { shown_ = variant; }

 private:
  struct Side {
    std::string label;                             // printable
    std::string model;                             // raw
    std::vector<std::optional<std::size_t>> rows;  // by item: of the set
  };
  const ResultRow* row(std::size_t item) const;
  /// Of whichever side has one.
  const ResultRow& any_row(std::size_t item) const { return set_->row(items_[item]); }

  std::shared_ptr<const ResultSet> set_;
  std::vector<std::size_t> items_;  // by item: a row of it
  std::vector<Side> sides_;
  std::size_t shown_ = 0;
  std::vector<ResultColumnId> ids_;
  std::vector<HeatColumn> columns_;
};

}  // namespace qi
