#include "eval/results/results.h"

#include <cmath>

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/results/results_db.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
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
                              "evaluation_window", "result", "run", "run_total", "claim"}) {
      db.exec(std::string("DROP TABLE ") + table);
    }
    db.exec("PRAGMA user_version = 1");
  }
  // As it is, read only.
  EXPECT_TRUE(Results(path).rows().empty());
  EXPECT_TRUE(Results(path).runs().empty());
  EXPECT_EQ(ResultsDb(path, ResultsDb::Mode::kReadOnly).get(key)->min, -1.5);
  EXPECT_EQ(ResultsDb(path, ResultsDb::Mode::kReadWrite).get(key)->min, -1.5);
  EXPECT_EQ(SQLite::Database(path).execAndGet("PRAGMA user_version").getInt(), 4);
  EXPECT_TRUE(Results(path).runs().empty());
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
