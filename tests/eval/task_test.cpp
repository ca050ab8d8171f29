// Tasks beside what others make of their texts, choices and answers.
#include "eval/evaluation/task.h"

#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/evaluation/generation.h"
#include "eval/evaluation/logit_tile.h"
#include "eval/evaluation/task_file.h"
#include "eval/evaluation/task_score.h"
#include "tests/support/broken_weight.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

const std::string kTasks = test::kData + "/tasks/";
const std::string kTaskModel = test::kData + "/models/wap";

TaskFile task_of(const std::string& name) {
  return parse_task(read_named_file(kTasks + name, "a task"), name);
}

TEST(TaskScore, ChoicesAsOthersChoose) {
  const auto vector = test::read_json(test::kData + "/vectors/eval_choice_00.json");
  double right[3] = {};
  for (const auto& item : vector["items"]) {
    const auto best = best_choices(item["loglikelihoods"].get<std::vector<double>>(),
                                   item["choices"].get<std::vector<std::string>>());
    EXPECT_EQ(best[0], item["pred"]);
    EXPECT_EQ(best[1], item["pred_norm"]);
    EXPECT_EQ(best[2], item["pred_bytes"]);
    for (int k = 0; k < 3; ++k) right[k] += best[k] == item["gold"] ? 1 : 0;
  }
  const auto& expected = vector["expected"];
  EXPECT_EQ(right[0] / 12, expected["acc"].get<double>());
  EXPECT_EQ(right[1] / 12, expected["acc_norm"].get<double>());
  EXPECT_EQ(right[2] / 12, expected["acc_bytes"].get<double>());
}

TEST(TaskScore, TextsAndAnswersAsOthersHaveThem) {
  const auto vector = test::read_json(test::kData + "/vectors/eval_text_00.json");
  for (const auto& text : vector["hellaswag_clean"]) {
    EXPECT_EQ(hellaswag_clean(text["text"].get<std::string>()), text["expected"]);
  }
  for (const auto& given : vector["gsm8k"]) {
    const std::string output = given["output"];
    const std::string gold = given["gold"];
    EXPECT_EQ(strict_answer(output), given["strict"]);
    EXPECT_EQ(flexible_answer(output), given["flexible"]);
    EXPECT_EQ(same_answer(strict_answer(output), gold), given["strict_match"]) << output;
    EXPECT_EQ(same_answer(flexible_answer(output), gold), given["flexible_match"]) << output;
  }
  EXPECT_EQ(strict_answer("#### x #### -"), "[invalid]");
  EXPECT_EQ(flexible_answer("-- -7 . - 8"), "8");
  EXPECT_EQ(flexible_answer("at 5."), "5.");
  EXPECT_TRUE(same_answer("1000", "1,200 less 200\n#### 1,000"));
  EXPECT_TRUE(same_answer("$7.", "7"));
}

TEST(TaskFile, AsksInTheWordsOfTheHarness) {
  const TaskFile hellaswag = task_of("hellaswag.jsonl");
  ASSERT_EQ(hellaswag.questions.size(), 3);
  EXPECT_EQ(hellaswag.questions[0].context,
            "Making tea: A woman fills a kettle with water and sets it on the stove. She");
  EXPECT_EQ(hellaswag.questions[0].choices[0],
            "waits until the water boils. Then she pours it over the leaves.");
  EXPECT_EQ(hellaswag.questions[0].choices[1], "throws the kettle out of the window.");
  EXPECT_EQ(hellaswag.questions[1].gold, 1);
  const TaskFile piqa = task_of("piqa.jsonl");
  EXPECT_EQ(piqa.questions[1].context, "Question: To write a letter,\nAnswer:");
  EXPECT_EQ(piqa.questions[1].answer, "dip the pen into the ink.");
  const TaskFile arc = task_of("arc.jsonl");
  EXPECT_EQ(arc.questions[1].context, "Question: What do horses eat?\nAnswer:");
  EXPECT_EQ(arc.questions[1].gold, 1);
  EXPECT_EQ(arc.questions[0].choices.size(), 4);
  EXPECT_EQ(task_of("choices.jsonl").questions.size(), 3);
  EXPECT_EQ(
      shots_text(task_of("gsm8k.jsonl").questions).substr(0, 128),
      "Question: Ann has 3 apples and buys 4 more. How many apples has she?\nAnswer: She has 3 + "
      "4 = <<3+4=7>>7 apples.\n#### 7\n\nQuestion");
  EXPECT_EQ(capitalized("ÉCOLE Ñandú"), "École ñandú");
  EXPECT_EQ(hellaswag_clean("a [b c [x\ny] [d]"), "a [b c [x\ny] ");
  EXPECT_EQ(trailing_space("a\xC2\xA0 \n"), 4);
  EXPECT_EQ(characters("caf\xC3\xA9 \xE6\xB0\xB4"), 6);
}

