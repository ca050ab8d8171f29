#include "views/jobs_screen.h"

#include <gtest/gtest.h>

#include "tests/support/fake_model.h"
#include "tests/support/frame_checks.h"
#include "tests/support/golden.h"
#include "views/job_text.h"
#include "views/model_screen.h"

namespace qi {
namespace {

using test::drawn;
using test::press;

JobSnapshot job(JobId id, std::string name, JobState state) {
  JobSnapshot out;
  out.id = id;
  out.name = std::move(name);
  out.state = state;
  out.units_total = 291;
  out.units_done = 291;
  out.bytes_total = std::uint64_t{15} << 30;
  out.bytes_done = out.bytes_total;
  out.elapsed_s = 130;
  out.eta_s = 0;
  return out;
}

JobSnapshot active(JobId id, std::string name) {
  JobSnapshot out = job(id, std::move(name), JobState::kActive);
  out.units_done = 118;
  out.bytes_done = out.bytes_total * 2 / 5;
  out.bytes_per_s = 1.9e9;
  out.eta_s = 41;
  out.elapsed_s = 28;
  out.running = {"model.layers.3.mlp.up_proj.weight", "model.layers.3.self_attn.k_proj.weight"};
  return out;
}

std::vector<JobSnapshot> all_kinds() {
  JobSnapshot cancelled = job(1, "diff Llama-3.1-8B b.gguf", JobState::kCancelled);
  cancelled.units_cancelled = 250;
  cancelled.bytes_done /= 9;
  JobSnapshot failed = job(2, "stats Llama-3.1-8B", JobState::kDone);
  failed.units_failed = 3;
  JobSnapshot paused = active(4, "verify Llama-3.1-8B");
  paused.paused = true;
  paused.running.clear();
  paused.eta_s.reset();
  return {cancelled, failed, job(3, "stats tiny", JobState::kDone), paused,
          active(5, "stats Llama-3.1-8B")};
}

std::vector<std::string> order(const JobsScreen& screen) {
  std::vector<std::string> out;
  for (const auto& row : screen.table_shown().rows) out.push_back(row[1]);
  return out;
}

TEST(JobText, SaysWhatAJobIs) {
  JobSnapshot one = active(1, "a");
  EXPECT_EQ(job_word(one), "running");
  one.paused = true;
  EXPECT_EQ(job_word(one), "pausing");
  one.running.clear();
  EXPECT_EQ(job_word(one), "paused");
  EXPECT_EQ(job_progress(12, 1291, one), "12/1 291  paused");
  one.paused = false;
  EXPECT_EQ(job_word(one), "waiting");
  EXPECT_EQ(job_progress(12, 1291, one), "12/1 291  1.90 GB/s  ETA 0:41");
  EXPECT_DOUBLE_EQ(job_fraction(one), 0.4);
  one.bytes_total = 0;
  EXPECT_DOUBLE_EQ(job_fraction(one), 118.0 / 291);
  one.units_total = one.units_done = 0;
  EXPECT_EQ(job_fraction(one), 0);
}

TEST(JobsScreen, WhatRunsComesFirstThenTheNewest) {
  JobsScreen screen(all_kinds());
  screen.resize({120, 36});
  EXPECT_EQ(order(screen),
            (std::vector<std::string>{"running", "paused", "done", "failed", "cancelled"}));
  EXPECT_EQ(screen.table_shown().rows.back()[3], "41/291");  // cancelled ones are not finished
}

TEST(JobsScreen, TheCursorStaysOnItsJob) {
  JobsScreen screen(all_kinds());
  screen.resize({120, 36});
  press(screen, "jj");
  EXPECT_EQ(screen.current_job(), JobId{3});
  std::vector<JobSnapshot> jobs = all_kinds();
  jobs.erase(jobs.begin());
  jobs.push_back(active(6, "verify tiny"));
  screen.set_jobs(jobs);
  EXPECT_EQ(screen.current_job(), JobId{3});
  screen.set_jobs({});
  EXPECT_FALSE(screen.current_job().has_value());
  EXPECT_EQ(press(screen, "p").ask, Ask::kNothing);
}

TEST(JobsScreen, PausesAndCancelsWhatIsUnderTheCursor) {
  JobsScreen screen(all_kinds());
  screen.resize({120, 36});
  EXPECT_EQ(press(screen, "p"), Request(Ask::kPauseJob, JobId{5}));
  EXPECT_EQ(press(screen, "jx"), Request(Ask::kCancelJobs, JobId{4}));
  EXPECT_EQ(press(screen, "jp").ask, Ask::kNothing);
  EXPECT_NE(screen.notice(), "");
  EXPECT_EQ(press(screen, "x").ask, Ask::kNothing);
  EXPECT_NE(screen.notice(), "");
}

TEST(JobsScreen, EnterShowsErrorsWhereThereAreSome) {
  JobsScreen screen(all_kinds());
  screen.resize({120, 36});
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)).ask, Ask::kNothing);
  EXPECT_NE(screen.notice(), "");
  press(screen, "jjj");
  EXPECT_EQ(screen.handle(key(KeyCode::kEnter)), Request(Ask::kShowJobErrors, JobId{2}));
}

