// Blocks kept decoded: once for all who ask, the last used within the limit, failures forgotten.

#include "engine/format/qstore_cache.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/error_of.h"

namespace qi {
namespace {

std::byte content(BlockCache::Key key) {
  return static_cast<std::byte>(16 * key.first + key.second);
}

// Asks for 1000 bytes; true if they had to be made.
bool made(BlockCache& cache, BlockCache::Key key) {
  bool was_made = false;
  const auto bytes = cache.get(key, 1000, [&](std::span<std::byte> out) {
    was_made = true;
    std::fill(out.begin(), out.end(), content(key));
  });
  EXPECT_EQ(*bytes, Buffer(1000, content(key)));
  return was_made;
}

TEST(BlockCacheTest, KeepsTheBlocksUsedLast) {
  BlockCache cache(4000);  // three of them and what they cost
  for (const BlockCache::Key& key : {BlockCache::Key{0, 0}, {0, 1}, {7, 0}}) {
    EXPECT_TRUE(made(cache, key));
    EXPECT_FALSE(made(cache, key));
  }
  EXPECT_FALSE(made(cache, {0, 0}));
  EXPECT_TRUE(made(cache, {7, 1}));
  EXPECT_FALSE(cache.has({0, 1}));
  EXPECT_FALSE(made(cache, {0, 0}));
  EXPECT_FALSE(made(cache, {7, 0}));
  EXPECT_TRUE(made(cache, {0, 1}));
}

TEST(BlockCacheTest, GivesBlocksLargerThanItsLimit) {
  BlockCache cache(10);
  EXPECT_TRUE(made(cache, {0, 0}));
  EXPECT_FALSE(made(cache, {0, 0}));
  EXPECT_TRUE(made(cache, {0, 1}));
  EXPECT_TRUE(made(cache, {0, 0}));
}

TEST(BlockCacheTest, TriesAgainAfterAFailure) {
  BlockCache cache(4000);
  const auto fail = [&] {
    cache.get({1, 2}, 1000,
              [](std::span<std::byte>) { throw Error(ErrorCode::kCorrupt, "checksum is wrong"); });
  };
  EXPECT_EQ(test::class_of(fail), "corrupt");
  EXPECT_EQ(test::class_of(fail), "corrupt");
  EXPECT_TRUE(made(cache, {1, 2}));
  EXPECT_EQ(test::class_of(fail), "none");
}

TEST(BlockCacheTest, DecodesOnceForAllThreads) {
  BlockCache cache(1 << 20);
  std::atomic<int> count = 0;
  const auto ask = [&] {
    for (std::uint64_t block = 0; block < 100; ++block) {
      count += made(cache, {0, block}) ? 1 : 0;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(ask);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 100);
}

}  // namespace
}  // namespace qi
