#include "engine/io/atomic_file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

// Fail points: this program's own write, fsync … stand before the C library's and fail on demand.
namespace {

struct FailPoint {
  std::string_view call{};  // empty: nothing fails
  int countdown = 0;        // the call that fails, from 0
  int reason = 0;
  bool short_writes = false;  // every write gives one byte at most 7 and every other one EINTR
  bool kill = false;          // the process ends there as under kill -9
  std::uint64_t free_bytes = UINT64_MAX;
};
FailPoint g_fail;
int g_writes = 0;

bool fails(std::string_view call) {
  if (g_fail.call != call || g_fail.countdown-- != 0) return false;
  if (g_fail.kill) _exit(137);
  errno = g_fail.reason;
  return true;
}

template <typename F>
F* next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
ssize_t write(int fd, const void* data, size_t size) {
  static auto* real = next<ssize_t(int, const void*, size_t)>("write");
  if (fails("write")) return -1;
  if (g_fail.short_writes && fd > 2) {
    if (++g_writes % 2 == 0) {
      errno = EINTR;
      return -1;
    }
    size = std::min<size_t>(size, 7);
  }
  return real(fd, data, size);
}
int fsync(int fd) {
  static auto* real = next<int(int)>("fsync");
  return fails("fsync") ? -1 : real(fd);
}
int ftruncate(int fd, off_t size) noexcept {
  static auto* real = next<int(int, off_t)>("ftruncate");
  return fails("ftruncate") ? -1 : real(fd, size);
}
int close(int fd) {
  static auto* real = next<int(int)>("close");
  const bool failing = fails("close");
  const int reason = errno;
  const int result = real(fd);
  if (failing) errno = reason;
  return failing ? -1 : result;
}
int renameat2(int a, const char* from, int b, const char* to, unsigned flags) noexcept {
  static auto* real = next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return fails("rename") ? -1 : real(a, from, b, to, flags);
}
int fallocate(int fd, int mode, off_t offset, off_t size) {
  static auto* real = next<int(int, int, off_t, off_t)>("fallocate");
  return fails("fallocate") ? -1 : real(fd, mode, offset, size);
}
int fstatvfs(int fd, struct statvfs* fs) noexcept {
  static auto* real = next<int(int, struct statvfs*)>("fstatvfs");
  const int result = real(fd, fs);
  if (g_fail.free_bytes != UINT64_MAX) fs->f_bavail = g_fail.free_bytes / fs->f_frsize;
  return result;
}
}

