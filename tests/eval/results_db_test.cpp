#include "eval/results/results_db.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
using test::read_file;
using test::TempDir;
using Mode = ResultsDb::Mode;

using test::kData;

AnalysisKey key_of(std::uint64_t number) {
  AnalysisKey key;
  key.file = {1, UINT64_MAX - 2, 3, -4};
  key.offset = number;
  key.version = kAnalysisVersion;
  key.options = "sampled";
  return key;
}

Statistics statistics_of(double seed) {
  Statistics statistics;
  double value = seed;
  bool left_out = false;
  for (const StatColumn& column : stat_columns()) {
    left_out = !left_out;
    if (!left_out) statistics.*column.value = value;
    value = value * -1.37 + 1e-300;
  }
  statistics.min = -std::numeric_limits<double>::denorm_min();
  statistics.values.low = -1.0 / 3;
  statistics.values.high = seed;
  for (std::size_t i = 0; i < 64; ++i) statistics.values.bins[i] = UINT64_MAX - i;
  statistics.exponents = {-149, {1, 0, UINT64_MAX, 7}};
  return statistics;
}

class ResultsDbTest : public testing::Test {
 protected:
  ~ResultsDbTest() override { set_network_folder_for_testing(false); }
  std::string make(const std::string& name) {
    const std::string path = dir_ / name;
    ResultsDb(path, Mode::kReadWrite).put(key_of(1), statistics_of(1));
    return path;
  }
  TempDir dir_;
  const std::string path_ = dir_ / "new/folder/results.db";
};

TEST_F(ResultsDbTest, GivesBackExactlyWhatWasPut) {
  {
    ResultsDb db(path_, Mode::kReadWrite);
    EXPECT_TRUE(db.warnings().empty());
    EXPECT_FALSE(db.get(key_of(1)).has_value());
    db.put(key_of(1), statistics_of(0.1));
    db.put({{key_of(2), statistics_of(2)}, {key_of(3), {}}});
    EXPECT_EQ(db.get(key_of(1)), statistics_of(0.1));
    db.put(key_of(1), statistics_of(0.3));
  }
  for (const Mode mode : {Mode::kReadWrite, Mode::kReadOnly}) {
    ResultsDb db(path_, mode);
    EXPECT_EQ(db.get(key_of(1)), statistics_of(0.3));
    EXPECT_EQ(db.get(key_of(2)), statistics_of(2));
    EXPECT_EQ(db.get(key_of(3)), Statistics{});
    EXPECT_FALSE(db.get(key_of(4)).has_value());
  }
  EXPECT_EQ(SQLite::Database(path_).execAndGet("PRAGMA integrity_check").getString(), "ok");
}

TEST_F(ResultsDbTest, EveryPartOfTheKeyCounts) {
  ResultsDb db(path_, Mode::kReadWrite);
  db.put(key_of(1), {});
  std::vector<AnalysisKey> others(8, key_of(1));
  ++others[0].file.device;
  ++others[1].file.inode;
  ++others[2].file.size_bytes;
  ++others[3].file.mtime_ns;
  ++others[4].offset;
  ++others[5].version;
  others[6].options = "exact";
  others[7].options = "sampled'; DROP TABLE analysis; --";
  for (const AnalysisKey& other : others) EXPECT_FALSE(db.get(other).has_value());
  db.put(others[7], statistics_of(1));
  EXPECT_TRUE(db.get(others[7]).has_value());
  EXPECT_TRUE(db.get(key_of(1)).has_value());
}

