#include "views/sweep_screen.h"

#include <algorithm>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "engine/io/error.h"
#include "tests/support/fake_model.h"
#include "tests/support/fake_results.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "views/sweep_form.h"

namespace qi {
namespace {

using test::drawn;
using test::press;

std::shared_ptr<SweepReport> report_of(int layers) {
  auto report = std::make_shared<SweepReport>();
  report->title = "alpha, beta, gamma, exact  16 weights x 11 configurations";
  report->model = "Llama-3.1-8B-Instruct";
  report->units = 176;
  for (ResultRow& row : test::result_rows(layers)) report->add(std::move(row));
  JobSnapshot job;
  job.state = report->finished < report->units ? JobState::kActive : JobState::kDone;
  job.elapsed_s = 372;
  job.eta_s = 700;
  job.running = {"model.layers.2.self_attn.q_proj.weight"};
  report->job = job;
  return report;
}

TEST(SweepScreen, Goldens) {
  auto report = report_of(2);
  SweepScreen running(report);
  test::expect_goldens("sweep_running", running);
  SweepScreen marked(report_of(4));
  marked.resize({120, 36});
  press(marked, "jj j  ");
  test::expect_goldens("sweep_marked", marked);
  press(marked, "z");
  test::expect_goldens("sweep_plot", marked);
}

TEST(SweepScreen, PointsAppearWhileItRuns) {
  auto report = std::make_shared<SweepReport>();
  report->title = "alpha";
  report->units = 44;
  report->job = JobSnapshot{};
  SweepScreen screen(report);
  test::expect_every_size(screen, "Sweep");
  EXPECT_NE(drawn(screen, {120, 36}).find("the first row is being measured"), std::string::npos);
  for (ResultRow& row : test::result_rows(1)) report->add(std::move(row));
  screen.refresh();
  EXPECT_EQ(screen.rows_shown(), 11u);
  EXPECT_NE(drawn(screen, {120, 36}).find("44 of 44 rows"), std::string::npos);
  const ResultRow sum = report->sums[0].total();
  EXPECT_EQ(sum.weights, 6u << 20);
  EXPECT_NEAR(sum.bits_per_weight(), 3.4, 1e-5);
}

TEST(SweepScreen, AxesAndFront) {
  SweepScreen screen(report_of(4));
  screen.resize({120, 36});
  // 4 bits of beta are worse than 4.01 of gamma, but smaller; 6 of beta than 6.4 of alpha alike.
  EXPECT_TRUE(screen.on_front(0));
  EXPECT_TRUE(screen.on_front(10));  // exact
  EXPECT_FALSE(screen.on_front(7));  // gamma of 4.5: alpha has more with 4.4
  press(screen, "a");
  EXPECT_EQ(screen.y_axis(), ResultColumnId::kRelative);
  EXPECT_FALSE(screen.on_front(7));
  press(screen, "A");
  EXPECT_NE(screen.x_axis(), ResultColumnId::kBits);
  for (int i = 0; i < 20; ++i) {
    press(screen, i % 2 == 0 ? "a" : "A");
    EXPECT_NE(screen.x_axis(), screen.y_axis());
    drawn(screen, {120, 36});
  }
}

TEST(SweepScreen, MarksCompareAndPlan) {
  SweepScreen screen(report_of(4));
  screen.resize({120, 36});
  EXPECT_EQ(press(screen, "=").ask, Ask::kNothing);
  press(screen, "  ");
  EXPECT_EQ(press(screen, "=").ask, Ask::kCompare);
  EXPECT_EQ(screen.compared_sides().size(), 2u);
  EXPECT_EQ(screen.planned_rows().rows.size(), 32u);
  press(screen, "U");
  EXPECT_EQ(screen.planned_rows().rows.size(), 176u);
  EXPECT_EQ(press(screen, "p").ask, Ask::kPlan);
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)).ask, Ask::kShowRows);
  EXPECT_EQ(screen.rows_under_cursor().rows.size(), 16u);
  EXPECT_EQ(screen.table_shown().rows.size(), 11u);
  press(screen, "/beta");
  screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(screen.rows_shown(), 3u);
  // To the left and right along the plot, also to what the filter hid.
  press(screen, "l");
  EXPECT_EQ(press(screen, "x").ask, Ask::kNothing);  // it has ended
}

TEST(SweepScreen, ClickFindsThePoint) {
  SweepScreen screen(report_of(4));
  screen.resize({120, 36});
  const auto before = screen.current();
  Key click = key(KeyCode::kClick);
  for (click.y = 2; click.y < 30; ++click.y) {
    for (click.x = 0; click.x < 60; click.x += 3) screen.handle(click);
  }
  EXPECT_NE(screen.current(), before);
}

