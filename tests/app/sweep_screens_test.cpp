// Sweeps as a user of the interface runs them: the form, rows as they come, results, heat maps,
// comparisons and plans, and cancelling in the middle.
#include <poll.h>

#include <algorithm>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/ui/background_sweep.h"
#include "app/ui/own_priority.h"
#include "app/ui/wake.h"
#include "engine/format/open.h"
#include "tests/support/database_counts.h"
#include "tests/support/driven.h"
#include "tests/support/temp_dir.h"
#include "views/widgets.h"

namespace qi {
namespace {

using test::contents;
using test::count;
using test::Driven;
using test::kClaims;
using test::kMeasured;

const std::string kModels = std::string(QI_TEST_DATA) + "/models/";
const std::string kWap = kModels + "wap";
const std::string kStories = kModels + "stories260K/model.safetensors";

/// "12 of 4 128 rows" on the Sweep screen: the first number.
std::uint64_t finished_rows(Driven& ui) {
  const std::string screen = ui.screen();
  const std::string line = screen.substr(0, screen.find('\n'));
  const std::size_t end = line.rfind(" of ");
  if (end == std::string::npos) return 0;
  const std::size_t begin = line.rfind("  ", end) + 2;
  std::string digits;
  for (const char c : line.substr(begin, end - begin)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  return digits.empty() ? 0 : std::stoull(digits);
}

/// The line of the form under the cursor, from its switch or name on.
std::string cursor_line(Driven& ui) {
  const std::string screen = ui.screen();
  const std::size_t at = screen.find("▸");
  if (at == std::string::npos) return "";
  std::string line = screen.substr(at, screen.find('\n', at) - at);
  return line.erase(0, line.find_first_not_of(' ', std::string_view("▸").size()));
}

/// To the line that begins with that word.
bool to_line(Driven& ui, std::string_view word) {
  ui.type("g");
  for (int i = 0; i < 120; ++i) {
    std::string line = cursor_line(ui);
    line.erase(0, line.find_first_not_of(" []x"));
    if (line.starts_with(std::string(word) + " ")) return true;
    ui.type("j");
  }
  return false;
}

void set_option(Driven& ui, std::string_view option, std::string_view values) {
  ASSERT_TRUE(to_line(ui, option)) << option << "\n" << ui.screen();
  ui.press(KeyCode::kEnter);
  ui.program().handle(control('u'));
  ui.type(values);
  ui.press(KeyCode::kEnter);
}

/// The form with these families alone, whatever the last one had.
void open_form(Driven& ui, const std::vector<std::string>& families) {
  ui.type("r");
  ASSERT_EQ(ui.program().context(), kInForm);
  ui.type("g");
  for (int i = 0; i < 120; ++i) {
    if (cursor_line(ui).starts_with("[x]")) ui.press(KeyCode::kEnter);
    ui.type("j");
  }
  for (const std::string& family : families) {
    ASSERT_TRUE(to_line(ui, family)) << ui.screen();
    ui.press(KeyCode::kEnter);
  }
}

/// A sweep of two configurations of five weights, to its end; the Sweep screen is on top.
void sweep_stories(Driven& ui) {
  ASSERT_TRUE(ui.shows("all 47 weights analysed"));
  ui.command("mark q_proj");
  open_form(ui, {"rtn", "lossless"});
  set_option(ui, "codecs", "store");
  ASSERT_TRUE(ui.sees("5 weights x 2 configurations: 10 rows")) << ui.screen();
  ui.type("r");
  EXPECT_EQ(ui.program().context(), kInSweep);
  ASSERT_TRUE(ui.shows("10 of 10 rows"));
  ASSERT_TRUE(ui.shows("done"));
}

TEST(SweepScreens, RowsAndTotalsAppearAndStay) {
  Driven ui(kStories);
  ASSERT_NO_FATAL_FAILURE(sweep_stories(ui));
  EXPECT_TRUE(ui.sees("store                    32.00     inf")) << ui.screen();
  EXPECT_TRUE(ui.sees("rtn 4 g128 asym           4.38")) << ui.screen();
  ui.type("J");
  EXPECT_EQ(ui.program().context(), kInJobs);
  EXPECT_TRUE(ui.sees("sweep rtn, lossless of model  done")) << ui.screen();
  EXPECT_FALSE(ui.sees("planning"));
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInSweep);
  ui.press(KeyCode::kEnter);  // each weight of the configuration
  EXPECT_EQ(ui.program().context(), kInResults);
  EXPECT_TRUE(ui.sees("5 rows")) << ui.screen();
  ui.press(KeyCode::kEnter);
  EXPECT_EQ(ui.program().context(), kInWeight);
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInTable);
  ui.type("r");  // the sweep there is
  EXPECT_EQ(ui.program().context(), kInSweep);
  EXPECT_TRUE(ui.sees("10 of 10 rows"));
  ui.type("r");  // another
  EXPECT_EQ(ui.program().context(), kInForm);
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInSweep);
  ui.type("R");
  EXPECT_EQ(ui.program().context(), kInResults);
  ASSERT_TRUE(ui.shows("12 rows"));  // with the totals
  EXPECT_TRUE(ui.sees("* all of the run")) << ui.screen();
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInSweep);
  EXPECT_EQ(count(ui.database(), kClaims), 0);
}