namespace qi {
namespace {

using test::thrown_by;

using test::names_in;
using test::read_file;
using test::TempDir;

std::string big_text() {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += fmt::format("{},", i);
  return text;
}

class AtomicFileTest : public testing::Test {
 protected:
  ~AtomicFileTest() override { g_fail = {}; }
  void put(const std::string& text, bool overwrite = true, std::uint64_t reserve = 0) {
    AtomicFile file(out_, {overwrite, {}});
    if (reserve != 0) file.reserve(reserve);
    // A small piece, one above the buffer, a small one.
    const std::string_view all = text;
    const std::size_t a = std::min<std::size_t>(10, all.size());
    const std::size_t b = std::max(a, all.size() - a / 2);
    file.write(all.substr(0, a));
    file.write(all.substr(a, b - a));
    file.write(all.substr(b));
    EXPECT_EQ(file.size(), text.size());
    file.commit();
  }
  TempDir dir_;
  const std::string out_ = dir_ / "out";
};

TEST_F(AtomicFileTest, WritesANewFile) {
  for (const std::string& text : {std::string(), std::string("short"), big_text()}) {
    put(text);
    EXPECT_EQ(read_file(out_), text);
    EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out"));
  }
}

TEST_F(AtomicFileTest, NothingUnderTheNameBeforeCommit) {
  {
    AtomicFile file(out_, {});
    file.write("half");
    file.finish();
    EXPECT_EQ(read_file(file.temporary_path()), "half");
    EXPECT_FALSE(std::filesystem::exists(out_));
  }
  EXPECT_TRUE(names_in(dir_.path()).empty()) << "the temporary stayed";
}

// Room in the middle that several threads fill, between bytes that are appended.
TEST_F(AtomicFileTest, ClaimedRoomIsFilledByAnyThread) {
  const std::string text = big_text();
  const auto bytes = std::as_bytes(std::span(text));
  {
    AtomicFile file(out_, {});
    file.write("before");
    const std::uint64_t start = file.claim(text.size());
    EXPECT_EQ(start, 6U);
    std::vector<std::thread> threads;
    for (std::size_t part = 0; part < 4; ++part) {
      threads.emplace_back([&, part] {
        const std::size_t first = text.size() / 4 * part;
        const std::size_t count = part == 3 ? text.size() - first : text.size() / 4;
        file.put_at(start + first, bytes.subspan(first, count));
      });
    }
    for (std::thread& thread : threads) thread.join();
    file.write("behind");
    file.patch(0, std::as_bytes(std::span("BEFORE", 6)));
    EXPECT_EQ(file.size(), text.size() + 12);
    file.commit();
  }
  EXPECT_EQ(read_file(out_), "BEFORE" + text + "behind");
}

TEST_F(AtomicFileTest, ForceRule) {
  dir_.write("out", "old");
  const Error error = thrown_by([&] { put("new", false); });
  EXPECT_EQ(error.code, ErrorCode::kUsage);
  EXPECT_EQ(read_file(out_), "old");
  put("new", true);
  EXPECT_EQ(read_file(out_), "new");
}

TEST_F(AtomicFileTest, AFileThatAppearsMeanwhileIsKept) {
  {
    AtomicFile file(out_, {});
    file.write("ours");
    dir_.write("out", "theirs");
    EXPECT_EQ(thrown_by([&] { file.commit(); }).code, ErrorCode::kUsage);
  }
  EXPECT_EQ(read_file(out_), "theirs");
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out"));
}

TEST_F(AtomicFileTest, FallsBackWithoutRenameFlags) {
  g_fail = {.call = "rename", .reason = EINVAL};
  put("new", false);
  EXPECT_EQ(read_file(out_), "new");
}

TEST_F(AtomicFileTest, KeepsTheModeOfWhatItReplaces) {
  dir_.write("out", "old");
  ASSERT_EQ(chmod(out_.c_str(), 0640), 0);
  put("new");
  struct stat st {};
  ASSERT_EQ(stat(out_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0640u);
}

TEST_F(AtomicFileTest, InputsAreNeverReplaced) {
  const std::string input = dir_.write("input", "weights");
  ASSERT_EQ(link(input.c_str(), (dir_ / "hard").c_str()), 0);
  ASSERT_EQ(symlink("input", (dir_ / "soft").c_str()), 0);
  const OutputOptions options{true, {File::open(input)->identity()}};
  for (const char* name : {"input", "hard", "soft"}) {
    for (const auto& act :
         {+[](const std::string&path, const OutputOptions&o) { AtomicFile file(path, o); },
          +[](const std::string&path, const OutputOptions&o) { check_output(path, o); }}) {
      const Error error = thrown_by([&] { act(dir_ / name, options); });
      EXPECT_EQ(error.code, ErrorCode::kUsage) << name;
      EXPECT_EQ(error.message, "is one of the input files");
    }
  }
  EXPECT_EQ(read_file(input), "weights");
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("hard", "input", "soft"));
}

TEST_F(AtomicFileTest, RefusesWhatIsNotAFile) {
  ASSERT_EQ(mkdir((dir_ / "folder").c_str(), 0700), 0);
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  for (const std::string& path :
       {dir_ / "folder", dir_ / "folder/", dir_ / ".", dir_ / "fifo", std::string("/dev/null"),
        std::string("/"), std::string(".."), std::string()}) {
    EXPECT_EQ(thrown_by([&] { check_output(path, {true, {}}); }).code, ErrorCode::kUsage) << path;
    EXPECT_EQ(thrown_by([&] { AtomicFile(path, {true, {}}); }).code, ErrorCode::kUsage) << path;
  }
}

TEST_F(AtomicFileTest, FailsEarlyOnImpossibleNames) {
  for (const std::string& path : {dir_ / "none/out", dir_ / std::string(256, 'x')}) {
    const Error error = thrown_by([&] { check_output(path, {}); });
    EXPECT_EQ(error.code, ErrorCode::kIo);
    EXPECT_EQ(error.file, path);
  }
  const std::string longest(255, 'x');
  AtomicFile file(dir_ / longest, {});
  file.commit();
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre(longest));
}

TEST_F(AtomicFileTest, ALinkIsReplacedNotWrittenThrough) {
  dir_.write("target", "kept");
  ASSERT_EQ(symlink("target", out_.c_str()), 0);
  put("new");
  EXPECT_EQ(read_file(dir_ / "target"), "kept");
  EXPECT_EQ(read_file(out_), "new");
  std::filesystem::remove(out_);
  ASSERT_EQ(symlink("nowhere", out_.c_str()), 0);
  EXPECT_EQ(thrown_by([&] { put("new", false); }).code, ErrorCode::kUsage);
  put("new", true);
  EXPECT_EQ(read_file(out_), "new");
}

TEST_F(AtomicFileTest, FinishesShortAndInterruptedWrites) {
  g_fail = {.short_writes = true};
  const std::string text = big_text();
  put(text);
  g_fail = {};
  EXPECT_EQ(read_file(out_), text);
}

struct Fault {
  const char* call;
  int reason;
  ErrorCode code;
};

/// Every call in turn, until a run in which none failed.
class AtomicFileFaults : public AtomicFileTest, public testing::WithParamInterface<Fault> {};
INSTANTIATE_TEST_SUITE_P(
    Calls, AtomicFileFaults,
    testing::Values(Fault{"write", EIO, ErrorCode::kIo}, Fault{"write", ENOSPC, ErrorCode::kSpace},
                    Fault{"write", EDQUOT, ErrorCode::kSpace}, Fault{"fsync", EIO, ErrorCode::kIo},
                    Fault{"fsync", ENOSPC, ErrorCode::kSpace},
                    Fault{"ftruncate", EIO, ErrorCode::kIo}, Fault{"rename", EIO, ErrorCode::kIo},
                    Fault{"rename", EXDEV, ErrorCode::kIo},
                    Fault{"fallocate", EDQUOT, ErrorCode::kSpace}),
    [](const auto& way) { return fmt::format("{}_{}", way.param.call, way.param.reason); });

TEST_P(AtomicFileFaults, LeaveTheOldFileOrNothingAndNoTemporary) {
  const auto [call, reason, code] = GetParam();
  const std::string text = big_text();
  for (const bool old_file : {false, true}) {
    int nth = 0;
    for (;; ++nth) {
      std::filesystem::remove(out_);
      if (old_file) dir_.write("out", "old");
      g_fail = {.call = call, .countdown = nth, .reason = reason};
      bool threw = false;
      try {
        put(text, true, text.size());
      } catch (const Error& error) {
        threw = true;
        EXPECT_EQ(error.code, code);
        EXPECT_EQ(exit_status(error.code), 1);
        EXPECT_EQ(error.file, out_);
        EXPECT_THAT(error.message, testing::HasSubstr(call));
        EXPECT_THAT(error.message, testing::HasSubstr(std::strerror(reason)));
      }
      const bool reached = g_fail.countdown < 0;
      g_fail = {};
      EXPECT_EQ(threw, reached) << call << " " << nth;
      if (!threw) break;
      const bool folder_sync = std::string_view(call) == "fsync" && nth == 1;
      if (folder_sync) {
        EXPECT_EQ(read_file(out_), text) << "renamed already: the new file, whole";
      } else if (old_file) {
        EXPECT_EQ(read_file(out_), "old");
      }
      EXPECT_EQ(names_in(dir_.path()).size(), old_file || folder_sync ? 1u : 0u);
    }
    EXPECT_GT(nth, 0) << call << " was never called";
    EXPECT_EQ(read_file(out_), text);
  }
}

TEST_F(AtomicFileTest, FailingCloseLeavesTheOldFile) {
  // Some closes are of folders and of /proc and prove nothing; the file's own must be reported.
  int reported = 0;
  for (int nth = 0;; ++nth) {
    dir_.write("out", "old");
    g_fail = {.call = "close", .countdown = nth, .reason = EIO};
    try {
      put("new");
    } catch (const Error& error) {
      ++reported;
      EXPECT_EQ(error.code, ErrorCode::kIo);
      EXPECT_THAT(error.message, testing::HasSubstr("close"));
      EXPECT_EQ(read_file(out_), "old");
    }
    const bool reached = g_fail.countdown < 0;
    g_fail = {};
    EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out"));
    if (!reached) break;
  }
  EXPECT_EQ(reported, 1);
}

TEST_F(AtomicFileTest, FreeSpaceIsComparedFirst) {
  g_fail = {.free_bytes = 1 << 20};
  const Error error = thrown_by([&] { put("new", true, 4 << 20); });
  EXPECT_EQ(error.code, ErrorCode::kSpace);
  EXPECT_THAT(error.message,
              testing::AllOf(testing::HasSubstr("4194304"), testing::HasSubstr("1048576")));
  EXPECT_TRUE(names_in(dir_.path()).empty());
}

TEST_F(AtomicFileTest, ReservedRoomIsGivenBack) {
  put("short", true, 10 << 20);
  EXPECT_EQ(read_file(out_), "short");
  struct stat st {};
  ASSERT_EQ(stat(out_.c_str(), &st), 0);
  EXPECT_LE(st.st_blocks * 512, 1 << 20);
}

/// Runs `act` in a child that ends as under kill -9 at the fail point.
template <typename F>
int in_child(F&& act) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      act();
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST_F(AtomicFileTest, KilledAtAnyCallLeavesOldOrNewAndTheNextRunCleansUp) {
  const std::string text = big_text();
  for (const char* call : {"write", "ftruncate", "fsync", "close", "rename"}) {
    for (int nth = 0;; ++nth) {
      dir_.write("out", "old");
      const int status = in_child([&] {
        g_fail = {.call = call, .countdown = nth, .kill = true};
        put(text);
      });
      const std::string found = read_file(out_);
      EXPECT_TRUE(found == "old" || found == text) << call << " " << nth;
      EXPECT_LE(names_in(dir_.path()).size(), 2u);
      put("next run");
      EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out")) << call << " " << nth;
      if (status == 0) break;
      EXPECT_EQ(status, 137);
    }
  }
}

TEST_F(AtomicFileTest, TemporariesOfTheLivingAndForeignFilesStay) {
  AtomicFile living(dir_ / "other", {});
  const std::string living_name = std::filesystem::path(living.temporary_path()).filename();
  EXPECT_THAT(living_name, testing::HasSubstr(fmt::format("-{}-", getpid())));
  dir_.write(".qinspect-4194399-1-0.tmp.bak", "");
  dir_.write(".qinspect-x-1-0.tmp", "");
  dir_.write(".qinspect-4194399-1.tmp", "");
  dir_.write(".qinspect-4194399-1-0-0.tmp", "");
  dir_.write("qinspect-4194399-1-0.tmp", "");
  const auto before = names_in(dir_.path());
  // Our pid, another start: the owner was an earlier process of that number. No such pid: dead.
  dir_.write(fmt::format(".qinspect-{}-1-0.tmp", getpid()), "dead");
  dir_.write(".qinspect-4194399-1-0.tmp", "dead");  // above the largest pid there can be
  put("x");
  std::filesystem::remove(out_);
  EXPECT_EQ(names_in(dir_.path()), before);
  living.write("alive");
  living.commit();
  EXPECT_EQ(read_file(dir_ / "other"), "alive");
}

TEST_F(AtomicFileTest, ALockedTemporaryStaysThoughItsPidIsUnknownHere) {
  const std::string name = dir_.write(".qinspect-4194399-1-0.tmp", "of another pid namespace");
  const int fd = open(name.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  put("x");
  EXPECT_TRUE(std::filesystem::exists(name));
  close(fd);
  put("y");
  EXPECT_FALSE(std::filesystem::exists(name));
}

}  // namespace
}  // namespace qi
