#include "views/tree_table.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"

namespace qi {
namespace {

struct TreeColumnInfo {
  TreeColumn id;
  std::string_view title, exported;
  int width;
  int leave;  // as ColumnWish
};

constexpr std::array kColumns = {
    TreeColumnInfo{TreeColumn::kModule, "module", "module", 28, 0},
    TreeColumnInfo{TreeColumn::kWeights, "weights", "weights", 7, 4},
    TreeColumnInfo{TreeColumn::kParams, "params", "params", 7, 7},
    TreeColumnInfo{TreeColumn::kSize, "size", "size_bytes", 5, 1},
    TreeColumnInfo{TreeColumn::kBitsPerWeight, "b/w", "bits_per_weight", 6, 2},
    TreeColumnInfo{TreeColumn::kCoded, "coded", "coded_bits_per_weight", 6, 3},
    TreeColumnInfo{TreeColumn::kExponent, "h_exp", "h_exponent", 5, 6},
    TreeColumnInfo{TreeColumn::kWorst, "", "worst", 9, 5},
    TreeColumnInfo{TreeColumn::kWorstName, "of", "worst_weight", 18, 8},
    TreeColumnInfo{TreeColumn::kAnalysed, "analysed", "analysed", 8, 9},
};

constexpr int kTreeGap = 2;
constexpr int kNarrow = 34;  // below this there is room for a module and its size only
constexpr int kNarrowModule = 12;

std::string fixed2(std::optional<double> value) {
  return value ? fmt::format("{:.2f}", *value) : "";
}

std::optional<double> stored_bits(const Totals& totals) {
  return totals.params > 0 ? std::optional(totals.bits_per_weight()) : std::nullopt;
}

std::string exact(std::optional<double> value) {
  return value ? exact_number(*value) : "";
}

}  // namespace

std::vector<ColumnPlace> place_tree_columns(const WeightTable& table, const ColumnFit& fit,
                                            int width) {
  std::vector<ColumnWish> wishes;
  for (const TreeColumnInfo& info : kColumns) {
    if (width < kNarrow && info.leave > 1) continue;
    ColumnWish wish{static_cast<int>(info.id), info.width, info.leave};
    if (info.id == TreeColumn::kModule && width < kNarrow) wish.width = kNarrowModule;
    if (info.id == TreeColumn::kWorst) {
      wish.width = std::max(wish.width, display_width(tree_title(info.id, table, fit)));
    }
    wishes.push_back(wish);
  }
  // Two names share what is left over: the module takes it all, so the other one asks for half.
  int used = -kTreeGap;
  for (const ColumnWish& wish : wishes) used += wish.width + kTreeGap;
  for (ColumnWish& wish : wishes) {
    if (wish.id == static_cast<int>(TreeColumn::kWorstName)) {
      wish.width += std::clamp((width - used) / 2, 0, 24);
    }
  }
  return place_columns(std::max(0, width), kTreeGap, wishes);
}

std::string tree_title(TreeColumn column, const WeightTable& table, const ColumnFit& fit) {
  if (column == TreeColumn::kWorst) {
    return fmt::format("{} {}", table.worst_is_largest() ? "max" : "min",
                       column_title(table.worst_column(), fit));
  }
  return std::string(kColumns[static_cast<std::size_t>(column)].title);
}

std::string tree_cell(TreeColumn column, const WeightTable& table, std::uint32_t node,
                      const ColumnFit& fit) {
  const NodeSums& sums = table.sums(node);
  const Totals& totals = sums.totals;
  const auto worst = table.worst(node);
  switch (column) {
    case TreeColumn::kModule:
      return "";
    case TreeColumn::kWeights:
      return grouped(totals.weights);
    case TreeColumn::kParams:
      return human_count(totals.params);
    case TreeColumn::kSize:
      return compact_bytes(totals.size_bytes);
    case TreeColumn::kBitsPerWeight:
      return fixed2(stored_bits(totals));
    case TreeColumn::kCoded:
      return fixed2(totals.predicted_bits());
    case TreeColumn::kExponent:
      return fixed2(sums.mean_exponent());
    case TreeColumn::kWorst:
      return worst ? number_text(table.worst_column(),
                                 sort_value(table.worst_column(), table.weight(*worst),
                                            table.statistics(*worst)),
                                 fit)
                   : "";
    case TreeColumn::kWorstName:
      return worst ? shown_name(table.weight(*worst).name, 3) : "";
    case TreeColumn::kAnalysed:
      return totals.weights == 0
                 ? ""
                 : fmt::format("{:.0f}%", 100.0 * static_cast<double>(totals.analysed) /
                                              static_cast<double>(totals.weights));
  }
  return "";
}

std::string tree_label(const NameTree& tree, std::uint32_t node, std::string_view range) {
  const TreeNode& one = tree.nodes()[node];
  if (node == 0) return "all weights";
  std::string out = one.label.empty() ? "\"\"" : escape(one.label);  // two dots in a row
  if (!one.range_last.empty()) out += std::string(range) + escape(one.range_last);
  return out;
}

TextTable tree_text_table(const WeightTable& table) {
  TextTable out;
  out.name = "modules";
  for (const TreeColumnInfo& info : kColumns) {
    out.columns.emplace_back(info.exported);
    out.numeric.push_back(info.id != TreeColumn::kModule && info.id != TreeColumn::kWorstName);
  }
  // Which number the worst one is.
  out.columns[static_cast<std::size_t>(TreeColumn::kWorst)] = fmt::format(
      "{}_{}", table.worst_is_largest() ? "max" : "min",
      column(table.worst_column()).id == ColumnId::kBar ? "bits_per_weight"
                                                        : column(table.worst_column()).exported);
  for (const std::uint32_t node : table.tree().lines()) {
    const NodeSums& sums = table.sums(node);
    const Totals& totals = sums.totals;
    const auto worst = table.worst(node);
    out.rows.push_back({
        table.tree().path(node),
        std::to_string(totals.weights),
        std::to_string(totals.params),
        std::to_string(totals.size_bytes),
        exact(stored_bits(totals)),
        exact(totals.predicted_bits()),
        exact(sums.mean_exponent()),
        worst ? exact_number(sort_value(table.worst_column(), table.weight(*worst),
                                        table.statistics(*worst)))
              : "",
        worst ? table.weight(*worst).name : "",
        std::to_string(totals.analysed),
    });
  }
  return out;
}

}  // namespace qi
