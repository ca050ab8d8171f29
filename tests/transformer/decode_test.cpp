// Tokens run one by one, or several sequences at once, from weights as they are stored: the numbers
// must be those of a whole window. And the threads that do it.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/transformer/transformer.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

using Tokens = std::vector<std::int32_t>;

const std::string kModelFolder = QI_TEST_DATA "/models/";

Model opened_model(const std::string& path) {
  return open_model(find_models(kModelFolder + path).models.front());
}

Tokens some_tokens(std::size_t count) {
  const auto reference = test::read_json(kModelFolder + "stories260K/reference.json");
  Tokens ids = reference["numpy_f64"]["first_256_tokens"].get<Tokens>();
  ids.resize(count);
  return ids;
}

std::vector<float> logits_of_all(const Transformer& transformer, std::span<const float> states) {
  const std::size_t count = states.size() / transformer.architecture().hidden;
  std::vector<float> out(count * transformer.vocab());
  EXPECT_TRUE(transformer.logits(states, [&](const Transformer::LogitBlock& block) {
    for (std::size_t i = 0; i < count; ++i) {
      std::copy_n(block.logits + i * block.count, block.count,
                  out.data() + i * transformer.vocab() + block.first);
    }
  }));
  return out;
}

std::vector<float> logits_of_window(const Transformer& transformer, const Tokens& ids) {
  KvCache cache(transformer.architecture(), ids.size(), KvType::kF32, KvLayers::kCurrent);
  std::vector<float> states;
  EXPECT_TRUE(transformer.run(ids, cache, states));
  return logits_of_all(transformer, states);
}

std::vector<float> logits_one_by_one(const Transformer& transformer, const Tokens& ids) {
  KvCache cache(transformer.architecture(), ids.size(), KvType::kF32, KvLayers::kAll);
  std::vector<float> out, states;
  for (const std::int32_t id : ids) {
    EXPECT_TRUE(transformer.run({&id, 1}, cache, states));
    const std::vector<float> logits = logits_of_all(transformer, states);
    out.insert(out.end(), logits.begin(), logits.end());
  }
  return out;
}

