// Divergence between models as others computed it, from live bases and saved logits.
#include "eval/evaluation/divergence.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/evaluation/saved_logits.h"
#include "eval/sweep/coded_weights.h"
#include "tests/support/broken_weight.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

const std::string kWapFolder = test::kData + "/models/wap";

std::shared_ptr<const Model> opened_model(const std::string& path) {
  return std::make_shared<const Model>(open_model(find_models(path).models.front()));
}

TEST(DivergenceSum, MeasuresOfAFewTokens) {
  DivergenceSum sum;
  std::vector<TokenDivergence> tokens;
  for (int i = 0; i < 5; ++i) {
    tokens.push_back({1.0 + 0.1 * i, 1.0 + 0.05 * i * i, 0.01 * (5 - i), i < 4 ? 1.0 : 0.0, 0});
  }
  sum.add(std::span(tokens).first(2));
  sum.add(std::span(tokens).subspan(2));
  std::map<std::string_view, EvalMeasures> got;
  const std::vector<EvalMeasures> all = sum.measures();
  ASSERT_EQ(all.size(), kDivergenceMeasures.size());
  for (std::size_t i = 0; i < all.size(); ++i) got[kDivergenceMeasures[i]] = all[i];
  EXPECT_NEAR(got[""].value, 0.03, 1e-15);
  EXPECT_NEAR(*got[""].standard_error, std::sqrt(0.0002 / 4), 1e-12);
  EXPECT_NEAR(got["median"].value, 0.03, 1e-15);
  EXPECT_NEAR(got["p90"].value, 0.046, 1e-15);
  EXPECT_EQ(got["max"].value, 0.05);
  EXPECT_NEAR(got["same_top"].value, 0.8, 1e-15);
  EXPECT_NEAR(*got["same_top"].standard_error, std::sqrt(0.8 * 0.2 / 4), 1e-12);
  EXPECT_NEAR(got["ppl"].value, std::exp(1.2), 1e-12);
  EXPECT_NEAR(got["base_ppl"].value, std::exp(1.3), 1e-12);
  EXPECT_NEAR(got["ppl_ratio"].value, std::exp(-0.1), 1e-12);
  // The error of the mean of the differences of the two, which is what the covariance is for.
  double mean = 0, squares = 0, change = 0, change_squares = 0;
  for (const TokenDivergence& token : tokens) {
    mean += (token.nll - token.base_nll) / 5;
    squares += std::pow(token.nll - token.base_nll, 2) / 5;
    const double delta = std::exp(-token.nll) - std::exp(-token.base_nll);
    change += delta / 5;
    change_squares += delta * delta / 5;
  }
  EXPECT_NEAR(*got["ppl_ratio"].standard_error,
              std::exp(-0.1) * std::sqrt((squares - mean * mean) / 4), 1e-12);
  EXPECT_NEAR(got["delta_p"].value, change, 1e-15);
  EXPECT_NEAR(got["rms_delta_p"].value, std::sqrt(change_squares), 1e-15);
  EXPECT_EQ(got["p99.9"].standard_error, std::nullopt);
}

class Divergence : public testing::Test {
 protected:
  EvaluationRequest request(std::uint64_t windows) const {
    EvaluationRequest out;
    out.kinds = {"kld"};
    out.text_path = kWapFolder + "/eval.txt";
    out.perplexity.context = 256;
    out.perplexity.limit = windows;
    out.automatic_bos = false;
    out.base = base_;
    out.threads = 2;
    return out;
  }

  using Rows = std::map<std::string, EvalMeasures>;
  Rows run(const Model& model, const EvaluationRequest& asked, const OpenWeight& open = open_reader,
           const EvaluationEvents& also = {}) {
    const std::string path = dir_ / (std::to_string(++databases_) + ".db");
    ResultsStore results(path);
    EvalStore store(path, results, [&] { return results.begin_run({}, {}); });
    Rows rows;
    EvaluationEvents events = also;
    events.on_row = [&](const EvalRow& row) { rows[row.kind] = row.measured; };
    EvaluatedWeights weights{open, std::nullopt, 0, {}};
    Evaluation(model, asked).run(weights, store, events);
    return rows;
  }

  std::string refusal(const Model& model, const EvaluationRequest& asked,
                      const OpenWeight& open = open_reader) {
    const auto error = test::error_of([&] { run(model, asked, open); });
    return error ? std::string(class_word(error->code)) + ": " + error->message : "none";
  }

  test::TempDir dir_;
  int databases_ = 0;
  std::shared_ptr<const Model> base_ = opened_model(kWapFolder);
};