TEST(SweepScreen, EverySizeAndHostileNames) {
  auto report = report_of(2);
  for (const std::string& name : test::hostile_names()) {
    ResultRow row = test::result_row(name, Role::kOther, -1, "alpha", "bits=3", 3, 10);
    row.config.family = name;
    row.ok = name.size() % 2 == 0;
    row.error = name;
    report->add(std::move(row));
  }
  SweepScreen screen(report);
  test::expect_every_size(screen, "Sweep");
  test::expect_clean_frame(screen);
  report->error = test::hostile_names().front();
  test::expect_clean_frame(screen);
}

// --- the form

std::string unfit(const Params&, const MatrixInfo& matrix) {
  return matrix.cols % 1000 == 0 ? "no" : "";
}
std::optional<std::uint64_t> predict(const Params& params, const MatrixInfo& matrix) {
  const auto rate = params.get("rate");
  if (!rate) return std::nullopt;
  return matrix.rows * matrix.cols * std::stoul(std::string(*rate)) / 8;
}
std::vector<Params> expand(const GridOptions& given) {
  std::vector<Params> out;
  const auto rates = given.find("rates");
  std::vector<std::string> wanted = {"4", "8", "16"};
  if (rates != given.end()) wanted = rates->second;
  for (const std::string& rate : wanted) {
    if (rate.find_first_not_of("0123456789") != std::string::npos) {
      throw Error(ErrorCode::kUsage, "--rates " + rate, "a number");
    }
    out.emplace_back().set("rate", rate);
    if (given.contains("twice")) out.emplace_back().set("rate", "2" + rate);
  }
  return out;
}
std::vector<Params> nothing(const GridOptions&) {
  return {Params()};
}

constexpr GridOption kOptions[] = {{"rates", "1 to 32", "4,8,16", "bits of a number"},
                                   {"file", "FILE", "", "importance of columns"},
                                   {"twice", "", "", "each rate with a 2 before it"}};
const MethodFamily kFamilies[] = {
    {"beta", "fixed rates, a block at a time", kOptions, 1, expand, unfit, nullptr, predict,
     nullptr},
    {"exact", "the same bytes back", {}, 1, nothing, unfit, nullptr, predict, nullptr},
    {"looks", "rounded as a text wants it", kOptions, 1, expand, unfit, nullptr, predict, nullptr,
     nullptr, true}};

SweepForm::Extras extras() {
  SweepForm::Extras out;
  out.calibration = {{"calibration", "FILE", "", "what looks at a text looks at"},
                     {"nsamples", "N", "", "sequences of it at most"}};
  out.evaluation =
      FormSection{"evaluate", "each configuration on the whole model", {}, false, false};
  out.evaluation->fields = {{"with", "KIND[,KIND...]", "ppl", "evaluate each configuration"},
                            {"text", "FILE", "", "the text, UTF-8"}};
  out.check = [](const SweepForm& form) -> std::string {
    const SweepForm::Options options = form.options();
    const bool text = std::any_of(options.begin(), options.end(),
                                  [](const auto& one) { return one.first == "text"; });
    return form.evaluates() && !text ? "ppl without text" : "";
  };
  out.memory = [](const SweepForm&) { return std::uint64_t{96} << 20; };
  return out;
}

SweepForm form_of() {
  auto model = std::make_shared<const Model>(test::llama(4));
  std::vector<std::uint32_t> weights;
  for (std::uint32_t i = 0; i < model->weights.size(); ++i) {
    if (model->weights[i].shape.size() == 2) weights.push_back(i);
  }
  SweepForm form(model, weights, false, 4, kFamilies, extras());
  form.set_speeds({{"beta", 1e-9}, {"looks", 2e-9}});
  form.resize({120, 36});
  return form;
}

TEST(SweepForm, CountsWhatItWillMeasure) {
  SweepForm form = form_of();
  EXPECT_EQ(form.families(), std::vector<std::string>{"beta"});
  EXPECT_EQ(form.outlook().configs, 3u);
  EXPECT_EQ(form.outlook().rows, 3 * form.weights().size());
  EXPECT_EQ(form.outlook().smallest, form.outlook().numbers / 2);
  EXPECT_EQ(form.outlook().largest, form.outlook().numbers * 2);
  EXPECT_TRUE(form.outlook().seconds);
  press(form, "jjj ");  // the switch
  EXPECT_EQ(form.outlook().configs, 6u);
  EXPECT_TRUE(form.grid().contains("twice"));
  press(form, "j ");  // the other family
  EXPECT_EQ(form.outlook().configs, 7u);
  EXPECT_EQ(form.outlook().foretold, 6u);
  EXPECT_FALSE(form.outlook().seconds);
  EXPECT_EQ(press(form, "r").ask, Ask::kStartSweep);
}