TEST(SweepScreens, WhatIsMeasuredAlreadyIsNotMeasuredAgain) {
  Driven ui(kStories);
  ASSERT_NO_FATAL_FAILURE(sweep_stories(ui));
  open_form(ui, {"rtn", "lossless"});
  set_option(ui, "codecs", "store,planes");
  ui.type("r");
  ASSERT_TRUE(ui.shows("15 of 15 rows"));
  ASSERT_TRUE(ui.shows("done"));
  EXPECT_EQ(count(ui.database(), kMeasured), 15);
  ui.type("R");
  ASSERT_TRUE(ui.shows("30 rows"));  // 12 of the first run, 18 of the second
}

TEST(SweepScreens, AHeatMapOfOneConfigurationAndOfTwo) {
  Driven ui(kStories);
  ASSERT_NO_FATAL_FAILURE(sweep_stories(ui));
  ui.type("j");
  ui.type("H");
  EXPECT_EQ(ui.program().context(), kInHeatmap);
  EXPECT_TRUE(ui.sees("Heat map  rtn 4 g128 asym  model")) << ui.screen();
  EXPECT_TRUE(ui.sees("1 module · 5 layers"));
  EXPECT_TRUE(ui.sees("SNR dB 21.4")) << ui.screen();
  ui.command("heatmap bits_per_weight");
  EXPECT_TRUE(ui.sees("b/w 4.38")) << ui.screen();
  ui.command("heatmap nonsense");
  EXPECT_TRUE(ui.sees("no column of numbers is called nonsense")) << ui.screen();
  ui.type("x");
  EXPECT_TRUE(ui.sees("nothing is running")) << ui.screen();
  ui.press(KeyCode::kEnter);
  EXPECT_EQ(ui.program().context(), kInWeight);
  EXPECT_TRUE(ui.sees("model.layers.0.self_attn.q_proj.weight")) << ui.screen();
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInSweep);
  ui.type("g  =");
  EXPECT_EQ(ui.program().context(), kInCompare);
  ui.type("H");
  EXPECT_TRUE(ui.sees("Heat map  1/2")) << ui.screen();
  ui.press(KeyCode::kTab);
  EXPECT_TRUE(ui.sees("Heat map  2/2")) << ui.screen();
  const std::string file = ui.folder() + "/heat.csv";
  ui.command("export " + file);
  EXPECT_NE(contents(file).find("snr_db of layer 4"), std::string::npos);
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInCompare);
  ui.press(KeyCode::kEscape);
  ui.press(KeyCode::kEscape);
  ui.type("H");  // of the weights, as ever
  EXPECT_TRUE(ui.sees("Heat map  model")) << ui.screen();
}

