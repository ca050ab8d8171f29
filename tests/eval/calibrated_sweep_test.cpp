// Sweeps of calibrated families: rows of a walk through the model, found again, interrupted and
// evaluated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/methods/calibrated_options.h"
#include "eval/results/results.h"
#include "eval/results/spqr_share.h"
#include "eval/sweep/calibrated_cache.h"
#include "eval/sweep/sweep_evaluation.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using testing::HasSubstr;
const std::string kTale = test::kData + "/models/stories260K";

class CalibratedSweeps : public testing::Test {
 protected:
  CalibratedSweeps() {
    model_ = std::make_shared<const Model>(open_model(find_models(kTale).models.front()));
    wanted_.families = {"rtn", "gptq"};
    wanted_.grid = {{"bits", {"3"}}, {"group-sizes", {"32"}}, {"asymmetric", {}}};
    wanted_.calibration = std::make_shared<const CalibrationText>(
        read_calibration(kTale + "/eval.txt", {3, 48}, *model_));
    wanted_.model_hash = "0123456789abcdef";
  }

  SweepPlan plan() const { return plan_sweep(model_, wanted_); }

  /// Rows and totals by unit; `enough` rows cancel it.
  std::int64_t sweep(const SweepPlan& plan, std::size_t enough = ~std::size_t{0},
                     std::shared_ptr<CalibratedCache> cache = nullptr) {
    std::mutex mutex;
    rows_.assign(plan.units.size(), {});
    totals_.assign(plan.totals.size(), {});
    std::size_t came = 0;
    JobQueue queue;
    std::optional<JobId> job;
    SweepOptions options;
    options.database = dir_ / "r.db";
    options.threads = 2;
    options.calibrated = std::move(cache);
    options.on_row = [&](std::size_t unit, const ResultRow& row) {
      const std::lock_guard lock(mutex);
      rows_[unit] = row;
      if (++came == enough) queue.cancel_all();
    };
    options.on_total = [&](std::size_t total, const ResultRow& row) { totals_[total] = row; };
    Sweep sweep(plan, options);
    queue.wait(sweep.start(queue, "sweep"));
    EXPECT_FALSE(sweep.failure());
    return sweep.run();
  }

  test::TempDir dir_;
  std::shared_ptr<const Model> model_;
  SweepRequest wanted_;
  std::vector<std::optional<ResultRow>> rows_;
  std::vector<ResultRow> totals_;
};

TEST_F(CalibratedSweeps, RowsAreOfAWalkAndFoundAgain) {
  const SweepPlan made = plan();
  sweep(made);
  double gptq = 0, rtn = 0;
  for (std::size_t u = 0; u < rows_.size(); ++u) {
    const ResultRow& row = rows_[u].value();
    EXPECT_TRUE(row.ok) << row.error;
    EXPECT_EQ(row.bytes_out, forecast(made, made.units[u]).bytes_out) << row.tensor;
    const bool calibrated = row.config.family == "gptq";
    EXPECT_EQ(row.output_error.has_value(), calibrated);
    (calibrated ? gptq : rtn) += *row.mse;
    EXPECT_EQ(row.config.params.get("calibration").has_value(), calibrated);
    if (calibrated) {
      EXPECT_EQ(row.config.params.get("model"), wanted_.model_hash);
    }
  }
  EXPECT_GT(gptq, rtn);  // it is the outputs that it keeps close
  const std::vector<std::optional<ResultRow>> first = rows_;
  sweep(made);
  for (std::size_t u = 0; u < rows_.size(); ++u) {
    EXPECT_EQ(rows_[u]->encode_s, first[u]->encode_s);  // not measured again
    EXPECT_EQ(rows_[u]->output_error, first[u]->output_error);
  }
  EXPECT_GT(memory_needed(made, 2), kSweepFixedBytes + 4 * wanted_.calibration->tokens.size() * 64);
}

TEST_F(CalibratedSweeps, InterruptedOnesGoOn) {
  wanted_.families = {"gptq"};
  sweep(plan(), 12);
  std::vector<std::optional<ResultRow>> first = rows_;
  const auto count = std::count_if(first.begin(), first.end(), [](auto& row) { return row; });
  EXPECT_LT(static_cast<std::size_t>(count), rows_.size());
  EXPECT_GE(count, 12);
  sweep(plan());
  for (std::size_t u = 0; u < rows_.size(); ++u) {
    ASSERT_TRUE(rows_[u] && rows_[u]->ok) << u;
    if (first[u]) {
      EXPECT_EQ(rows_[u]->encode_s, first[u]->encode_s);
    }
  }
  // The same as in one go.
  const std::vector<std::optional<ResultRow>> resumed = rows_;
  wanted_.model_hash = "another";
  sweep(plan());
  for (std::size_t u = 0; u < rows_.size(); ++u) EXPECT_EQ(rows_[u]->mse, resumed[u]->mse);
}

