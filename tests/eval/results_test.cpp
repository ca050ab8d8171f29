#include "eval/results/results.h"

#include <cmath>

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/results/results_db.h"
#include "eval/results/results_store.h"
#include "tests/support/database_counts.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
using test::count;
using test::kClaims;
using test::TempDir;
using testing::HasSubstr;

ResultRow row(const std::string& tensor, std::uint64_t weights, std::uint64_t bytes, double snr) {
  ResultRow made;
  made.model = "m";
  made.file = "f";
  made.tensor = tensor;
  made.dtype_in = "BF16";
  made.weights = weights;
  made.bytes_in = weights * 2;
  made.bytes_out = bytes;
  made.snr_db = snr;
  made.mse = 1 / snr;
  made.max_abs_error = snr;
  made.encode_s = 0.5;
  return made;
}

ResultRow failed(const std::string& tensor) {
  ResultRow made = row(tensor, 100, 0, 1);
  made.mse = made.snr_db = made.max_abs_error = made.encode_s = std::nullopt;
  made.ok = false;
  made.error = "no";
  return made;
}

TEST(Totals, SumsAndMeansWeightedByNumbers) {
  const ResultRow total =
      total_of({row("a", 100, 50, 10), row("b", 300, 90, 30)}, {"rtn", {}}, 1000);
  EXPECT_TRUE(total.is_total());
  EXPECT_TRUE(total.ok);
  EXPECT_EQ(total.weights, 400u);
  EXPECT_EQ(total.bytes_in, 800u);
  EXPECT_EQ(total.bytes_out, 140u);
  EXPECT_EQ(total.model_bytes, 1140u);
  EXPECT_EQ(total.snr_db, 25.0);
  EXPECT_DOUBLE_EQ(*total.mse, 0.25 * 0.1 + 0.75 / 30);
  EXPECT_DOUBLE_EQ(*total.rmse, std::sqrt(*total.mse));
  EXPECT_EQ(total.max_abs_error, 30.0);
  EXPECT_EQ(total.encode_s, 1.0);
  EXPECT_FALSE(total.cosine.has_value());
  EXPECT_EQ(total.dtype_in, "BF16");
}

TEST(Totals, WhatFailedStaysAsStored) {
  const ResultRow total = total_of({row("a", 100, 50, 10), failed("b")}, {"rtn", {}}, 1000);
  EXPECT_FALSE(total.ok);
  EXPECT_THAT(total.error, HasSubstr("1 of 2"));
  EXPECT_EQ(total.weights, 100u);
  EXPECT_EQ(total.model_bytes, 50u + 200 + 1000);
}

TEST(BestUnder, TheHighestRatioThatFits) {
  ResultRow lossless = row("a", 100, 150, 1);
  lossless.snr_db.reset();
  lossless.mse = 0;
  const std::vector<ResultRow> rows = {
      row("a", 100, 50, 10), row("a", 100, 40, 10), row("a", 100, 100, 40), lossless,
      row("b", 100, 500, 9), failed("b"),           row("*", 100, 50, 3),
  };
  std::vector<ResultRow> best = best_under(rows, 4.5);
  ASSERT_EQ(best.size(), 2u);  // b has nothing that small
  EXPECT_EQ(best[0].bytes_out, 40u);
  EXPECT_EQ(best[1].tensor, "*");
  best = best_under(rows, 100);
  ASSERT_EQ(best.size(), 3u);
  EXPECT_EQ(best[0].bytes_out, 150u);
  EXPECT_EQ(best[1].tensor, "b");
}

TEST(Schema, AVersionOneDatabaseIsBroughtToTwoAndKeepsItsAnalyses) {
  TempDir dir;
  const std::string path = dir / "old.db";
  AnalysisKey key;
  key.offset = 7;
  {
    ResultsDb db(path, ResultsDb::Mode::kReadWrite);
    Statistics statistics;
    statistics.min = -1.5;
    db.put(key, statistics);
  }
  {
    SQLite::Database db(path, SQLite::OPEN_READWRITE);
    for (const char* table : {"weight_hash", "run_row", "run_evaluation", "evaluation",
                              "evaluation_window", "result", "run", "run_total"}) {
      db.exec(std::string("DROP TABLE ") + table);
    }
    db.exec("PRAGMA user_version = 1");
  }
  // As it is, read only.
  EXPECT_TRUE(Results(path).rows().empty());
  EXPECT_TRUE(Results(path).runs().empty());
  EXPECT_EQ(ResultsDb(path, ResultsDb::Mode::kReadOnly).get(key)->min, -1.5);
  EXPECT_EQ(ResultsDb(path, ResultsDb::Mode::kReadWrite).get(key)->min, -1.5);
  EXPECT_EQ(SQLite::Database(path).execAndGet("PRAGMA user_version").getInt(), 5);
  EXPECT_TRUE(Results(path).runs().empty());
}

