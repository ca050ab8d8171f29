// Sorts a model's weights by up to three keys, stable, in a few passes over memory whatever the
// values are. Pure functions, any thread.
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

/// The weights 0 … count − 1, sorted by the first key, equal ones by the second and so on, and at
/// last by their number. A key without values is that number: it decides everything after it.
std::vector<std::uint32_t> ordered(std::size_t count, std::span<const SortValues> keys);

}  // namespace qi