TEST(SweepScreens, CancellingKeepsFinishedRows) {
  Driven ui(kWap);
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  open_form(ui, {"zfp"});
  // Thousands of rows, so that it still runs when the first ones are seen.
  std::string precisions = "1";
  for (int i = 2; i <= 32; ++i) precisions += fmt::format(",{}", i);
  set_option(ui, "precisions", precisions);
  set_option(ui, "dims", "1,2,3,4");
  set_option(ui, "promote", "f32,f64");
  ui.type("r");
  ASSERT_TRUE(ui.until([&] { return finished_rows(ui) > 0; })) << ui.screen();
  ui.type("x");
  EXPECT_TRUE(ui.sees("cancelled: finished rows are kept")) << ui.screen();
  ui.type("J");
  ASSERT_TRUE(ui.shows("nothing runs"));
  EXPECT_TRUE(ui.sees("cancelled")) << ui.screen();
  EXPECT_FALSE(ui.sees("closing")) << ui.screen();
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInSweep);
  ui.type("x");
  EXPECT_TRUE(ui.sees("nothing to cancel: the sweep has ended")) << ui.screen();
  const std::uint64_t finished = finished_rows(ui);
  EXPECT_GT(finished, 0u);
  EXPECT_LT(finished, 28u * 32 * 4 * 2);
  EXPECT_EQ(count(ui.database(), kMeasured), static_cast<std::int64_t>(finished));
  EXPECT_EQ(count(ui.database(), kClaims), 0);
  ui.type("R");
  ASSERT_TRUE(ui.shows(counted(finished, "row"))) << ui.screen();
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(finished_rows(ui), finished);
}

TEST(SweepScreens, ClosesTheModelWhileItIsMeasured) {
  Driven ui(kWap);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(ui.shows("39 weights"));
    open_form(ui, {"zfp"});
    set_option(ui, "precisions", "4,5,6,7,8,9,10,11,12,13,14,15,16");
    ui.type("r");
    if (round == 1) {
      ASSERT_TRUE(ui.until([&] { return finished_rows(ui) > 0; }));
    }
    ui.command("open " + kStories);
    ASSERT_TRUE(ui.shows("47 weights"));
    ui.command("open " + kWap);
  }
  ASSERT_TRUE(ui.shows("39 weights"));
  ui.type("Q");
}

TEST(SweepScreens, PlansForATargetAndExportsThePlan) {
  Driven ui(kStories);
  ASSERT_TRUE(ui.shows("all 47 weights analysed"));
  ui.command("mark q_proj");
  open_form(ui, {"ggml"});
  set_option(ui, "types", "Q4_0,Q8_0");
  ui.type("r");
  ASSERT_TRUE(ui.shows("10 of 10 rows"));
  ui.type("p");
  EXPECT_EQ(ui.program().context(), kInField);
  ui.type("6");
  ui.press(KeyCode::kEnter);
  EXPECT_EQ(ui.program().context(), kInPlanner);
  EXPECT_TRUE(ui.sees(" Q8_0 ")) << ui.screen();
  EXPECT_TRUE(ui.sees(" Q4_0 ")) << ui.screen();
  ui.type("e");
  EXPECT_EQ(ui.program().context(), kInCommand);
  EXPECT_TRUE(ui.sees(":export plan.csv")) << ui.screen();
  ui.press(KeyCode::kEscape);
  const std::string file = ui.folder() + "/plan";
  for (const char* ending : {".csv", ".json", ".txt"}) {
    ui.command("export " + file + ending);
    EXPECT_TRUE(ui.sees("5 lines written")) << ending << "\n" << ui.screen();
  }
  const std::string csv = contents(file + ".csv");
  EXPECT_NE(csv.find("model.layers.4.self_attn.q_proj.weight"), std::string::npos) << csv;
  EXPECT_NE(contents(file + ".json").find("\"schema\":1"), std::string::npos);
  const std::string types = contents(file + ".txt");
  EXPECT_NE(types.find("attn_q"), std::string::npos) << types;
  ui.press(KeyCode::kEscape);
  EXPECT_EQ(ui.program().context(), kInSweep);
}

