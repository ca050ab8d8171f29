// The Planner screen: a target is typed, a configuration for each weight is shown, chosen so that
// the sum of an error is small. Plans with the rows it is given; reads no file. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/results/planner.h"
#include "views/name_fit.h"
#include "views/result_source.h"
#include "views/table_screen.h"
#include "views/text_field.h"

namespace qi {

class PlannerScreen final : public TableScreen {
 public:
  /// `other_bytes`: of the model's weights that are in none of the rows; nothing: not known, a
  /// target in bytes is one for the planned weights then.
  PlannerScreen(std::shared_ptr<const ResultSet> set, ResultPart part,
                std::optional<std::uint64_t> other_bytes);

  std::string why_not(Command command) const override;
  TextTable table_shown() const override;
  const std::optional<Plan>& plan() const { return plan_; }
  /// What llama-quantize takes, a line each; empty without a plan of ggml types.
  TensorTypes tensor_types() const;
  /// As if typed.
  void set_target(std::string text);

 private:
  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Context place() const override { return typing_ ? kInField : kInPlanner; }
  std::size_t row_count() const override { return plan_ ? plan_->rows.size() : 0; }
  TableCell cell(std::size_t line, std::size_t column) const override;
  std::string filter_text(std::size_t line) const override;
  NameSearch* search_index() override;
  double sort_key(std::size_t line, std::size_t column) const override;
  std::string facts() const override;
  std::string when_empty() const override;
  std::string detail(std::size_t line) const override;
  bool enters_itself() const override { return true; }
  Request run_own(Command command) override;
  Request typed_own(const Key& key, Command command) override;

  std::size_t index(std::size_t line) const { return indices_[plan_->rows[line]]; }
  const ResultRow& row(std::size_t line) const { return set_->row(index(line)); }
  double share(std::size_t line) const;
  void make();

  std::string model_;  // printable
  std::shared_ptr<const ResultSet> set_;
  std::vector<std::size_t> indices_;                            // of the set: to plan with
  std::vector<PlanRow> rows_;                                   // the same
  std::array<std::optional<Planner>, kPlanMeasures> planners_;  // made when first asked for
  std::optional<std::uint64_t> other_bytes_;
  TextField field_;
  bool typing_ = true;
  PlanMeasure measure_ = PlanMeasure::kSquaredError;
  std::optional<Plan> plan_;
  std::string problem_;                // printable: why there is no plan
  std::unique_ptr<NameSearch> index_;  // of the plan's lines; made when somebody types a filter
  NameFit names_;
  int name_level_ = 0;
};

}  // namespace qi