TEST_F(Divergence, OfStoredAndQuantizedModelsAsOthersComputedIt) {
  const auto reference = test::read_json(kWapFolder + "/reference_quant.json");
  const auto check = [](const Rows& rows, const nlohmann::json& expected, double tolerance) {
    const auto& of_text = expected["eval.txt"];
    EXPECT_EQ(rows.at("kld").tokens, 4080);
    EXPECT_NEAR(rows.at("kld").value / of_text["kl"].get<double>(), 1, tolerance);
    EXPECT_NEAR(rows.at("kld.same_top").value, of_text["top1"].get<double>(), tolerance);
    EXPECT_NEAR(rows.at("kld.ppl").value / of_text["a_first4096"]["ppl"].get<double>(), 1, 1e-4);
    EXPECT_NEAR(rows.at("kld.base_ppl").value, 37.9371, 1e-4);
  };
  const auto int8 = opened_model(kWapFolder + "/wap-int8");  // has no tokenizer of its own
  check(run(*int8, request(16)), reference["stored_variants"]["int8"], 1e-4);

  SweepRequest grid;
  grid.families = {"rtn"};
  grid.grid = {{"symmetric", {}}, {"styles", {"restricted"}}};
  const SweepPlan plan = plan_sweep(base_, grid);
  const auto int4 = CodedWeights::make(plan, plan.totals[0], {2, nullptr, {}});
  EvaluationRequest asked = request(16);
  asked.base = nullptr;  // itself, as it is stored
  // The reference keeps scales as float32.
  check(run(*base_, asked, int4->open()), reference["settings"]["int4_g128_sym"], 3e-3);
}

TEST_F(Divergence, IsNothingFromItselfAndTheSameForAnyNumberOfThreads) {
  const Rows same = run(*base_, request(2));
  EXPECT_EQ(same.at("kld.max").value, 0);
  EXPECT_EQ(same.at("kld.same_top").value, 1);
  EXPECT_EQ(same.at("kld.ppl_ratio").value, 1);
  const auto int8 = opened_model(kWapFolder + "/wap-int8");
  EvaluationRequest asked = request(2);
  const Rows two = run(*int8, asked);
  for (const unsigned threads : {1u, 3u}) {
    asked.threads = threads;
    const Rows other = run(*int8, asked);
    for (const auto& [kind, measured] : two) EXPECT_EQ(other.at(kind).value, measured.value);
  }
}

TEST_F(Divergence, LeavesThePerplexityToWhoAsksForBoth) {
  const auto int8 = opened_model(kWapFolder + "/wap-int8");
  EvaluationRequest asked = request(2);
  asked.kinds = {"ppl", "kld"};
  for (const bool redo : {false, true}) {
    asked.redo = redo;
    std::uint64_t steps = 0;
    EvaluationEvents events;
    events.on_progress = [&](const EvaluationProgress& now) { steps += now.kind == "ppl"; };
    const Rows both = run(*int8, asked, open_reader, events);
    EXPECT_LE(steps, 1);
    EvaluationRequest alone = request(2);
    alone.kinds = {"ppl"};
    const EvalMeasures ppl = run(*int8, alone).at("ppl");
    EXPECT_NEAR(both.at("ppl").value / ppl.value, 1, 1e-12);
    EXPECT_NEAR(both.at("ppl").standard_error.value() / ppl.standard_error.value(), 1, 1e-10);
    EXPECT_EQ(both.at("ppl").tokens, ppl.tokens);
    EXPECT_EQ(both.at("ppl").value, both.at("kld.ppl").value);
    EXPECT_GT(both.at("ppl").seconds, 0);
  }
}

TEST_F(Divergence, FromSavedLogitsIsThatOfTheModelTheyAreOf) {
  const auto int8 = opened_model(kWapFolder + "/wap-int8");
  EvaluationRequest saving = request(3);
  saving.save.path = dir_ / "top64";
  const Rows live = run(*int8, saving);
  EXPECT_FALSE(live.contains("kld.truncation"));
  EvaluationRequest of_perplexity = request(4);
  of_perplexity.kinds = {"ppl"};
  of_perplexity.base = nullptr;
  of_perplexity.save = {dir_ / "all", {}, 5000};
  run(*base_, of_perplexity);

  EvaluationRequest asked = request(3);
  asked.base = nullptr;
  asked.saved_base = dir_ / "all";  // a window more than is asked for
  const Rows all = run(*int8, asked);
  EXPECT_EQ(all.at("kld.truncation").value, 0);
  asked.saved_base = dir_ / "top64";
  const Rows top = run(*int8, asked);
  const double error = top.at("kld.truncation").value;
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.01 * live.at("kld").value);
  EXPECT_NEAR(top.at("kld").value, live.at("kld").value, 4 * error);
  for (const char* kind : {"kld", "kld.median", "kld.p99", "kld.max"}) {
    EXPECT_NEAR(all.at(kind).value / live.at(kind).value, 1, 1e-3) << kind;
  }
  for (const char* kind : {"kld.ppl", "kld.base_ppl", "kld.ppl_ratio", "kld.rms_delta_p"}) {
    EXPECT_NEAR(top.at(kind).value / live.at(kind).value, 1, 1e-12) << kind;
  }
  EXPECT_EQ(top.at("kld.same_top").value, live.at("kld.same_top").value);
}

