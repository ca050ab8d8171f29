// Rows of measurements as screens look at them: every configuration numbered and named once, ranks
// for sorting by texts. Rows are added at the end, never changed. Owns the rows. One thread at a
// time; made in a background thread, it is handed over whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "eval/results/result_row.h"
#include "views/name_search.h"
#include "views/result_columns.h"

namespace qi {

class ResultSet {
 public:
  struct Config {
    MethodConfig config;
    std::string label;         // printable
    std::uint32_t family = 0;  // index into families()
    std::uint32_t rows = 0;    // totals not counted
  };

  ResultSet() = default;
  /// Ready to be sorted and searched without a delay.
  explicit ResultSet(std::vector<ResultRow> rows);
  /// Returns its index.
  std::size_t add(ResultRow row);

  std::size_t size() const { return rows_.size(); }
  const std::vector<ResultRow>& rows() const { return rows_; }
  const ResultRow& row(std::size_t index) const { return rows_[index]; }
  /// Index into configs().
  std::uint32_t config_of(std::size_t index) const { return config_of_[index]; }
  const std::vector<Config>& configs() const { return configs_; }
  /// The number of a row's weight: equal for equal model, file and tensor.
  std::uint32_t weight_of(std::size_t index) const { return weight_of_[index]; }
  const std::vector<std::string>& families() const { return families_; }

  /// What filters look in, of all rows and of one.
  const NameSearch& search() const { return search_; }
  std::string search_text(std::size_t index) const;
  /// The number a column sorts by: of texts the rank among all of them; NaN: no value.
  double sort_key(ResultColumnId column, std::size_t index) const;

 private:
  std::vector<ResultRow> rows_;
  std::vector<std::uint32_t> config_of_, weight_of_;
  std::vector<Config> configs_;
  std::vector<std::string> families_;
  NameSearch search_;
  std::map<MethodConfig, std::uint32_t> numbers_;
  std::unordered_map<std::string, std::uint32_t> weight_numbers_;
  struct Ranks {
    std::size_t rows = 0;  // of how many rows they are
    std::vector<std::uint32_t> rank;
  };
  mutable std::map<ResultColumnId, Ranks> ranks_;  // filled when first asked for
};

/// The colour and shape of a family: the same on every screen, whatever rows there are.
int family_marker(std::string_view family);

/// One side of a comparison: a configuration, of one run or of the newest that has the weight.
struct ResultSide {
  std::uint32_t config = 0;  // of the set
  std::int64_t run = 0;      // 0: any
  bool operator==(const ResultSide&) const = default;
};

}  // namespace qi
