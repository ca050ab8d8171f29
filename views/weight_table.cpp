#include "views/weight_table.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>
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

// The bits of a double in an order that unsigned numbers sort by; NaN is greatest.
std::uint64_t ordered_bits(double value, bool descending) {
  constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
  if (std::isnan(value)) return ~std::uint64_t{0};
  if (value == 0) value = 0;  // −0 is 0
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t up = (bits & kSign) != 0 ? ~bits : bits | kSign;
  return descending ? ~up : up;
}

struct Keyed {
  std::uint64_t key;
  std::uint32_t index;
};

// Stable, least significant digit first: a few passes over memory whatever the values are.
void radix_sort(std::vector<Keyed>& items) {
  constexpr int kBits = 11;
  constexpr std::size_t kBuckets = std::size_t{1} << kBits;
  std::vector<Keyed> other(items.size());
  std::vector<std::uint32_t> starts(kBuckets);
  for (int shift = 0; shift < 64; shift += kBits) {
    const auto digit = [shift](const Keyed& item) { return (item.key >> shift) % kBuckets; };
    std::fill(starts.begin(), starts.end(), 0U);
    for (const Keyed& item : items) ++starts[digit(item)];
    if (items.empty() || starts[digit(items.front())] == items.size()) continue;
    std::uint32_t sum = 0;
    for (std::uint32_t& start : starts) sum += std::exchange(start, sum);
    for (const Keyed& item : items) other[starts[digit(item)]++] = item;
    items.swap(other);
  }
}

}  // namespace

WeightTable::WeightTable(std::shared_ptr<const Model> model)
    : model_(std::move(model)),
      tree_(*model_),
      search_(NameView{model_->weights}),
      statistics_(model_->weights.size()),
      marks_(model_->weights.size(), 0) {
  keys_.resize(columns().size());
  for (const ColumnInfo& info : columns()) {
    if (!info.from_statistics) continue;
    keys_[static_cast<std::size_t>(info.id)].assign(size(),
                                                    std::numeric_limits<double>::quiet_NaN());
  }
  for (const Weight& one : model_->weights) {
    params_.push_back(one.params);
    bytes_.push_back(one.size_bytes);
    add(all_, params_.size() - 1);
  }
  find_labels();
  order_rows();
  count_matches();
  pick_rows();
}

void WeightTable::add(Totals& totals, std::size_t index) const {
  ++totals.weights;
  totals.params += params_[index];
  totals.size_bytes += bytes_[index];
}

double WeightTable::bits_per_weight() const {
  return all_.params == 0
             ? 0
             : 8.0 * static_cast<double>(all_.size_bytes) / static_cast<double>(all_.params);
}

// A label is made once for each combination of what it is made from; models have a handful.
void WeightTable::find_labels() {
  using Kind = std::tuple<Scheme, DType, std::uint8_t, std::uint64_t, std::string_view>;
  std::vector<Kind> kinds;
  std::vector<std::uint64_t> bytes;
  label_of_.resize(size());
  for (std::size_t i = 0; i < size(); ++i) {
    const Weight& one = weight(i);
    Kind kind{one.scheme, DType::kUnknown, one.bits, one.group_size, {}};
    if (!one.parts.empty()) {
      std::get<1>(kind) = model_->tensor(one.parts[0]).dtype;
      std::get<4>(kind) = model_->tensor(one.parts[0]).dtype_text;
    }
    // Newest first, and few: a hostile file of a thousand kinds only gets a repeated label.
    std::size_t at = kinds.size();
    for (std::size_t k = kinds.size(); k-- > 0 && kinds.size() - k <= 64;) {
      if (kinds[k] == kind) {
        at = k;
        break;
      }
    }
    if (at == kinds.size()) {
      kinds.push_back(kind);
      bytes.push_back(0);
      labels_.push_back(scheme_label(*model_, one));
    }
    label_of_[i] = static_cast<std::uint32_t>(at);
    bytes[at] += one.size_bytes;
  }
  if (labels_.empty()) labels_.emplace_back();
  main_label_ =
      static_cast<std::size_t>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
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
  for (const ColumnInfo& info : columns()) {
    std::vector<double>& keys = keys_[static_cast<std::size_t>(info.id)];
    if (info.from_statistics) {
      keys[index] = sort_value(info.id, weight(index), statistics_[index].get());
    }
  }
  order_stale_ = order_stale_ || column(sort_).from_statistics;
}

void WeightTable::set_failure(std::size_t index, std::string reason) {
  failures_[index] = std::move(reason);
}

std::optional<double> WeightTable::predicted_bits() const {
  if (analysed_params_ <= 0 || analysed_bits_ <= 0) return {};
  return bits_per_weight() * predicted_bits_ / analysed_bits_;
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

void WeightTable::settle() {
  if (!order_stale_) return;
  order_rows();
  pick_rows();
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
    add(marked_, index);
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
  const std::vector<double>& keys = sort_keys(sort_);
  std::vector<Keyed> keyed(size());
  for (std::size_t i = 0; i < size(); ++i) {
    keyed[i] = {ordered_bits(keys[i], descending_), static_cast<std::uint32_t>(i)};
  }
  radix_sort(keyed);
  std::transform(keyed.begin(), keyed.end(), order_.begin(),
                 [](const Keyed& k) { return k.index; });
}

const std::vector<double>& WeightTable::sort_keys(ColumnId column) {
  std::vector<double>& keys = keys_[static_cast<std::size_t>(column)];
  if (keys.size() == size()) return keys;
  keys.assign(size(), std::numeric_limits<double>::quiet_NaN());
  if (column == ColumnId::kScheme) {
    std::vector<std::string> sorted = labels_;
    std::sort(sorted.begin(), sorted.end());
    std::vector<double> rank(labels_.size());
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      rank[i] = static_cast<double>(std::lower_bound(sorted.begin(), sorted.end(), labels_[i]) -
                                    sorted.begin());
    }
    for (std::size_t i = 0; i < size(); ++i) keys[i] = rank[label_of_[i]];
    return keys;
  }
  for (std::size_t i = 0; i < size(); ++i) keys[i] = sort_value(column, weight(i), statistics(i));
  return keys;
}

void WeightTable::pick_rows() {
  rows_.clear();
  shown_ = {};
  for (const std::uint32_t index : order_) {
    if (!search_.hit(index) || !tree_.contains(scope_, index)) continue;
    rows_.push_back(index);
    add(shown_, index);
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
