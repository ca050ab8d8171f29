// The rows of the Model screen: every weight with what is known of it, filtered by name and place
// in the tree, sorted, marked, and summed up for the rows and for each module. Fast for 100,000
// weights. State only; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"
#include "views/columns.h"
#include "views/name_search.h"
#include "views/name_tree.h"
#include "views/shared_bytes.h"
#include "views/weight_order.h"

namespace qi {

/// Sums over some weights. Whole numbers: adding and taking away again leaves nothing behind.
struct Totals {
  std::uint64_t weights = 0;
  std::uint64_t params = 0;
  std::uint64_t size_bytes = 0;
  // Of the analysed ones: how many, their bytes as stored, and their bits when each weight's
  // exponent or codes are entropy-coded.
  std::uint64_t analysed = 0;
  std::uint64_t analysed_bytes = 0;
  std::uint64_t coded_bits = 0;

  /// As stored; 0 for no parameters.
  double bits_per_weight() const;
  /// Bits per weight after coding; what is not analysed yet counts like what is. Nothing before the
  /// first one.
  std::optional<double> predicted_bits() const;
  bool operator==(const Totals&) const = default;
};

/// The sums of a module and everything in it.
struct NodeSums {
  Totals totals;
  double exponent_bits = 0;  // Σ params · h_exponent, and the params of these
  double exponent_params = 0;
  /// Mean entropy of the exponent over the parameters that have one.
  std::optional<double> mean_exponent() const;
};

class WeightTable {
 public:
  explicit WeightTable(std::shared_ptr<const Model> model);

  const Model& model() const { return *model_; }
  const std::shared_ptr<const Model>& shared_model() const { return model_; }
  const NameTree& tree() const { return tree_; }
  NameTree& tree() { return tree_; }
  std::size_t size() const { return model_->weights.size(); }
  const Weight& weight(std::size_t index) const { return model_->weights[index]; }
  const SharedBytes& shared() const { return shared_; }

  // --- what is known
  const Statistics* statistics(std::size_t index) const { return statistics_[index].get(); }
  /// Why a weight could not be analysed, raw; empty otherwise.
  const std::string& failure(std::size_t index) const;
  void set_statistics(std::size_t index, std::shared_ptr<const Statistics> statistics);
  void set_failure(std::size_t index, std::string reason);
  std::size_t analysed() const { return all_.analysed; }
  std::size_t failed() const { return failures_.size(); }
  /// Of the whole model, as Totals::predicted_bits().
  std::optional<double> predicted_bits() const { return all_.predicted_bits(); }

  // --- which rows, in which order
  const std::vector<std::uint32_t>& rows() const { return rows_; }
  const std::string& filter() const { return search_.pattern_text(); }
  const NamePattern& pattern() const { return search_.pattern(); }
  std::uint32_t scope() const { return scope_; }
  /// At least one key, at most kMaxSortKeys, the most important first.
  const std::vector<SortKey>& sort() const { return sort_; }
  ColumnId sort_column() const { return sort_.front().column; }
  bool descending() const { return sort_.front().descending; }
  void set_filter(std::string_view text);
  void set_scope(std::uint32_t node);
  /// Keys that can decide nothing more (after the name, a column's second) are dropped.
  void set_sort(std::vector<SortKey> keys);
  void set_sort(ColumnId column, bool descending) { set_sort({{column, descending}}); }
  /// Results that came in may have changed the order; settle() sorts again.
  bool unsettled() const { return order_stale_ || worst_stale_; }
  void settle();
  /// The row of a weight; nothing when it is filtered out.
  std::optional<std::size_t> row_of(std::uint32_t weight) const;
  /// Whether a weight's name matches another pattern than the filter.
  bool matches(const NamePattern& pattern, std::uint32_t weight) const {
    return search_.matches(pattern, weight);
  }
  const Totals& shown() const { return shown_; }
  const Totals& all() const { return all_; }
  /// As stored, of the whole model.
  double bits_per_weight() const { return all_.bits_per_weight(); }
  /// scheme_label() of a weight, and the one that holds most bytes.
  const std::string& label(std::size_t index) const { return labels_[label_of_[index]]; }
  std::span<const std::string> labels() const { return labels_; }
  const std::string& main_label() const { return labels_[main_label_]; }

  // --- modules: the nodes of the tree
  /// Matches of the filter under a node.
  std::uint32_t matches(std::uint32_t node) const { return node_matches_[node]; }
  const NodeSums& sums(std::uint32_t node) const { return sums_[node]; }
  /// The column that worst() goes by: the one sorted by, or where that has no numbers the residual
  /// (the planes without 16-bit floats).
  ColumnId worst_column() const;
  /// Whether the largest is the worst; the smallest is when that is what the order begins with.
  bool worst_is_largest() const;
  /// The weight of a node with that column's worst number; as of the last sort or settle().
  std::optional<std::uint32_t> worst(std::uint32_t node) const;
  /// A column's number, NaN for none: for texts, their rank.
  double value(ColumnId column, std::uint32_t weight) { return values(column)[weight]; }

  // --- marks
  bool is_marked(std::size_t index) const { return marks_[index] != 0; }
  void set_marked(std::size_t index, bool marked);
  const Totals& marked() const { return marked_; }

 private:
  void find_labels();
  bool sorted_by_number() const;
  const std::vector<double>& values(ColumnId column);
  void add(Totals& totals, std::size_t index) const;
  void take(Totals& totals, std::size_t index) const;
  void sum_nodes();
  void find_worst();
  bool in_rows(std::size_t index) const {
    return search_.hit(index) && tree_.contains(scope_, index);
  }
  void order_rows();
  void pick_rows();
  void list_rows();
  void count_matches();

  std::shared_ptr<const Model> model_;
  NameTree tree_;
  NameSearch search_;
  SharedBytes shared_;
  std::vector<std::shared_ptr<const Statistics>> statistics_;
  std::unordered_map<std::size_t, std::string> failures_;
  std::vector<std::uint8_t> marks_;
  // Beside each other what a pass over all rows needs: a Weight is far too large for that.
  std::vector<std::uint64_t> params_, bytes_, coded_bits_;
  std::vector<std::uint32_t> label_of_;
  std::vector<std::string> labels_;
  std::size_t main_label_ = 0;
  bool has_pairs_ = false;
  std::vector<std::vector<double>> values_;  // by column, filled when first needed

  WeightSorter sorter_;
  std::vector<SortKey> sort_{SortKey{}};
  bool order_stale_ = false;
  bool worst_stale_ = false;
  std::uint32_t scope_ = 0;
  std::vector<std::uint32_t> order_;  // all weights, sorted
  std::vector<std::uint32_t> rows_;   // those shown
  std::vector<std::uint32_t> node_matches_;
  std::vector<NodeSums> sums_;
  std::vector<std::uint32_t> worst_;  // by node; the number of weights: none
  Totals all_, shown_, marked_;
};

}  // namespace qi