/// The tables of sweeps as version 4 had them, with a finished row, a failed one and a claim.
void write_version_four(const std::string& path) {
  ResultsDb(path, ResultsDb::Mode::kReadWrite);
  SQLite::Database db(path, SQLite::OPEN_READWRITE);
  db.exec("DROP TABLE result");
  db.exec(
      "CREATE TABLE result (id INTEGER PRIMARY KEY, hash TEXT NOT NULL, family TEXT NOT NULL, "
      "params TEXT NOT NULL, version INTEGER NOT NULL, bytes_out INTEGER NOT NULL, mse REAL, "
      "rmse REAL, max_abs_error REAL, relative_error REAL, snr_db REAL, psnr_db REAL, cosine REAL, "
      "output_error REAL, encode_s REAL, decode_s REAL, UNIQUE (hash, family, params, version))");
  db.exec(
      "CREATE TABLE claim (hash TEXT NOT NULL, family TEXT NOT NULL, params TEXT NOT NULL, "
      "version INTEGER NOT NULL, owner TEXT NOT NULL, "
      "PRIMARY KEY (hash, family, params, version)) WITHOUT ROWID");
  db.exec(
      "INSERT INTO result (id,hash,family,params,version,bytes_out,mse,encode_s) VALUES "
      "(7,'aa','rtn','bits=4',1,40,0.25,0.5)");
  db.exec("INSERT INTO claim VALUES ('bb','rtn','bits=4',1,'1-1/1')");
  db.exec(
      "INSERT INTO run (id,model,machine,threads,versions,options,started,units) VALUES "
      "(1,'m','here',1,'','',5,2)");
  db.exec(
      "INSERT INTO run_row VALUES "
      "(1,0,'f','w','other',-1,'rtn','bits=4','F32','8x8',64,256,7,NULL),"
      "(1,1,'f','v','other',-1,'rtn','bits=4','F32','8x8',64,256,NULL,'no')");
  db.exec("PRAGMA user_version = 4");
}

TEST(Schema, AVersionFourDatabaseIsReadAsItIsAndKeepsItsResults) {
  TempDir dir;
  const std::string path = dir / "old.db";
  write_version_four(path);
  const auto check = [&] {
    const std::vector<ResultRow> rows = Results(path).rows();
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_TRUE(rows[0].ok);
    EXPECT_EQ(rows[0].bytes_out, 40u);
    EXPECT_EQ(rows[0].mse, 0.25);
    EXPECT_EQ(rows[0].snr_db, std::nullopt);
    EXPECT_EQ(rows[1].error, "no");
    EXPECT_EQ(Results(path).runs().at(0).rows, 2u);
  };
  check();
  ResultsStore store(path);
  check();
  EXPECT_EQ(count(path, kClaims), 0);
  EXPECT_EQ(count(path, "sqlite_master WHERE name='claim' OR name LIKE '%new%'"), 0);
  UnitRecord unit;
  unit.key = {"aa", {"rtn", Params::parse("bits=4")}, 1};
  std::vector<UnitRecord> units = {unit};
  store.begin_run({}, {});
  EXPECT_EQ(store.claim(units, false).at(0), Claim::kDone);
  EXPECT_EQ(units[0].row.mse, 0.25);
}

TEST(ResultsStore, ARowShowsOnceItsResultIsThere) {
  TempDir dir;
  const std::string path = dir / "r.db";
  std::vector<UnitRecord> units(3);
  for (std::size_t i = 0; i < units.size(); ++i) {
    units[i].unit = i;
    units[i].key = {std::string(1, static_cast<char>('a' + i)), {"zfp", {}}, 1};
    units[i].row = row("w", 10, 0, 1);
  }
  ResultRun run;
  run.units = units.size();
  const auto rows = [&] { return Results(path).rows(); };
  const auto shown = [&] { return Results(path).runs().at(0).rows; };
  ResultsStore store(path);
  store.begin_run(run, {});
  for (const Claim claim : store.claim(units, false)) EXPECT_EQ(claim, Claim::kMine);
  EXPECT_TRUE(rows().empty());
  EXPECT_EQ(shown(), 0u);
  units[0].row.bytes_out = 7;
  units[0].row.error = "more damping";  // a note that came with measuring
  store.finish(units[0], false);
  units[1].row.error = "no";
  store.fail(units[1]);
  ASSERT_EQ(rows().size(), 2u);
  EXPECT_EQ(rows()[0].bytes_out, 7u);
  EXPECT_EQ(rows()[0].error, "more damping");
  EXPECT_TRUE(rows()[0].ok);
  EXPECT_EQ(rows()[1].error, "no");
  EXPECT_EQ(shown(), 2u);

  // This process lives: what it claimed is not another run's.
  ResultsStore other(path);
  other.begin_run(run, {});
  std::vector<UnitRecord> same = units;
  EXPECT_EQ(other.claim(same, false),
            (std::vector<Claim>{Claim::kDone, Claim::kMine, Claim::kOther}));
  EXPECT_EQ(same[0].row.bytes_out, 7u);
  store.release();
  EXPECT_EQ(count(path, "run_row WHERE run = 1"), 2);
  EXPECT_EQ(other.claim(same, false)[2], Claim::kMine);

  // What was let go may still be finished; what is there already stays, but for --redo.
  units[2].row.bytes_out = 9;
  store.finish(units[2], false);
  same[2].row.bytes_out = 11;
  other.finish(same[2], false);
  EXPECT_EQ(count(path, "result WHERE bytes_out = 9"), 1);
  EXPECT_EQ(count(path, "run_row WHERE run = 1"), 3);
  EXPECT_EQ(other.claim(same, true)[2], Claim::kMine);
  EXPECT_EQ(count(path, "result WHERE bytes_out = 9"), 1);
  other.finish(same[2], true);
  EXPECT_EQ(count(path, "result WHERE bytes_out = 11"), 1);
  other.release();
  EXPECT_EQ(count(path, kClaims), 0);
}

TEST(Results, RefusesWhatIsNoDatabase) {
  TempDir dir;
  EXPECT_EQ(class_of([&] { Results(dir / "absent.db"); }), "io");
  const std::string empty = dir.write("empty.db", "");
  EXPECT_TRUE(Results(empty).rows().empty());
  const std::string text = dir.write("text.db", std::string(200, 'x'));
  EXPECT_EQ(class_of([&] { Results{text}; }), "bad_magic");
}

}  // namespace
}  // namespace qi
