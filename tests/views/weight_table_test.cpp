#include "views/weight_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "views/tree_table.h"

namespace qi {
namespace {

// Few distinct values in each column, some missing: ties decide.
Model mixed_model(std::mt19937& random) {
  Model model = test::empty_model("mixed");
  for (int i = 0; i < 300; ++i) {
    const auto rows = std::uint64_t{16} << (random() % 3);
    const DType type = random() % 3 == 0 ? DType::kF32 : DType::kBF16;
    test::add_weight(model,
                     fmt::format("model.layers.{}.{}.{}.weight", random() % 20,
                                 random() % 2 == 0 ? "mlp" : "self_attn", i),
                     {rows, 16}, static_cast<Role>(random() % 5),
                     static_cast<int>(random() % 4) - 1, type);
  }
  return model;
}

struct Mixed {
  std::mt19937 random;
  WeightTable table;
  explicit Mixed(unsigned seed)
      : random(seed), table(std::make_shared<const Model>(mixed_model(random))) {
    for (std::size_t i = 0; i < table.size(); ++i) {
      if (random() % 3 != 0) table.set_statistics(i, test::statistics(random() % 6));
    }
    table.settle();
  }
};

Totals plain_sum(const WeightTable& table, const std::vector<std::uint32_t>& weights) {
  Totals out;
  for (const std::uint32_t i : weights) {
    const Weight& weight = table.weight(i);
    ++out.weights;
    out.params += weight.params;
    out.size_bytes += weight.size_bytes;
    const Statistics* statistics = table.statistics(i);
    if (statistics == nullptr) continue;
    ++out.analysed;
    out.analysed_bytes += weight.size_bytes;
    out.coded_bits += static_cast<std::uint64_t>(
        std::llround(planes_bits(weight, *statistics) * static_cast<double>(weight.params)));
  }
  return out;
}

TEST(WeightTable, SortsByUpToThreeKeysAsAStableSortDoes) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    Mixed mixed(seed);
    WeightTable& table = mixed.table;
    std::vector<SortKey> keys;
    for (std::size_t k = 0; k < 1 + mixed.random() % 4; ++k) {
      keys.push_back({columns()[mixed.random() % columns().size()].id, mixed.random() % 2 == 0});
    }
    std::vector<std::uint32_t> plain(table.size());
    std::iota(plain.begin(), plain.end(), 0U);
    table.set_sort(keys);
    ASSERT_LE(table.sort().size(), kMaxSortKeys);
    for (std::size_t k = table.sort().size(); k-- > 0;) {
      const SortKey key = table.sort()[k];
      // A text sorts by the word that its cells show.
      std::map<std::string, double> places;
      const auto text = [&](std::uint32_t i) {
        return cell_text(key.column, table.model(), table.weight(i), nullptr, {});
      };
      const bool word = key.column == ColumnId::kScheme || key.column == ColumnId::kType;
      if (word) {
        for (const std::uint32_t i : plain) places[text(i)] = 0;
        double place = 0;
        for (auto& [name, at] : places) at = place++;
      }
      const auto value = [&](std::uint32_t i) -> double {
        if (key.column == ColumnId::kName) return i;
        if (key.column == ColumnId::kFile) return 0;
        if (key.column == ColumnId::kOffset) {
          return static_cast<double>(table.model().tensor(table.weight(i).parts[0]).offset);
        }
        return word ? places[text(i)]
                    : sort_value(key.column, table.weight(i), table.statistics(i));
      };
      std::stable_sort(plain.begin(), plain.end(), [&](std::uint32_t a, std::uint32_t b) {
        const double x = value(a), y = value(b);
        if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
        return key.descending ? x > y : x < y;
      });
    }
    EXPECT_EQ(table.rows(), plain) << seed;
  }
}

