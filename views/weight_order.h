// Sorts a model's weights by up to three keys, stable, in a few passes over memory whatever the
// values are. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "views/columns.h"

namespace qi {

struct SortKey {
  ColumnId column = ColumnId::kName;
  bool descending = false;
  bool operator==(const SortKey&) const = default;
};
inline constexpr std::size_t kMaxSortKeys = 3;

/// A key's values, one a weight; NaN stands last either way.
struct SortValues {
  std::span<const double> values;
  bool descending = false;
};

/// Keeps its memory from one sort to the next.
class WeightSorter {
 public:
  /// `order` becomes the weights 0 … count − 1, sorted by the first key, equal ones by the second
  /// and so on, and at last by their number. A key without values is that number: it decides
  /// everything after it.
  void sort(std::size_t count, std::span<const SortValues> keys, std::vector<std::uint32_t>& order);

 private:
  struct Keyed {
    std::uint64_t key;
    std::uint32_t index;
  };
  void radix_sort();

  std::vector<Keyed> items_, other_;
};

}  // namespace qi
