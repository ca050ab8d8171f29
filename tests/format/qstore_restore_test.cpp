// Levels and tensors come back out of a container, whatever the threads: several files at the same
// time, failures and cancelling in the middle.

#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/io/atomic_folder.h"
#include "tests/format/qstore_fixture.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/open_path.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::contents;
using test::decode;
using test::encode;
using test::kData;
using test::open_container;
using test::open_path;
using test::TempDir;

constexpr unsigned kThreads[] = {1, 2, 3, 7};

class QstoreRestoreTest : public testing::Test {
 protected:
  // Five shards of 1 to 5 tensors of 4 blocks each, the largest last, and files beside them.
  std::string many_files() {
    std::uint64_t seed = 0;
    for (const int count : {1, 2, 3, 4, 5}) {
      std::vector<test::StoredTensor> tensors;
      for (int i = 0; i < count; ++i) {
        const std::string name = "shard" + std::to_string(count) + ".tensor" + std::to_string(i);
        tensors.push_back({name, DType::kBF16, {64, 64}, test::bf16_bytes(4096, ++seed)});
      }
      dir_.write("model/" + std::to_string(count) + ".safetensors",
                 test::safetensors_bytes(tensors));
    }
    dir_.write("model/config.json", "{}");
    dir_.write("model/empty.txt", "");
    EncodeOptions options;
    options.block_weights = 1024;
    const std::string path = dir_ / "model";
    encode(out_, {path, path}, options);
    return path;
  }

  // The level comes back within `options`, told by progress that only grows.
  DecodeResult decode_watched(const QstoreContainer& container, DecodeOptions options,
                              const std::function<void(std::uint64_t)>& watch) const {
    std::uint64_t last = 0;
    std::uint64_t all = 0;
    options.progress = [&](std::uint64_t done, std::uint64_t total) {
      EXPECT_GE(done, last);
      EXPECT_LE(done, total);
      last = done;
      all = total;
      watch(done);
    };
    DecodeResult result = decode_levels(container, {0}, false, dir_ / "back", options);
    if (!result.cancelled) {
      EXPECT_EQ(last, all);
      EXPECT_EQ(result.bytes, all);
    }
    return result;
  }

  // Damages a byte of a tensor's block.
  void damage(std::string& bytes, const QstoreContainer& container, std::string_view tensor,
              std::size_t block) const {
    for (const QstoreFile& file : container.index().levels[0].files) {
      for (const QstoreSegment& segment : file.segments) {
        if (segment.name != tensor) continue;
        bytes[container.index().streams[segment.stream].blocks.at(block).offset] ^= 1;
        return;
      }
    }
    FAIL() << tensor;
  }

  TempDir dir_;
  const std::string out_ = dir_ / "out.qstore";
};

TEST_F(QstoreRestoreTest, GivesManyFilesBackWhateverTheThreads) {
  const auto wanted = contents(many_files());
  const auto container = open_container(out_);
  for (const unsigned threads : kThreads) {
    DecodeOptions options;
    options.threads = threads;
    EXPECT_EQ(decode_watched(*container, options, [](std::uint64_t) {}).files, wanted.size());
    EXPECT_EQ(contents(dir_ / "back"), wanted) << threads;
    decode_levels(*container, {0, 1}, true, dir_ / "both", options);
    for (const QstoreLevel& level : container->index().levels) {
      EXPECT_EQ(contents(dir_ / ("both/" + std::string(level.name))), wanted) << threads;
    }
    fs::remove_all(dir_ / "back");
    fs::remove_all(dir_ / "both");
  }
}

TEST_F(QstoreRestoreTest, LeavesNothingWhenCancelledInTheMiddle) {
  many_files();
  const auto container = open_container(out_);
  const auto names = test::names_in(dir_.path());
  for (const unsigned threads : kThreads) {
    for (const std::uint64_t when : {0U, 1U, 30'000U, 100'000U}) {
      std::atomic<bool> cancel = when == 0;
      DecodeOptions options;
      options.threads = threads;
      options.cancel = &cancel;
      const auto watch = [&](std::uint64_t done) {
        if (done >= when) cancel = true;
      };
      EXPECT_TRUE(decode_watched(*container, options, watch).cancelled) << threads << " " << when;
      EXPECT_EQ(test::names_in(dir_.path()), names);
    }
  }
}

// Whichever is met first: the error is that of the first block of the first file.
TEST_F(QstoreRestoreTest, NamesTheFirstDamageWhateverTheThreads) {
  many_files();
  const auto container = open_container(out_);
  std::string bytes = test::read_file(out_);
  damage(bytes, *container, "shard5.tensor0", 0);
  damage(bytes, *container, "shard4.tensor0", 0);
  damage(bytes, *container, "shard2.tensor1", 3);
  damage(bytes, *container, "shard2.tensor1", 2);
  const std::string path = dir_.write("damaged.qstore", bytes);
  const auto damaged = open_container(path);
  const auto names = test::names_in(dir_.path());
  for (const unsigned threads : kThreads) {
    DecodeOptions options;
    options.threads = threads;
    const Error error =
        test::thrown_by([&] { decode_levels(*damaged, {0}, false, dir_ / "back", options); });
    EXPECT_EQ(error.code, ErrorCode::kCorrupt);
    EXPECT_THAT(error.message, testing::HasSubstr("block 2 of shard2.tensor1 of model"));
    EXPECT_EQ(test::names_in(dir_.path()), names);
  }
}

TEST_F(QstoreRestoreTest, RefusesFoldersThatAreNotEmpty) {
  encode(out_, {kData + "/checkpoints/bnb-int8"});
  dir_.write("full/file", "x");
  EXPECT_EQ(class_of([&] { decode(out_, "high", dir_ / "full"); }), "usage");
  EXPECT_EQ(class_of([&] { decode(out_, "high", out_); }), "usage");
  fs::create_directory(dir_ / "empty");
  decode(out_, "high", dir_ / "empty");
  EXPECT_FALSE(fs::is_empty(dir_ / "empty"));
}

// 320 KB may honestly decode to more than any disk holds: told before the first byte is written.
TEST_F(QstoreRestoreTest, AsksForTheSpaceOfAWholeLevelFirst) {
  AtomicFolder folder(dir_ / "huge");
  const auto error = test::error_of([&] { folder.need(std::uint64_t{1} << 62); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kSpace);
  EXPECT_THAT(error->message, testing::HasSubstr("4611686018427387904 bytes needed"));
}

TEST_F(QstoreRestoreTest, RestoresChosenTensors) {
  const Model model = open_path(kData + "/models/wap");
  encode(out_, {kData + "/models/wap"});
  const auto container = open_container(out_);
  const Weight& weight = *model.find_weight("model.norm.weight");
  RestoredTensor wanted;
  wanted.name = weight.name;
  wanted.dtype = DType::kBF16;
  wanted.shape = weight.shape;
  wanted.size_bytes = weight.size_bytes;
  for (const QstoreFile& file : container->index().levels[0].files) {
    for (const QstoreSegment& segment : file.segments) {
      if (segment.name == weight.name) wanted.stream = segment.stream;
    }
  }
  decode_tensors(*container, {wanted}, dir_ / "one", {});
  const Model one = open_path(dir_ / "one");
  ASSERT_EQ(one.weights.size(), 1U);
  EXPECT_EQ(one.weights[0].name, weight.name);
  EXPECT_EQ(one.weights[0].size_bytes, weight.size_bytes);
}

}  // namespace
}  // namespace qi
