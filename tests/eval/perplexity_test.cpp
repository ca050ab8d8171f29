#include "eval/evaluation/perplexity.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

using test::class_of;
using Ids = std::vector<std::int32_t>;

Ids counted(std::size_t count) {
  Ids ids(count);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

PerplexityOptions options_of(Protocol protocol, std::uint64_t context, std::uint64_t stride = 0) {
  PerplexityOptions options;
  options.protocol = protocol;
  options.context = context;
  options.stride = stride;
  return options;
}

// Logits and expected perplexities of an independent implementation of both protocols.
TEST(Perplexity, BothProtocolsOverGivenLogits) {
  const std::string path = QI_TEST_DATA "/vectors/eval_ppl_00";
  auto tensors = test::read_vectors(path + ".safetensors");
  const auto logits = tensors["logits"].as<float>();
  const auto tokens = tensors["tokens"].as<std::int32_t>();
  const auto expected_nll = tensors["expected.nll"].as<double>();
  const auto expected = test::read_json(path + ".json")["expected"];
  const auto measured = [&](Protocol protocol) {
    const PerplexityPlan plan(tokens, options_of(protocol, 16), 0);
    NllSum sum;
    EXPECT_EQ(plan.windows(), 3);
    for (std::uint64_t w = 0; w < plan.windows(); ++w) {
      const TextWindow window = plan.window(w);
      std::vector<double> nll;
      for (std::size_t t = window.scored_from; t < 16; ++t) {
        const std::span row(logits.data() + (w * 16 + t - 1) * 40, 40);
        const ExpSum all = exp_sum(row);
        nll.push_back(all.max + std::log(all.sum) -
                      row[static_cast<std::size_t>(window.tokens[t])]);
        EXPECT_NEAR(nll.back(), expected_nll[w * 15 + t - 1], 1e-5);
      }
      sum.add(nll);
    }
    EXPECT_EQ(sum.count(), plan.scored());
    return sum;
  };
  const NllSum research = measured(Protocol::kHuggingFace);
  EXPECT_NEAR(research.perplexity() / expected["research_ppl"].get<double>(), 1, 1e-5);
  const NllSum llama = measured(Protocol::kLlamaCpp);
  EXPECT_EQ(llama.count(), expected["llamacpp_count"]);
  EXPECT_NEAR(llama.perplexity() / expected["llamacpp_ppl"].get<double>(), 1, 1e-5);
  EXPECT_NEAR(llama.standard_error() / expected["llamacpp_stderr"].get<double>(), 1, 1e-5);
}

TEST(Perplexity, WindowsSideBySideLeaveTheTailOut) {
  PerplexityOptions options = options_of(Protocol::kHuggingFace, 8);
  EXPECT_EQ(PerplexityPlan(counted(31), options, 0).windows(), 3);
  options.bos = 99;
  const PerplexityPlan plan(counted(31), options, 0);
  EXPECT_EQ(plan.windows(), 4);
  EXPECT_EQ(plan.scored(), 4 * 7);
  EXPECT_EQ(plan.window(0).tokens, (Ids{99, 0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(plan.window(3).tokens, (Ids{23, 24, 25, 26, 27, 28, 29, 30}));
  EXPECT_EQ(plan.window(3).scored_from, 1);
  options.limit = 2;
  EXPECT_EQ(PerplexityPlan(counted(31), options, 0).windows(), 2);
}

TEST(Perplexity, AStrideScoresEachTokenOnce) {
  for (const std::uint64_t stride : {1, 3, 5, 7, 8}) {
    const PerplexityPlan plan(counted(40), options_of(Protocol::kHuggingFace, 8, stride), 0);
    Ids scored;
    for (std::uint64_t w = 0; w < plan.windows(); ++w) {
      const TextWindow window = plan.window(w);
      scored.insert(scored.end(),
                    window.tokens.begin() + static_cast<std::ptrdiff_t>(window.scored_from),
                    window.tokens.end());
    }
    EXPECT_EQ(scored.size(), plan.scored());
    if (stride == 8) continue;  // the first token of a window that has nothing before it is not
    for (std::size_t i = 0; i < scored.size(); ++i) EXPECT_EQ(scored[i], i + 1) << stride;
  }
}

TEST(Perplexity, LlamaCppPutsBosFirstInEveryWindow) {
  PerplexityOptions options = options_of(Protocol::kLlamaCpp, 8);
  options.bos = 99;
  const PerplexityPlan plan(counted(23), options, 0);
  EXPECT_EQ(plan.windows(), 3);
  EXPECT_EQ(plan.window(1).tokens, (Ids{99, 8, 9, 10, 11, 12, 13, 14}));
  EXPECT_EQ(plan.window(1).scored_from, 5);
  EXPECT_EQ(plan.scored(), 9);
}

TEST(Perplexity, DefaultsAndRefusals) {
  const auto plan = [](std::size_t tokens, const PerplexityOptions& options, std::uint64_t most) {
    return PerplexityPlan(counted(tokens), options, most).options().context;
  };
  const PerplexityOptions hf = options_of(Protocol::kHuggingFace, 0);
  const PerplexityOptions llama = options_of(Protocol::kLlamaCpp, 0);
  EXPECT_EQ(plan(9000, hf, 0), 2048);
  EXPECT_EQ(plan(9000, hf, 300), 300);
  EXPECT_EQ(plan(9000, llama, 4096), 512);
  EXPECT_EQ(class_of([&] { plan(2047, hf, 0); }), "bad_value");
  EXPECT_EQ(class_of([&] { plan(1023, llama, 0); }), "bad_value");
  EXPECT_EQ(class_of([&] { plan(99, options_of(Protocol::kHuggingFace, 65), 64); }), "usage");
  EXPECT_EQ(class_of([&] { plan(99, options_of(Protocol::kHuggingFace, 8, 9), 64); }), "usage");
  EXPECT_EQ(class_of([&] { plan(99, options_of(Protocol::kLlamaCpp, 8, 4), 64); }), "usage");
  EXPECT_EQ(class_of([&] { plan(99, options_of(Protocol::kLlamaCpp, 3), 64); }), "usage");
  EXPECT_EQ(class_of([&] { plan(99, options_of(Protocol::kHuggingFace, 1), 64); }), "usage");
}

}  // namespace
}  // namespace qi