TEST(SweepForm, ValuesAreTyped) {
  SweepForm form = form_of();
  press(form, "j ");
  EXPECT_EQ(form.context(), kInField);
  press(form, ", 20");
  form.handle(key(KeyCode::kEnter));
  EXPECT_EQ(form.grid()["rates"], (std::vector<std::string>{"4", "8", "16", "20"}));
  EXPECT_EQ(form.outlook().configs, 4u);
  press(form, " x");
  form.handle(key(KeyCode::kEscape));
  EXPECT_EQ(form.outlook().configs, 4u);
  press(form, " x");
  form.handle(key(KeyCode::kEnter));
  EXPECT_FALSE(form.outlook().problem.empty());
  EXPECT_EQ(press(form, "r").ask, Ask::kNothing);
  press(form, "u");
  EXPECT_TRUE(form.grid().empty());
  EXPECT_EQ(press(form, "r").ask, Ask::kStartSweep);
  press(form, "k ");
  EXPECT_EQ(press(form, "r").ask, Ask::kNothing);
  EXPECT_EQ(form.handle(key(KeyCode::kEscape)).ask, Ask::kBack);
}

TEST(SweepForm, ReadsTheImportanceMatrixItIsGiven) {
  auto model = std::make_shared<const Model>(test::llama(1));
  SweepForm form(model, {1}, false, 4);
  form.resize({120, 36});
  press(form, " j jj ");  // no zfp but ggml, and there the file
  ASSERT_EQ(form.context(), kInField);
  press(form, QI_TEST_DATA "/wide-imatrix.dat");
  form.handle(key(KeyCode::kEnter));
  ASSERT_NE(form.importance(), nullptr);
  EXPECT_EQ(form.grid()["imatrix"], std::vector<std::string>{form.importance()->digest()});
  EXPECT_EQ(form.outlook().problem, "");
  press(form, " x");
  form.handle(key(KeyCode::kEnter));
  EXPECT_EQ(form.importance(), nullptr);
  EXPECT_NE(form.outlook().problem.find("wide-imatrix.datx"), std::string::npos);
  EXPECT_EQ(press(form, "r").ask, Ask::kNothing);
}

TEST(SweepForm, WaitsForTheTextsItNames) {
  SweepForm form = form_of();
  EXPECT_EQ(form.outlook().memory, std::uint64_t{96} << 20);
  const std::uint64_t all = form.outlook().weights;
  press(form, " Gk ");  // another family alone, which looks at a text
  EXPECT_EQ(form.families(), std::vector<std::string>{"looks"});
  EXPECT_LT(form.outlook().rows, 3 * all);  // of the linear layers of blocks alone
  EXPECT_GT(form.outlook().together_seconds, 0);
  press(form, "j ");
  ASSERT_EQ(form.context(), kInField);
  press(form, "a.txt");
  form.handle(key(KeyCode::kEnter));
  const SweepForm::Options named = {{"calibration", "a.txt"}};
  EXPECT_EQ(form.options(), named);
  EXPECT_TRUE(form.grid().empty());
  form.set_texts({.reading = true, .problem = {}, .calibration = nullptr});
  EXPECT_EQ(press(form, "r").ask, Ask::kNothing);
  form.set_texts({.reading = false, .problem = "a.txt: no such file", .calibration = nullptr});
  EXPECT_EQ(form.why_not(Command::kStart), "a.txt: no such file");
  form.set_texts({});
  EXPECT_EQ(press(form, "r").ask, Ask::kStartSweep);
  press(form, "G ");  // evaluated, too
  EXPECT_EQ(form.why_not(Command::kStart), "ppl without text");
  press(form, "jj ");
  press(form, "b.txt");
  form.handle(key(KeyCode::kEnter));
  EXPECT_EQ(form.options().size(), 3u);
  EXPECT_EQ(press(form, "r").ask, Ask::kStartSweep);
  test::expect_goldens("sweep_form_texts", form);
  test::expect_every_size(form, "Sweep");
  SweepForm next = form_of();
  next.begin_with(form.form());
  EXPECT_EQ(next.options(), form.options());
  EXPECT_EQ(next.families(), form.families());
}

TEST(SweepForm, GoldensAndSizes) {
  SweepForm form = form_of();
  test::expect_goldens("sweep_form", form);
  press(form, "j , 20");
  test::expect_goldens("sweep_form_typing", form);
  test::expect_every_size(form, "Sweep");
  form.handle(Key{.code = KeyCode::kPaste, .text = std::string(300, 'w') + "\x1b[31m\u202e"});
  test::expect_every_size(form, "Sweep");
  form.handle(key(KeyCode::kEnter));
  test::expect_clean_frame(form);
}

}  // namespace
}  // namespace qi
