// What the heat map shows, without a screen: the weights of a model as modules against layers, one
// value for each cell, and where that value stands between the lowest and the highest. Pure
// functions, whatever the values are of; linear in the weights. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/tensor/model.h"
#include "views/heat_source.h"

namespace qi {

/// Which weights stand in which cell. Experts of one module and layer share a cell. Only cells with
/// weights exist, so that names of any kind cost memory in proportion to their number.
class HeatMap {
 public:
  struct Module {
    std::string label;  // printable: the shortest end of the name that no other module has
    Role role = Role::kOther;
    std::uint32_t most = 0;  // weights in its fullest cell
  };
  static constexpr std::uint32_t kNoCell = ~std::uint32_t{0};

  explicit HeatMap(const std::vector<HeatItem>& items);
  explicit HeatMap(const Model& model);

  /// By role, then as the model lists them.
  const std::vector<Module>& modules() const { return modules_; }
  /// The layers' numbers, rising.
  const std::vector<std::int32_t>& layers() const { return layers_; }
  /// Weights in no layer, one a cell, with labels that tell them apart; by role.
  const std::vector<Module>& outside() const { return outside_; }

  /// Cells are numbered: those of modules and layers first, then those outside. Indices count in
  /// modules(), layers() and outside().
  std::size_t cells() const { return begin_.size() - 1; }
  std::uint32_t cell(std::size_t module, std::size_t layer) const;
  std::uint32_t outside_cell(std::size_t index) const {
    return static_cast<std::uint32_t>(cells() - outside_.size() + index);
  }
  /// Indices of items: of a model's, those of its weights.
  std::span<const std::uint32_t> weights(std::uint32_t cell) const {
    return std::span(weights_).subspan(begin_[cell], begin_[cell + 1] - begin_[cell]);
  }
  /// More than one weight in some cell.
  bool has_folds() const { return weights_.size() > cells(); }

 private:
  std::vector<Module> modules_;
  std::vector<Module> outside_;
  std::vector<std::int32_t> layers_;
  std::vector<std::uint32_t> layer_of_;  // by cell, of those inside
  std::vector<std::uint32_t> first_;     // by module: its first cell; one more at the end
  std::vector<std::uint32_t> begin_;     // by cell: its weights; one more at the end
  std::vector<std::uint32_t> weights_;
};

/// What the value of a cell with several weights is.
enum class HeatFold : std::uint8_t { kMean, kLargest, kSmallest };
/// Linear; logarithmic (where some values are not positive: symmetric about 0, linear below the
/// smallest magnitude); by rank, equal values sharing the mean of theirs.
enum class HeatScale : std::uint8_t { kLinear, kLog, kRank };

struct HeatValues {
  std::vector<double> values;  // by cell; NaN: none
  std::size_t known = 0;       // cells that have one
  std::vector<double> sorted;  // the finite ones, rising: empty when there are none
  double low() const { return sorted.front(); }
  double high() const { return sorted.back(); }
};
/// `value`: of an item, NaN for none. A cell's value is that of the items that have one.
HeatValues heat_values(const HeatMap& map, const std::function<double(std::uint32_t)>& value,
                       HeatFold fold);

/// Where each value stands, 0 … 1 (NaN where there is none; all equal: 0.5; infinities: the end).
std::vector<float> heat_levels(const HeatValues& values, HeatScale scale);
/// The value that stands at `level`; there must be one.
double heat_value_at(const HeatValues& values, HeatScale scale, double level);
/// 0 … kRampSteps − 1 of a level that is not NaN.
int heat_step(float level);

}  // namespace qi
