#include "engine/stats/parallel.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(ForEachIndex, EveryIndexOnceWhateverTheThreads) {
  for (const unsigned threads : {0u, 1u, 2u, 7u}) {
    for (const std::uint64_t count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> seen(count);
      std::atomic<int> locals{0};
      for_each_index(
          threads, nullptr, count, [&] { return ++locals; },
          [&](int, std::uint64_t i) { ++seen[i]; });
      for (const auto& times : seen) EXPECT_EQ(times, 1);
      EXPECT_LE(locals, std::max(1, static_cast<int>(count)));
    }
  }
}

TEST(ForEachIndex, TheFirstExceptionComesOutAndStopsTheRest) {
  for (const unsigned threads : {1u, 3u}) {
    std::atomic<int> calls{0};
    const auto run = [&] {
      for_each_index(
          threads, nullptr, 100000, [] { return 0; },
          [&](int, std::uint64_t) {
            ++calls;
            throw std::runtime_error("no");
          });
    };
    EXPECT_THROW(run(), std::runtime_error);
    EXPECT_LE(calls, static_cast<int>(threads));
  }
}

TEST(ForEachIndex, CancelledBeforeTheStartDoesNothing) {
  const std::atomic<bool> cancel{true};
  for_each_index(
      2, &cancel, 10, [] { return 0; }, [](int, std::uint64_t) { FAIL(); });
}

}  // namespace
}  // namespace qi
