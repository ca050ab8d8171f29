#include "eval/sweep/sweep.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "eval/results/content_hash.h"
#include "eval/results/results.h"
#include "eval/sweep/measure.h"
#include "tests/support/data.h"
#include "tests/support/database_counts.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
using test::count;
using test::kClaims;
using test::kMeasured;
using test::TempDir;
using testing::HasSubstr;

using test::kData;
const std::string kWap = kData + "/models/wap";

std::shared_ptr<const Model> model_at(const std::string& path) {
  return std::make_shared<const Model>(open_model(find_models(path).models.front()));
}

SweepRequest request(std::vector<std::string> families, GridOptions grid = {}) {
  SweepRequest wanted;
  wanted.families = std::move(families);
  wanted.grid = std::move(grid);
  return wanted;
}

struct Came {
  std::mutex mutex;
  std::map<std::size_t, ResultRow> rows;
  std::map<std::size_t, ResultRow> totals;
};

/// Runs a sweep to its end.
void run(SweepPlan plan, const std::string& database, Came& came, unsigned threads = 2,
         bool redo = false) {
  SweepOptions options;
  options.database = database;
  options.redo = redo;
  options.on_row = [&](std::size_t unit, const ResultRow& row) {
    const std::lock_guard lock(came.mutex);
    EXPECT_TRUE(came.rows.emplace(unit, row).second);
  };
  options.on_total = [&](std::size_t total, const ResultRow& row) {
    const std::lock_guard lock(came.mutex);
    EXPECT_TRUE(came.totals.emplace(total, row).second);
  };
  JobQueue::Options queue_options;
  queue_options.threads = threads;
  Sweep sweep(std::move(plan), options);
  JobQueue queue(queue_options);
  queue.wait(sweep.start(queue, "sweep"));
  EXPECT_FALSE(sweep.failure().has_value());
}

/// Without what differs from run to run.
ResultRow without_times(ResultRow row) {
  row.run = 0;
  row.encode_s = row.decode_s = std::nullopt;
  return row;
}

void expect_same(const ResultRow& a, const ResultRow& b) {
  EXPECT_EQ(a.tensor, b.tensor);
  EXPECT_EQ(a.file, b.file);
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.dtype_in, b.dtype_in);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.role, b.role);
  EXPECT_EQ(a.layer, b.layer);
  EXPECT_EQ(a.weights, b.weights);
  EXPECT_EQ(a.bytes_in, b.bytes_in);
  EXPECT_EQ(a.bytes_out, b.bytes_out);
  EXPECT_EQ(a.model_bytes, b.model_bytes);
  EXPECT_EQ(a.mse, b.mse);
  EXPECT_EQ(a.snr_db, b.snr_db);
  EXPECT_EQ(a.cosine, b.cosine);
  EXPECT_EQ(a.encode_s, b.encode_s);
  EXPECT_EQ(a.decode_s, b.decode_s);
  EXPECT_EQ(a.ok, b.ok);
  EXPECT_EQ(a.error, b.error);
}

class SweepTest : public testing::Test {
 protected:
  TempDir dir_;
  const std::string db_ = dir_ / "results.db";
  const std::shared_ptr<const Model> model_ = model_at(kWap);
};

TEST_F(SweepTest, PlansTheMatricesOfTheLayersTimesTheGrid) {
  const SweepPlan plan = plan_sweep(
      model_, request({"rtn", "lossless"}, {{"bits", {"3", "4"}}, {"codecs", {"store"}}}));
  EXPECT_EQ(plan.weights.size(), 28u);
  EXPECT_EQ(plan.configs.size(), 3u);
  EXPECT_EQ(plan.units.size(), 84u);
  ASSERT_EQ(plan.totals.size(), 3u);
  std::uint64_t swept = 0;
  for (const Weight* weight : plan.weights) {
    EXPECT_GE(weight->layer, 0);
    EXPECT_EQ(weight->shape.size(), 2u);
    swept += weight->size_bytes;
  }
  EXPECT_EQ(plan.totals[0].other_bytes + swept, model_->size_bytes());
  SweepRequest all = request({"rtn"});
  all.all_weights = true;
  EXPECT_EQ(plan_sweep(model_, all).weights.size(), model_->weights.size());
  all.selected = [](const Weight& weight) { return weight.role == Role::kQ; };
  EXPECT_EQ(plan_sweep(model_, all).weights.size(), 4u);
}

