#include "views/weight_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "engine/text/numbers.h"

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

// What is left of a weight when its exponent or codes are entropy-coded; what that does not apply
// to stays as it is. Whole bits.
std::uint64_t coded_bits_of(const Weight& weight, const Statistics& statistics) {
  const double stored = 8.0 * static_cast<double>(weight.size_bytes);
  const double planes = planes_bits(weight, statistics);
  const double bits = planes > 0 ? planes * static_cast<double>(weight.params) : stored;
  return static_cast<std::uint64_t>(std::llround(std::clamp(bits, 0.0, 1e18)));
}

// Each text's place among the sorted ones.
std::vector<double> text_ranks(std::span<const std::string> texts) {
  std::vector<std::string_view> sorted(texts.begin(), texts.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), std::string_view(text));
    out.push_back(static_cast<double>(at - sorted.begin()));
  }
  return out;
}

}  // namespace

double Totals::bits_per_weight() const {
  return params == 0 ? 0 : 8.0 * static_cast<double>(size_bytes) / static_cast<double>(params);
}

std::optional<double> Totals::predicted_bits() const {
  if (analysed_bytes == 0 || params == 0) return {};
  return bits_per_weight() * static_cast<double>(coded_bits) /
         (8.0 * static_cast<double>(analysed_bytes));
}

std::optional<double> NodeSums::mean_exponent() const {
  return exponent_params > 0 ? std::optional(exponent_bits / exponent_params) : std::nullopt;
}

WeightTable::WeightTable(std::shared_ptr<const Model> model)
    : model_(std::move(model)),
      tree_(*model_),
      search_(NameView{model_->weights}),
      shared_(*model_),
      statistics_(model_->weights.size()),
      marks_(model_->weights.size(), 0),
      coded_bits_(model_->weights.size(), 0),
      values_(columns().size()) {
  params_.reserve(size());
  bytes_.reserve(size());
  for (const Weight& one : model_->weights) {
    params_.push_back(one.params);
    bytes_.push_back(one.size_bytes);
    add(all_, params_.size() - 1);
  }
  find_labels();
  has_pairs_ = fit_columns(*model_, labels_).has_pairs;
  order_rows();
  count_matches();
  pick_rows();
  sum_nodes();
  find_worst();
}

void WeightTable::add(Totals& totals, std::size_t index) const {
  ++totals.weights;
  totals.params += params_[index];
  totals.size_bytes += bytes_[index];
  if (statistics_[index] == nullptr) return;
  ++totals.analysed;
  totals.analysed_bytes += bytes_[index];
  totals.coded_bits += coded_bits_[index];
}

void WeightTable::take(Totals& totals, std::size_t index) const {
  --totals.weights;
  totals.params -= params_[index];
  totals.size_bytes -= bytes_[index];
  if (statistics_[index] == nullptr) return;
  --totals.analysed;
  totals.analysed_bytes -= bytes_[index];
  totals.coded_bits -= coded_bits_[index];
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
  const bool shown = in_rows(index);
  // Everywhere it counts it is taken out as it was and put in as it is.
  const auto change = [&](const auto& act, double sign) {
    act(all_);
    if (shown) act(shown_);
    if (is_marked(index)) act(marked_);
    const Statistics* known = statistics_[index].get();
    const bool exponent = known != nullptr && known->h_exponent.has_value();
    const double params = exponent ? sign * static_cast<double>(params_[index]) : 0;
    for (std::uint32_t node = tree_.node_of(index);; node = tree_.parents()[node]) {
      act(sums_[node].totals);
      if (exponent) {
        sums_[node].exponent_bits += params * *known->h_exponent;
        sums_[node].exponent_params += params;
      }
      if (node == 0) break;
    }
  };
  change([&](Totals& totals) { take(totals, index); }, -1);
  statistics_[index] = std::move(statistics);
  coded_bits_[index] = coded_bits_of(weight(index), *statistics_[index]);
  change([&](Totals& totals) { add(totals, index); }, 1);
  for (const ColumnInfo& info : columns()) {
    if (!info.from_statistics) continue;
    std::vector<double>& values = values_[static_cast<std::size_t>(info.id)];
    // All at the first result: a key that sorts must not wait for a pass over all statistics.
    if (values.empty()) values.assign(size(), kNoNumber);
    values[index] = sort_value(info.id, weight(index), statistics_[index].get());
  }
  for (const SortKey& key : sort_) order_stale_ |= column(key.column).from_statistics;
  worst_stale_ |= column(worst_column()).from_statistics;
}

