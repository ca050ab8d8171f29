#include "engine/io/large_pages.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(LargePages, ChangeNothingButTheSpeed) {
  for (const std::size_t count : {0, 1, 1000, 600'000, 2'000'003}) {
    std::vector<std::uint64_t> values = {1, 2, 3};
    reserve_large(values, count);
    EXPECT_GE(values.capacity(), count);
    const std::uint64_t* const place = values.data();
    for (std::uint64_t i = values.size(); i < count; ++i) values.push_back(i + 1);
    EXPECT_TRUE(count <= 3 || values.data() == place);
    for (std::uint64_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], i + 1);
  }
}

}  // namespace
}  // namespace qi
