#include "views/verify_screen.h"

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"

namespace qi {
namespace {

using test::drawn;
using test::press;

std::shared_ptr<const Model> llama() {
  return std::make_shared<const Model>(test::llama(32));
}

JobSnapshot job(JobState state) {
  JobSnapshot out;
  out.id = 7;
  out.name = "verify Llama";
  out.state = state;
  out.units_total = 291;
  out.units_done = 118;
  out.bytes_total = 1000;
  out.bytes_done = 400;
  out.bytes_per_s = 1.9e9;
  out.eta_s = 41;
  if (state == JobState::kActive) out.running = {"model.layers.3.mlp.up_proj.weight"};
  return out;
}

Fault fault(const Model& model, std::uint32_t weight, ErrorCode code, std::string message) {
  Fault out;
  out.file = "/models/llama/model-00001-of-00004.safetensors";
  out.tensor = model.weights[weight].name;
  out.code = code;
  out.part = out.tensor.substr(0, out.tensor.rfind('.')) + ".scales";
  out.offset = 1'050'673'152 + weight;
  out.length = 2;
  out.message = std::move(message);
  return out;
}

std::shared_ptr<VerifyReport> running() {
  auto report = std::make_shared<VerifyReport>(llama());
  const Model& model = *report->model;
  for (std::uint32_t i = 0; i < 115; ++i) report->add(i, std::vector<Fault>{});
  report->add(5, {fault(model, 5, ErrorCode::kBadValue,
                        "1 of 64 scales are NaN or infinite, the first is number 16")});
  Fault odd = fault(model, 6, ErrorCode::kBadValue, "3 of 64 scales are zero");
  odd.odd_only = true;
  report->add(6, {odd, fault(model, 6, ErrorCode::kInconsistent, "index 9999 of 64 groups")});
  report->add(9, Error(ErrorCode::kChanged, "changed while it was read", "",
                       "/models/llama/model-00001-of-00004.safetensors"));
  report->job = job(JobState::kActive);
  return report;
}

std::shared_ptr<VerifyReport> sound(JobState state) {
  auto report = std::make_shared<VerifyReport>(llama());
  const std::size_t all = report->model->weights.size();
  for (std::uint32_t i = 0; i < (state == JobState::kDone ? all : 100); ++i) {
    report->add(i, std::vector<Fault>{});
  }
  report->job = job(state);
  return report;
}

TEST(VerifyScreen, ShowsFaultsAsTheyComeAndHowFarItIs) {
  const auto report = running();
  VerifyScreen screen(report);
  screen.resize({120, 36});
  EXPECT_EQ(screen.rows_shown(), 4U);
  std::string text = drawn(screen, {120, 36});
  EXPECT_NE(text.find("2 faults, 1 odd, 1 not read in 118 of 291 weights"), std::string::npos);
  EXPECT_NE(text.find("118/291  1.90 GB/s  ETA 0:41"), std::string::npos);
  report->add(20, {fault(*report->model, 20, ErrorCode::kCorrupt, "bits")});
  screen.refresh();
  EXPECT_EQ(screen.rows_shown(), 5U);
}

TEST(VerifyScreen, EnterOpensTheWeight) {
  VerifyScreen screen(running());
  screen.resize({80, 24});
  press(screen, "j");
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)), Request(Ask::kShowWeight, std::uint64_t{6}));
  EXPECT_EQ(screen.copy_text(), running()->model->weights[6].name);
}

TEST(VerifyScreen, CancelsWhatRunsAndStartsWhatDoesNot) {
  VerifyScreen active(running());
  active.resize({80, 24});
  EXPECT_EQ(press(active, "x"), Request(Ask::kCancelJobs));
  EXPECT_EQ(press(active, "v").ask, Ask::kNothing);
  EXPECT_NE(active.notice(), "");
  VerifyScreen ended(sound(JobState::kCancelled));
  ended.resize({80, 24});
  EXPECT_EQ(press(ended, "x").ask, Ask::kNothing);
  EXPECT_NE(ended.notice(), "");
  EXPECT_EQ(press(ended, "v").ask, Ask::kShowVerify);
}