TEST_F(Divergence, SavedLogitsThatAreDamagedOrOfSomethingElseAreRefused) {
  EvaluationRequest asked = request(1);
  asked.kinds = {"ppl"};
  asked.save.path = dir_ / "saved";
  asked.base = nullptr;
  run(*base_, asked);
  asked.kinds = {"kld"};
  asked.save.path.clear();
  asked.saved_base = dir_ / "saved";
  std::ifstream in(asked.saved_base, std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  const auto with = [&](const std::string& bytes) {
    asked.saved_base = dir_.write("other", bytes);
    return refusal(*base_, asked);
  };
  EXPECT_EQ(with(whole), "none");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{9}, std::size_t{40}, whole.size() - 1}) {
    EXPECT_EQ(with(whole.substr(0, size)).substr(0, 10), "truncated:") << size;
  }
  EXPECT_EQ(with(whole + "x"), "trailing: 1 bytes too many");
  // Every byte of the header, and some of the rest.
  PerplexityOptions options = asked.perplexity;
  const PerplexityPlan plan(std::vector<std::int32_t>(256), options, 0);
  for (std::size_t at = 0; at < whole.size(); at += at < 400 ? 1 : whole.size() / 50) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const std::string path = dir_.write("other", damaged);
    EXPECT_TRUE(test::error_of([&] { SavedLogits(path).window(plan, 0); })) << at;
  }
  asked.saved_base = dir_.write("other", whole);
  asked.perplexity.context = 128;
  EXPECT_EQ(refusal(*base_, asked).substr(0, 24), "inconsistent: saved with");
  asked.perplexity.context = 256;
  asked.perplexity.limit = 2;
  EXPECT_EQ(refusal(*base_, asked), "inconsistent: logits of 1 windows");
  asked.perplexity.limit = 1;
  asked.text_path = kWapFolder + "/calib.txt";
  EXPECT_EQ(refusal(*base_, asked).substr(0, 36), "inconsistent: logits of another text");
}

TEST_F(Divergence, RefusesNumbersThatAreNotFiniteNamingTheLayer) {
  EvaluationRequest asked = request(1);
  asked.base = nullptr;  // as it is stored
  EXPECT_EQ(refusal(*base_, asked, test::with_nan("model.layers.1.mlp.down_proj.weight")),
            "bad_value: the MLP of layer 1 gives numbers that are not finite");
  EXPECT_EQ(refusal(*base_, asked, test::with_nan("model.layers.0.self_attn.o_proj.weight")),
            "bad_value: the attention of layer 0 gives numbers that are not finite");
}

TEST_F(Divergence, RefusesBasesThatCannotBeHeldAgainstTheModel) {
  const std::string stories = test::kData + "/models/stories260K";
  EvaluationRequest asked = request(1);
  asked.base = opened_model(stories);
  EXPECT_EQ(refusal(*base_, asked),
            "inconsistent: the base's tokenizer makes other tokens of the text");
  asked.tokenizer_path = stories;
  EXPECT_EQ(refusal(*base_, asked), "inconsistent: a vocabulary of 512");

  // Without a tokenizer of its own a model has its base's, and the other way round.
  const fs::path bare = dir_ / "a/bare";
  fs::create_directories(bare);
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::copy_file(fs::path(stories) / name, bare / name);
  }
  asked = request(1);
  asked.text_path = stories + "/eval.txt";
  asked.base = opened_model(stories);
  EXPECT_EQ(run(*opened_model(bare), asked).at("kld").value, 0);
  asked.base = opened_model(bare);
  EXPECT_EQ(run(*opened_model(stories), asked).at("kld").value, 0);
  EXPECT_EQ(refusal(*opened_model(bare), asked).substr(0, 8), "missing:");
}

}  // namespace
}  // namespace qi