double largest_gap(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

double mean_gap(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(static_cast<double>(a[i] - b[i]));
  return sum / static_cast<double>(a.size());
}

double mean_nll(const Transformer& transformer, const Tokens& ids) {
  KvCache cache(transformer.architecture(), ids.size(), KvType::kF32, KvLayers::kCurrent);
  std::vector<float> states;
  std::vector<double> nll;
  EXPECT_TRUE(transformer.run(ids, cache, states));
  states.resize((ids.size() - 1) * transformer.architecture().hidden);
  EXPECT_TRUE(negative_log_likelihoods(transformer, states, std::span(ids).subspan(1), nll));
  return std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
}

// Types with products of their own, F32 and BF16, LLM.int8(), and one without.
const std::vector<std::string> kStoredModels = {"stories260K",
                                                "stories260K/stories260K-F16.gguf",
                                                "stories260K/quantized/pad192-Q8_0.gguf",
                                                "stories260K/quantized/pad192-Q4_0.gguf",
                                                "stories260K/quantized/pad192-Q4_K_M.gguf",
                                                "stories260K/quantized/pad192-Q5_1.gguf",
                                                "stories260K/quantized/pad192-IQ4_NL.gguf",
                                                "wap",
                                                "wap/wap-int8"};

TEST(Decode, EqualsTheWindow) {
  const Tokens ids = some_tokens(40);
  for (const std::string& path : kStoredModels) {
    SCOPED_TRACE(path);
    const Model model = opened_model(path);
    const Transformer transformer(model, open_reader, {2});
    EXPECT_LT(largest_gap(logits_one_by_one(transformer, ids), logits_of_window(transformer, ids)),
              2e-4);
  }
}

TEST(Decode, In8BitsEqualsTheWindowAndIsNearFloats) {
  const Tokens ids = some_tokens(40);
  for (const std::string& path : kStoredModels) {
    SCOPED_TRACE(path);
    const Model model = opened_model(path);
    const Transformer floats(model, open_reader, {2});
    const Transformer transformer(model, open_reader, {2}, Activations::kQ8);
    const std::vector<float> window = logits_of_window(transformer, ids);
    // A number on the edge between two codes falls to the other side now and then, and others
    // behind it: what both ways differ by is part of what 8 bits change.
    const std::vector<float> exact = logits_of_window(floats, ids);
    const std::vector<float> decoded = logits_one_by_one(transformer, ids);
    const double changed = mean_gap(window, exact);
    EXPECT_LE(mean_gap(decoded, exact), 1.2 * changed + 1e-5);
    const bool whole = path == "stories260K" || path == "wap" || path.ends_with("F16.gguf");
    EXPECT_EQ(window == exact, whole);
    int equal = 0;  // first tokens, that have met few edges
    for (std::size_t first = 0; first < 20; ++first) {
      const Tokens nine(ids.begin() + static_cast<std::ptrdiff_t>(first),
                        ids.begin() + static_cast<std::ptrdiff_t>(first + 9));
      std::vector<float> of_window = logits_of_window(transformer, nine);
      of_window.resize(transformer.vocab());
      equal += largest_gap(logits_one_by_one(transformer, {nine.front()}), of_window) < 1e-3;
    }
    EXPECT_GE(equal, 10);
    EXPECT_NEAR(mean_nll(transformer, some_tokens(256)), mean_nll(floats, some_tokens(256)), 5e-3);
  }
}

TEST(Decode, SequencesSideBySideAreAsEachAlone) {
  const Tokens all = some_tokens(100);
  for (const char* path : {"stories260K", "stories260K/quantized/pad192-Q4_K_M.gguf"}) {
    const Model model = opened_model(path);
    for (const Activations activations : {Activations::kF32, Activations::kQ8}) {
      const Transformer transformer(model, open_reader, {3}, activations);
      constexpr std::size_t kSequences = 6;
      std::vector<KvCache> alone, together;
      std::vector<KvCache*> places;
      Tokens next;
      std::vector<float> states, expected;
      for (std::size_t s = 0; s < kSequences; ++s) {
        const std::span<const std::int32_t> prompt = std::span(all).subspan(s, 3 + 4 * s);
        alone.emplace_back(transformer.architecture(), 64, KvType::kF16, KvLayers::kAll);
        ASSERT_TRUE(transformer.run(prompt, alone.back(), states));
        next.push_back(all[50 + s]);
      }
      together = alone;
      for (KvCache& cache : together) places.push_back(&cache);
      for (int step = 0; step < 3; ++step) {
        expected.clear();
        Tokens likeliest, one;
        for (std::size_t s = 0; s < kSequences; ++s) {
          ASSERT_TRUE(transformer.run({&next[s], 1}, alone[s], states));
          expected.insert(expected.end(), states.begin(), states.end());
          ASSERT_TRUE(likeliest_tokens(transformer, states, one));
          likeliest.push_back(one.front());
        }
        ASSERT_TRUE(transformer.run(next, places, states));
        ASSERT_EQ(states, expected);
        ASSERT_TRUE(likeliest_tokens(transformer, states, next));
        ASSERT_EQ(next, likeliest);
      }
    }
  }
}

TEST(Decode, TheLikeliestTokenIsTheFirstOfTheLargest) {
  const Model model = opened_model("wap");
  const Transformer transformer(model, open_reader, {2});
  const Tokens ids = some_tokens(20);
  KvCache cache(transformer.architecture(), ids.size(), KvType::kF32, KvLayers::kCurrent);
  std::vector<float> states;
  ASSERT_TRUE(transformer.run(ids, cache, states));
  Tokens likeliest;
  ASSERT_TRUE(likeliest_tokens(transformer, states, likeliest));
  const std::vector<float> logits = logits_of_all(transformer, states);
  ASSERT_EQ(likeliest.size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i * transformer.vocab());
    const auto end = row + static_cast<std::ptrdiff_t>(transformer.vocab());
    EXPECT_EQ(likeliest[i], std::max_element(row, end) - row);
  }
}

TEST(ThreadPool, DoesEveryPieceOnceLoopAfterLoop) {
  for (const unsigned threads : {1U, 2U, 5U}) {
    ThreadPool pool(threads);
    for (std::uint64_t loop = 0; loop < 2000; ++loop) {
      const std::uint64_t count = loop % 9;
      std::vector<int> done(count, 0);
      pool.each(loop % 5 == 0, nullptr, count, [&](WorkBuffers&, std::uint64_t i) { ++done[i]; });
      ASSERT_EQ(done, std::vector<int>(count, 1));
    }
  }
}

TEST(ThreadPool, LoopsInsideLoopsErrorsAndCancelling) {
  ThreadPool pool(4);
  std::atomic<int> inner{0};
  pool.each(false, nullptr, 8, [&](WorkBuffers&, std::uint64_t) {
    pool.each(false, nullptr, 10, [&](WorkBuffers&, std::uint64_t) { ++inner; });
  });
  EXPECT_EQ(inner, 80);
  for (int again = 0; again < 20; ++again) {
    std::atomic<int> begun{0};
    const auto fail = [&](WorkBuffers&, std::uint64_t i) {
      ++begun;
      if (i == 3) throw std::string("third");
    };
    EXPECT_THROW(pool.each(false, nullptr, 1000000, fail), std::string);
    EXPECT_LT(begun, 1000000);
  }
  std::atomic<bool> cancel{false};
  std::atomic<int> begun{0};
  pool.each(false, &cancel, 1000000, [&](WorkBuffers&, std::uint64_t) {
    if (++begun == 5) cancel = true;
  });
  EXPECT_LT(begun, 1000000);
}

}  // namespace
}  // namespace qi
