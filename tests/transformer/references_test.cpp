// Models that others trained, held against numbers that others computed of them.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/transformer/transformer.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

using Ids = std::vector<std::int32_t>;

const std::string kModels = QI_TEST_DATA "/models/";

Model opened(const std::string& path) {
  return open_model(find_models(kModels + path).models.front());
}

/// NLL of every token of `ids` but the first.
std::vector<double> nll_of(const Model& model, const Ids& ids, KvType kv = KvType::kF32,
                           unsigned threads = 2) {
  const Transformer transformer(model, open_reader, {threads});
  KvCache cache(transformer.architecture(), ids.size(), kv, KvLayers::kCurrent);
  std::vector<float> states;
  EXPECT_TRUE(transformer.run(ids, cache, states));
  states.resize((ids.size() - 1) * transformer.architecture().hidden);
  std::vector<double> nll;
  EXPECT_TRUE(negative_log_likelihoods(transformer, states, std::span(ids).subspan(1), nll));
  return nll;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(a[i] - b[i]));
  }
  return largest;
}

double mean(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value;
  return sum / static_cast<double>(x.size());
}

struct Stories {
  Stories() {
    const auto reference = test::read_json(kModels + "stories260K/reference.json")["numpy_f64"];
    ids = reference["first_256_tokens"].get<Ids>();
    nll = reference["stories260K"]["chunk0_nll"].get<std::vector<double>>();
  }
  Ids ids;
  std::vector<double> nll;
};

TEST(References, StoriesInDoublePrecision) {
  const Stories stories;
  for (const char* path : {"stories260K", "stories260K/stories260K-F32.gguf",
                           "stories260K/quantized/pad192-F32.gguf"}) {
    const std::vector<double> nll = nll_of(opened(path), stories.ids);
    EXPECT_LT(largest_difference(nll, stories.nll), 1e-4) << path;
    EXPECT_NEAR(mean(nll), mean(stories.nll), 1e-5) << path;
  }
}

TEST(References, LogitsOfThreePrompts) {
  const Model model = opened("wap");
  const Transformer transformer(model, open_reader, {2});
  const auto reference = test::read_json(kModels + "wap/reference_logits.json");
  ASSERT_EQ(reference["prompts"].size(), 3);
  for (const auto& prompt : reference["prompts"]) {
    const Ids ids = prompt["ids_with_bos"].get<Ids>();
    const auto expected = prompt["logits_last_position"].get<std::vector<float>>();
    KvCache cache(transformer.architecture(), ids.size(), KvType::kF32, KvLayers::kAll);
    std::vector<float> states;
    // One token at a time: the cache must be as good as the window.
    for (const std::int32_t id : ids) ASSERT_TRUE(transformer.run({&id, 1}, cache, states));
    std::vector<float> logits(transformer.vocab());
    ASSERT_TRUE(transformer.logits(states, [&](const Transformer::LogitBlock& block) {
      std::copy_n(block.logits, block.count, logits.data() + block.first);
    }));
    ASSERT_EQ(logits.size(), expected.size());
    for (std::size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], expected[i], 2e-4) << i;
  }
}

TEST(References, SameNumbersForAnyThreads) {
  const Stories stories;
  const Model model = opened("stories260K/quantized/pad192-Q4_K_M.gguf");
  const std::vector<double> one = nll_of(model, stories.ids, KvType::kF32, 1);
  for (const unsigned threads : {2U, 5U}) {
    EXPECT_EQ(nll_of(model, stories.ids, KvType::kF32, threads), one) << threads;
  }
  EXPECT_LT(std::abs(mean(nll_of(model, stories.ids, KvType::kF16)) - mean(one)), 1e-3);
}

}  // namespace
}  // namespace qi
