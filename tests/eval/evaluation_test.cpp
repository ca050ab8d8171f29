// Perplexity from files to a row, held against what others computed, and what goes wrong.
#include "eval/evaluation/evaluation.h"

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::error_of;

const std::string kModels = QI_TEST_DATA "/models/";

struct Outcome {
  std::optional<EvalRow> row;
  std::vector<std::vector<double>> nll;  // of each window
  std::uint64_t tokens_run = 0;          // in this run
};

class EvaluationTest : public testing::Test {
 protected:
  EvaluationRequest request(const std::string& model, Protocol protocol, std::uint64_t limit) {
    EvaluationRequest out;
    out.kinds = {"ppl"};
    out.text_path = kModels + model + "/eval.txt";
    out.perplexity.protocol = protocol;
    out.perplexity.context = 256;
    out.perplexity.limit = limit;
    out.automatic_bos = protocol == Protocol::kLlamaCpp;
    out.threads = 2;
    return out;
  }

  Outcome run(const std::string& path, const EvaluationRequest& request, bool windows = true,
              const std::function<void()>& after_window = {}) const {
    const Model model = open_model(find_models(path).models.front());
    Outcome out;
    EvaluationEvents events;
    if (windows) {
      events.on_window = [&](const TextWindow&, std::span<const double> nll) {
        out.nll.emplace_back(nll.begin(), nll.end());
        if (after_window) after_window();
      };
    }
    events.on_progress = [&](const EvaluationProgress& now) { out.tokens_run = now.done; };
    events.on_row = [&](const EvalRow& row) { out.row = row; };
    ResultsStore results(database_);
    EvalStore store(database_, results, [&] { return results.begin_run({}, {}); });
    Evaluation evaluation(model, request);
    const EvaluatedWeights as_stored{open_reader, std::nullopt, model.bits_per_weight(), {}};
    const bool ended = evaluation.run(as_stored, store, events);
    EXPECT_EQ(ended, out.row.has_value());
    return out;
  }

  /// "class: message" of what keeps `request` from being evaluated.
  std::string refusal(const std::string& path, const EvaluationRequest& request) const {
    const auto error = error_of([&] { run(path, request); });
    return error ? std::string(class_word(error->code)) + ": " + error->message : "none";
  }

  test::TempDir dir_;
  std::string database_ = dir_ / "r.db";
};

TEST_F(EvaluationTest, WapByBothProtocols) {
  const auto reference = test::read_json(kModels + "wap/reference_nll.json");
  for (const auto& [protocol, name] : {std::pair{Protocol::kHuggingFace, "token_nll_a_first4096"},
                                       std::pair{Protocol::kLlamaCpp, "token_nll_b_first4096"}}) {
    const auto expected = reference[name]["nll"].get<std::vector<std::vector<double>>>();
    constexpr std::size_t kWindows = 3;
    const Outcome got = run(kModels + "wap", request("wap", protocol, kWindows));
    ASSERT_EQ(got.nll.size(), kWindows);
    double difference = 0;
    double count = 0;
    for (std::size_t w = 0; w < kWindows; ++w) {
      ASSERT_EQ(got.nll[w].size(), expected[w].size());
      for (std::size_t i = 0; i < expected[w].size(); ++i) {
        ASSERT_NEAR(got.nll[w][i], expected[w][i], 1e-4) << w << " " << i;
        difference += got.nll[w][i] - expected[w][i];
        count += 1;
      }
    }
    EXPECT_NEAR(difference / count, 0, 1e-5);
    EXPECT_EQ(got.row->measured.tokens, count);
  }
}

// llama.cpp's activations are 8-bit here and its cache is F16: its running perplexities are not
// ours to the last digit.
TEST_F(EvaluationTest, StoriesAsLlamaCppHasThem) {
  const auto reference = test::read_json(kModels + "stories260K/reference.json");
  const auto running = reference["numpy_f64"]["stories260K"]["ppl_running"];
  const EvaluationRequest ten = request("stories260K", Protocol::kLlamaCpp, 10);
  for (const char* path : {"stories260K", "stories260K/stories260K-F32.gguf"}) {
    const Outcome got = run(kModels + path, ten);
    EXPECT_NEAR(got.row->measured.value, running[9].get<double>(), 1e-4) << path;
    EXPECT_EQ(got.row->params.get("bos"), "1");
  }
}

