#include "eval/results/planner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "engine/io/error.h"
#include "eval/results/model_damage.h"

namespace qi {
namespace {

// The lowest cost within the budget over every selection; infinite when there is none.
double best_of_all(const std::vector<std::vector<Choice>>& weights, std::uint64_t budget,
                   std::size_t at = 0) {
  if (at == weights.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (const Choice& choice : weights[at]) {
    if (choice.bytes > budget) continue;
    best = std::min(best, choice.cost + best_of_all(weights, budget - choice.bytes, at + 1));
  }
  return best;
}

std::vector<std::vector<Choice>> random_weights(std::mt19937& random) {
  std::vector<std::vector<Choice>> out(1 + random() % 5);
  for (auto& choices : out) {
    choices.resize(1 + random() % 5);
    for (Choice& choice : choices) {
      choice.bytes = 1 + random() % 30;
      choice.cost = static_cast<double>(random() % 1000) / 8;  // sums are exact
    }
  }
  return out;
}

Choices choose_within(const std::vector<std::vector<Choice>>& weights, std::uint64_t budget) {
  std::vector<Choice> choices;
  std::vector<std::size_t> ends;
  for (const std::vector<Choice>& weight : weights) {
    choices.insert(choices.end(), weight.begin(), weight.end());
    ends.push_back(choices.size());
  }
  return Chooser(std::move(choices), std::move(ends)).within(budget);
}

TEST(Planner, WithinTheBudgetAndNotBelowTheBound) {
  std::mt19937 random(1);
  int optimal = 0, planned = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto weights = random_weights(random);
    const std::uint64_t budget = random() % 150;
    const Choices found = choose_within(weights, budget);
    const double best = best_of_all(weights, budget);
    ASSERT_EQ(found.picked.size(), weights.size());
    EXPECT_EQ(found.feasible, best < std::numeric_limits<double>::infinity());
    if (!found.feasible) continue;
    EXPECT_LE(found.bytes, budget);
    EXPECT_GE(found.cost, best);
    EXPECT_LE(found.bound, best + 1e-9);
    ++planned;
    optimal += found.cost == best ? 1 : 0;
  }
  EXPECT_GT(planned, 1000);
  EXPECT_GT(optimal, planned * 9 / 10);
}

// Where the budget is what a price buys exactly, the selection is the best there is.
TEST(Planner, OptimalOnTheHull) {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    const auto weights = random_weights(random);
    for (const double price : {0.0, 0.5, 1.0, 2.0, 7.3}) {
      std::uint64_t budget = 0;
      double cost = 0;
      for (const auto& choices : weights) {
        const Choice& best = *std::min_element(
            choices.begin(), choices.end(), [&](const Choice& a, const Choice& b) {
              const double at_a = a.cost + price * static_cast<double>(a.bytes);
              const double at_b = b.cost + price * static_cast<double>(b.bytes);
              return at_a != at_b ? at_a < at_b : a.bytes < b.bytes;
            });
        budget += best.bytes;
        cost += best.cost;
      }
      const Choices found = choose_within(weights, budget);
      EXPECT_TRUE(found.feasible);
      EXPECT_EQ(found.cost, cost);
      EXPECT_EQ(found.cost, best_of_all(weights, budget));
    }
  }
}

TEST(Planner, BiggerBudgetIsNeverWorseOnTheHull) {
  std::mt19937 random(3);
  const auto weights = random_weights(random);
  double before = std::numeric_limits<double>::infinity();
  for (std::uint64_t budget = 0; budget < 160; ++budget) {
    const Choices found = choose_within(weights, budget);
    if (!found.feasible) continue;
    EXPECT_LE(found.bound, before);
    before = found.bound;
  }
}

TEST(Planner, TooSmallABudgetGivesTheSmallest) {
  const std::vector<std::vector<Choice>> weights = {{{10, 1}, {4, 9}}, {{7, 2}, {3, 5}}};
  const Choices found = choose_within(weights, 6);
  EXPECT_FALSE(found.feasible);
  EXPECT_EQ(found.bytes, 7u);
  EXPECT_EQ(found.cost, 14);
}

ResultRow row_of(std::string tensor, std::string type, std::uint64_t bytes, double mse) {
  ResultRow row;
  row.model = "m";
  row.file = "m.gguf";
  row.tensor = std::move(tensor);
  row.config.family = "ggml";
  row.config.params.set("type", type);
  row.weights = 1000;
  row.bytes_out = bytes;
  row.mse = mse;
  return row;
}

Plan make_plan(const std::vector<ResultRow>& rows, const PlanTarget& target,
               PlanMeasure measure = PlanMeasure::kSquaredError) {
  std::map<std::string, std::uint32_t> weights;
  std::map<MethodConfig, std::uint32_t> configs;
  std::vector<PlanRow> numbered;
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ResultRow& row = rows[i];
    if (row.is_total()) continue;
    indices.push_back(i);
    const auto weight = static_cast<std::uint32_t>(weights.size());
    const auto config = static_cast<std::uint32_t>(configs.size());
    numbered.push_back({&row, weights.try_emplace(row.tensor, weight).first->second,
                        configs.try_emplace(row.config, config).first->second});
  }
  Plan plan = Planner(numbered, measure).plan(target);
  for (std::size_t& row : plan.rows) row = indices[row];
  return plan;
}

