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

class ResultSource {
 public:
  virtual ~ResultSource() = default;
  virtual std::shared_ptr<const ResultSet> result_set() const = 0;
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