TEST_F(CalibratedSweeps, WhatCannotBeIsRefusedOrARow) {
  wanted_.model_hash.clear();
  const MethodConfig config = plan().configs.back();
  SweepRequest other = wanted_;
  other.calibration = nullptr;
  EXPECT_EQ(test::thrown_by([&] { plan_sweep(model_, other); }).message,
            "gptq looks at a calibration text");
  other = wanted_;
  other.configs = {config};
  EXPECT_EQ(plan_sweep(model_, other).totals.size(), 1u);
  other.configs.front().params.set("calibration", "0000000000000000");
  EXPECT_EQ(test::class_of([&] { plan_sweep(model_, other); }), "usage");

  // 172 rows of gate and up are no multiple of 16: that configuration alone ends there.
  wanted_.families = {"spqr", "smoothquant"};
  wanted_.grid = {{"groupsize", {"16"}}};
  const SweepPlan made = plan();
  sweep(made);
  for (const auto& row : rows_) {
    const bool before = row->tensor.starts_with("model.layers.0.self_attn");
    EXPECT_EQ(row->ok, row->config.family == "smoothquant" || before) << row->error;
    if (!row->ok) {
      EXPECT_THAT(row->error, HasSubstr("172"));
    }
  }
}

TEST_F(CalibratedSweeps, SpqrSaysWhatItsOutliersTake) {
  wanted_.families = {"spqr"};
  wanted_.grid = {{"groupsize", {"16"}}, {"qq_groupsize", {"4"}}};
  const SweepPlan made = plan();
  const auto cache = std::make_shared<CalibratedCache>();
  sweep(made, ~std::size_t{0}, cache);
  const auto weights = cache->take(made.configs.front());
  ASSERT_NE(weights, nullptr);
  std::uint64_t outliers = 0;
  for (const auto& row : rows_) {
    const CalibratedMatrix& matrix = *weights->find(row->tensor);
    const SpqrShare share = spqr_share(*row).value();
    const SpqrBits bits = spqr_bits(spqr_options(row->config.params), matrix.coded);
    EXPECT_NEAR(share.average_bits, bits.average, 1e-9);
    EXPECT_NEAR(share.outlier_share * static_cast<double>(row->weights),
                static_cast<double>(matrix.coded.outliers.size()), 1e-6);
    outliers += matrix.coded.outliers.size();
  }
  EXPECT_GT(outliers, 0u);
  EXPECT_NEAR(
      spqr_share(totals_[0]).value().outlier_share * static_cast<double>(totals_[0].weights),
      static_cast<double>(outliers), 1e-6);
}

TEST_F(CalibratedSweeps, EvaluatedAsTheyWereMadeOrMadeAgain) {
  wanted_.families = {"gptq"};
  const SweepPlan made = plan();
  EvaluationRequest request;
  request.kinds = {"ppl"};
  request.text_path = kTale + "/eval.txt";
  request.perplexity.context = 128;
  request.perplexity.limit = 2;
  request.threads = 2;
  request.redo = true;
  const auto cache = std::make_shared<CalibratedCache>();
  const std::int64_t run = sweep(made, ~std::size_t{0}, cache);
  std::vector<double> values;
  std::vector<bool> coded;
  SweepEvaluationEvents events;
  events.on_row = [&](const EvalRow& row) {
    EXPECT_TRUE(row.error.empty()) << row.error;
    values.push_back(row.measured.value);
  };
  for (const auto& from : {cache, std::make_shared<CalibratedCache>()}) {
    bool coding = false;
    events.on_progress = [&](std::size_t, const EvaluationProgress& now) {
      coding = coding || now.kind == "coding";
    };
    SweepEvaluation evaluation(made, request);
    evaluation.use(from);
    ASSERT_TRUE(evaluation.run(totals_, dir_ / "r.db", run, events));
    coded.push_back(coding);
  }
  ASSERT_EQ(values.size(), 2u);
  EXPECT_EQ(values[0], values[1]);
  EXPECT_FALSE(coded[0]);
  EXPECT_TRUE(coded[1]);
  EXPECT_GT(evaluation_memory(made), model_->size_bytes());
}

}  // namespace
}  // namespace qi