TEST_F(SweepTest, RefusesWhatNamesNothing) {
  const auto refused = [&](SweepRequest wanted) {
    return class_of([&] { plan_sweep(model_, wanted); });
  };
  EXPECT_EQ(refused(request({})), "usage");
  EXPECT_EQ(refused(request({"no such"})), "usage");
  EXPECT_EQ(refused(request({"rtn"}, {{"codecs", {"store"}}})), "usage");
  EXPECT_EQ(refused(request({"rtn"}, {{"bits", {"0"}}})), "usage");
  SweepRequest none = request({"rtn"});
  none.selected = [](const Weight&) { return false; };
  EXPECT_EQ(refused(none), "usage");
}

TEST_F(SweepTest, RowsAreKeptAsTheyCame) {
  Came came;
  run(plan_sweep(model_, request({"rtn", "lossless"})), db_, came);
  Results results(db_);
  const std::vector<ResultRow> rows = results.rows();
  ASSERT_EQ(rows.size(), came.rows.size() + came.totals.size());
  for (const auto& [unit, row] : came.rows) {
    expect_same(rows[unit], row);
    EXPECT_TRUE(row.ok) << row.error;
    EXPECT_GT(*row.encode_s, 0.0);
  }
  for (const auto& [total, row] : came.totals) expect_same(rows[came.rows.size() + total], row);
  const std::vector<ResultRun> runs = results.runs();
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].model, "wap");
  EXPECT_EQ(runs[0].model_hash.size(), 32u);
  EXPECT_EQ(runs[0].units, came.rows.size());
  EXPECT_EQ(runs[0].rows, came.rows.size());
  EXPECT_GT(runs[0].finished, 0);
  EXPECT_EQ(count(db_, kClaims), 0);
}

TEST_F(SweepTest, PredictedBytesAreThoseMeasured) {
  const SweepPlan plan = plan_sweep(model_, request({"rtn", "lossless"}));
  std::map<std::size_t, std::uint64_t> predicted;
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const SweepForecast known = forecast(plan, plan.units[u]);
    EXPECT_EQ(known.unfit, "");
    if (known.bytes_out) predicted[u] = *known.bytes_out;
    EXPECT_LE(unit_memory(plan, plan.units[u]), memory_needed(plan, 1));
  }
  EXPECT_FALSE(predicted.empty());
  Came came;
  run(plan, db_, came);
  for (const auto& [unit, bytes] : predicted) EXPECT_EQ(came.rows.at(unit).bytes_out, bytes);
}

TEST_F(SweepTest, ARepeatedSweepDoesOnlyWhatIsMissing) {
  Came first, second, third;
  run(plan_sweep(model_, request({"rtn"}, {{"bits", {"4"}}})), db_, first);
  run(plan_sweep(model_, request({"rtn"}, {{"bits", {"4", "8"}}})), db_, second);
  // Times are of the first run: nothing was measured again.
  for (const auto& [unit, row] : first.rows) {
    expect_same(second.rows.at(unit * 2), row);
    EXPECT_EQ(second.rows.at(unit * 2).run, 2);
  }
  EXPECT_EQ(count(db_, kMeasured), 56);
  EXPECT_EQ(count(db_, "run_row"), 28 + 56);
  // --redo measures again and replaces.
  run(plan_sweep(model_, request({"rtn"}, {{"bits", {"4"}}})), db_, third, 2, true);
  EXPECT_EQ(count(db_, kMeasured), 56);
  for (const auto& [unit, row] : first.rows) {
    expect_same(without_times(third.rows.at(unit)), without_times(row));
  }
  SQLite::Database redone(db_);
  EXPECT_EQ(redone
                .execAndGet("SELECT COUNT(*) FROM run_row JOIN result ON result.id = result "
                            "WHERE run = 3 AND result.params = run_row.params")
                .getInt(),
            28);
  ResultFilter latest;
  latest.latest_only = true;
  EXPECT_EQ(Results(db_).rows(latest).size(), 56u + 2);
}

