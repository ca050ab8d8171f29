#include "views/weight_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace qi {
namespace {

struct NameView {
  const std::vector<Weight>& weights;
  struct Iterator {
    const Weight* at;
    const std::string& operator*() const { return at->name; }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  Iterator begin() const { return {weights.data()}; }
  Iterator end() const { return {weights.data() + weights.size()}; }
};

void add(Totals& totals, const Weight& weight) {
  ++totals.weights;
  totals.params += weight.params;
  totals.size_bytes += weight.size_bytes;
}

}  // namespace

WeightTable::WeightTable(std::shared_ptr<const Model> model)
    : model_(std::move(model)),
      tree_(*model_),
      search_(NameView{model_->weights}),
      statistics_(model_->weights.size()),
      marks_(model_->weights.size(), 0) {
  for (const Weight& weight : model_->weights) add(all_, weight);
  order_rows();
  count_matches();
  pick_rows();
}

const std::string& WeightTable::failure(std::size_t index) const {
  static const std::string none;
  const auto it = failures_.find(index);
  return it == failures_.end() ? none : it->second;
}

void WeightTable::set_statistics(std::size_t index, std::shared_ptr<const Statistics> statistics) {
  if (statistics == nullptr) return;
  if (statistics_[index] == nullptr) {
    ++analysed_;
    const Weight& one = weight(index);
    const double planes = planes_bits(one, *statistics);
    const auto params = static_cast<double>(one.params);
    analysed_params_ += params;
    analysed_bits_ += params * one.bits_per_weight();
    // What the plane codec does not apply to stays as it is.
    predicted_bits_ += params * (planes > 0 ? planes : one.bits_per_weight());
  }
  statistics_[index] = std::move(statistics);
  order_stale_ = order_stale_ || column(sort_).from_statistics;
}

void WeightTable::set_failure(std::size_t index, std::string reason) {
  failures_[index] = std::move(reason);
}

std::optional<double> WeightTable::predicted_bits() const {
  if (analysed_params_ <= 0 || analysed_bits_ <= 0) return {};
  return model_->bits_per_weight() * predicted_bits_ / analysed_bits_;
}

void WeightTable::set_filter(std::string_view text) {
  if (text == search_.pattern_text()) return;
  search_.search(text);
  count_matches();
  pick_rows();
}

void WeightTable::set_scope(std::uint32_t node) {
  if (node == scope_) return;
  scope_ = node;
  pick_rows();
}

void WeightTable::set_sort(ColumnId column, bool descending) {
  if (column == sort_ && descending == descending_) return;
  sort_ = column;
  descending_ = descending;
  order_rows();
  pick_rows();
}

bool WeightTable::settle() {
  if (!order_stale_) return false;
  order_rows();
  pick_rows();
  return true;
}

std::optional<std::size_t> WeightTable::row_of(std::uint32_t weight) const {
  const auto it = std::find(rows_.begin(), rows_.end(), weight);
  if (it == rows_.end()) return {};
  return static_cast<std::size_t>(it - rows_.begin());
}

void WeightTable::set_marked(std::size_t index, bool marked) {
  if (is_marked(index) == marked) return;
  marks_[index] = marked ? 1 : 0;
  const Weight& one = weight(index);
  if (marked) {
    add(marked_, one);
  } else {
    --marked_.weights;
    marked_.params -= one.params;
    marked_.size_bytes -= one.size_bytes;
  }
}

void WeightTable::order_rows() {
  order_stale_ = false;
  order_.resize(size());
  if (sort_ == ColumnId::kName) {
    std::iota(order_.begin(), order_.end(), 0U);
    if (descending_) std::reverse(order_.begin(), order_.end());
    return;
  }
  // Keys beside indices: one pass over the weights, then a sort that touches nothing else.
  struct Keyed {
    double key;
    std::uint32_t index;
  };
  std::vector<Keyed> keyed(size());
  std::vector<std::string> labels;
  if (sort_ == ColumnId::kScheme) {
    // Few distinct labels: their rank is the key.
    std::vector<std::string> of(size());
    for (std::size_t i = 0; i < size(); ++i) of[i] = scheme_label(*model_, weight(i));
    labels = of;
    std::sort(labels.begin(), labels.end());
    labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
    for (std::size_t i = 0; i < size(); ++i) {
      const auto rank = std::lower_bound(labels.begin(), labels.end(), of[i]) - labels.begin();
      keyed[i] = {static_cast<double>(rank), static_cast<std::uint32_t>(i)};
    }
  } else {
    for (std::size_t i = 0; i < size(); ++i) {
      keyed[i] = {sort_value(sort_, weight(i), statistics(i)), static_cast<std::uint32_t>(i)};
    }
  }
  const auto known = std::stable_partition(keyed.begin(), keyed.end(),
                                           [](const Keyed& k) { return !std::isnan(k.key); });
  const bool down = descending_;
  std::sort(keyed.begin(), known, [down](const Keyed& a, const Keyed& b) {
    if (a.key != b.key) return down ? a.key > b.key : a.key < b.key;
    return a.index < b.index;
  });
  std::transform(keyed.begin(), keyed.end(), order_.begin(),
                 [](const Keyed& k) { return k.index; });
}

void WeightTable::pick_rows() {
  rows_.clear();
  shown_ = {};
  for (const std::uint32_t index : order_) {
    if (!search_.hit(index) || !tree_.contains(scope_, index)) continue;
    rows_.push_back(index);
    add(shown_, weight(index));
  }
}

void WeightTable::count_matches() {
  const auto nodes = tree_.nodes();
  node_matches_.assign(nodes.size(), 0);
  for (std::size_t i = 0; i < size(); ++i) {
    if (search_.hit(i)) ++node_matches_[tree_.node_of(i)];
  }
  // Preorder: going backwards, every node is complete before it is added to its parent.
  for (std::size_t i = nodes.size(); i-- > 1;) node_matches_[nodes[i].parent] += node_matches_[i];
}

}  // namespace qi
