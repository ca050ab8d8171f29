// What each module of the tree comes to: see weight_table.h.
#include <cmath>

#include "views/weight_table.h"

namespace qi {

void WeightTable::sum_nodes() {
  const auto parents = tree_.parents();
  sums_.assign(parents.size(), {});
  for (std::size_t i = 0; i < size(); ++i) add(sums_[tree_.node_of(i)].totals, i);
  // Preorder: going backwards, every node is complete before it is added to its parent. No weight
  // is analysed yet.
  for (std::size_t i = parents.size(); i-- > 1;) {
    const Totals& from = sums_[i].totals;
    Totals& to = sums_[parents[i]].totals;
    to.weights += from.weights;
    to.params += from.params;
    to.size_bytes += from.size_bytes;
  }
}

ColumnId WeightTable::worst_column() const {
  if (sort_column() == ColumnId::kBar) return ColumnId::kBitsPerWeight;
  if (sorted_by_number()) return sort_column();
  return has_pairs_ ? ColumnId::kResidual : ColumnId::kPlanes;
}

bool WeightTable::sorted_by_number() const {
  const ColumnInfo& info = column(sort_column());
  return info.form != ColumnForm::kText && (info.number != nullptr || info.from_statistics);
}

bool WeightTable::worst_is_largest() const {
  return !sorted_by_number() || descending();
}

void WeightTable::find_worst() {
  worst_stale_ = false;
  const auto none = static_cast<std::uint32_t>(size());
  const std::vector<double>& of = values(worst_column());
  const bool largest = worst_is_largest();
  const auto parents = tree_.parents();
  worst_.assign(parents.size(), none);
  const auto offer = [&](std::uint32_t node, std::uint32_t weight) {
    std::uint32_t& held = worst_[node];
    if (weight == none || std::isnan(of[weight])) return;
    if (held == none || (largest ? of[weight] > of[held] : of[weight] < of[held]) ||
        (of[weight] == of[held] && weight < held)) {
      held = weight;
    }
  };
  for (std::uint32_t i = 0; i < none; ++i) offer(tree_.node_of(i), i);
  for (std::size_t i = parents.size(); i-- > 1;) offer(parents[i], worst_[i]);
}

std::optional<std::uint32_t> WeightTable::worst(std::uint32_t node) const {
  return worst_[node] < size() ? std::optional(worst_[node]) : std::nullopt;
}

}  // namespace qi