TEST(VerifyScreen, SaysWhatNoFaultMeans) {
  VerifyScreen done(sound(JobState::kDone));
  EXPECT_NE(drawn(done, {80, 24}).find("sound: every byte was read, no fault"), std::string::npos);
  VerifyScreen stopped(sound(JobState::kCancelled));
  EXPECT_NE(drawn(stopped, {80, 24}).find("stopped before the end"), std::string::npos);
  VerifyScreen going(sound(JobState::kActive));
  EXPECT_NE(drawn(going, {80, 24}).find("no fault so far"), std::string::npos);

  Model odd = test::llama(1);
  odd.container = Container::kPrototype;
  odd.weights[3].undecodable = "hqq is not decoded";
  auto report = std::make_shared<VerifyReport>(std::make_shared<const Model>(odd));
  for (std::uint32_t i = 0; i < odd.weights.size(); ++i) report->add(i, std::vector<Fault>{});
  report->job = job(JobState::kDone);
  VerifyScreen screen(report);
  const std::string text = drawn(screen, {80, 24});
  EXPECT_NE(text.find("values are unchecked"), std::string::npos);
  EXPECT_NE(text.find("values of 1 weight are not checked"), std::string::npos);
}

// The report that takes the place of a longer one is empty: nothing may look at its lines.
TEST(VerifyScreen, StartsAgainWithAnEmptyReport) {
  VerifyScreen screen(running());
  screen.resize({120, 36});
  press(screen, "G");
  screen.show(sound(JobState::kActive));
  EXPECT_EQ(screen.rows_shown(), 0U);
  EXPECT_NE(drawn(screen, {120, 36}).find("no fault so far"), std::string::npos);
}

TEST(VerifyScreen, CountsWhatItDoesNotKeep) {
  VerifyReport report(llama());
  std::vector<Fault> many(VerifyReport::kMostLines + 5);
  report.add(0, std::move(many));
  EXPECT_EQ(report.lines.size(), VerifyReport::kMostLines);
  EXPECT_EQ(report.faults, VerifyReport::kMostLines + 5);
}

TEST(VerifyScreen, ExportsNumbersRaw) {
  VerifyScreen screen(running());
  const TextTable table = screen.table_shown();
  ASSERT_EQ(table.rows.size(), 4U);
  EXPECT_EQ(table.rows[0][4], "1050673157");
  EXPECT_EQ(table.rows[0][2], "model.layers.0.mlp.up_proj.scales");
}

TEST(VerifyScreen, DrawsAtEverySize) {
  VerifyScreen screen(running());
  test::expect_every_size(screen, "Verify");
}

TEST(VerifyScreen, HostileNamesKeepTheFrame) {
  Model model = test::empty_model("\x1b]0;evil\x07");
  for (const std::string& name : test::hostile_names()) {
    test::add_weight(model, name, {4, 4}, Role::kOther, -1);
  }
  auto report = std::make_shared<VerifyReport>(std::make_shared<const Model>(std::move(model)));
  for (std::uint32_t i = 0; i < report->model->weights.size(); ++i) {
    Fault found = fault(*report->model, i, ErrorCode::kCorrupt, report->model->weights[i].name);
    found.file = report->model->weights[i].name;
    found.part = report->model->weights[i].name;
    report->add(i, {found});
  }
  VerifyScreen screen(report);
  screen.resize({120, 36});
  for (std::size_t i = 0; i < report->lines.size(); ++i) {
    test::expect_clean_frame(screen);
    press(screen, "j");
  }
}

TEST(VerifyScreen, Goldens) {
  VerifyScreen screen(running());
  test::expect_goldens("verify", screen);
  VerifyScreen done(sound(JobState::kDone));
  test::expect_goldens("verify_sound", done);
}

}  // namespace
}  // namespace qi
