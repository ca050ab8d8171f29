#include "views/diff_screen.h"

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"

namespace qi {
namespace {

using test::drawn;
using test::press;

JobSnapshot job(JobState state) {
  JobSnapshot out;
  out.id = 3;
  out.name = "diff Llama other.gguf";
  out.state = state;
  out.units_total = 40;
  out.units_done = 12;
  out.bytes_total = 1000;
  out.bytes_done = 300;
  out.bytes_per_s = 8.2e8;
  out.eta_s = 370;
  return out;
}

ErrorMetrics metrics(double snr_db, std::uint64_t differing) {
  ErrorMetrics m;
  m.elements = 16'777'216;
  m.differing = differing;
  m.snr_db = snr_db;
  m.relative_error = 0.0429;
  m.max_abs_error = 0.01895;
  m.cosine = 0.999078;
  if (differing == 0) {
    m.snr_db.reset();
    m.relative_error = m.max_abs_error = 0;
    m.cosine = 1;
  }
  return m;
}

// A Llama and a changed one: a matrix of another shape, one that is missing, one more.
std::shared_ptr<DiffReport> begun(bool renamed = false) {
  Model a = test::llama(2);
  Model b = test::llama(2);
  b.name = "Llama-3.1-8B-other";
  b.weights[2].shape = {2048};
  b.weights.erase(b.weights.begin() + 6);
  test::add_weight(b, "model.layers.0.self_attn.q_norm.weight", {128}, Role::kNorm, 0);
  for (Weight& weight : b.weights) {
    if (weight.role == Role::kV) weight.undecodable = "hqq is not decoded";
    if (weight.role != Role::kGate) continue;
    weight.scheme = Scheme::kGptq;
    weight.bits = 4;
    weight.group_size = 128;
  }
  auto model_a = std::make_shared<const Model>(std::move(a));
  auto model_b = std::make_shared<const Model>(std::move(b));
  auto report = std::make_shared<DiffReport>(model_a, "/models/other");
  std::vector<DiffRow> rows = align_models(*model_a, *model_b);
  report->begin(model_b, rows);
  report->names_differ = renamed;
  report->job = job(JobState::kActive);
  return report;
}

std::size_t line_of(const DiffReport& report, std::string_view name) {
  for (std::size_t i = 0; i < report.lines.size(); ++i) {
    const DiffRow& row = report.lines[i].row;
    if (row.a != nullptr && row.a->name == name) return i;
  }
  return 0;
}

void finish(DiffReport& report, std::string_view name, double snr_db, std::uint64_t differing) {
  const std::size_t line = line_of(report, name);
  DiffRow row = report.lines[line].row;
  row.status = differing > 0 ? DiffStatus::kDiffers : DiffStatus::kSame;
  row.metrics = metrics(snr_db, differing);
  report.finish(line, std::move(row));
}

std::shared_ptr<DiffReport> halfway() {
  auto report = begun();
  finish(*report, "lm_head.weight", 44.3, 16'777'000);
  finish(*report, "model.layers.0.mlp.gate_proj.weight", 19.1, 16'777'216);
  finish(*report, "model.layers.0.mlp.up_proj.weight", 0, 0);
  finish(*report, "model.layers.1.mlp.up_proj.weight", 22.7, 3);
  report->fail(line_of(*report, "model.norm.weight"), "changed while it was read");
  return report;
}

std::vector<std::string> column(const TableScreen& screen, std::size_t index) {
  std::vector<std::string> out;
  for (const auto& row : screen.table_shown().rows) out.push_back(row[index]);
  return out;
}

TEST(DiffScreen, DifferencesComeFirstAndTheWorstOfThem) {
  DiffScreen screen(halfway());
  screen.resize({160, 40});
  const std::vector<std::string> status = column(screen, 2);
  const std::vector<std::string> first(status.begin(), status.begin() + 9);
  EXPECT_EQ(first,
            (std::vector<std::string>{"shape", "only in A", "only in B", "not comparable",
                                      "not comparable", "error", "differs", "differs", "differs"}));
  EXPECT_EQ(status[9], "to compare");
  EXPECT_EQ(status.back(), "same");
  const std::vector<std::string> names = column(screen, 0);
  EXPECT_EQ(names[6], "model.layers.0.mlp.gate_proj.weight");
  EXPECT_EQ(names[7], "model.layers.1.mlp.up_proj.weight");
  EXPECT_EQ(names[8], "lm_head.weight");
}

TEST(DiffScreen, TheCursorStaysOnTopUntilItIsMoved) {
  auto report = begun();
  DiffScreen screen(report);
  screen.resize({120, 36});
  finish(*report, "lm_head.weight", 44.3, 100);
  press(screen, "/differs");
  screen.handle(key(KeyCode::kEnter));
  EXPECT_EQ(screen.copy_text(), "lm_head.weight");
  finish(*report, "model.layers.0.mlp.up_proj.weight", 10, 100);
  screen.refresh();
  EXPECT_EQ(screen.copy_text(), "model.layers.0.mlp.up_proj.weight");
  press(screen, "j");
  EXPECT_EQ(screen.copy_text(), "lm_head.weight");
  finish(*report, "model.layers.1.mlp.up_proj.weight", 20, 100);
  screen.refresh();
  EXPECT_EQ(screen.copy_text(), "lm_head.weight");
}

TEST(DiffScreen, EnterOpensTheWeightOfA) {
  const auto report = halfway();
  DiffScreen screen(report);
  screen.resize({120, 36});
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)), Request(Ask::kShowWeight, std::uint64_t{2}));
  press(screen, "jj");  // only in B
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)).ask, Ask::kNothing);
  EXPECT_NE(screen.notice(), "");
}

