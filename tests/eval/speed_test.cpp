// What is measured and how it is counted, not how fast it was.
#include "eval/evaluation/speed.h"

#include <fstream>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/evaluation/evaluation.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

const std::string kStoriesModel = QI_TEST_DATA "/models/stories260K";

TEST(Speed, EveryMeasureOnceAndWhatItCounts) {
  const Model model = open_model(find_models(kStoriesModel).models.front());
  const Transformer transformer(model, open_reader, {2});
  auto plan = plan_speed(transformer, {}, KvType::kF16, 0);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->prompts.size(), 5);
  for (const auto& prompt : plan->prompts) EXPECT_EQ(prompt.size(), 128);
  EXPECT_EQ(plan->generated, 64);
  EXPECT_NE(plan->prompts[0], plan->prompts[1]);
  plan->generated = 8;
  for (auto& prompt : plan->prompts) prompt.resize(20);
  std::vector<SpeedMeasure> measures;
  SpeedEvents events;
  events.on_measure = [&](const SpeedMeasure& measure) { measures.push_back(measure); };
  std::uint64_t done = 0, total = 1;
  events.on_progress = [&](std::uint64_t now, std::uint64_t all) {
    EXPECT_GT(now, done);
    done = now;
    total = all;
  };
  ASSERT_TRUE(measure_speed(transformer, *plan, events));
  EXPECT_EQ(done, total);
  ASSERT_EQ(measures.size(), speed_measures().size());
  for (std::size_t i = 0; i < measures.size(); ++i) {
    SCOPED_TRACE(measures[i].name);
    EXPECT_EQ(measures[i].name, speed_measures()[i].name);
    EXPECT_GT(measures[i].value, 0);
    EXPECT_GT(measures[i].seconds, 0);
    EXPECT_GT(measures[i].tokens, 0);
  }
  const auto tokens = [&](std::string_view name) {
    for (const SpeedMeasure& measure : measures) {
      if (measure.name == name) return measure.tokens;
    }
    return std::uint64_t{0};
  };
  EXPECT_EQ(tokens("prefill"), 100);
  EXPECT_EQ(tokens("decode"), 5 * 7);
  EXPECT_EQ(tokens("sequential"), 5 * 28);
  EXPECT_EQ(tokens("batch.step"), 5 * 7);
  EXPECT_EQ(tokens("mix.prompt"), 512);
  EXPECT_EQ(tokens("mix.80_20"), 255);
  EXPECT_EQ(tokens("mix.generate"), 256);
}

TEST(Speed, PlansForTheContextTheTimeAndTheGivenPrompts) {
  const Model model = open_model(find_models(kStoriesModel).models.front());
  const Transformer transformer(model, open_reader, {1});
  const auto short_plan = plan_speed(transformer, {}, KvType::kF32, 1e-9);
  ASSERT_TRUE(short_plan);
  EXPECT_EQ(short_plan->generated, 4);
  EXPECT_EQ(short_plan->prompts.front().size(), 4);
  EXPECT_EQ(short_plan->mixes.front().generated, 1);
  const auto given = plan_speed(transformer, random_prompts(512, 2, 500), KvType::kF32, 1e-9);
  ASSERT_TRUE(given);
  ASSERT_EQ(given->prompts.size(), 5);
  EXPECT_EQ(given->prompts[2], given->prompts[0]);
  EXPECT_EQ(given->prompts[4].size(), 500);
  const auto error = test::error_of(
      [&] { plan_speed(transformer, random_prompts(512, 1, 512), KvType::kF32, 0); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kUsage);
}

TEST(Speed, StopsWhenAsked) {
  const Model model = open_model(find_models(kStoriesModel).models.front());
  std::atomic<bool> cancel{false};
  const Transformer transformer(model, open_reader, {2, &cancel});
  const auto plan = plan_speed(transformer, {}, KvType::kF32, 0);
  ASSERT_TRUE(plan);
  SpeedEvents events;
  events.on_measure = [](const SpeedMeasure&) {};
  events.on_progress = [&](std::uint64_t, std::uint64_t) { cancel = true; };
  EXPECT_FALSE(measure_speed(transformer, *plan, events));
}

TEST(Speed, RowsOfTheEvaluation) {
  const test::TempDir dir;
  std::ofstream(dir / "prompts.txt") << "Once upon a time\n\nThere was a dog\r\n";
  const Model model = open_model(find_models(kStoriesModel).models.front());
  EvaluationRequest request;
  request.kinds = {"speed"};
  request.prompts_path = dir / "prompts.txt";
  request.threads = 2;
  request.perplexity.activations = Activations::kQ8;
  std::vector<EvalRow> rows;
  EvaluationEvents events;
  events.on_row = [&](const EvalRow& row) { rows.push_back(row); };
  const std::string database = dir / "r.db";
  ResultsStore results(database);
  EvalStore store(database, results, [&] { return results.begin_run({}, {}); });
  const EvaluatedWeights as_stored{open_reader, std::nullopt, model.bits_per_weight(), {}};
  const auto run = [&] { return Evaluation(model, request).run(as_stored, store, events); };
  ASSERT_TRUE(run());
  ASSERT_EQ(rows.size(), speed_measures().size() + 3);
  EXPECT_EQ(rows.front().kind, "speed.load");
  EXPECT_EQ(rows[1].kind, "speed.prefill");
  EXPECT_EQ(rows.back().kind, "speed.memory.private");
  EXPECT_GT(rows.back().measured.value, 0);
  EXPECT_EQ(rows.front().dataset, "prompts.txt");
  EXPECT_EQ(rows.front().params.text(), "B=5;G=64;P=7;activations=q8;kv=f32;threads=2");
  std::ofstream(request.prompts_path) << "\n\n";
  const auto error = test::error_of(run);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kBadValue);
}

}  // namespace
}  // namespace qi