// GPTQ and what it does to the model, all from the form; the next form has what this one had.
TEST(SweepScreens, ACalibratedFamilyAndItsEvaluation) {
  Driven ui(kWap);
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  ASSERT_NO_FATAL_FAILURE(open_form(ui, {"gptq", "evaluate"}));
  EXPECT_TRUE(ui.sees("--with ppl without --text FILE")) << ui.screen();
  set_option(ui, "text", kWap + "/eval.txt");
  EXPECT_TRUE(ui.sees("gptq looks at a text: calibration names its file")) << ui.screen();
  set_option(ui, "calibration", "/nowhere/text");
  ASSERT_TRUE(ui.shows("/nowhere/text: no such file")) << ui.screen();
  ui.type("r");
  EXPECT_EQ(ui.program().context(), kInForm);
  set_option(ui, "max_sequence_length", "64");
  set_option(ui, "nsamples", "2");
  set_option(ui, "context", "64");
  set_option(ui, "limit", "2");
  set_option(ui, "calibration", kWap + "/calib.txt");
  ASSERT_TRUE(ui.shows("memory: at most")) << ui.screen();
  EXPECT_TRUE(ui.sees("28 weights x 1 configuration: 28 rows, then ppl of each")) << ui.screen();
  ui.type("r");
  ASSERT_EQ(ui.program().context(), kInSweep);
  ASSERT_TRUE(ui.shows("done")) << ui.screen();
  EXPECT_TRUE(ui.sees("28 of 28 rows")) << ui.screen();
  EXPECT_EQ(count(ui.database(), test::kMeasured), 28);
  EXPECT_EQ(count(ui.database(), "run_evaluation"), 1);
  for (int i = 0; i < 20 && !ui.sees("perplexity over"); ++i) ui.type("a");
  EXPECT_TRUE(ui.sees("perplexity over")) << ui.screen();
  ui.type("r");
  EXPECT_TRUE(ui.sees("[x] gptq") && ui.sees("then ppl of each")) << ui.screen();
  ASSERT_TRUE(ui.shows("memory: at most"));  // the text is read again
  ui.type("r");
  ASSERT_TRUE(ui.shows("done"));  // nothing is measured again
  EXPECT_EQ(count(ui.database(), test::kMeasured), 28);
}

TEST(SweepScreens, EvaluationsAreCancelledAndRowsStay) {
  Driven ui(kWap);
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  ASSERT_NO_FATAL_FAILURE(open_form(ui, {"lossless", "evaluate"}));
  set_option(ui, "codecs", "store");
  set_option(ui, "text", kWap + "/eval.txt");
  ui.type("r");  // the text may still be read
  ASSERT_TRUE(ui.until([&] {
    if (ui.program().context() == kInForm) ui.type("r");
    return ui.program().context() == kInSweep;
  }));
  ASSERT_TRUE(ui.shows("ppl  store"));
  ui.type("x");
  ASSERT_TRUE(ui.shows("cancelled")) << ui.screen();
  EXPECT_TRUE(ui.sees("28 of 28 rows")) << ui.screen();
  EXPECT_EQ(count(ui.database(), "run_evaluation"), 0);
  EXPECT_EQ(count(ui.database(), test::kClaims), 0);
}