TEST_F(EvaluationTest, AnInterruptedRunGoesOnAndAFinishedOneIsFound) {
  EvaluationRequest asked = request("stories260K", Protocol::kHuggingFace, 6);
  const std::string model = kModels + "stories260K";
  database_ = dir_ / "whole.db";
  const Outcome whole = run(model, asked);
  database_ = dir_ / "r.db";
  std::atomic<bool> cancel{false};
  asked.cancel = &cancel;
  std::size_t windows = 0;
  const Outcome cut = run(model, asked, true, [&] { cancel = ++windows == 2; });
  EXPECT_FALSE(cut.row);
  EXPECT_EQ(cut.nll.size(), 2);
  cancel = false;
  const Outcome rest = run(model, asked);
  EXPECT_EQ(rest.tokens_run, 4 * 256);
  EXPECT_EQ(rest.nll, whole.nll);
  EXPECT_EQ(rest.row->measured.value, whole.row->measured.value);
  // Its sums are there now; its numbers are not.
  const Outcome again = run(model, asked, false);
  EXPECT_EQ(again.tokens_run, 0);
  EXPECT_EQ(again.row->measured.seconds, rest.row->measured.seconds);
  EXPECT_EQ(again.row->run, rest.row->run + 1);
  EXPECT_EQ(run(model, asked).tokens_run, 6 * 256);
  asked.redo = true;
  EXPECT_EQ(run(model, asked, false).tokens_run, 6 * 256);
}

// Variants of a model in sub-folders have the tokenizer of the folder around them.
TEST_F(EvaluationTest, TheTokenizerOfTheFolderAroundOrOfAPath) {
  EvaluationRequest asked = request("wap", Protocol::kHuggingFace, 2);
  const Outcome beside = run(kModels + "wap/wap-int8", asked);
  asked.tokenizer_path = kModels + "wap/tokenizer.json";
  EXPECT_EQ(run(kModels + "wap/wap-int8", asked).nll, beside.nll);
  asked.tokenizer_path = kModels + "stories260K";
  EXPECT_EQ(refusal(kModels + "wap/wap-int8", asked), "none");  // fewer tokens: another text
  EXPECT_NE(run(kModels + "wap/wap-int8", asked).nll, beside.nll);
  asked.tokenizer_path = kModels + "stories260K/quantized";
  EXPECT_EQ(refusal(kModels + "wap/wap-int8", asked), "missing: there is no such file");
}

TEST_F(EvaluationTest, AConfigurationIsOfTheRowAndOfItsKey) {
  const Model model = open_model(find_models(kModels + "stories260K").models.front());
  Evaluation evaluation(model, request("stories260K", Protocol::kHuggingFace, 2));
  ResultsStore results(database_);
  EvalStore store(database_, results, [&] { return results.begin_run({}, {}); });
  std::vector<EvalRow> rows;
  std::uint64_t steps = 0;
  EvaluationEvents events;
  events.on_row = [&](const EvalRow& row) { rows.push_back(row); };
  events.on_progress = [&](const EvaluationProgress&) { ++steps; };
  EvaluatedWeights weights{open_reader, std::nullopt, 16, {}};
  const auto steps_of = [&](const char* params, const char* scope) {
    if (*params != '\0') weights.config = MethodConfig{"rtn", Params::parse(params)};
    weights.scope = scope;
    const std::uint64_t before = steps;
    EXPECT_TRUE(evaluation.run(weights, store, events));
    return steps - before;
  };
  const std::uint64_t whole = steps_of("", "");
  EXPECT_GT(whole, 0);
  EXPECT_EQ(steps_of("bits=4", "a"), whole);
  EXPECT_EQ(steps_of("bits=3", "a"), whole);
  EXPECT_EQ(steps_of("bits=3", "b"), whole);
  EXPECT_EQ(steps_of("bits=4", "a"), 0);
  EXPECT_EQ(rows[0].family, "");
  EXPECT_EQ(rows[1].family, "rtn");
  EXPECT_EQ(rows[1].config, "bits=4");
  EXPECT_EQ(rows[4].run, rows[0].run);
}

TEST_F(EvaluationTest, RefusesInOneLine) {
  EvaluationRequest asked = request("stories260K", Protocol::kHuggingFace, 1);
  const std::string model = kModels + "stories260K";
  const auto with_text = [&](std::string_view text) {
    asked.text_path = dir_.write("text", text);
    return refusal(model, asked);
  };
  EXPECT_EQ(with_text(""), "bad_value: the text is empty");
  EXPECT_EQ(with_text("Once").substr(0, 20), "bad_value: a text of");
  EXPECT_EQ(with_text("Once \xFF upon").substr(0, 13), "bad_encoding:");
  asked.text_path = dir_ / "absent";
  EXPECT_EQ(refusal(model, asked).substr(0, 3), "io:");

  asked = request("stories260K", Protocol::kHuggingFace, 1);
  asked.perplexity.context = 513;
  EXPECT_EQ(refusal(model, asked), "usage: --context 513");
  asked.perplexity.context = 256;

  const fs::path folder = dir_ / "model";
  fs::create_directory(folder);
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::copy_file(fs::path(model) / name, folder / name);
  }
  EXPECT_EQ(refusal(folder, asked).substr(0, 8), "missing:");
  fs::copy_file(kModels + "wap/tokenizer.json", folder / "tokenizer.json");
  EXPECT_EQ(refusal(folder, asked), "inconsistent: the tokenizer has 2048 tokens");
}

}  // namespace
}  // namespace qi