TEST(WeightTable, KeysThatCanDecideNothingAreDropped) {
  Mixed mixed(1);
  WeightTable& table = mixed.table;
  const SortKey name{ColumnId::kName, false}, back{ColumnId::kName, true};
  const SortKey size{ColumnId::kSize, true}, role{ColumnId::kRole, false};
  table.set_sort({size, {ColumnId::kSize, false}, name});
  EXPECT_EQ(table.sort(), (std::vector<SortKey>{size}));
  table.set_sort({size, back, role});
  EXPECT_EQ(table.sort(), (std::vector<SortKey>{size, back}));
  table.set_sort({size, role, {ColumnId::kStd, true}, {ColumnId::kZstd, true}});
  EXPECT_EQ(table.sort().size(), 3U);
  table.set_sort(std::vector<SortKey>());
  EXPECT_EQ(table.sort(), (std::vector<SortKey>{name}));
}

TEST(WeightTable, TotalsAreThoseOfThePlainSumsAfterAnything) {
  Mixed mixed(7);
  WeightTable& table = mixed.table;
  std::mt19937& random = mixed.random;
  const std::vector<std::string> filters = {"", "mlp", "self !1", "layers.1?", "nothing", "*.2*"};
  for (int round = 0; round < 400; ++round) {
    const std::size_t i = random() % table.size();
    switch (random() % 6) {
      case 0:
        table.set_filter(filters[random() % filters.size()]);
        break;
      case 1:
        table.set_scope(static_cast<std::uint32_t>(random() % table.tree().nodes().size()));
        break;
      case 2:
        table.set_statistics(i, test::statistics(random() % 9));  // for the first time or again
        break;
      case 3:
        table.set_sort(columns()[random() % columns().size()].id, random() % 2 == 0);
        break;
      case 4:
        table.settle();
        break;
      default:
        table.set_marked(i, random() % 3 != 0);
        break;
    }
    std::vector<std::uint32_t> marked, all(table.size());
    std::iota(all.begin(), all.end(), 0U);
    for (const std::uint32_t w : all) {
      if (table.is_marked(w)) marked.push_back(w);
    }
    ASSERT_EQ(table.shown(), plain_sum(table, table.rows())) << round;
    ASSERT_EQ(table.marked(), plain_sum(table, marked)) << round;
    ASSERT_EQ(table.all(), plain_sum(table, all)) << round;
  }
}

TEST(WeightTable, AModuleComesToWhatAPlainLoopOverItFinds) {
  Mixed mixed(3);
  WeightTable& table = mixed.table;
  for (const SortKey key : {SortKey{ColumnId::kName, false}, SortKey{ColumnId::kResidual, true},
                            SortKey{ColumnId::kPlanes, false}, SortKey{ColumnId::kSize, true},
                            SortKey{ColumnId::kBar, true}, SortKey{ColumnId::kScheme, false}}) {
    table.set_sort({key});
    for (std::size_t i = 0; i < 40; ++i) {
      table.set_statistics(mixed.random() % table.size(), test::statistics(mixed.random() % 50));
    }
    table.settle();
    EXPECT_FALSE(table.unsettled());
    for (std::uint32_t node = 0; node < table.tree().nodes().size(); ++node) {
      std::vector<std::uint32_t> inside;
      double bits = 0, params = 0;
      std::optional<std::uint32_t> worst;
      double extreme = 0;
      for (std::uint32_t i = 0; i < table.size(); ++i) {
        if (!table.tree().contains(node, i)) continue;
        inside.push_back(i);
        const Statistics* statistics = table.statistics(i);
        if (statistics != nullptr) {
          bits += *statistics->h_exponent * static_cast<double>(table.weight(i).params);
          params += static_cast<double>(table.weight(i).params);
        }
        const double value = sort_value(table.worst_column(), table.weight(i), statistics);
        if (std::isnan(value)) continue;
        if (worst && (table.worst_is_largest() ? value <= extreme : value >= extreme)) continue;
        worst = i;
        extreme = value;
      }
      ASSERT_EQ(table.sums(node).totals, plain_sum(table, inside)) << node;
      ASSERT_EQ(table.sums(node).mean_exponent().has_value(), params > 0);
      if (params > 0) {
        ASSERT_NEAR(*table.sums(node).mean_exponent(), bits / params, 1e-9);
      }
      ASSERT_EQ(table.worst(node), worst) << node;
    }
  }
}