TEST(Planner, OneRowAWeight) {
  std::vector<ResultRow> rows = {
      row_of("blk.0.attn_q.weight", "Q4_K", 562, 0.4),
      row_of("blk.0.attn_q.weight", "Q8_0", 1062, 0.01),
      row_of("blk.1.attn_q.weight", "Q4_K", 562, 0.2),
      row_of("blk.1.attn_q.weight", "Q8_0", 1062, 0.01),
      row_of("*", "Q8_0", 2124, 0.01),
      row_of("broken", "Q8_0", 5, 0),
  };
  rows[5].ok = false;
  PlanTarget target;
  target.bits_per_weight = 6.6;
  const Plan plan = make_plan(rows, target);
  EXPECT_EQ(plan.rows, (std::vector<std::size_t>{1, 2}));  // the first one gains more
  EXPECT_TRUE(plan.feasible);
  EXPECT_EQ(plan.weights, 2000u);
  EXPECT_EQ(plan.bytes, 1624u);
  EXPECT_EQ(plan.smallest, 1124u);
  EXPECT_EQ(plan.left_out, 1u);
  EXPECT_DOUBLE_EQ(plan.cost, 210);
  EXPECT_DOUBLE_EQ(plan.bits_per_weight(), 6.496);

  target = {};
  target.bytes = 1700;
  target.other_bytes = 100;  // 1600 are left: less than the plan above
  EXPECT_EQ(make_plan(rows, target).rows, (std::vector<std::size_t>{0, 2}));
  target.bytes = 50;
  EXPECT_FALSE(make_plan(rows, target).feasible);

  // Another run's newer row of the same configuration stands for the older one.
  rows.push_back(row_of("blk.1.attn_q.weight", "Q8_0", 1062, 0.0));
  rows.back().run = 9;
  target.bytes = 5000;
  EXPECT_EQ(make_plan(rows, target).rows, (std::vector<std::size_t>{1, 6}));
}

TEST(Planner, NothingToPlanWith) {
  const std::vector<ResultRow> rows = {row_of("*", "Q8_0", 5, 0.1)};
  PlanTarget target;
  target.bytes = 5;
  EXPECT_THROW(make_plan(rows, target), Error);
  EXPECT_THROW(make_plan({row_of("a", "Q8_0", 5, 0.1)}, target, PlanMeasure::kOutputError), Error);
  EXPECT_THROW(make_plan({row_of("a", "Q8_0", 5, 0.1)}, PlanTarget{}), Error);
}

// The damage of a configuration is shared out among its weights by their squared errors.
TEST(Planner, MeasuredDamage) {
  const std::vector<ResultRow> rows = {row_of("a", "Q4_K", 500, 0.3), row_of("b", "Q4_K", 500, 0.1),
                                       row_of("a", "Q8_0", 1000, 0.01),
                                       row_of("b", "Q8_0", 1000, 0.01)};
  std::vector<PlanRow> numbered = {
      {&rows[0], 0, 0}, {&rows[1], 1, 0}, {&rows[2], 0, 1}, {&rows[3], 1, 1}};
  const std::vector<std::optional<double>> damage = {0.08, -0.001};
  set_damage_rates(numbered, damage);
  const auto cost = [&](std::size_t row) {
    return *plan_cost(numbered[row], PlanMeasure::kModelDamage);
  };
  EXPECT_NEAR(cost(0), 0.06, 1e-12);
  EXPECT_NEAR(cost(1), 0.02, 1e-12);
  EXPECT_EQ(cost(2), 0);  // less than nothing is chance
  PlanTarget target;
  target.bytes = 1500;
  const Plan plan = Planner(numbered, PlanMeasure::kModelDamage).plan(target);
  EXPECT_EQ(plan.rows, (std::vector<std::size_t>{2, 1}));
  EXPECT_NEAR(plan.cost, 0.02, 1e-12);
  // What was not evaluated is not planned with.
  set_damage_rates(numbered, std::vector<std::optional<double>>{std::nullopt, 0.002});
  EXPECT_FALSE(plan_cost(numbered[0], PlanMeasure::kModelDamage));
  EXPECT_THROW(Planner(std::span(numbered).first(2), PlanMeasure::kModelDamage), Error);
}