TEST_F(SweepTest, ARenamedOrCopiedModelFindsItsRows) {
  const std::string copy = dir_ / "another-name";
  std::filesystem::copy(kWap, copy, std::filesystem::copy_options::recursive);
  Came first, second;
  run(plan_sweep(model_, request({"rtn"})), db_, first);
  run(plan_sweep(model_at(copy), request({"rtn"})), db_, second);
  ASSERT_EQ(first.rows.size(), second.rows.size());
  for (const auto& [unit, row] : first.rows) {
    EXPECT_EQ(second.rows.at(unit).encode_s, row.encode_s);
    EXPECT_EQ(second.rows.at(unit).model, "another-name");
  }
  const auto runs = Results(db_).runs();
  EXPECT_EQ(runs[0].model_hash, runs[1].model_hash);
  ResultFilter filter;
  filter.model = "another*";
  filter.tensors = {"*q_proj*"};
  EXPECT_EQ(Results(db_).rows(filter).size(), 4u);
  filter.tensors = {"\\*"};
  EXPECT_EQ(Results(db_).rows(filter).size(), 1u);
  filter.run = 1;
  EXPECT_TRUE(Results(db_).rows(filter).empty());
}

TEST_F(SweepTest, ThreadsChangeNoDigit) {
  Came one, four;
  // One weight alone is shared by its rows.
  SweepRequest wanted = request({"rtn"}, {{"bits", {"4"}}, {"group-sizes", {"tensor", "row"}}});
  wanted.selected = [](const Weight& weight) { return weight.name == "model.embed_tokens.weight"; };
  run(plan_sweep(model_, wanted), dir_ / "one.db", one, 1);
  run(plan_sweep(model_, wanted), dir_ / "four.db", four, 4);
  ASSERT_EQ(one.rows.size(), 2u);
  for (const auto& [unit, row] : one.rows) {
    expect_same(without_times(row), without_times(four.rows.at(unit)));
  }
}

TEST_F(SweepTest, AUnitThatFailsIsARowAndNoResult) {
  const auto floats = model_at(kData + "/models/stories260K");  // pair codes 16 bits alone
  Came came;
  run(plan_sweep(floats, request({"lossless"}, {{"codecs", {"pair", "store"}}})), db_, came);
  const std::size_t weights = came.rows.size() / 2;
  for (const auto& [unit, row] : came.rows) {
    EXPECT_EQ(row.ok, row.config.params.text() == "codec=store");
    if (!row.ok) {
      EXPECT_THAT(row.error, HasSubstr("[bad_dtype]"));
    }
  }
  EXPECT_FALSE(came.totals.at(0).ok);
  EXPECT_THAT(came.totals.at(0).error, HasSubstr(std::to_string(weights)));
  EXPECT_EQ(came.totals.at(0).model_bytes, floats->size_bytes());
  EXPECT_TRUE(came.totals.at(1).ok);
  EXPECT_EQ(count(db_, kMeasured), static_cast<std::int64_t>(weights));
  EXPECT_EQ(count(db_, kClaims), 0);
  const auto rows = Results(db_).rows();
  ASSERT_EQ(rows.size(), 2 * weights + 2);
  for (const auto& [unit, row] : came.rows) expect_same(rows[unit], row);
}

TEST_F(SweepTest, ValuesThatAreNotFiniteAreAnErrorButLosslessTakesThem) {
  const std::string header =
      R"({"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header;
  const float values[8] = {1, 2, 3, NAN, 5, INFINITY, 7, 8};
  file.append(reinterpret_cast<const char*>(values), sizeof(values));
  const auto model = model_at(dir_.write("nan.safetensors", file));
  SweepRequest wanted =
      request({"rtn", "lossless"}, {{"group-sizes", {"row"}}, {"codecs", {"store"}}});
  Came came;
  run(plan_sweep(model, wanted), db_, came);
  EXPECT_FALSE(came.rows.at(0).ok);
  EXPECT_THAT(came.rows.at(0).error, HasSubstr("[bad_value]"));
  EXPECT_TRUE(came.rows.at(1).ok) << came.rows.at(1).error;
  EXPECT_EQ(came.rows.at(1).mse, 0.0);
  EXPECT_FALSE(came.rows.at(1).snr_db.has_value());
}

