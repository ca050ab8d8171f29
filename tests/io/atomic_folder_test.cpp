#include "engine/io/atomic_folder.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/io/atomic_file.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::names_in;
using test::read_file;
using test::TempDir;

void put(const std::string& path, std::string_view text) {
  AtomicFile file(path, {});
  file.write(text);
  file.commit();
}

class AtomicFolderTest : public testing::Test {
 protected:
  TempDir dir_;
  const std::string out_ = dir_ / "out";
};

TEST_F(AtomicFolderTest, AppearsWithAllItsFiles) {
  AtomicFolder folder(out_);
  put(folder.temporary_path() + "/a", "one");
  put(folder.add_folder("level") + "/b", "two");
  EXPECT_FALSE(fs::exists(out_));
  folder.commit();
  EXPECT_EQ(read_file(out_ + "/a"), "one");
  EXPECT_EQ(read_file(out_ + "/level/b"), "two");
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out"));
}

TEST_F(AtomicFolderTest, LeavesNothingWithoutCommit) {
  {
    AtomicFolder folder(out_);
    put(folder.add_folder("level") + "/b", "two");
  }
  EXPECT_TRUE(fs::is_empty(dir_.path()));
}

TEST_F(AtomicFolderTest, TakesThePlaceOfAnEmptyFolderAlone) {
  fs::create_directory(out_);
  AtomicFolder first(out_ + "/");
  put(first.temporary_path() + "/a", "one");
  first.commit();
  EXPECT_EQ(class_of([&] { AtomicFolder second(out_); }), "usage");
  EXPECT_EQ(class_of([&] { check_output_folder(out_); }), "usage");
  EXPECT_EQ(class_of([&] { check_output_folder(out_ + "/a"); }), "usage");
  EXPECT_EQ(class_of([&] { check_output_folder(out_ + "/a/b"); }), "io");
  EXPECT_EQ(class_of([&] { check_output_folder(dir_ / "none/b"); }), "io");
  for (const char* odd : {"", ".", "..", "/"}) {
    EXPECT_EQ(class_of([&] { check_output_folder(odd); }), "usage") << odd;
  }
  EXPECT_EQ(read_file(out_ + "/a"), "one");
}

TEST_F(AtomicFolderTest, KeepsWhatIsUnfinishedForTheNextRun) {
  {
    AtomicFolder folder(out_, Unfinished::kKept);
    put(folder.temporary_path() + "/a", "one");
    EXPECT_EQ(class_of([&] { AtomicFolder second(out_, Unfinished::kKept); }), "usage");
  }
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out.partial"));
  AtomicFolder folder(out_, Unfinished::kKept);
  EXPECT_EQ(read_file(folder.temporary_path() + "/a"), "one");
  folder.clear();
  put(folder.temporary_path() + "/b", "two");
  folder.commit();
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out"));
  EXPECT_THAT(names_in(out_), testing::ElementsAre("b"));

  dir_.write("other.partial", "a file");
  EXPECT_EQ(class_of([&] { AtomicFolder third(dir_ / "other", Unfinished::kKept); }), "io");
}

TEST_F(AtomicFolderTest, DoesNotReplaceWhatAppearedMeanwhile) {
  AtomicFolder folder(out_);
  dir_.write("out/theirs", "x");
  EXPECT_EQ(class_of([&] { folder.commit(); }), "usage");
  EXPECT_THAT(names_in(dir_.path()), testing::ElementsAre("out"));
  EXPECT_EQ(read_file(out_ + "/theirs"), "x");
}

TEST_F(AtomicFolderTest, RemovesFoldersOfDeadRuns) {
  dir_.write(".qinspect-999999999-1-0.tmp/level/file", "x");
  dir_.write(".qinspect-999999999-1-1.tmp/file", "x");
  dir_.write(".qinspect-mine/file", "x");
  fs::create_symlink(dir_ / ".qinspect-mine", dir_ / ".qinspect-999999999-1-2.tmp");
  { AtomicFolder folder(out_); }
  EXPECT_THAT(names_in(dir_.path()),
              testing::ElementsAre(".qinspect-999999999-1-2.tmp", ".qinspect-mine"));
  EXPECT_EQ(read_file(dir_ / ".qinspect-mine/file"), "x");
}

TEST_F(AtomicFolderTest, LetsFoldersOfLivingRunsBe) {
  AtomicFolder first(out_);
  { AtomicFolder second(dir_ / "other"); }
  EXPECT_TRUE(fs::exists(first.temporary_path()));
}

TEST(AtomicFilePatch, ReplacesWhatWasWritten) {
  TempDir dir;
  const std::string path = dir / "file";
  AtomicFile file(path, {});
  file.write("0123456789");
  const std::string_view patch = "ab";
  file.patch(0, std::as_bytes(std::span(patch)));
  file.write("x");
  file.patch(8, std::as_bytes(std::span(patch)));
  file.commit();
  EXPECT_EQ(read_file(path), "ab234567abx");
}

}  // namespace
}  // namespace qi
