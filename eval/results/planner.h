// Plans a model of a given size: one configuration a weight, chosen among measured rows so that the
// sum of a cost is small. Lagrangian choice: one price of a byte for all weights, each taking the
// configuration of its lower convex hull that is cheapest at that price; what is left of the budget
// is then spent on what it still buys. Owns no rows. Refuses targets that name nothing and rows of
// which none can be used (kUsage). Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/results/result_row.h"

namespace qi {

/// One way to store one weight.
struct Choice {
  std::uint64_t bytes = 0;
  double cost = 0;  // finite
};

/// One of each weight's choices.
struct Choices {
  std::vector<std::size_t> picked;  // by weight, index into its choices
  std::uint64_t bytes = 0;
  double cost = 0;
  bool feasible = false;  // bytes ≤ budget; else each weight's smallest choice is picked
  /// No selection within the budget has a lower sum than this (weak duality). Where it is `cost`,
  /// the selection is the best there is.
  double bound = 0;
};

/// Chooses for any number of budgets; what does not depend on the budget is done once.
class Chooser {
 public:
  /// Weight w has choices [ends[w − 1], ends[w]), at least one. O(n log n) in all choices.
  Chooser(std::vector<Choice> choices, std::vector<std::size_t> ends);
  /// A few passes over all choices.
  Choices within(std::uint64_t budget) const;

  /// A step along a weight's lower convex hull.
  struct Step {
    double slope;  // cost that a byte takes away
    std::size_t weight;
    std::size_t choice;  // where it leads
  };

 private:
  std::span<const Choice> of(std::size_t weight) const {
    const std::size_t begin = weight == 0 ? 0 : ends_[weight - 1];
    return std::span(choices_).subspan(begin, ends_[weight] - begin);
  }
  void spend_rest(std::uint64_t budget, Choices& out) const;

  std::vector<Choice> choices_;
  std::vector<std::size_t> ends_, smallest_;  // by weight
  std::vector<Step> steps_;                   // of all hulls, the steepest first
};

/// What a plan keeps small, summed over the weights.
enum class PlanMeasure : std::uint8_t {
  kSquaredError,   // Σe² = mse × numbers
  kRelativeError,  // Σe² ÷ Σx² of each weight, every weight as important as the next
  kOutputError,    // of the layer's output, as measured with activations
  /// Nats a token that a configuration costs the whole model, each weight's part of it that of its
  /// squared error: for small errors a divergence grows with their squares, and they add up.
  kModelDamage,
};
inline constexpr std::size_t kPlanMeasures = 4;
/// "squared error".
std::string_view plan_measure_name(PlanMeasure measure);
struct PlanTarget {
  /// One of the two: bytes of the whole model, or bits per weight of the planned weights.
  std::optional<std::uint64_t> bytes;
  std::optional<double> bits_per_weight;
  std::uint64_t other_bytes = 0;  // of weights that are in no row: part of `bytes`
};
/// "4.5" or "4.5 b/w" are bits per weight; "4.2 GiB", "900MB", "123456 B" bytes. Throws kUsage.
PlanTarget parse_plan_target(std::string_view text);

struct Plan {
  std::vector<std::size_t> rows;  // indices into the rows given, weights as they first occur
  std::uint64_t weights = 0;      // numbers in them
  std::uint64_t bytes = 0;        // of the planned weights
  std::uint64_t budget = 0;       // for these
  std::uint64_t smallest = 0;     // the least they can take
  double cost = 0;
  double bound = 0;  // as Choices::bound
  bool feasible = false;
  std::size_t left_out = 0;  // weights of which no row has the measure
  double bits_per_weight() const {
    return weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  }
};
/// A row to plan with; equal numbers are equal weights and configurations.
struct PlanRow {
  const ResultRow* row = nullptr;
  std::uint32_t weight = 0;
  std::uint32_t config = 0;
  /// Of its configuration: nats a token of the model's damage for a squared error of 1.
  std::optional<double> damage_rate = {};
};
/// The cost of a row; nothing when it was not measured.
std::optional<double> plan_cost(const PlanRow& row, PlanMeasure measure);
/// Plans for any number of targets with the same rows.
class Planner {
 public:
  /// Rows of one model; `Plan::rows` are indices into them. Totals, failed rows and rows without
  /// the measure are passed over; of equal (weight, configuration) the newest run's counts. Throws
  /// kUsage when no row is left.
  Planner(std::span<const PlanRow> rows, PlanMeasure measure);
  /// Throws kUsage without a target.
  Plan plan(const PlanTarget& target) const;

 private:
  Plan known_;                       // what no target changes
  std::vector<std::size_t> rows_;    // behind the chooser's choices
  std::vector<std::size_t> firsts_;  // by weight: where its choices begin
  std::optional<Chooser> chooser_;
};

/// Fills in the damage rates: by configuration what it costs the model (ResultRow::damage of its
/// total; nothing: not known) over the squared error of all its rows here.
void set_damage_rates(std::span<PlanRow> rows, std::span<const std::optional<double>> damage);

/// "--tensor-type ^blk.0.attn_q.weight$=Q4_K", one line a weight: llama-quantize takes the name as
/// a regular expression, so whatever is no lower-case letter, digit, '_' or '-' becomes '.'.
/// Hugging Face names are turned into GGUF's.
struct TensorTypes {
  std::vector<std::string> lines;
  std::vector<std::string> left_out;  // raw names: no ggml type, or a stack of several types
};
/// `rows`: those of the plan, in its order.
TensorTypes tensor_type_lines(std::span<const ResultRow* const> rows);

}  // namespace qi