TEST(TaskFile, RefusesNamingTheLine) {
  const auto refusal = [](const std::string& text) {
    const auto error = test::error_of([&] { parse_task(text, "t.jsonl"); });
    return error ? std::string(class_word(error->code)) + ": " + error->message : "none";
  };
  const std::string good = R"({"context": "a", "choices": ["b", "c"], "gold": 0})"
                           "\n";
  EXPECT_EQ(refusal(good + "\r\n \n" + good), "none");
  EXPECT_EQ(refusal(" \n"), "bad_value: no question is in it");
  EXPECT_EQ(refusal(good + "{\"context\": "), "bad_json: line 2: JSON ends too early");
  EXPECT_EQ(refusal(good + "[]"), "bad_schema: line 2: it is of type array");
  EXPECT_EQ(refusal(good + "{}").substr(0, 26), "bad_schema: line 2: its fi");
  EXPECT_EQ(refusal(good + "\xFF").substr(0, 21), "bad_encoding: line 2:");
  const auto with = [&](const char* line) { return refusal(good + "\n" + line); };
  EXPECT_EQ(with(R"({"question": "q", "answer": "a"})"), "bad_schema: line 3: a question of gsm8k");
  EXPECT_EQ(with(R"({"context": 1, "choices": ["b", "c"], "gold": 0})"),
            "bad_schema: line 3: no text \"context\"");
  EXPECT_EQ(with(R"({"query": "q", "choices": ["b", 3], "gold": 0})"),
            "bad_schema: line 3: choices is no list of texts");
  EXPECT_EQ(with(R"({"query": "q", "choices": ["b", ""], "gold": 0})"),
            "bad_schema: line 3: 2 choices, or an empty one");
  EXPECT_EQ(with(R"({"query": "q", "choices": ["b", "c"], "gold": 2})"),
            "bad_schema: line 3: choice 2 is the right one");
  EXPECT_EQ(with(R"({"query": "q", "choices": ["b", "c"], "gold": -1})"),
            "bad_schema: line 3: no number \"gold\"");
  EXPECT_EQ(refusal(R"({"question": "q", "choices": {"text": ["b", "c"], "label": ["A"]},
                        "answerKey": "A"})"),
            "bad_json: line 1: JSON ends too early");
  EXPECT_EQ(
      refusal(R"({"question": "q", "choices": {"text": ["b"], "label": ["A"]}, "answerKey": "B"})"),
      "bad_schema: line 1: answerKey is no choice's label");
}

class Tasks : public testing::Test {
 protected:
  Continuation pair(const std::string& context, const std::string& continuation,
                    std::size_t room = 1000) const {
    return encode_pair(*tokenizer_, tokenizer_->bos(), context, continuation, room);
  }

  /// Log-likelihood of what is scored, all tokens run at once and alone.
  double alone(const Continuation& of) const {
    const std::span<const std::int32_t> tokens = of.tokens;
    KvCache cache(transformer_.architecture(), tokens.size(), KvType::kF32, KvLayers::kCurrent);
    std::vector<float> states;
    transformer_.run(tokens.first(tokens.size() - 1), cache, states);
    const std::size_t hidden = transformer_.architecture().hidden;
    std::vector<double> nll;
    negative_log_likelihoods(transformer_, std::span<const float>(states).last(of.scored * hidden),
                             tokens.last(of.scored), nll);
    return -std::accumulate(nll.begin(), nll.end(), 0.0);
  }