JobErrorsScreen errors() {
  std::vector<UnitError> found;
  for (const std::string& name : test::hostile_names()) {
    found.push_back(
        {found.size(), name, Error(ErrorCode::kCorrupt, name, "", "/models/" + name, 12)});
  }
  return JobErrorsScreen(job(2, "stats \x1b[m", JobState::kDone), std::move(found));
}

TEST(JobsScreen, ErrorsAreListedInFull) {
  JobErrorsScreen screen = errors();
  screen.resize({120, 36});
  EXPECT_EQ(screen.context(), kInLog);
  EXPECT_EQ(screen.rows_shown(), test::hostile_names().size());
  EXPECT_NE(screen.copy_text().find("[corrupt]"), std::string::npos);
  EXPECT_EQ(screen.handle(key(KeyCode::kEscape)).ask, Ask::kBack);
}

TEST(JobsScreen, DrawsAtEverySize) {
  JobsScreen screen(all_kinds());
  test::expect_every_size(screen, "Jobs");
  JobErrorsScreen list = errors();
  test::expect_every_size(list, "Errors");
}

TEST(JobsScreen, HostileNamesKeepTheFrame) {
  std::vector<JobSnapshot> jobs;
  for (const std::string& name : test::hostile_names()) {
    jobs.push_back(active(jobs.size() + 1, name));
    jobs.back().running = {name, name};
  }
  JobsScreen screen(jobs);
  JobErrorsScreen list = errors();
  screen.resize({120, 36});
  list.resize({120, 36});
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    test::expect_clean_frame(screen);
    test::expect_clean_frame(list);
    press(screen, "j");
    press(list, "j");
  }
}

TEST(JobsScreen, Goldens) {
  JobsScreen screen(all_kinds());
  test::expect_goldens("jobs", screen);
}

TEST(ModelStatus, NamesEveryJobThatRuns) {
  ModelScreen screen(std::make_shared<const Model>(test::llama(32)), AnalysisPlan::kAll, false);
  JobStatus stats{.active = true, .done = 118, .total = 291, .bytes_per_s = 1.9e9, .eta_s = 41};
  JobStatus verify{.active = true, .done = 12, .total = 291, .bytes_per_s = 0, .eta_s = 370};
  verify.name = "verify";
  screen.set_job(stats, {verify});
  EXPECT_NE(drawn(screen, {120, 36})
                .find("stats 118/291  1.90 GB/s  ETA 0:41 · verify 12/291  ETA 6:10   J jobs"),
            std::string::npos);
  verify.paused = true;
  screen.set_job({}, {verify});
  EXPECT_NE(drawn(screen, {120, 36}).find(" verify 12/291  paused   J jobs"), std::string::npos);
}

}  // namespace
}  // namespace qi
