#include "engine/codec/rans_table.h"

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

using testing_support::Random;

std::vector<RansSymbol> random_symbols(Random& random, std::size_t count, double slope) {
  std::vector<std::uint64_t> counts;
  double weight = 1e6;
  for (std::size_t i = 0; i < count; ++i) {
    counts.push_back(1 + static_cast<std::uint64_t>(weight * random.uniform()));
    weight *= slope;
  }
  const std::vector<std::uint16_t> f = normalise_counts(counts, 1);
  std::vector<RansSymbol> symbols;
  for (std::size_t i = 0; i < count; ++i) {
    symbols.push_back({static_cast<std::uint8_t>(i + 1 == count ? 255 : 3 * i), f[i]});
  }
  return symbols;
}

// Each symbol has as many slots as its frequency, its ranks are 0 … f − 1, and what the encoder
// writes is what the decoder looks up.
void expect_consistent(const RansTable& table) {
  std::vector<std::vector<bool>> seen(256);
  for (std::uint32_t i = 0; i < table.count; ++i) {
    seen[table.symbol[i]].resize(table.frequency[i]);
  }
  for (std::uint32_t slot = 0; slot < kRansSlots; ++slot) {
    const std::uint32_t entry = table.slots[slot];
    const std::uint32_t symbol = entry & 255;
    const std::uint32_t rank = entry >> 8 & 4095;
    ASSERT_EQ(entry >> 20, seen[symbol].size());
    ASSERT_LT(rank, seen[symbol].size());
    EXPECT_FALSE(seen[symbol][rank]);
    seen[symbol][rank] = true;
    const RansTable::Encode& e = table.encode[symbol];
    EXPECT_EQ(e.frequency, entry >> 20);
    const std::uint32_t at = (e.cumulative & 4095u) + rank;
    EXPECT_EQ(table.layout == RansLayout::kAlias ? table.slot_of[at] : at, slot);
  }
}

TEST(RansTableTest, FrequenciesSumToTheSlotsAndKeepTheirMinimum) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint64_t> counts(2 + random.next() % 63);
    for (auto& c : counts) c = random.next() >> (random.next() % 64);
    counts[0] |= 1;
    counts[1] |= 1;
    const std::uint32_t minimum = random.next() % 2 == 0 ? 1 : 8;
    const auto f = normalise_counts(counts, minimum);
    EXPECT_EQ(std::accumulate(f.begin(), f.end(), 0u), kRansSlots);
    for (std::size_t i = 0; i < f.size(); ++i) {
      EXPECT_TRUE(counts[i] == 0 ? f[i] == 0 : f[i] >= minimum);
    }
  }
}

TEST(RansTableTest, AliasAndDirectAlwaysExist) {
  Random random(2);
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = 2 + random.next() % 63;
    expect_consistent(
        RansTable(random_symbols(random, count, 0.4 + 0.7 * random.uniform()), RansLayout::kAlias));
    expect_consistent(RansTable(random_symbols(random, count, 0.4 + 0.7 * random.uniform()),
                                RansLayout::kDirect));
  }
}

TEST(RansTableTest, TwoLevelExistsWhereABucketHoldsOneBoundary) {
  Random random(3);
  int built = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto symbols =
        random_symbols(random, 2 + random.next() % 12, 0.4 + 0.7 * random.uniform());
    if (!RansTable::two_level_exists(symbols)) {
      EXPECT_EQ(test::class_of([&] { RansTable(symbols, RansLayout::kTwoLevel); }), "corrupt");
      continue;
    }
    ++built;
    const RansTable table(symbols, RansLayout::kTwoLevel);
    expect_consistent(table);
    for (std::uint32_t slot = 0; slot < kRansSlots; ++slot) {
      const int fine = 32 + ((static_cast<int>(slot) - 3840) >> 3);
      const auto bucket = static_cast<std::size_t>(std::max(static_cast<int>(slot >> 7), fine));
      const std::size_t position =
          table.bucket_position[bucket] + ((slot & 127) >= table.bucket_boundary[bucket] ? 1 : 0);
      ASSERT_EQ(table.position_symbol[position], table.slots[slot] & 255) << slot;
      ASSERT_EQ(slot - table.position_cumulative[position], table.slots[slot] >> 8 & 4095);
    }
  }
  EXPECT_GT(built, 100);
}

TEST(RansTableTest, RefusesWhatIsNoTable) {
  const auto refused = [](std::vector<RansSymbol> symbols) {
    return test::class_of([&] { RansTable(symbols, RansLayout::kAlias); }) == "corrupt";
  };
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({{1, 4096}}));
  EXPECT_TRUE(refused({{1, 4095}, {2, 2}}));
  EXPECT_TRUE(refused({{1, 4096}, {2, 0}}));
  EXPECT_TRUE(refused({{2, 4000}, {1, 96}}));
  EXPECT_TRUE(refused({{1, 4000}, {1, 96}}));
  EXPECT_TRUE(refused(std::vector<RansSymbol>(65, {1, 64})));
  EXPECT_FALSE(refused({{1, 4095}, {2, 1}}));
}

}  // namespace
}  // namespace qi
