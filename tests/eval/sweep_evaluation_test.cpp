// Configurations of a sweep over a whole model: rows of the sweep's run, found again, interrupted.
#include "eval/sweep/sweep_evaluation.h"

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/results/results.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

class SweepEvaluations : public testing::Test {
 protected:
  SweepEvaluations() {
    const std::string path = test::kData + "/models/stories260K";
    SweepRequest wanted;
    wanted.families = {"rtn"};
    wanted.grid = {{"bits", {"4", "8"}}, {"group-sizes", {"row"}}};
    plan_ = plan_sweep(std::make_shared<const Model>(open_model(find_models(path).models.front())),
                       wanted);
    request_.kinds = {"ppl"};
    request_.text_path = path + "/eval.txt";
    request_.perplexity.context = 256;
    request_.perplexity.limit = 2;
    request_.threads = 2;
  }

  /// The sweep itself; its totals.
  std::int64_t sweep() {
    totals_.assign(plan_.totals.size(), {});
    SweepOptions options;
    options.database = database_;
    options.on_total = [&](std::size_t total, const ResultRow& row) { totals_[total] = row; };
    Sweep sweep(plan_, options);
    JobQueue::Options one;
    one.threads = 1;
    JobQueue queue(one);
    queue.wait(sweep.start(queue, "sweep"));
    return sweep.run();
  }

  bool evaluate(std::int64_t run) {
    rows_.clear();
    progress_.clear();
    SweepEvaluationEvents events;
    events.on_row = [&](const EvalRow& row) { rows_.push_back(row); };
    events.on_progress = [&](std::size_t total, const EvaluationProgress& now) {
      progress_.emplace_back(total, now.kind);
      if (on_progress_) on_progress_(total, now);
    };
    return SweepEvaluation(plan_, request_).run(totals_, database_, run, events);
  }

  test::TempDir dir_;
  std::string database_ = dir_ / "r.db";
  SweepPlan plan_;
  EvaluationRequest request_;
  std::vector<ResultRow> totals_;
  std::vector<EvalRow> rows_;
  std::vector<std::pair<std::size_t, std::string>> progress_;
  std::function<void(std::size_t, const EvaluationProgress&)> on_progress_;
};

TEST_F(SweepEvaluations, AreRowsOfTheRunAndNeverMadeTwice) {
  const std::int64_t first = sweep();
  ASSERT_TRUE(evaluate(first));
  const std::vector<EvalRow> rows = rows_;
  ASSERT_EQ(rows.size(), 2);
  EXPECT_EQ(rows[0].run, first);
  EXPECT_EQ(rows[0].family, "rtn");
  EXPECT_EQ(rows[0].config, plan_.totals[0].config.params.text());
  EXPECT_LT(rows[0].bits_per_weight, rows[1].bits_per_weight);
  EXPECT_GT(rows[0].measured.value, rows[1].measured.value);
  EXPECT_EQ(progress_.front(), std::pair(std::size_t{0}, std::string("coding")));

  const std::int64_t second = sweep();
  ASSERT_TRUE(evaluate(second));
  EXPECT_TRUE(progress_.empty());  // nothing was coded, nothing run
  Results results(database_);
  ResultFilter filter;
  filter.run = second;
  const std::vector<EvalRow> found = results.evaluations(filter);
  ASSERT_EQ(found.size(), 2);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(found[i].config, rows[i].config);
    EXPECT_EQ(found[i].kind, "ppl");
    EXPECT_EQ(found[i].dataset, "eval.txt");
    EXPECT_EQ(found[i].params, rows[i].params);
    EXPECT_EQ(found[i].measured.value, rows[i].measured.value);
    EXPECT_EQ(found[i].measured.standard_error, rows[i].measured.standard_error);
    EXPECT_EQ(found[i].measured.seconds, rows[i].measured.seconds);
  }
  EXPECT_EQ(results.evaluations().size(), 4);
  ResultFilter latest;
  latest.latest_only = true;
  EXPECT_EQ(results.evaluations(latest).size(), 2);
  latest.families = {"zfp"};
  EXPECT_TRUE(results.evaluations(latest).empty());
}

TEST_F(SweepEvaluations, DivergeFromTheModelAsItIsStored) {
  request_.kinds = {"kld"};
  const std::int64_t first = sweep();
  ASSERT_TRUE(evaluate(first));
  const auto means = [&] {
    std::vector<double> values;
    for (const EvalRow& row : rows_) {
      if (row.kind == "kld") values.push_back(row.measured.value);
    }
    return values;
  };
  const std::vector<double> found = means();
  ASSERT_EQ(found.size(), 2);
  EXPECT_GT(found[0], 20 * found[1]);
  EXPECT_GT(found[1], 0);
  ASSERT_TRUE(evaluate(sweep()));
  EXPECT_TRUE(progress_.empty());
  EXPECT_EQ(means(), found);
}

TEST_F(SweepEvaluations, KeepFinishedWindowsWhenCancelled) {
  const std::int64_t run = sweep();
  std::atomic<bool> cancel{false};
  request_.cancel = &cancel;
  on_progress_ = [&](std::size_t total, const EvaluationProgress& now) {
    // In the second configuration, while weights are coded; then in its second window.
    if (total == 1 && now.kind == "coding" && rows_.size() == 1) cancel = true;
  };
  EXPECT_FALSE(evaluate(run));
  ASSERT_EQ(rows_.size(), 1);
  cancel = false;
  on_progress_ = [&](std::size_t, const EvaluationProgress& now) {
    if (now.kind == "ppl" && now.done > 300) cancel = true;
  };
  EXPECT_FALSE(evaluate(run));
  EXPECT_EQ(rows_.size(), 1);
  cancel = false;
  std::uint64_t total_tokens = 0;
  on_progress_ = [&](std::size_t, const EvaluationProgress& now) {
    if (now.kind == "ppl") total_tokens = now.total;
  };
  EXPECT_TRUE(evaluate(run));
  EXPECT_EQ(rows_.size(), 2);
  EXPECT_EQ(total_tokens, 256);  // of one window: the other was kept
}

TEST_F(SweepEvaluations, RefuseTheTextBeforeAnythingIsSweptAndListWhatFails) {
  request_.text_path = dir_ / "absent";
  EXPECT_TRUE(test::error_of([&] { SweepEvaluation(plan_, request_); }));
  request_.text_path = test::kData + "/models/stories260K/eval.txt";
  const std::int64_t run = sweep();
  totals_[0].ok = false;
  totals_[0].error = "1 of 35 weights failed";
  ASSERT_TRUE(evaluate(run));
  ASSERT_EQ(rows_.size(), 2);
  EXPECT_EQ(rows_[0].error, "1 of 35 weights failed [bad_value]");
  EXPECT_EQ(rows_[1].error, "");
  const std::vector<EvalRow> found = Results(database_).evaluations();
  ASSERT_EQ(found.size(), 2);
  EXPECT_EQ(found[0].error, rows_[0].error);
  EXPECT_EQ(found[0].config, plan_.totals[0].config.params.text());
}

}  // namespace
}  // namespace qi