TEST(DiffScreen, CountsEveryStatus) {
  DiffScreen screen(halfway());
  EXPECT_NE(drawn(screen, {160, 40})
                .find("1 failed  1 of other shape  1 only in A  1 only in B  2 not comparable  "
                      "3 differ  1 same  12 to compare"),
            std::string::npos);
}

TEST(DiffScreen, ShowsBothSidesBelow) {
  DiffScreen screen(halfway());
  screen.resize({120, 36});
  press(screen, "/gate");
  screen.handle(key(KeyCode::kEnter));
  const std::string text = drawn(screen, {120, 36});
  EXPECT_NE(text.find("all 16 777 216 values differ  SNR 19.10 dB"), std::string::npos) << text;
  EXPECT_NE(text.find(" A  14336x4096  BF16"), std::string::npos) << text;
  EXPECT_NE(text.find(" B  14336x4096  gptq 4b g128"), std::string::npos) << text;
}

TEST(DiffScreen, SaysWhatHappensBeforeBIsOpen) {
  auto report =
      std::make_shared<DiffReport>(std::make_shared<const Model>(test::llama(1)), "/other\x1b[m");
  report->job = job(JobState::kActive);
  DiffScreen screen(report);
  EXPECT_NE(drawn(screen, {80, 24}).find("opening B"), std::string::npos);
  EXPECT_EQ(press(screen, "x"), Request(Ask::kCancelJobs));
  report->job = job(JobState::kDone);
  report->error = "/other: no such file [io]";
  EXPECT_NE(drawn(screen, {80, 24}).find("B cannot be opened: /other"), std::string::npos);
  EXPECT_EQ(press(screen, "x").ask, Ask::kNothing);
  EXPECT_EQ(press(screen, "d"), Request(Ask::kShowDiff));
  test::expect_clean_frame(screen);
}

TEST(DiffScreen, TakesTheReportOfTheOpenedModel) {
  auto before = std::make_shared<DiffReport>(std::make_shared<const Model>(test::llama(2)), "/x");
  DiffScreen screen(before);
  screen.resize({120, 36});
  const auto report = halfway();
  screen.show(report);
  EXPECT_EQ(screen.rows_shown(), report->lines.size());
  EXPECT_NE(drawn(screen, {120, 36}).find("B Llama-3.1-8B-other"), std::string::npos);
}

TEST(DiffScreen, ExportsNumbersInFull) {
  DiffScreen screen(halfway());
  screen.resize({120, 36});
  press(screen, "/lm_head");
  const TextTable table = screen.table_shown();
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows[0][5], "44.3");
  EXPECT_EQ(table.rows[0][8], "0.999078");
  EXPECT_EQ(table.rows[0][0], "lm_head.weight");
  EXPECT_EQ(table.rows[0][1], "lm_head.weight");
}

TEST(DiffScreen, DrawsAtEverySize) {
  DiffScreen screen(halfway());
  test::expect_every_size(screen, "Diff");
}

TEST(DiffScreen, HostileNamesKeepTheFrame) {
  Model a = test::empty_model("\x1b]0;evil\x07");
  Model b = test::empty_model("\u202eb");
  for (const std::string& name : test::hostile_names()) {
    test::add_weight(a, name, {4, 4}, Role::kOther, -1);
    test::add_weight(b, name + "\x1b", {4, 4}, Role::kOther, -1);
  }
  auto model_a = std::make_shared<const Model>(std::move(a));
  auto model_b = std::make_shared<const Model>(std::move(b));
  auto report = std::make_shared<DiffReport>(model_a, "/b\n");
  report->begin(model_b, align_models(*model_a, *model_b));
  DiffScreen screen(report);
  screen.resize({120, 36});
  for (std::size_t i = 0; i < report->lines.size(); ++i) {
    test::expect_clean_frame(screen);
    press(screen, "j");
  }
}

TEST(DiffScreen, Goldens) {
  DiffScreen screen(halfway());
  test::expect_goldens("diff", screen);
  DiffScreen two_names(begun(true));
  test::expect_goldens("diff_names", two_names);
}

}  // namespace
}  // namespace qi