TEST_F(SweepTest, EqualWeightsAreMeasuredOnce) {
  const std::string header =
      R"({"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]},)"
      R"("model.layers.1.mlp.up_proj.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[32,64]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header;
  const float values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int i = 0; i < 2; ++i) {
    file.append(reinterpret_cast<const char*>(values), sizeof(values));
  }
  const auto model = model_at(dir_.write("twice.safetensors", file));
  for (const unsigned threads : {1u, 3u}) {
    const std::string db = dir_ / (std::to_string(threads) + ".db");
    Came came;
    run(plan_sweep(model, request({"rtn"}, {{"group-sizes", {"row"}}})), db, came, threads);
    ASSERT_EQ(came.rows.size(), 2u);
    EXPECT_EQ(came.rows.at(0).mse, came.rows.at(1).mse);
    EXPECT_EQ(count(db, kMeasured), 1);
    // Measured again, the second of them does not wait for ever for the first.
    Came again;
    run(plan_sweep(model, request({"rtn"}, {{"group-sizes", {"row"}}})), db, again, threads, true);
    EXPECT_EQ(again.rows.size(), 2u);
    EXPECT_EQ(count(db, kMeasured), 1);
    EXPECT_EQ(count(db, kClaims), 0);
  }
}

TEST_F(SweepTest, ContentHashesAreOfBytesTypeAndShape) {
  const auto other = model_at(kData + "/models/stories260K");
  std::set<std::string> hashes;
  std::size_t weights = 0;
  for (const auto& model : {model_, other}) {
    for (const Weight& weight : model->weights) {
      hashes.insert(content_hash(*model, weight));
      ++weights;
    }
  }
  // Norms of ones may be equal; matrices are not.
  EXPECT_GT(hashes.size(), weights / 2);
  // The same numbers in a container of another kind.
  const auto gguf = model_at(kData + "/models/stories260K/stories260K-F32.gguf");
  const Weight* here = other->find_weight("model.layers.0.mlp.down_proj.weight");
  const Weight* there = gguf->find_weight("blk.0.ffn_down.weight");
  ASSERT_NE(here, nullptr);
  ASSERT_NE(there, nullptr);
  EXPECT_EQ(content_hash(*other, *here), content_hash(*gguf, *there));
}

TEST_F(SweepTest, ACancelledSweepKeepsItsRowsAndItsClaimsAreFree) {
  SweepOptions options;
  options.database = db_;
  JobQueue::Options queue_options;
  queue_options.threads = 1;
  std::mutex mutex;
  JobQueue* running = nullptr;
  std::size_t came = 0;
  options.on_row = [&](std::size_t, const ResultRow&) {
    const std::lock_guard lock(mutex);
    if (++came == 5) running->cancel_all();
  };
  {
    Sweep sweep(plan_sweep(model_, request({"rtn"}, {{"bits", {"3", "4"}}})), options);
    JobQueue queue(queue_options);
    running = &queue;
    queue.wait(sweep.start(queue, "sweep"));
    EXPECT_LT(sweep.finished_units(), sweep.plan().units.size());
  }
  EXPECT_EQ(count(db_, kMeasured), static_cast<std::int64_t>(came));
  EXPECT_EQ(count(db_, kClaims), 0);
  EXPECT_EQ(Results(db_).runs()[0].finished, 0);
  Came rest;
  run(plan_sweep(model_, request({"rtn"}, {{"bits", {"3", "4"}}})), db_, rest);
  EXPECT_EQ(rest.rows.size(), 56u);
  EXPECT_EQ(count(db_, kMeasured), 56);
}