  using Rows = std::map<std::string, EvalRow>;
  Rows run(const EvaluationRequest& asked, const std::function<void(std::uint64_t)>& at = {},
           const OpenWeight& open = open_reader) {
    ResultsStore results(database_);
    EvalStore store(database_, results, [&] { return results.begin_run({}, {}); });
    Rows rows;
    steps_ = 0;
    EvaluationEvents events;
    events.on_row = [&](const EvalRow& row) { rows[row.kind] = row; };
    events.on_progress = [&](const EvaluationProgress& now) {
      ++steps_;
      if (at) at(now.done);
    };
    const EvaluatedWeights weights{open, std::nullopt, 0, {}};
    Evaluation(model_, asked).run(weights, store, events);
    return rows;
  }
  static EvaluationRequest request(const std::string& task) {
    EvaluationRequest out;
    out.kinds = {"task"};
    out.task.path = kTasks + task;
    out.threads = 2;
    return out;
  }

  test::TempDir dir_;
  std::string database_ = dir_ / "r.db";
  std::uint64_t steps_ = 0;
  const Model model_ = open_model(find_models(kTaskModel).models.front());
  const Transformer transformer_{model_, open_reader, {2}};
  const std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer(model_);
};

TEST_F(Tasks, AContinuationIsEncodedWithItsContext) {
  const Continuation plain = pair("Prince Andrew looked", " at her.");
  EXPECT_EQ(plain.tokens.front(), tokenizer_->bos());
  const auto whole = tokenizer_->encode("Prince Andrew looked at her.");
  EXPECT_EQ(plain.tokens.size(), whole.size() + 1);
  EXPECT_EQ(plain.scored, whole.size() - tokenizer_->encode("Prince Andrew looked").size());
  // Space at the end of the context is the continuation's.
  EXPECT_EQ(pair("Prince Andrew looked ", "at her.").tokens, plain.tokens);
  EXPECT_EQ(pair("Prince Andrew looked ", "at her.").scored, plain.scored);
  const Continuation cut = pair("Prince Andrew looked", " at her.", 4);
  EXPECT_EQ(cut.tokens, std::vector<std::int32_t>(whole.end() - 5, whole.end()));
  EXPECT_EQ(pair("", "at her.").scored, tokenizer_->encode("at her.").size());
  EXPECT_EQ(pair("Prince Andrew looked", " at her.", 2).scored, 2);
}

TEST_F(Tasks, PromptsWithACommonBeginningGiveWhatTheyGiveAlone) {
  PromptRunner runner(transformer_, KvType::kF32);
  std::vector<float> states;
  std::vector<double> nll;
  for (const TaskQuestion& question : task_of("hellaswag.jsonl").questions) {
    for (const std::string& choice : question.choices) {
      const Continuation of = pair("Some words. " + question.context, " " + choice);
      const std::span<const std::int32_t> tokens = of.tokens;
      ASSERT_TRUE(
          runner.run(tokens.first(tokens.size() - 1), tokens.size() - 1 - of.scored, states));
      negative_log_likelihoods(transformer_, states, tokens.last(of.scored), nll);
      EXPECT_NEAR(-std::accumulate(nll.begin(), nll.end(), 0.0), alone(of), 1e-3);
    }
  }
}