// Another process may hold the database for seconds: whoever cancels does not wait for it.
TEST(BackgroundSweep, CancellingLeavesTheDatabaseToTheQueue) {
  const test::TempDir folder;
  const std::string database = folder.path() + "/results.db";
  const auto model = std::make_shared<const Model>(open_model(find_models(kWap).models.front()));
  const auto wake = std::make_shared<Wake>();
  JobQueue queue(
      {.threads = 1, .on_event = [wake] { wake->signal(); }, .event_interval_s = 0.1, .clock = {}});
  const auto until = [&](const std::function<bool()>& done) {
    while (!done()) {
      pollfd waiting{wake->fd(), POLLIN, 0};
      ASSERT_EQ(poll(&waiting, 1, 60'000), 1);
      wake->clear();
    }
  };
  // One weight, whose rows are claimed all at once.
  SweepRequest request;
  request.families = {"zfp"};
  for (int i = 1; i <= 32; ++i) request.grid["precisions"].push_back(std::to_string(i));
  request.grid["dims"] = {"1", "2", "3", "4"};
  request.grid["layout"] = {"field", "block"};
  request.grid["promote"] = {"f32", "f64"};
  request.selected = [](const Weight& weight) {
    return weight.name == "model.layers.0.mlp.up_proj.weight";
  };
  SweepOptions options;
  options.database = database;
  options.threads = 1;
  BackgroundSweep sweep({model, request, options}, "sweep", queue);
  until([&] { return !sweep.take().rows.empty(); });
  // The only thread waits at a gate: what is written meanwhile is written by this one.
  std::promise<void> entered, gate;
  queue.submit(
      "gate",
      {{.label = "gate", .bytes = 0, .priority = kAskedPriority + 2, .run = [&](UnitContext&) {
          entered.set_value();
          gate.get_future().wait();
        }}});
  entered.get_future().wait();
  const std::int64_t claimed = count(database, kClaims);
  EXPECT_GT(claimed, 0);
  sweep.cancel();
  EXPECT_EQ(count(database, kClaims), claimed);
  gate.set_value();
  until([&] {
    sweep.take();
    const std::vector<JobSnapshot> jobs = queue.snapshot();
    return std::none_of(jobs.begin(), jobs.end(),
                        [](const JobSnapshot& job) { return job.state == JobState::kActive; });
  });
  EXPECT_EQ(count(database, kClaims), 0);
  EXPECT_GT(count(database, kMeasured), 0);
}

// From the model's screen and from a sweep's: what configurations do to the model joins the plot.
TEST(EvalScreens, TheModelAndOneOfItsConfigurations) {
  Driven ui(kWap);
  ASSERT_TRUE(ui.shows("all 39 weights analysed"));
  ui.type("E");
  ASSERT_EQ(ui.program().context(), kInForm);
  EXPECT_TRUE(ui.sees("without --text FILE")) << ui.screen();
  ui.type("r");
  EXPECT_EQ(ui.program().context(), kInForm);  // nothing to read yet
  set_option(ui, "text", kWap + "/eval.txt");
  set_option(ui, "context", "64");
  set_option(ui, "limit", "3");
  ui.type("r");
  EXPECT_EQ(ui.program().context(), kInEval);
  ASSERT_TRUE(ui.shows("1 row")) << ui.screen();
  EXPECT_TRUE(ui.sees("as stored")) << ui.screen();
  ui.press(KeyCode::kEscape);

  ui.type("r");
  ASSERT_TRUE(to_line(ui, "zfp"));
  set_option(ui, "rates", "8");
  ui.type("r");
  ASSERT_TRUE(ui.shows("28 of 28 rows"));
  ui.type("E");  // of the configuration under the cursor; what was typed is still there
  ASSERT_EQ(ui.program().context(), kInForm);
  EXPECT_TRUE(ui.sees("Evaluate  wap  zfp 2D rate 8")) << ui.screen();
  ui.type("r");
  ASSERT_TRUE(ui.shows("2 rows")) << ui.screen();
  EXPECT_TRUE(ui.sees("zfp 2D rate 8  ")) << ui.screen();
  ui.press(KeyCode::kEscape);
  ASSERT_EQ(ui.program().context(), kInSweep);
  const auto on_axis = [&] {
    for (int i = 0; i < 20 && !ui.sees("perplexity over"); ++i) ui.type("a");
    return ui.sees("perplexity over");
  };
  EXPECT_TRUE(on_axis()) << ui.screen();
  EXPECT_EQ(count(ui.database(), "run_evaluation"), 2);
}

TEST(EvalScreens, WhatCannotBeEvaluatedSaysWhy) {
  Driven ui(kStories);  // a file without its folder has neither config nor tokenizer
  ASSERT_TRUE(ui.shows("all 47 weights analysed"));
  ui.type("E");
  set_option(ui, "text", "/nowhere/text");
  ui.type("r");
  EXPECT_TRUE(ui.shows("/nowhere/text: no such file")) << ui.screen();
  EXPECT_EQ(ui.program().context(), kInEval);
}

}  // namespace
}  // namespace qi
