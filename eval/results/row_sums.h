// The total of rows that come one by one: what total_of() makes of all of them, in constant time a
// row. For totals that are looked at while a sweep runs, and for groups of results. Plain data, one
// thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "eval/results/result_row.h"

namespace qi {

class RowSums {
 public:
  /// A row of a weight; totals are passed over.
  void add(const ResultRow& row);
  std::size_t rows() const { return rows_; }
  std::size_t failed() const { return failed_; }
  /// Sums and means as total_of() defines them, without model_bytes. Model, file, type, run and
  /// configuration stand where all rows have the same (run 0: they have not).
  ResultRow total() const;

 private:
  static constexpr std::size_t kMeans = 6;
  struct Mean {
    double sum = 0;
    double weight = 0;
  };
  ResultRow total_;
  std::array<Mean, kMeans> means_;
  std::size_t rows_ = 0;
  std::size_t failed_ = 0;
};

}  // namespace qi
