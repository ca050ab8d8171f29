// What screens of measured rows offer to the screens that are opened from them: rows to look at
// closer, sides to compare, rows to plan with. Interface only; one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "views/result_set.h"
#include "views/text_table.h"

namespace qi {

/// Some rows of a set and what they have in common.
struct ResultPart {
  std::string title;  // printable
  std::vector<std::size_t> rows;
};

/// What a heat map is drawn of.
class HeatRows {
 public:
  virtual ~HeatRows() = default;
  virtual std::shared_ptr<const ResultSet> result_set() const = 0;
  /// The configuration under the cursor, or the sides of a comparison: each the rows of one. At
  /// least one where why_not(kShowHeatmap) says nothing.
  virtual std::vector<ResultPart> heat_parts() const = 0;

 protected:
  HeatRows() = default;
  HeatRows(const HeatRows&) = default;
  HeatRows& operator=(const HeatRows&) = default;
  HeatRows(HeatRows&&) = default;
  HeatRows& operator=(HeatRows&&) = default;
};

class ResultSource : public HeatRows {
 public:
  virtual ResultPart rows_under_cursor() const = 0;
  /// The marked ones: at least two where why_not(kCompare) says nothing.
  virtual std::vector<ResultSide> compared_sides() const = 0;
  /// Of one model.
  virtual ResultPart planned_rows() const = 0;

 protected:
  ResultSource() = default;
  ResultSource(const ResultSource&) = default;
  ResultSource& operator=(const ResultSource&) = default;
  ResultSource(ResultSource&&) = default;
  ResultSource& operator=(ResultSource&&) = default;
};

/// Rows with the columns of --results, raw.
TextTable result_table(std::string name, const std::vector<const ResultRow*>& rows);

}  // namespace qi