TEST_F(ResultsDbTest, KeysOfWeightsFollowTheirRecipe) {
  const std::string folder = kData + "/models/wap";
  const Model model = open_model(find_models(folder).models.at(0));
  const Model again = open_model(find_models(folder).models.at(0));
  const Weight& weight = model.weights[5];
  const AnalysisKey key = analysis_key(model, weight, false);
  EXPECT_EQ(key.options, analysis_key(again, again.weights[5], false).options);
  EXPECT_EQ(key.file, model.file(model.tensor(weight.parts[0])).identity());
  EXPECT_EQ(key.offset, model.tensor(weight.parts[0]).offset);
  EXPECT_NE(key.options, analysis_key(model, weight, true).options);
  Weight regrouped = weight;
  regrouped.group_size = 64;
  EXPECT_NE(key.options, analysis_key(model, regrouped, false).options);
  const std::string prototype = kData + "/prototype-dirs/wap2-mixedprec-bf16-int8";
  const Candidate candidate = find_models(prototype).models.at(0);
  const Model bf16 = open_model(candidate, {DType::kBF16});
  const Model f16 = open_model(candidate, {DType::kF16});
  EXPECT_NE(analysis_key(bf16, bf16.weights[0], false).options,
            analysis_key(f16, f16.weights[0], false).options);
}

TEST_F(ResultsDbTest, ZeroBytesCountAsNew) {
  const std::string path = dir_.write("zero.db", "");
  EXPECT_FALSE(ResultsDb(path, Mode::kReadOnly).get(key_of(1)).has_value());
  EXPECT_EQ(read_file(path), "");
  ResultsDb db(path, Mode::kReadWrite);
  db.put(key_of(1), {});
  EXPECT_TRUE(db.get(key_of(1)).has_value());
}

