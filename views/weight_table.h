// The rows of the Model screen: every weight with what is known of it, filtered by name and place
// in the tree, sorted, marked. Fast for 100,000 weights. State only; one thread.
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

namespace qi {

struct Totals {
  std::uint64_t weights = 0;
  std::uint64_t params = 0;
  std::uint64_t size_bytes = 0;
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

  // --- what is known
  const Statistics* statistics(std::size_t index) const { return statistics_[index].get(); }
  /// Why a weight could not be analysed, raw; empty otherwise.
  const std::string& failure(std::size_t index) const;
  void set_statistics(std::size_t index, std::shared_ptr<const Statistics> statistics);
  void set_failure(std::size_t index, std::string reason);
  std::size_t analysed() const { return analysed_; }
  std::size_t failed() const { return failures_.size(); }
  /// Bits per weight of the whole model when each weight's exponent is coded (planes); weights not
  /// yet analysed count like the analysed ones of their size. Nothing before the first one.
  std::optional<double> predicted_bits() const;

  // --- which rows, in which order
  const std::vector<std::uint32_t>& rows() const { return rows_; }
  const std::string& filter() const { return search_.pattern_text(); }
  const NamePattern& pattern() const { return search_.pattern(); }
  std::uint32_t scope() const { return scope_; }
  ColumnId sort_column() const { return sort_; }
  bool descending() const { return descending_; }
  void set_filter(std::string_view text);
  void set_scope(std::uint32_t node);
  void set_sort(ColumnId column, bool descending);
  /// Results that came in may have changed the order; settle() sorts again.
  bool unsettled() const { return order_stale_; }
  void settle();
  /// The row of a weight; nothing when it is filtered out.
  std::optional<std::size_t> row_of(std::uint32_t weight) const;
  /// Matches of the filter under a node of the tree.
  std::uint32_t matches(std::uint32_t node) const { return node_matches_[node]; }
  const Totals& shown() const { return shown_; }
  const Totals& all() const { return all_; }
  /// As stored, of the whole model.
  double bits_per_weight() const;
  /// scheme_label() of a weight, and the one that holds most bytes.
  const std::string& label(std::size_t index) const { return labels_[label_of_[index]]; }
  std::span<const std::string> labels() const { return labels_; }
  const std::string& main_label() const { return labels_[main_label_]; }

  // --- marks
  bool is_marked(std::size_t index) const { return marks_[index] != 0; }
  void set_marked(std::size_t index, bool marked);
  const Totals& marked() const { return marked_; }

 private:
  void find_labels();
  const std::vector<double>& sort_keys(ColumnId column);
  void add(Totals& totals, std::size_t index) const;
  void order_rows();
  void pick_rows();
  void count_matches();

  std::shared_ptr<const Model> model_;
  NameTree tree_;
  NameSearch search_;
  std::vector<std::shared_ptr<const Statistics>> statistics_;
  std::unordered_map<std::size_t, std::string> failures_;
  std::vector<std::uint8_t> marks_;
  // Beside each other what a pass over all rows needs: a Weight is far too large for that.
  std::vector<std::uint64_t> params_, bytes_;
  std::vector<std::uint32_t> label_of_;
  std::vector<std::string> labels_;
  std::size_t main_label_ = 0;
  std::vector<std::vector<double>> keys_;  // sort keys by column, filled when first needed
  std::size_t analysed_ = 0;
  double analysed_params_ = 0, analysed_bits_ = 0, predicted_bits_ = 0;

  ColumnId sort_ = ColumnId::kName;
  bool descending_ = false;
  bool order_stale_ = false;
  std::uint32_t scope_ = 0;
  std::vector<std::uint32_t> order_;  // all weights, sorted
  std::vector<std::uint32_t> rows_;   // those shown
  std::vector<std::uint32_t> node_matches_;
  Totals all_, shown_, marked_;
};

}  // namespace qi
