// Models with a configuration applied in memory: the values that a file would give, and the
// perplexities that others computed of them.
#include "eval/sweep/coded_weights.h"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/evaluation/evaluation.h"
#include "eval/sweep/measure.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

const std::string kWapModel = test::kData + "/models/wap";

std::shared_ptr<const Model> opened(const std::string& path) {
  return std::make_shared<const Model>(open_model(find_models(path).models.front()));
}

SweepPlan plan_of(const std::shared_ptr<const Model>& model, const std::string& family,
                  const GridOptions& grid) {
  SweepRequest request;
  request.families = {family};
  request.grid = grid;
  return plan_sweep(model, request);
}

std::shared_ptr<const CodedWeights> coded(const SweepPlan& plan, std::size_t total = 0,
                                          unsigned threads = 2) {
  CodingOptions options;
  options.threads = threads;
  return CodedWeights::make(plan, plan.totals.at(total), options);
}

/// What the family's coder makes of the whole weight.
std::vector<float> through_coder(const SweepPlan& plan, const Weight& weight,
                                 const MethodConfig& config) {
  const MatrixInfo matrix = matrix_of(plan, weight);
  const auto coder = find_family(config.family)->make(config.params, matrix);
  std::vector<float> values(weight.params);
  open_reader(*plan.model, weight)->values({0, matrix.rows, 0, matrix.cols}, values.data());
  const MatrixRows rows{0, matrix.rows, values, {}};
  if (coder->wants_survey()) {
    coder->survey(rows);
    coder->finish_survey();
  }
  std::vector<std::byte> bytes;
  coder->encode(rows, bytes);
  coder->decode(bytes, {0, matrix.rows, values, {}});
  return values;
}

std::vector<float> read(const OpenWeight& open, const SweepPlan& plan, const Weight& weight,
                        const Tile& tile) {
  std::vector<float> out(tile.rows * tile.cols);
  open(*plan.model, weight)->values(tile, out.data());
  return out;
}

TEST(CodedWeights, GiveWhatTheMethodGivesWhateverIsRead) {
  const auto model = opened(kWapModel);
  const std::vector<std::pair<std::string, GridOptions>> cases = {
      {"zfp", {{"dims", {"4"}}, {"layout", {"block"}}, {"rates", {"8"}}}},
      {"zfp", {{"dims", {"3"}}, {"rates", {"6"}}}},
      {"zfp", {{"precisions", {"12"}}}},
      {"rtn", {{"group-sizes", {"tensor"}}}},
      {"fp8", {{"scales", {"block128"}}}},
      {"ggml", {{"types", {"Q4_K_M"}}}},
      {"nf4", {}}};
  for (const auto& [family, grid] : cases) {
    const SweepPlan plan = plan_of(model, family, grid);
    const auto weights = coded(plan);
    ASSERT_NE(weights, nullptr);
    const OpenWeight open = weights->open();
    EXPECT_LE(weights->size_bytes(), coded_bytes(plan, plan.totals[0]) + 4096) << family;
    const SweepUnit& unit = plan.units[plan.totals[0].units[4]];
    const Weight& weight = *plan.weights[unit.weight];
    const std::uint64_t rows = weight.rows(), cols = weight.cols();
    const auto expected = through_coder(plan, weight, plan.configs[unit.config]);
    EXPECT_EQ(read(open, plan, weight, {0, rows, 0, cols}), expected) << family;
    // Rows and columns that no strip begins or ends with.
    const auto some = read(open, plan, weight, {61, 70, 3, 50});
    for (std::uint64_t r = 0; r < 70; ++r) {
      ASSERT_EQ(std::memcmp(&some[r * 50], &expected[(61 + r) * cols + 3], 200), 0) << family;
    }
    for (const Weight& other : model->weights) {
      if (other.role != Role::kNorm) continue;
      EXPECT_EQ(read(open, plan, other, {0, 1, 0, other.cols()}),
                read(open_reader, plan, other, {0, 1, 0, other.cols()}));
    }
  }
}

TEST(CodedWeights, LosslessFamiliesReadAsStored) {
  const SweepPlan plan = plan_of(opened(kWapModel), "lossless", {{"codecs", {"planes"}}});
  const auto weights = coded(plan);
  EXPECT_EQ(weights->size_bytes(), 0);
  const Weight& weight = *plan.weights[2];
  const Tile all{0, weight.rows(), 0, weight.cols()};
  EXPECT_EQ(read(weights->open(), plan, weight, all), read(open_reader, plan, weight, all));
}

TEST(CodedWeights, StopWhenCancelledAndNameTheWeightThatFails) {
  const SweepPlan plan = plan_of(opened(kWapModel), "rtn", {});
  const std::atomic<bool> cancel{true};
  CodingOptions options;
  options.cancel = &cancel;
  EXPECT_EQ(CodedWeights::make(plan, plan.totals[0], options), nullptr);

  const SweepPlan refused = plan_of(opened(kWapModel), "ggml", {{"types", {"IQ1_S"}}});
  const auto error = test::error_of([&] { coded(refused); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message.substr(0, 20), "weight model.layers.");
}

double perplexity(const SweepPlan& plan, const OpenWeight& open) {
  const test::TempDir folder;
  const std::string database = folder.path() + "/r.db";
  ResultsStore results(database);
  EvalStore store(database, results, [&] { return results.begin_run({}, {}); });
  EvaluationRequest request;
  request.kinds = {"ppl"};
  request.text_path = kWapModel + "/eval.txt";
  request.perplexity.context = 256;
  request.perplexity.limit = 16;
  request.automatic_bos = false;
  request.threads = 2;
  double value = 0;
  EvaluationEvents events;
  events.on_row = [&](const EvalRow& row) { value = row.measured.value; };
  Evaluation(*plan.model, request).run({open, plan.totals[0].config, 0, ""}, store, events);
  return value;
}

// The reference keeps scales as float32, these families as they are stored.
TEST(CodedWeights, PerplexityOfQuantizedModelsAsOthersComputedIt) {
  const auto model = opened(kWapModel);
  const auto reference = test::read_json(kWapModel + "/reference_quant.json")["settings"];
  const std::vector<std::tuple<std::string, std::string, GridOptions>> cases = {
      {"int4_g128_sym", "rtn", {{"symmetric", {}}, {"styles", {"restricted"}}}},
      {"int4_row_asym", "rtn", {{"group-sizes", {"row"}}}},
      {"fp8_e4m3_row", "fp8", {}}};
  for (const auto& [name, family, grid] : cases) {
    const SweepPlan plan = plan_of(model, family, grid);
    const double expected = reference[name]["eval.txt"]["a_first4096"]["ppl"].get<double>();
    EXPECT_NEAR(perplexity(plan, coded(plan)->open()) / expected, 1, 1e-3) << name;
  }
}

}  // namespace
}  // namespace qi