TEST_F(Tasks, GenerationTakesTheLikeliestTokenUntilAStop) {
  PromptRunner runner(transformer_, KvType::kF32);
  const std::vector<std::int32_t> prompt = tokenizer_->encode("Prince Andrew said to Pierre");
  std::vector<std::int32_t> tokens = prompt;
  for (int i = 0; i < 12; ++i) {
    KvCache cache(transformer_.architecture(), tokens.size(), KvType::kF32, KvLayers::kCurrent);
    std::vector<float> states;
    transformer_.run(tokens, cache, states);
    LogitTile tile;
    tile.fill(transformer_,
              std::span<const float>(states).last(transformer_.architecture().hidden));
    tokens.push_back(tile.best(0));
  }
  const auto generated = generate(runner, *tokenizer_, prompt, {12, {}});
  const std::string text = tokenizer_->decode(std::span(tokens).subspan(prompt.size()));
  EXPECT_EQ(generated->text, text);
  EXPECT_EQ(generated->tokens, 12);
  const std::string_view stop = std::string_view(text).substr(text.size() / 2, 4);
  const auto stopped = generate(runner, *tokenizer_, prompt, {12, {&stop, 1}});
  EXPECT_EQ(stopped->text, text.substr(0, text.find(stop)));
  EXPECT_LT(stopped->tokens, 12);
}

TEST_F(Tasks, SharesOfRightAnswersAndInterruptedRuns) {
  const TaskFile task = task_of("hellaswag.jsonl");
  EvaluationRequest asked = request("hellaswag.jsonl");
  double right = 0;
  for (const TaskQuestion& question : task.questions) {
    std::vector<double> log_likelihoods;
    for (const std::string& choice : question.choices) {
      log_likelihoods.push_back(alone(pair(question.context, " " + choice)));
    }
    right += best_choices(log_likelihoods, question.choices)[1] == question.gold ? 1 : 0;
  }
  std::atomic<bool> cancel{false};
  asked.cancel = &cancel;
  EXPECT_TRUE(run(asked, [&](std::uint64_t done) { cancel = done == 2; }).empty());
  cancel = false;
  const Rows rows = run(asked);
  EXPECT_EQ(steps_, 4 + 1);  // the choices of what was left
  EXPECT_EQ(rows.at("task.acc_norm").measured.value, right / 3);
  EXPECT_EQ(rows.at("task.acc").params.get("questions"), "3");
  EXPECT_EQ(run(asked).at("task.acc").measured.value, rows.at("task.acc").measured.value);
  EXPECT_EQ(steps_, 0);

  asked = request("piqa.jsonl");
  asked.task.shots_path = kTasks + "piqa.jsonl";
  asked.task.limit = 1;
  EXPECT_EQ(run(asked).at("task.acc").params.get("shots"), "2");
  asked.task.shots = 3;
  EXPECT_EQ(test::class_of([&] { run(asked); }), "usage");
  asked.task = {kTasks + "piqa.jsonl", kTasks + "arc.jsonl", {}, 0};
  EXPECT_EQ(test::class_of([&] { run(asked); }), "inconsistent");
  EXPECT_TRUE(run(request("gsm8k.jsonl")).contains("task.exact_match"));
}

TEST_F(Tasks, AreTheSameForAnyNumberOfThreads) {
  for (const char* task : {"hellaswag.jsonl", "gsm8k.jsonl"}) {
    EvaluationRequest asked = request(task);
    asked.redo = true;
    const Rows two = run(asked);
    for (const unsigned threads : {1u, 3u}) {
      asked.threads = threads;
      const Rows other = run(asked);
      for (const auto& [kind, row] : two) {
        EXPECT_EQ(other.at(kind).measured.value, row.measured.value) << kind;
        EXPECT_EQ(other.at(kind).measured.tokens, row.measured.tokens) << kind;
      }
    }
  }
}

TEST_F(Tasks, RefuseNumbersThatAreNotFiniteNamingTheLayer) {
  for (const char* task : {"hellaswag.jsonl", "gsm8k.jsonl"}) {
    const auto error = test::error_of(
        [&] { run(request(task), {}, test::with_nan("model.layers.1.mlp.down_proj.weight")); });
    ASSERT_TRUE(error) << task;
    EXPECT_EQ(error->message, "the MLP of layer 1 gives numbers that are not finite");
  }
}

}  // namespace
}  // namespace qi
