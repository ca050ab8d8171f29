#include "engine/codec/baselines.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/support/trained_like.h"

namespace qi {
namespace {

TEST(Baselines, ConstantBytesAllButVanishAndNoiseStays) {
  const std::vector<std::byte> zeros(1 << 20);
  EXPECT_LT(zstd_size(zeros), 200u);
  EXPECT_LT(lz4_size(zeros), 8000u);
  std::vector<std::byte> noise(1 << 20);
  testing_support::Random random(1);
  for (std::byte& b : noise) b = static_cast<std::byte>(random.next());
  EXPECT_GT(zstd_size(noise), noise.size());
  EXPECT_LT(zstd_size(noise), noise.size() + 200);
  EXPECT_GT(lz4_size(noise), noise.size());
  EXPECT_LE(zstd_size(zeros, 19), zstd_size(zeros, 1));
}

TEST(Baselines, AnEmptyBlockCostsOnlyItsFrame) {
  EXPECT_LE(zstd_size({}), 16u);
  EXPECT_LE(lz4_size({}), 1u);
}

}  // namespace
}  // namespace qi