TEST(WeightTable, WhatIsWorstFollowsTheOrder) {
  Mixed mixed(2);
  WeightTable& table = mixed.table;
  EXPECT_TRUE(table.worst_is_largest());
  table.set_sort(ColumnId::kStd, false);
  EXPECT_EQ(table.worst_column(), ColumnId::kStd);
  EXPECT_FALSE(table.worst_is_largest());
  EXPECT_EQ(tree_title(TreeColumn::kWorst, table, {}), "min std");
  EXPECT_EQ(table.worst(0), table.rows().front());
  table.set_sort(ColumnId::kBar, true);
  EXPECT_EQ(table.worst_column(), ColumnId::kBitsPerWeight);
  EXPECT_EQ(table.worst(0), table.rows().front());
}

TEST(SharedBytes, GoesRoundTheNamesOfTheSameBytes) {
  Model model = test::llama(2);
  const auto share = [&](std::size_t to, std::size_t from) {
    Tensor& tensor = model.tensors[model.weights[to].parts[0].tensor];
    const Tensor& other = model.tensors[model.weights[from].parts[0].tensor];
    tensor.offset = other.offset;
    tensor.size_bytes = other.size_bytes;
  };
  share(1, 0);
  share(9, 4);
  share(12, 4);
  const SharedBytes shared(model);
  EXPECT_EQ(shared.size(), 5U);
  EXPECT_EQ(shared.next(0), 1U);
  EXPECT_EQ(shared.next(1), 0U);
  EXPECT_EQ(shared.next(4), 9U);
  EXPECT_EQ(shared.next(9), 12U);
  EXPECT_EQ(shared.next(12), 4U);
  EXPECT_FALSE(shared.next(5));
  EXPECT_EQ(shared.tied_head(), "");
  // The same range of another file is something else; so is a part of the range.
  model.tensors[model.weights[1].parts[0].tensor].file = 1;
  model.tensors[model.weights[9].parts[0].tensor].size_bytes -= 2;
  EXPECT_FALSE(SharedBytes(model).next(0));
  EXPECT_EQ(SharedBytes(model).next(4), 12U);
}

TEST(SharedBytes, SaysWhenTheHeadIsTheEmbeddingByRule) {
  Model model = test::llama(1);
  model.weights.erase(model.weights.begin());  // lm_head
  EXPECT_EQ(SharedBytes(model).tied_head(), "");
  const auto with = [&](nlohmann::json config) {
    model.config = std::make_shared<const nlohmann::json>(std::move(config));
    return SharedBytes(model).tied_head();
  };
  EXPECT_NE(with({{"tie_word_embeddings", true}}).find("model.embed_tokens.weight"),
            std::string::npos);
  EXPECT_NE(with({{"text_config", {{"tie_word_embeddings", true}}}}), "");
  EXPECT_EQ(with({{"tie_word_embeddings", false}}), "");
  EXPECT_EQ(with({{"tie_word_embeddings", "yes"}}), "");
  EXPECT_EQ(with(nlohmann::json::array({1})), "");
  EXPECT_EQ(with({{"text_config", 3}}), "");
  model.container = Container::kGguf;
  EXPECT_NE(with(nlohmann::json::object()).find("output.weight"), std::string::npos);
  model.kind = ModelKind::kAdapter;
  EXPECT_EQ(with(nlohmann::json::object()), "");
  EXPECT_EQ(SharedBytes(test::empty_model("none")).size(), 0U);
}

}  // namespace
}  // namespace qi