int exit_of(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(SweepTest, KilledAnywhereItIsFinishedByTheNext) {
  Came whole;
  run(plan_sweep(model_, request({"rtn"}, {{"bits", {"3", "4"}}})), dir_ / "whole.db", whole);
  for (const std::size_t last : {1u, 7u, 20u, 55u}) {
    const std::string db = dir_ / (std::to_string(last) + ".db");
    const pid_t pid = fork();
    if (pid == 0) {
      SweepOptions options;
      options.database = db;
      std::atomic<std::size_t> rows{0};
      options.on_row = [&](std::size_t, const ResultRow&) {
        if (++rows == last) kill(getpid(), SIGKILL);
      };
      Sweep sweep(plan_sweep(model_, request({"rtn"}, {{"bits", {"3", "4"}}})), options);
      JobQueue queue;
      queue.wait(sweep.start(queue, "sweep"));
      _exit(0);
    }
    EXPECT_EQ(exit_of(pid), -SIGKILL);
    // Every row that was reported is there.
    EXPECT_GE(count(db, kMeasured), static_cast<std::int64_t>(last));
    EXPECT_EQ(SQLite::Database(db).execAndGet("PRAGMA integrity_check").getString(), "ok");
    Came rest;
    run(plan_sweep(model_, request({"rtn"}, {{"bits", {"3", "4"}}})), db, rest);
    ASSERT_EQ(rest.rows.size(), whole.rows.size());
    for (const auto& [unit, row] : whole.rows) {
      expect_same(without_times(rest.rows.at(unit)), without_times(row));
    }
    EXPECT_EQ(count(db, kMeasured), 56);
    EXPECT_EQ(count(db, kClaims), 0);
  }
}

TEST_F(SweepTest, ProcessesShareADatabase) {
  constexpr int kProcesses = 4;
  std::vector<pid_t> pids;
  for (int p = 0; p < kProcesses; ++p) {
    const pid_t pid = fork();
    if (pid == 0) {
      SweepOptions options;
      options.database = db_;
      Sweep sweep(plan_sweep(model_, request({"rtn"}, {{"bits", {"2", "3", "4", "8"}}})), options);
      JobQueue queue;
      queue.wait(sweep.start(queue, "sweep"));
      _exit(sweep.failure() ? 1 : sweep.finished_units() == 112 ? 0 : 2);
    }
    pids.push_back(pid);
  }
  for (const pid_t pid : pids) EXPECT_EQ(exit_of(pid), 0);
  EXPECT_EQ(count(db_, kMeasured), 112);
  EXPECT_EQ(count(db_, "run_row"), 112 * kProcesses);
  EXPECT_EQ(count(db_, kClaims), 0);
  // Every run has the same numbers, times too: each was measured once.
  const std::vector<ResultRow> rows = Results(db_).rows();
  ASSERT_EQ(rows.size(), 116u * kProcesses);
  for (std::size_t i = 0; i < 116; ++i) {
    for (int p = 1; p < kProcesses; ++p) {
      EXPECT_EQ(rows[i].encode_s, rows[i + 116 * static_cast<std::size_t>(p)].encode_s);
    }
  }
}

TEST_F(SweepTest, EveryFamilyMeasuresAModel) {
  std::vector<std::string> families;
  for (const MethodFamily& family : uncalibrated_families()) families.emplace_back(family.name);
  SweepRequest wanted = request(families);
  wanted.selected = [](const Weight& weight) {
    return weight.layer == 1 && is_layer_matrix(weight);
  };
  Came came;
  run(plan_sweep(model_, wanted), db_, came);
  for (const auto& [unit, row] : came.rows) {
    EXPECT_TRUE(row.ok) << row.error;
    EXPECT_GT(row.bytes_out, 0u);
    EXPECT_TRUE(row.mse.has_value());
  }
}

TEST_F(SweepTest, ADatabaseThatBreaksEndsTheSweep) {
  SweepOptions options;
  options.database = db_;
  options.on_row = [&](std::size_t, const ResultRow&) {
    SQLite::Database(db_, SQLite::OPEN_READWRITE, 10'000).exec("DROP TABLE IF EXISTS run_row");
  };
  Sweep sweep(plan_sweep(model_, request({"rtn"})), options);
  JobQueue queue;
  queue.wait(sweep.start(queue, "sweep"));
  ASSERT_TRUE(sweep.failure().has_value());
  EXPECT_EQ(sweep.failure()->code, ErrorCode::kDatabase);
  EXPECT_EQ(sweep.failure()->file, db_);
  EXPECT_LT(sweep.finished_units(), 28u);
}

}  // namespace
}  // namespace qi
