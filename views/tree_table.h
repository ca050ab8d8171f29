// The columns of the Model screen's tree: what a module comes to. Which of them have room, how
// their cells read, and the whole as a table for export. Pure functions of a WeightTable; one
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "views/columns.h"
#include "views/layout.h"
#include "views/text_table.h"
#include "views/weight_table.h"

namespace qi {

enum class TreeColumn : std::uint8_t {
  kModule,
  kWeights,
  kParams,
  kSize,
  kBitsPerWeight,
  kCoded,
  kExponent,
  kWorst,
  kWorstName,
  kAnalysed,
};

/// Places in a tree of `width` cells, which grows from module and size to all columns.
std::vector<ColumnPlace> place_tree_columns(const WeightTable& table, const ColumnFit& fit,
                                            int width);
std::string tree_title(TreeColumn column, const WeightTable& table, const ColumnFit& fit);
/// Printable; "" for "no value". Not for kModule.
std::string tree_cell(TreeColumn column, const WeightTable& table, std::uint32_t node,
                      const ColumnFit& fit);
/// The label of a node as its line shows it, printable; `range` stands between the ends of one.
std::string tree_label(const NameTree& tree, std::uint32_t node, std::string_view range);
/// Every line of the tree with every column: raw names, numbers in full.
TextTable tree_text_table(const WeightTable& table);

}  // namespace qi