TEST_F(ResultsDbTest, OthersDatabasesStayAsTheyAre) {
  const std::string foreign = dir_ / "foreign.db";
  SQLite::Database(foreign, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec(
          "PRAGMA journal_mode = WAL; CREATE TABLE analysis (device); "
          "PRAGMA application_id = 252006674");
  const std::string nobodys = dir_ / "nobodys.db";
  SQLite::Database(nobodys, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec("CREATE TABLE t (a)");
  const std::string newer = make("newer.db");
  SQLite::Database(newer, SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 99");
  const std::string text = dir_.write("text.db",
                                      "this is not a database, and longer than a header, "
                                      "which has one hundred bytes in all its glory....");
  const std::string cut = dir_.write("cut.db", read_file(make("whole.db")).substr(0, 60));
  const std::vector<std::pair<std::string, std::string>> files = {{foreign, "database"},
                                                                  {nobodys, "database"},
                                                                  {newer, "database"},
                                                                  {text, "bad_magic"},
                                                                  {cut, "corrupt"}};
  for (const auto& [path, word] : files) {
    const std::string before = read_file(path);
    for (const Mode mode : {Mode::kReadWrite, Mode::kReadOnly}) {
      EXPECT_EQ(class_of([&] { ResultsDb(path, mode); }), word) << path;
      EXPECT_EQ(read_file(path), before) << path;
      EXPECT_FALSE(std::filesystem::exists(path + "-wal")) << path;
    }
  }
  const auto corpus = kData + "/malformed/files/results_db/db_text.db";
  EXPECT_EQ(class_of([&] { ResultsDb(corpus, Mode::kReadOnly); }), "bad_magic");
}

TEST_F(ResultsDbTest, DamagedDatabasesAreRefusedAndKept) {
  const std::string path = make("damaged.db");
  {
    ResultsDb db(path, Mode::kReadWrite);
    for (std::uint64_t i = 0; i < 20; ++i) db.put(key_of(i), statistics_of(1));
  }
  std::string bytes = read_file(path);
  ASSERT_GT(bytes.size(), 8192u);
  for (const std::size_t at : {std::size_t{4096}, std::size_t{8192}, bytes.size() - 4096}) {
    std::string damaged = bytes;
    for (std::size_t i = 0; i < 16; ++i) damaged[at + i] = static_cast<char>(0xA5);
    dir_.write("damaged.db", damaged);
    for (const Mode mode : {Mode::kReadWrite, Mode::kReadOnly}) {
      EXPECT_EQ(class_of([&] { ResultsDb(path, mode); }), "corrupt") << at;
      EXPECT_EQ(read_file(path), damaged);
    }
  }
}

/// Cut and corrupt anywhere: an error or an answer, never anything else.
TEST_F(ResultsDbTest, SurvivesAnyDamage) {
  const std::string bytes = read_file(make("good.db"));
  for (std::size_t at = 0; at < bytes.size(); at += at < 128 ? 3 : 499) {
    for (const bool cut : {false, true}) {
      std::string bad = cut ? bytes.substr(0, at) : bytes;
      if (!cut) bad[at] = static_cast<char>(~bad[at]);
      const std::string path = dir_.write("bad.db", bad);
      try {
        ResultsDb db(path, Mode::kReadWrite);
        db.get(key_of(1));
        db.put(key_of(2), statistics_of(2));
      } catch (const Error& error) {
        EXPECT_NE(exit_status(error.code), 0);
      }
      for (const char* ending : {"", "-wal", "-shm", "-journal"}) {
        std::filesystem::remove(path + ending);
      }
    }
  }
}

TEST_F(ResultsDbTest, NotAPlainFile) {
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  for (const Mode mode : {Mode::kReadWrite, Mode::kReadOnly}) {
    EXPECT_EQ(class_of([&] { ResultsDb(dir_.path(), mode); }), "not_regular");
    EXPECT_EQ(class_of([&] { ResultsDb(dir_ / "fifo", mode); }), "not_regular");
  }
  EXPECT_EQ(class_of([&] { ResultsDb(dir_ / "absent.db", Mode::kReadOnly); }), "io");
  EXPECT_FALSE(std::filesystem::exists(dir_ / "absent.db"));
  dir_.write("file", "");
  EXPECT_EQ(class_of([&] { ResultsDb(dir_ / "file/below.db", Mode::kReadWrite); }), "database");
}

TEST_F(ResultsDbTest, WhateverThePathLooksLike) {
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(dir_.path());
  for (const char* path : {":memory:", "file:x?mode=memory", "a b%20#?.db"}) {
    ResultsDb(path, Mode::kReadWrite).put(key_of(1), {});
    EXPECT_TRUE(std::filesystem::is_regular_file(path)) << path;
    EXPECT_TRUE(ResultsDb(path, Mode::kReadOnly).get(key_of(1)).has_value());
  }
  std::filesystem::current_path(before);
}

TEST_F(ResultsDbTest, WritesAheadExceptOnNetworks) {
  {
    ResultsDb db(path_, Mode::kReadWrite);
    db.put(key_of(1), {});
    EXPECT_TRUE(std::filesystem::exists(path_ + "-wal"));
  }
  set_network_folder_for_testing(true);
  ResultsDb db(path_, Mode::kReadWrite);
  ASSERT_EQ(db.warnings().size(), 1u);
  EXPECT_EQ(db.warnings()[0].file, path_);
  db.put(key_of(2), {});
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
  EXPECT_TRUE(db.get(key_of(1)).has_value());
}

template <typename F>
pid_t child(F&& act) {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  int status = 0;
  try {
    act();
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", describe(error));
    status = 1;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    status = 2;
  }
  _exit(status);
}

int exit_of_child(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

TEST_F(ResultsDbTest, ManyProcessesCreateAndFillOneDatabase) {
  constexpr std::uint64_t kRows = 50;
  std::vector<pid_t> children;
  for (std::uint64_t c = 0; c < 4; ++c) {
    children.push_back(child([&, c] {
      ResultsDb db(path_, Mode::kReadWrite);
      for (std::uint64_t i = 0; i < kRows; ++i) {
        // Neighbours write half of each other's rows too.
        db.put(key_of(c * kRows / 2 + i), statistics_of(static_cast<double>(c * kRows / 2 + i)));
      }
    }));
  }
  for (const pid_t pid : children) EXPECT_EQ(exit_of_child(pid), 0);
  ResultsDb db(path_, Mode::kReadOnly);
  for (std::uint64_t i = 0; i < 3 * kRows / 2 + kRows; ++i) {
    EXPECT_EQ(db.get(key_of(i)), statistics_of(static_cast<double>(i))) << i;
  }
  SQLite::Database raw(path_);
  EXPECT_EQ(raw.execAndGet("SELECT count(*) FROM analysis").getInt(), 3 * kRows / 2 + kRows);
  EXPECT_EQ(raw.execAndGet("PRAGMA integrity_check").getString(), "ok");
}

TEST_F(ResultsDbTest, FinishedRowsSurviveAKill) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t pid = child([&] {
    ResultsDb db(path_, Mode::kReadWrite);
    for (std::uint64_t i = 0;; ++i) {
      db.put(key_of(i), statistics_of(static_cast<double>(i)));
      if (i == 20 && ::write(ready[1], "x", 1) != 1) _exit(3);
    }
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_EQ(exit_of_child(pid), 256 + SIGKILL);
  ::close(ready[0]);
  ::close(ready[1]);
  ResultsDb db(path_, Mode::kReadWrite);
  for (std::uint64_t i = 0; i <= 20; ++i) EXPECT_TRUE(db.get(key_of(i)).has_value()) << i;
  EXPECT_EQ(SQLite::Database(path_).execAndGet("PRAGMA integrity_check").getString(), "ok");
}

/// In a child that gave up root's rights, for which no folder is read-only.
TEST_F(ResultsDbTest, ReadsFromAReadOnlyFolder) {
  make("results.db");
  ASSERT_EQ(chmod((dir_ / "results.db").c_str(), 0444), 0);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0555), 0);
  const pid_t pid = child([&] {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(10);
    if (!ResultsDb(dir_ / "results.db", Mode::kReadOnly).get(key_of(1)).has_value()) _exit(11);
    if (class_of([&] { ResultsDb(dir_ / "results.db", Mode::kReadWrite); }) != "database")
      _exit(12);
    if (class_of([&] { ResultsDb(dir_ / "other.db", Mode::kReadWrite); }) != "database") _exit(13);
    if (class_of([&] { ResultsDb(dir_ / "x/y.db", Mode::kReadWrite); }) != "database") _exit(14);
  });
  EXPECT_EQ(exit_of_child(pid), 0);
  ASSERT_EQ(chmod(dir_.path().c_str(), 0755), 0);
}

TEST_F(ResultsDbTest, ADatabaseOfAnEarlierAnalysisGainsColumns) {
  const std::string path = make("old.db");
  const std::string column(stat_columns().back().name);
  SQLite::Database(path, SQLite::OPEN_READWRITE)
      .exec(fmt::format("ALTER TABLE analysis DROP COLUMN \"{}\"", column));
  EXPECT_FALSE(ResultsDb(path, Mode::kReadOnly).get(key_of(1)).has_value());
  ResultsDb db(path, Mode::kReadWrite);
  EXPECT_TRUE(db.get(key_of(1)).has_value());
  db.put(key_of(2), statistics_of(5));
  EXPECT_EQ(db.get(key_of(2)), statistics_of(5));
}

TEST(ResultsPathTest, FollowsTheBaseDirectories) {
  const auto with = [](const char* data, const char* home) {
    data == nullptr ? unsetenv("XDG_DATA_HOME") : setenv("XDG_DATA_HOME", data, 1);
    home == nullptr ? unsetenv("HOME") : setenv("HOME", home, 1);
    return default_results_path();
  };
  const char* old_data = std::getenv("XDG_DATA_HOME");
  const char* old_home = std::getenv("HOME");
  const std::optional<std::string> data =
      old_data ? std::optional<std::string>(old_data) : std::nullopt;
  const std::optional<std::string> home =
      old_home ? std::optional<std::string>(old_home) : std::nullopt;
  EXPECT_EQ(with("/data", "/home/me"), "/data/qinspect/results.db");
  EXPECT_EQ(with(nullptr, "/home/me"), "/home/me/.local/share/qinspect/results.db");
  EXPECT_EQ(with("relative", "/home/me"), "/home/me/.local/share/qinspect/results.db");
  EXPECT_EQ(with("", nullptr), "");
  with(data ? data->c_str() : nullptr, home ? home->c_str() : nullptr);
}

}  // namespace
}  // namespace qi