void WeightTable::set_failure(std::size_t index, std::string reason) {
  failures_[index] = std::move(reason);
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

void WeightTable::set_sort(std::vector<SortKey> keys) {
  std::vector<SortKey> kept;
  for (const SortKey& key : keys) {
    const bool again = std::any_of(kept.begin(), kept.end(), [&](const SortKey& one) {
      return one.column == key.column || one.column == ColumnId::kName;
    });
    if (!again && kept.size() < kMaxSortKeys) kept.push_back(key);
  }
  if (kept.empty()) kept.emplace_back();
  // Weights stand in the order of their names already: at the end that key says nothing.
  if (kept.size() > 1 && kept.back() == SortKey{}) kept.pop_back();
  if (kept == sort_) return;
  sort_ = std::move(kept);
  order_rows();
  list_rows();
  find_worst();
}

void WeightTable::settle() {
  if (order_stale_) {
    order_rows();
    list_rows();
  }
  if (worst_stale_) find_worst();
}

std::optional<std::size_t> WeightTable::row_of(std::uint32_t weight) const {
  const auto it = std::find(rows_.begin(), rows_.end(), weight);
  if (it == rows_.end()) return {};
  return static_cast<std::size_t>(it - rows_.begin());
}

void WeightTable::set_marked(std::size_t index, bool marked) {
  if (is_marked(index) == marked) return;
  marks_[index] = marked ? 1 : 0;
  if (marked) {
    add(marked_, index);
  } else {
    take(marked_, index);
  }
}

void WeightTable::order_rows() {
  order_stale_ = false;
  std::vector<SortValues> keys;
  for (const SortKey& key : sort_) {
    const bool by_number = key.column == ColumnId::kName;  // names stand in natural order already
    keys.push_back({by_number ? std::span<const double>() : values(key.column), key.descending});
  }
  sorter_.sort(size(), keys, order_);
}

const std::vector<double>& WeightTable::values(ColumnId column) {
  std::vector<double>& values = values_[static_cast<std::size_t>(column)];
  if (values.size() == size()) return values;
  const auto as_double = [](std::uint64_t number) { return static_cast<double>(number); };
  values.assign(size(), kNoNumber);
  switch (column) {
    case ColumnId::kName:
      std::iota(values.begin(), values.end(), 0.0);
      break;
    case ColumnId::kScheme: {
      const std::vector<double> ranks = text_ranks(labels_);
      for (std::size_t i = 0; i < size(); ++i) values[i] = ranks[label_of_[i]];
      break;
    }
    case ColumnId::kType: {
      std::vector<std::string> types;
      for (const Weight& one : model_->weights) {
        types.emplace_back(one.parts.empty() ? std::string_view()
                                             : dtype_name(model_->tensor(one.parts[0])));
      }
      values = text_ranks(types);
      break;
    }
    // From what is kept close together: the weights themselves are far too large for a pass.
    case ColumnId::kShape:
    case ColumnId::kParams:
      std::transform(params_.begin(), params_.end(), values.begin(), as_double);
      break;
    case ColumnId::kSize:
      std::transform(bytes_.begin(), bytes_.end(), values.begin(), as_double);
      break;
    case ColumnId::kBar:
    case ColumnId::kBitsPerWeight:
      for (std::size_t i = 0; i < size(); ++i) {
        if (params_[i] == 0) continue;
        values[i] = 8.0 * static_cast<double>(bytes_[i]) / static_cast<double>(params_[i]);
      }
      break;
    case ColumnId::kOffset:
    case ColumnId::kFile:
      for (std::size_t i = 0; i < size(); ++i) {
        if (weight(i).parts.empty()) continue;
        const Tensor& tensor = model_->tensor(weight(i).parts[0]);
        values[i] = column == ColumnId::kFile ? static_cast<double>(tensor.file)
                                              : static_cast<double>(tensor.offset);
      }
      break;
    default:
      for (std::size_t i = 0; i < size(); ++i) values[i] = sort_value(column, weight(i), nullptr);
      break;
  }
  return values;
}

void WeightTable::pick_rows() {
  // The totals in the order of memory, not in that of the rows.
  shown_ = all_;
  if (scope_ != 0 || search_.hits() < size()) {
    shown_ = {};
    for (std::size_t i = 0; i < size(); ++i) {
      if (in_rows(i)) add(shown_, i);
    }
  }
  list_rows();
}

void WeightTable::list_rows() {
  if (shown_.weights == size()) {
    rows_ = order_;
    return;
  }
  rows_.clear();
  for (const std::uint32_t index : order_) {
    if (in_rows(index)) rows_.push_back(index);
  }
}

void WeightTable::count_matches() {
  const auto parents = tree_.parents();
  node_matches_.assign(parents.size(), 0);
  for (std::size_t i = 0; i < size(); ++i) {
    if (search_.hit(i)) ++node_matches_[tree_.node_of(i)];
  }
  // Preorder: going backwards, every node is complete before it is added to its parent.
  for (std::size_t i = parents.size(); i-- > 1;) node_matches_[parents[i]] += node_matches_[i];
}

}  // namespace qi