EvalRow eval_row(std::string family, std::string config, std::string kind, double value,
                 std::string text) {
  EvalRow row;
  row.model = "m";
  row.family = std::move(family);
  row.config = std::move(config);
  row.kind = std::move(kind);
  row.dataset = "t.txt";
  row.params.set("text", text);
  row.measured.value = value;
  return row;
}

TEST(JoinEvaluations, PutsTogetherWhatWasMeasuredAlike) {
  std::vector<ResultRow> rows = {row_of("*", "Q4_K", 500, 0.3), row_of("*", "Q8_0", 900, 0.1),
                                 row_of("a", "Q4_K", 500, 0.3), row_of("*", "Q4_K", 500, 0.3)};
  rows[3].model = "other";
  const std::vector<EvalRow> evaluations = {eval_row("", "", "ppl", 10, "x"),
                                            eval_row("ggml", "type=Q4_K", "ppl", 99, "old"),
                                            eval_row("ggml", "type=Q8_0", "ppl", 10.1, "x"),
                                            eval_row("ggml", "type=Q8_0", "ppl", 10.2, "x"),
                                            eval_row("ggml", "type=Q8_0", "kld", 0.01, "x")};
  join_evaluations(rows, evaluations);
  EXPECT_FALSE(rows[0].perplexity);  // of another text
  EXPECT_EQ(rows[1].perplexity, 10.2);
  EXPECT_EQ(rows[1].divergence, 0.01);
  EXPECT_EQ(rows[1].damage, 0.01);
  EXPECT_FALSE(rows[2].perplexity || rows[3].perplexity);
  join_evaluations(rows, std::span(evaluations).first(4));
  EXPECT_NEAR(*rows[1].damage, std::log(1.02), 1e-12);
}

TEST(Planner, Targets) {
  EXPECT_EQ(parse_plan_target("4.5").bits_per_weight, 4.5);
  EXPECT_EQ(parse_plan_target(" 4.5 b/w ").bits_per_weight, 4.5);
  EXPECT_EQ(parse_plan_target("4.5 GiB").bytes, 4831838208u);
  EXPECT_EQ(parse_plan_target("900MB").bytes, 900000000u);
  EXPECT_EQ(parse_plan_target("12 B").bytes, 12u);
  for (const char* bad : {"", "x", "-4", "0", "4 bits", "nan", "inf", "1e300 GiB", "4..5", "GiB"}) {
    EXPECT_THROW(parse_plan_target(bad), Error) << bad;
  }
}

TEST(Planner, LinesOfLlamaQuantize) {
  std::vector<ResultRow> rows = {
      row_of("model.layers.3.self_attn.q_proj.weight", "Q4_K", 1, 1),
      row_of("output.weight", "Q6_K", 1, 1),
      row_of("odd (name);\n$", "Q8_0", 1, 1),
      row_of("model.layers.3.mlp.experts.0.up_proj.weight", "Q4_K", 1, 1),
      row_of("model.layers.3.mlp.experts.1.up_proj.weight", "Q5_K", 1, 1),
      row_of("model.layers.4.mlp.experts.0.up_proj.weight", "Q4_K", 1, 1),
      row_of("model.layers.4.mlp.experts.1.up_proj.weight", "Q4_K", 1, 1),
      row_of("blk.9.ffn_up.weight", "Q4_K", 1, 1),
  };
  rows.back().config.family = "rtn";
  std::vector<const ResultRow*> planned;
  for (const ResultRow& row : rows) planned.push_back(&row);
  const TensorTypes types = tensor_type_lines(planned);
  EXPECT_EQ(types.lines, (std::vector<std::string>{
                             "--tensor-type ^blk.3.attn_q.weight$=Q4_K",
                             "--tensor-type ^output.weight$=Q6_K",
                             "--tensor-type ^odd..name....$=Q8_0",
                             "--tensor-type ^blk.4.ffn_up_exps.weight$=Q4_K",
                         }));
  EXPECT_EQ(types.left_out.size(), 3u);
}

}  // namespace
}  // namespace qi
