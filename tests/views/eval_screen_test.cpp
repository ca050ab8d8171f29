#include "views/eval_screen.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "views/option_form.h"

namespace qi {
namespace {

using test::drawn;
using test::press;

FormList kinds_form() {
  return FormList(
      {{"ppl", "its perplexity", {}, true, false},
       {"kld", "how far it is from a base", {{"base", "MODEL", "", "the base"}}, false, false},
       {"text",
        "what is read",
        {{"text", "FILE", "", "the text, UTF-8"}, {"context", "N", "", "tokens a window"}},
        false,
        true},
       {"model", "how it runs", {{"redo", "", "", "measure again"}}, false, true}});
}

/// A text must be named, and a kind chosen.
std::string refusal(const OptionForm::Choice& choice) {
  if (choice.sections.empty()) return "no kind";
  for (const auto& [name, text] : choice.options) {
    if (name == "text") return "";
  }
  return "no text: a file";
}

OptionForm::About about() {
  return {
      "Evaluate  Llama-3.1-8B-Instruct", Ask::kStartEval, refusal,
      [](const OptionForm::Choice& choice) { return choice.sections.front() + ", on all cores"; },
      "what the database has is not measured again"};
}

OptionForm eval_form() {
  OptionForm form(about(), kinds_form());
  form.resize({120, 36});
  return form;
}

TEST(OptionForm, ChoosesKindsAndOptions) {
  OptionForm form = eval_form();
  EXPECT_EQ(press(form, "r").ask, Ask::kNothing);
  press(form, "jjj ");  // the text
  ASSERT_EQ(form.context(), kInField);
  press(form, "a b.txt");
  form.handle(key(KeyCode::kEnter));
  EXPECT_EQ(form.choice().sections, std::vector<std::string>{"ppl"});
  using Options = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(form.choice().options, (Options{{"text", "a b.txt"}}));
  EXPECT_EQ(press(form, "r").ask, Ask::kStartEval);
  press(form, "jjj ");  // the switch
  EXPECT_EQ(form.choice().options, (Options{{"text", "a b.txt"}, {"redo", ""}}));
  press(form, "gj ");  // kld's section opens with its field
  EXPECT_EQ(form.choice().sections, (std::vector<std::string>{"ppl", "kld"}));
  press(form, "g ");  // not ppl any more
  EXPECT_EQ(form.choice().sections, std::vector<std::string>{"kld"});
  // What was typed is there in the next one.
  OptionForm next(about(), form.form());
  EXPECT_EQ(next.choice().options, form.choice().options);
}

TEST(OptionForm, OfSomeSectionsOneIsOnAtATime) {
  OptionForm form(about(),
                  FormList({{"one", "", {{"a", "N", "", "a"}, {"b", "N", "", "b"}}, false, false},
                            {"two", "", {{"c", "N", "", "c"}}, false, false},
                            {"rest", "", {{"text", "FILE", "", "the text"}}, false, true}},
                           FormSwitches::kOne));
  form.resize({120, 36});
  press(form, " ");
  EXPECT_EQ(form.choice().sections, std::vector<std::string>{"one"});
  press(form, "jjj ");  // two: the fields of one go away, the cursor stays on it
  EXPECT_EQ(form.choice().sections, std::vector<std::string>{"two"});
  press(form, " ");
  EXPECT_TRUE(form.choice().sections.empty());
  press(form, "k j ");
  EXPECT_EQ(form.choice().sections, std::vector<std::string>{"one"});
}

TEST(OptionForm, GoldensAndSizes) {
  OptionForm form = eval_form();
  test::expect_goldens("eval_form", form);
  press(form, "jjj x");
  test::expect_every_size(form, "Evaluate");
  form.handle(Key{.code = KeyCode::kPaste, .text = std::string(300, 'w') + "\x1b[31m\u202e"});
  form.handle(key(KeyCode::kEnter));
  test::expect_clean_frame(form);
}

EvalRow eval_row(std::string family, std::string config, double value, double bits) {
  EvalRow row;
  row.run = 3;
  row.model = "Llama-3.1-8B-Instruct";
  row.family = std::move(family);
  row.config = std::move(config);
  row.bits_per_weight = bits;
  row.kind = "ppl";
  row.dataset = "wiki.test.txt";
  row.params.set("protocol", "hf");
  row.measured = {value, 0.0312, 289'067, 5122.5, std::uint64_t{9} << 30};
  return row;
}

std::shared_ptr<EvalReport> eval_report() {
  auto report = std::make_shared<EvalReport>();
  report->title = "Llama-3.1-8B-Instruct";
  report->rows = {eval_row("", "", 6.2401, 16),
                  eval_row("zfp", "dims=2;layout=field;mode=rate;rate=4", 6.9137, 4.2),
                  eval_row("nosuch", "x=1", 7, 4)};
  report->rows[2].error = "no family is called nosuch [usage]";
  return report;
}

TEST(EvalScreen, Goldens) {
  auto report = eval_report();
  EvalScreen ended(report);
  test::expect_goldens("eval_ended", ended);
  report->job = JobSnapshot{};
  report->job->state = JobState::kActive;
  report->job->eta_s = 71;
  for (std::uint64_t i = 1; i <= 40; ++i) {
    report->follow({"ppl", i, 100}, 6 + 3.0 / static_cast<double>(i));
  }
  EvalScreen running(report);
  test::expect_goldens("eval_running", running);
}

TEST(EvalScreen, SizesAndWhatIsNotThere) {
  auto report = std::make_shared<EvalReport>();
  report->title = "m";
  EvalScreen screen(report);
  test::expect_every_size(screen, "Evaluate");
  report->error = "m: no tokenizer";
  EXPECT_NE(drawn(screen, {120, 36}).find("m: no tokenizer"), std::string::npos);
  EXPECT_EQ(press(screen, "x").ask, Ask::kNothing);  // nothing runs
  EXPECT_EQ(press(screen, "E").ask, Ask::kShowEval);
  report->rows = eval_report()->rows;
  report->rows[0].dataset = "\x1b[31m\u202e";
  report->rows[1].config = "\x1b]0;x\a";
  screen.refresh();
  test::expect_clean_frame(screen);
}

// A long run is thinned out, evenly, and keeps its end.
TEST(EvalReport, KeepsItsCurveShort) {
  EvalReport report;
  for (std::uint64_t i = 1; i <= 10'000; ++i) {
    report.follow({"ppl", i, 10'000}, static_cast<double>(i));
    report.follow({"ppl", i, 10'000}, static_cast<double>(i));  // between two windows
  }
  EXPECT_LE(report.curve.size(), EvalReport::kMostPoints);
  EXPECT_GE(report.curve.size(), EvalReport::kMostPoints / 4);
  EXPECT_EQ(report.curve.back().value, 10'000);
  for (std::size_t i = 1; i < report.curve.size(); ++i) {
    EXPECT_LT(report.curve[i - 1].share, report.curve[i].share);
  }
  report.follow({"kld", 1, 10}, 0.5);
  EXPECT_EQ(report.curve.size(), 1u);
}

}  // namespace
}  // namespace qi
