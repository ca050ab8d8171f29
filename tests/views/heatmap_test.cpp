// The data of the heat map against plain loops.
#include "views/heatmap.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "views/canvas.h"
#include "views/weight_heat.h"

namespace qi {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinite = std::numeric_limits<double>::infinity();

std::vector<std::string> labels(const std::vector<HeatMap::Module>& modules) {
  std::vector<std::string> out;
  for (const HeatMap::Module& one : modules) out.push_back(one.label);
  return out;
}

WeightTable plain_table(Model model) {
  return WeightTable(std::make_shared<const Model>(std::move(model)));
}

HeatValues values_of(std::vector<double> values) {
  HeatValues out;
  out.values = std::move(values);
  for (const double value : out.values) {
    if (!std::isnan(value)) ++out.known;
    if (std::isfinite(value)) out.sorted.push_back(value);
  }
  std::sort(out.sorted.begin(), out.sorted.end());
  return out;
}

using Labels = std::vector<std::string>;

TEST(HeatMap, ModulesStandByRoleAndHaveTheShortestLabels) {
  const Model model = test::llama(3);
  const HeatMap map(model);
  EXPECT_EQ(labels(map.modules()),
            (Labels{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
                    "input_layernorm", "post_attention_layernorm"}));
  EXPECT_EQ(map.layers(), (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_EQ(labels(map.outside()), (Labels{"embed_tokens", "lm_head", "norm"}));
  EXPECT_EQ(map.cells(), 30U);
  EXPECT_FALSE(map.has_folds());
}

TEST(HeatMap, EveryWeightStandsInExactlyOneCellOfItsLayer) {
  for (const Model& model : {test::llama(7), test::mixture(2000)}) {
    const HeatMap map(model);
    std::set<std::uint32_t> seen;
    for (std::size_t module = 0; module < map.modules().size(); ++module) {
      for (std::size_t layer = 0; layer < map.layers().size(); ++layer) {
        const std::uint32_t cell = map.cell(module, layer);
        if (cell == HeatMap::kNoCell) continue;
        for (const std::uint32_t weight : map.weights(cell)) {
          EXPECT_TRUE(seen.insert(weight).second);
          EXPECT_EQ(model.weights[weight].layer, map.layers()[layer]);
          EXPECT_NE(model.weights[weight].name.find(map.modules()[module].label.substr(
                        map.modules()[module].label.rfind('.') + 1)),
                    std::string::npos);
        }
      }
    }
    for (std::size_t i = 0; i < map.outside().size(); ++i) {
      for (const std::uint32_t weight : map.weights(map.outside_cell(i))) {
        EXPECT_TRUE(seen.insert(weight).second);
        EXPECT_EQ(model.weights[weight].layer, -1);
      }
    }
    EXPECT_EQ(seen.size(), model.weights.size());
  }
}

TEST(HeatMap, ExpertsShareACellAndLabelsOfTheSameEndGrow) {
  Model model = test::empty_model("moe");
  for (int layer = 0; layer < 2; ++layer) {
    for (int expert = 0; expert < 4; ++expert) {
      test::add_weight(model,
                       fmt::format("model.layers.{}.mlp.experts.{}.up_proj.weight", layer, expert),
                       {8, 8}, Role::kUp, layer);
      model.weights.back().expert = expert;
    }
    test::add_weight(model, fmt::format("model.layers.{}.mlp.shared_expert.up_proj.weight", layer),
                     {8, 8}, Role::kUp, layer);
    test::add_weight(model, fmt::format("model.layers.{}.self_attn.q_proj.weight", layer), {8, 8},
                     Role::kQ, layer);
    test::add_weight(model, fmt::format("model.layers.{}.self_attn.q_proj.bias", layer), {8},
                     Role::kBias, layer);
  }
  // A layer whose number is that of an expert, and one that has a module of its own.
  test::add_weight(model, "model.layers.7.mlp.up_proj.weight", {8, 8}, Role::kUp, 7);
  const HeatMap map(model);
  EXPECT_EQ(labels(map.modules()),
            (Labels{"q_proj", "*.up_proj", "shared_expert.up_proj", "mlp.up_proj", "q_proj.bias"}));
  EXPECT_EQ(map.modules()[1].most, 4U);
  EXPECT_TRUE(map.has_folds());
  EXPECT_EQ(map.weights(map.cell(1, 1)).size(), 4U);
  EXPECT_EQ(map.cell(0, 2), HeatMap::kNoCell);
  EXPECT_NE(map.cell(3, 2), HeatMap::kNoCell);
}

TEST(HeatMap, LayersOutOfOrderAndWithoutAnyWeightAreFine) {
  Model model = test::empty_model("odd");
  EXPECT_EQ(HeatMap(model).cells(), 0U);
  for (const int layer : {5, 1, 9, 1}) {
    test::add_weight(model, fmt::format("blk.{}.attn_q.weight", layer), {4, 4}, Role::kQ, layer);
  }
  const HeatMap map(model);
  EXPECT_EQ(map.layers(), (std::vector<std::int32_t>{1, 5, 9}));
  EXPECT_EQ(map.modules().size(), 1U);
  EXPECT_EQ(map.weights(map.cell(0, 0)).size(), 2U);  // the name that is there twice
  EXPECT_EQ(map.weights(map.cell(0, 1))[0], 0U);
}

TEST(HeatMap, ManyModulesInManyLayersCostNoMoreThanTheirWeights) {
  Model model = test::empty_model("diagonal");
  for (int i = 0; i < 3000; ++i) {
    test::add_weight(model, fmt::format("layers.{}.m{}.weight", i, i), {1}, Role::kOther, i);
  }
  const HeatMap map(model);
  EXPECT_EQ(map.cells(), 3000U);
  EXPECT_EQ(map.cell(3, 4), HeatMap::kNoCell);
  EXPECT_EQ(map.weights(map.cell(4, 4))[0], 4U);
}

TEST(HeatValues, AreThoseOfAPlainLoop) {
  WeightTable table = plain_table(test::mixture(1000));
  for (std::size_t i = 0; i < table.size(); i += 3) table.set_statistics(i, test::statistics(i));
  const HeatMap map(table.model());
  for (const HeatFold fold : {HeatFold::kMean, HeatFold::kLargest, HeatFold::kSmallest}) {
    for (const ColumnId column : heat_columns()) {
      const HeatValues values = heat_values(
          map,
          [&](std::uint32_t i) { return sort_value(column, table.weight(i), table.statistics(i)); },
          fold);
      ASSERT_EQ(values.values.size(), map.cells());
      std::size_t known = 0;
      for (std::uint32_t cell = 0; cell < map.cells(); ++cell) {
        std::vector<double> own;
        for (const std::uint32_t i : map.weights(cell)) {
          const double v = sort_value(column, table.weight(i), table.statistics(i));
          if (!std::isnan(v)) own.push_back(v);
        }
        if (own.empty()) {
          EXPECT_TRUE(std::isnan(values.values[cell]));
          continue;
        }
        ++known;
        double sum = 0;
        for (const double v : own) sum += v;
        const double wanted = fold == HeatFold::kLargest ? *std::max_element(own.begin(), own.end())
                              : fold == HeatFold::kSmallest
                                  ? *std::min_element(own.begin(), own.end())
                                  : sum / static_cast<double>(own.size());
        EXPECT_DOUBLE_EQ(values.values[cell], wanted);
      }
      EXPECT_EQ(values.known, known);
      EXPECT_TRUE(std::is_sorted(values.sorted.begin(), values.sorted.end()));
    }
  }
}

TEST(HeatValues, AColumnWithoutValuesHasNone) {
  const WeightTable table = plain_table(test::llama(2));
  const HeatValues values = heat_values(
      HeatMap(table.model()),
      [&](std::uint32_t i) {
        return sort_value(ColumnId::kExponent, table.weight(i), table.statistics(i));
      },
      HeatFold::kMean);
  EXPECT_EQ(values.known, 0U);
  EXPECT_TRUE(values.sorted.empty());
  for (const float level : heat_levels(values, HeatScale::kLog)) EXPECT_TRUE(std::isnan(level));
}

TEST(HeatLevels, LinearLogAndRank) {
  const HeatValues values = values_of({1, 100, kNan, 10, 1000, 10});
  const std::vector<float> linear = heat_levels(values, HeatScale::kLinear);
  EXPECT_FLOAT_EQ(linear[0], 0);
  EXPECT_FLOAT_EQ(linear[1], 99.0F / 999);
  EXPECT_TRUE(std::isnan(linear[2]));
  EXPECT_FLOAT_EQ(linear[4], 1);
  const std::vector<float> log = heat_levels(values, HeatScale::kLog);
  EXPECT_FLOAT_EQ(log[0], 0);
  EXPECT_FLOAT_EQ(log[3], 1.0F / 3);
  EXPECT_FLOAT_EQ(log[1], 2.0F / 3);
  EXPECT_FLOAT_EQ(log[4], 1);
  // 1, 10, 10, 100, 1000: the two tens share place 1.5 of 0 … 4.
  const std::vector<float> rank = heat_levels(values, HeatScale::kRank);
  EXPECT_FLOAT_EQ(rank[0], 0);
  EXPECT_FLOAT_EQ(rank[3], 1.5F / 4);
  EXPECT_FLOAT_EQ(rank[5], 1.5F / 4);
  EXPECT_FLOAT_EQ(rank[1], 3.0F / 4);
  EXPECT_FLOAT_EQ(rank[4], 1);
}

TEST(HeatLevels, LogTakesZeroAndNegativeValues) {
  const std::vector<float> levels = heat_levels(values_of({-100, -1, 0, 1, 100}), HeatScale::kLog);
  EXPECT_FLOAT_EQ(levels[0], 0);
  EXPECT_FLOAT_EQ(levels[2], 0.5);
  EXPECT_FLOAT_EQ(levels[4], 1);
  EXPECT_FLOAT_EQ(levels[1] + levels[3], 1);
  for (std::size_t i = 1; i < levels.size(); ++i) EXPECT_GT(levels[i], levels[i - 1]);
  const std::vector<float> with_zero = heat_levels(values_of({0, 0, 8}), HeatScale::kLog);
  EXPECT_FLOAT_EQ(with_zero[0], 0);
  EXPECT_FLOAT_EQ(with_zero[2], 1);
}

TEST(HeatLevels, EqualValuesStandInTheMiddleAndInfiniteOnesAtTheEnds) {
  for (const HeatScale scale : {HeatScale::kLinear, HeatScale::kLog, HeatScale::kRank}) {
    for (const double value : {0.0, 3.0, -3.0}) {
      for (const float level : heat_levels(values_of({value, value}), scale)) {
        EXPECT_FLOAT_EQ(level, 0.5);
      }
    }
    const std::vector<float> levels =
        heat_levels(values_of({kInfinite, 1, 2, -kInfinite, kNan}), scale);
    EXPECT_FLOAT_EQ(levels[0], 1);
    EXPECT_FLOAT_EQ(levels[1], 0);
    EXPECT_FLOAT_EQ(levels[2], 1);
    EXPECT_FLOAT_EQ(levels[3], 0);
    EXPECT_TRUE(std::isnan(levels[4]));
    const std::vector<float> alone = heat_levels(values_of({kInfinite, kNan}), scale);
    EXPECT_FLOAT_EQ(alone[0], 1);
  }
}

TEST(HeatLevels, TheWholeRangeOfDoublesIsFinite) {
  constexpr double kMost = std::numeric_limits<double>::max();
  constexpr double kLeast = std::numeric_limits<double>::denorm_min();
  for (const HeatScale scale : {HeatScale::kLinear, HeatScale::kLog, HeatScale::kRank}) {
    const std::vector<float> levels =
        heat_levels(values_of({-kMost, -kLeast, 0, kLeast, kMost}), scale);
    EXPECT_FLOAT_EQ(levels[0], 0);
    EXPECT_FLOAT_EQ(levels[2], 0.5);
    EXPECT_FLOAT_EQ(levels[4], 1);
    for (const float level : levels) {
      EXPECT_GE(heat_step(level), 0);
      EXPECT_LT(heat_step(level), kRampSteps);
    }
  }
}

TEST(HeatLevels, TheValueAtALevelIsTheInverse) {
  for (const std::vector<double>& list :
       {std::vector<double>{1, 3, 9, 200}, std::vector<double>{-5, 0, 0.25, 7}}) {
    const HeatValues values = values_of(list);
    for (const HeatScale scale : {HeatScale::kLinear, HeatScale::kLog, HeatScale::kRank}) {
      const std::vector<float> levels = heat_levels(values, scale);
      for (std::size_t i = 0; i < list.size(); ++i) {
        EXPECT_NEAR(heat_value_at(values, scale, levels[i]), list[i], 1e-4 * 200);
      }
    }
  }
}

}  // namespace
}  // namespace qi
