#include "engine/io/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::thrown_by;

using test::TempDir;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  return text;
}

/// Each test runs on both ways to the bytes.
class FileBytes : public testing::TestWithParam<bool> {
 protected:
  FileBytes() { set_mapping_disabled_for_testing(GetParam()); }
  ~FileBytes() override { set_mapping_disabled_for_testing(false); }
  TempDir dir_;
};
INSTANTIATE_TEST_SUITE_P(Ways, FileBytes, testing::Bool(),
                         [](const auto& way) { return way.param ? "Pread" : "Mapped"; });

TEST_P(FileBytes, GivesAnyRange) {
  const std::string content = pattern(20'000);
  const auto file = File::open(dir_.write("a", content));
  EXPECT_EQ(file->size(), content.size());
  Buffer scratch;
  for (const std::size_t offset : {0u, 1u, 4095u, 4096u, 9999u, 19'999u, 20'000u}) {
    for (const std::size_t length : {0u, 1u, 2u, 4097u}) {
      if (offset + length > content.size()) continue;
      EXPECT_EQ(text_of(file->bytes(offset, length, scratch)), content.substr(offset, length));
    }
  }
  file->check_unchanged();
}

TEST_P(FileBytes, RefusesRangesOutsideTheFile) {
  const auto file = File::open(dir_.write("a", "0123456789"));
  Buffer scratch;
  for (const auto& [offset, length] : {std::pair<std::uint64_t, std::size_t>{0, 11},
                                       {10, 1},
                                       {11, 0},
                                       {UINT64_MAX, 2},
                                       {5, SIZE_MAX}}) {
    const Error error = thrown_by([&] { file->bytes(offset, length, scratch); });
    EXPECT_EQ(error.code, ErrorCode::kTruncated);
    EXPECT_EQ(error.offset, offset);
    EXPECT_EQ(error.file, file->path());
  }
  EXPECT_TRUE(scratch.empty()) << "nothing may be allocated for a range that is not there";
}

TEST_P(FileBytes, EmptyFileHasNoBytesAndNoTrouble) {
  const auto file = File::open(dir_.write("empty", ""));
  Buffer scratch;
  EXPECT_EQ(file->bytes(0, 0, scratch).size(), 0u);
  EXPECT_EQ(thrown_by([&] { file->bytes(0, 1, scratch); }).code, ErrorCode::kTruncated);
  file->check_unchanged();
}

TEST_P(FileBytes, TruncationWhileReadingIsAnErrorNotASignal) {
  const std::string path = dir_.write("a", pattern(64 * 4096));
  const auto file = File::open(path);
  Buffer scratch;
  const auto before = file->bytes(0, 4096, scratch);
  EXPECT_EQ(text_of(before), pattern(4096));
  ASSERT_EQ(truncate(path.c_str(), 3 * 4096), 0);
  const Error error = thrown_by([&] {
    const auto bytes = file->bytes(10 * 4096, 5, scratch);
    EXPECT_EQ(text_of(bytes), std::string(5, '\0'));
    file->check();
  });
  EXPECT_EQ(error.code, ErrorCode::kChanged);
  EXPECT_EQ(error.offset, 10u * 4096);
  EXPECT_EQ(exit_status(error.code), 1);
  EXPECT_EQ(thrown_by([&] { file->check_unchanged(); }).code, ErrorCode::kChanged);
}

TEST_P(FileBytes, ChangesAreNoticedAfterwards) {
  const std::string path = dir_.write("a", "before");
  const auto file = File::open(path);
  file->check_unchanged();
  struct timespec times[2] = {{0, UTIME_OMIT}, {12345, 678}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  EXPECT_EQ(thrown_by([&] { file->check_unchanged(); }).code, ErrorCode::kChanged);
  const auto again = File::open(path);
  again->check_unchanged();
  EXPECT_EQ(again->identity().mtime_ns, 12345'000'000'678);
  EXPECT_EQ(again->identity().inode, file->identity().inode);
}

/// MiB of mapped files that are resident now.
std::uint64_t resident_file_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssFile:")) return std::stoull(line.substr(8)) / 1024;
  }
  return 0;
}

TEST(FileTest, ReadingAllOfAFileKeepsLittleOfItResident) {
  const TempDir dir;
  const std::string path = dir.write("big", "");
  constexpr std::uint64_t kMiB = 1 << 20;
  ASSERT_EQ(truncate(path.c_str(), 512 * kMiB), 0);
  const auto file = File::open(path);
  Buffer scratch;
  const std::uint64_t before = resident_file_mib();
  unsigned seen = 0;
  for (std::uint64_t at = 0; at < 512 * kMiB; at += kMiB) {
    const auto bytes = file->bytes(at, kMiB, scratch);
    for (std::size_t i = 0; i < kMiB; i += 4096) seen |= std::to_integer<unsigned>(bytes[i]);
  }
  EXPECT_EQ(seen, 0U);
  file->check_unchanged();
  EXPECT_LT(resident_file_mib(), before + 128);
}

TEST(FileTest, ManyThreadsMeetTheTruncation) {
  TempDir dir;
  const std::size_t pages = 256;
  const std::string path = dir.write("a", std::string(pages * 4096, 'x'));
  const auto file = File::open(path);
  Buffer first;
  file->bytes(0, 1, first);
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  std::atomic<int> caught{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      Buffer scratch;
      for (std::size_t page = 0; page < pages; ++page) {
        const auto bytes = file->bytes(page * 4096, 4096, scratch);
        const bool zeros = bytes[100] == std::byte{0};
        try {
          file->check();
          EXPECT_FALSE(zeros) << "zeros passed for data";
        } catch (const Error& error) {
          if (error.code == ErrorCode::kChanged) ++caught;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(caught, 4 * static_cast<int>(pages));
}

TEST(FileTest, ForeignBusErrorsStillKill) {
  EXPECT_EXIT(
      {
        install_sigbus_handler();
        raise(SIGBUS);
        _exit(0);
      },
      // By the signal, or by the report of a sanitizer whose handler was there first.
      [](int status) { return !WIFEXITED(status) || WEXITSTATUS(status) != 0; }, "");
}

TEST(FileTest, AbsentIsIoForPathAndMissingForShards) {
  TempDir dir;
  EXPECT_EQ(thrown_by([&] { File::open(dir / "none"); }).code, ErrorCode::kIo);
  const Error error = thrown_by([&] { File::open(dir / "none", ErrorCode::kMissing); });
  EXPECT_EQ(error.code, ErrorCode::kMissing);
  EXPECT_EQ(error.file, dir / "none");
  EXPECT_FALSE(error.offset.has_value());
  ASSERT_EQ(symlink("nowhere", (dir / "dangling").c_str()), 0);
  EXPECT_EQ(thrown_by([&] { File::open(dir / "dangling", ErrorCode::kMissing); }).code,
            ErrorCode::kMissing);
  dir.write("plain", "");
  EXPECT_EQ(thrown_by([&] { File::open(dir / "plain/below", ErrorCode::kMissing); }).code,
            ErrorCode::kMissing);
  EXPECT_EQ(thrown_by([&] { File::open(dir / std::string(300, 'n'), ErrorCode::kMissing); }).code,
            ErrorCode::kIo);
}

TEST(FileTest, OnlyPlainFiles) {
  TempDir dir;
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  ASSERT_EQ(symlink("fifo", (dir / "to_fifo").c_str()), 0);
  ASSERT_EQ(symlink("loop", (dir / "loop").c_str()), 0);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(listener, 0);
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  ASSERT_LT((dir / "socket").size(), sizeof(address.sun_path));
  std::strcpy(address.sun_path, (dir / "socket").c_str());
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  for (const std::string& path : {dir / "fifo", dir / "to_fifo", dir / "loop", dir / "socket",
                                  dir.path(), std::string("/dev/null"), std::string("/dev/tty")}) {
    // Without a controlling terminal /dev/tty cannot be opened at all, which says the same.
    EXPECT_EQ(thrown_by([&] { File::open(path); }).code, ErrorCode::kNotRegular) << path;
  }
  ::close(listener);
}

TEST(FileTest, LinksToPlainFilesAreFollowed) {
  TempDir dir;
  dir.write("blob", "content");
  ASSERT_EQ(symlink("blob", (dir / "one").c_str()), 0);
  ASSERT_EQ(symlink("one", (dir / "two").c_str()), 0);
  EXPECT_EQ(File::open(dir / "two")->identity(), File::open(dir / "blob")->identity());
}

}  // namespace
}  // namespace qi
