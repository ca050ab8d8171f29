#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/text/glob.h"
#include "tests/support/fake_model.h"
#include "views/name_search.h"
#include "views/name_tree.h"

namespace qi {
namespace {

const std::vector<std::string> kNames = {"model.embed_tokens.weight",
                                         "model.layers.0.self_attn.q_proj.weight",
                                         "model.layers.1.self_attn.q_proj.weight",
                                         "model.layers.10.mlp.Up_Proj.weight", "lm_head.weight"};

std::vector<std::size_t> found(NameSearch& search, std::string_view text) {
  search.search(text);
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < search.size(); ++i) {
    if (search.hit(i)) out.push_back(i);
  }
  EXPECT_EQ(out.size(), search.hits()) << text;
  return out;
}

using Hits = std::vector<std::size_t>;

TEST(NameSearch, WordsStarsAndExclusions) {
  NameSearch search(kNames);
  EXPECT_EQ(found(search, ""), (Hits{0, 1, 2, 3, 4}));
  EXPECT_EQ(found(search, "q_proj"), (Hits{1, 2}));
  EXPECT_EQ(found(search, "layers 1"), (Hits{2, 3}));
  EXPECT_EQ(found(search, "layers !mlp"), (Hits{1, 2}));
  EXPECT_EQ(found(search, "layers.1*weight"), (Hits{2, 3}));
  EXPECT_EQ(found(search, "layers.?.self"), (Hits{1, 2}));
  EXPECT_EQ(found(search, "layers.[1-9]"), (Hits{2, 3}));
  EXPECT_EQ(found(search, "up_proj"), (Hits{3}));
  EXPECT_EQ(found(search, "Up_"), (Hits{3}));
  EXPECT_EQ(found(search, "UP_"), (Hits{}));
  EXPECT_EQ(found(search, "!"), (Hits{0, 1, 2, 3, 4}));
  EXPECT_EQ(found(search, "weight\nmodel"), (Hits{}));
  EXPECT_EQ(found(search, "nothing"), (Hits{}));
  EXPECT_EQ(found(search, "head"), (Hits{4}));
}

TEST(NameSearch, TypingLetterByLetterFindsWhatTheWholeTextFinds) {
  for (const std::string text : {"q_proj", "layers.1 !mlp", "1?.*.up", "!q", "[01].self", "a*b?c",
                                 "UP", "up !Up x", "*", "??"}) {
    NameSearch typed(kNames);
    for (std::size_t i = 1; i <= text.size(); ++i) {
      NameSearch fresh(kNames);
      EXPECT_EQ(found(typed, text.substr(0, i)), found(fresh, text.substr(0, i)))
          << text.substr(0, i);
    }
    for (std::size_t i = text.size(); i-- > 0;) {
      NameSearch fresh(kNames);
      EXPECT_EQ(found(typed, text.substr(0, i)), found(fresh, text.substr(0, i)));
    }
  }
}

TEST(NameSearch, AgreesWithGlobsOnRandomPatterns) {
  std::mt19937 random(7);
  const auto pick = [&](std::string_view letters) { return letters[random() % letters.size()]; };
  for (int round = 0; round < 3000; ++round) {
    std::string name, pattern;
    for (unsigned i = random() % 12; i > 0; --i) name += pick("ab.");
    for (unsigned i = 1 + random() % 6; i > 0; --i) pattern += pick("ab.*?");
    pattern += '*';
    EXPECT_EQ(NamePattern(pattern).matches(name), glob_match("*" + pattern + "*", name))
        << pattern << " in " << name;
  }
}

TEST(NameTree, FoldsLayersAndExperts) {
  const Model model = test::mixture(2000);
  const NameTree tree(model);
  EXPECT_EQ(tree.nodes()[0].weights, model.weights.size());
  std::vector<std::string> lines;
  for (const std::uint32_t line : tree.lines()) {
    const TreeNode& node = tree.nodes()[line];
    lines.push_back(node.label + (node.range_last.empty() ? "" : "-" + node.range_last));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"", "model.layers", "0", "mlp.experts",
                                             "self_attn.q_proj", "1-2"}));
  bool experts = false;
  for (const TreeNode& node : tree.nodes()) {
    experts = experts || (node.label == "0" && node.range_last == "255");
  }
  EXPECT_TRUE(experts);
}

TEST(NameTree, EveryWeightIsInTheNodesThatNameIt) {
  const Model model = test::llama(5);
  const NameTree tree(model);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < model.weights.size(); ++i) {
    EXPECT_TRUE(tree.contains(0, i));
    EXPECT_TRUE(tree.contains(tree.node_of(i), i));
    bytes += model.weights[i].size_bytes;
  }
  EXPECT_EQ(tree.nodes()[0].size_bytes, bytes);
  for (std::uint32_t n = 0; n < tree.nodes().size(); ++n) {
    std::uint32_t inside = 0;
    for (std::size_t i = 0; i < model.weights.size(); ++i) inside += tree.contains(n, i) ? 1 : 0;
    EXPECT_EQ(tree.nodes()[n].weights, inside);
  }
}

TEST(NameTree, OpeningAndFoldingKeepsLinesInOrder) {
  NameTree tree(test::llama(8));
  for (std::uint32_t n = 0; n < tree.nodes().size(); ++n) tree.set_open(n, true);
  EXPECT_EQ(tree.lines().size(), tree.nodes().size());
  tree.set_open(0, false);
  EXPECT_EQ(tree.lines().size(), 1U);
  const auto last = static_cast<std::uint32_t>(tree.nodes().size() - 1);
  EXPECT_EQ(tree.lines()[tree.reveal(last)], last);
}

TEST(NameTree, HostileNamesStayShallow) {
  Model model = test::empty_model("x");
  test::add_weight(model, std::string(10'000, '.'), {2, 2}, Role::kOther, -1);
  test::add_weight(model, "", {2, 2}, Role::kOther, -1);
  const NameTree tree(model);
  EXPECT_LT(tree.nodes().size(), 20U);
  EXPECT_EQ(tree.nodes()[0].weights, 2U);
}

}  // namespace
}  // namespace qi
