// Counters against one plain increment a symbol, at odd sizes and offsets.
#include "engine/stats/counting.h"

#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/trained_like.h"

namespace qi {
namespace {

using testing_support::Random;

std::vector<std::byte> noise(std::size_t size, unsigned mask = 0xFF) {
  Random random(size + mask);
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.next() & mask);
  return bytes;
}

TEST(SymbolCounter, WordsAtAnyOffsetAndSize) {
  for (const std::size_t count : {0, 1, 2, 15, 16, 17, 31, 1000, 65537}) {
    for (const std::size_t offset : {0, 1, 3}) {
      for (const unsigned mask : {0xFFu, 0x03u}) {
        const auto bytes = noise(2 * count + offset, mask);
        std::vector<std::uint64_t> expected(65536), found(65536);
        count_words_plain(bytes.data() + offset, count, expected);
        SymbolCounter counter(16);
        counter.add_words(bytes.data() + offset, count);
        counter.add_to(found);
        EXPECT_EQ(found, expected) << count << " " << offset;
      }
    }
  }
}

TEST(SymbolCounter, SeveralCallsAddUp) {
  const auto bytes = noise(2000);
  std::vector<std::uint64_t> expected(65536), found(65536);
  SymbolCounter counter(16);
  for (int i = 0; i < 3; ++i) {
    count_words_plain(bytes.data(), 1000, expected);
    counter.add_words(bytes.data(), 1000);
  }
  counter.add_to(found);
  EXPECT_EQ(found, expected);
}

TEST(SymbolCounter, CodesAndTops) {
  Random random(5);
  std::vector<std::uint16_t> codes(1001);
  std::vector<std::uint32_t> words(1001);
  std::vector<std::uint64_t> longs(1001);
  std::vector<std::uint64_t> of_codes(16), of_words(1 << 17), of_longs(1 << 20);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::uint16_t>(random.next() & 15);
    words[i] = static_cast<std::uint32_t>(random.next());
    longs[i] = random.next();
    ++of_codes[codes[i]];
    ++of_words[words[i] >> 15];
    ++of_longs[longs[i] >> 44];
  }
  std::vector<std::uint64_t> found(16);
  SymbolCounter four(4);
  four.add_codes(codes.data(), codes.size());
  four.add_to(found);
  EXPECT_EQ(found, of_codes);
  found.assign(1 << 17, 0);
  SymbolCounter tops(17);
  tops.add_tops(words.data(), words.size());
  tops.add_to(found);
  EXPECT_EQ(found, of_words);
  found.assign(1 << 20, 0);
  SymbolCounter wide(20);
  wide.add_tops(longs.data(), longs.size());
  wide.add_to(found);
  EXPECT_EQ(found, of_longs);
}

TEST(SymbolCounter, NothingCountedIsNothing) {
  SymbolCounter counter(8);
  std::vector<std::uint64_t> found(256);
  counter.add_to(found);
  EXPECT_EQ(found, std::vector<std::uint64_t>(256));
}

TEST(CountBytes, AtAnyOffsetAndSize) {
  for (const std::size_t count : {0, 1, 7, 8, 9, 500, 511, 512, 513, 4099}) {
    const auto bytes = noise(count + 1);
    std::array<std::uint64_t, 256> expected{}, found{};
    for (std::size_t i = 0; i < count; ++i) ++expected[std::to_integer<std::size_t>(bytes[1 + i])];
    count_bytes(bytes.data() + 1, count, found);
    EXPECT_EQ(found, expected);
    std::vector<std::int8_t> row(count);
    if (count > 0) std::memcpy(row.data(), bytes.data() + 1, count);
    std::array<std::uint32_t, 256> counts;
    counts.fill(77);  // overwritten
    count_row(row.data(), count, counts);
    for (std::size_t b = 0; b < 256; ++b) EXPECT_EQ(counts[b], expected[b]);
  }
}

TEST(CountLowBytes, OfEachPattern) {
  for (const std::size_t count : {0, 1, 2, 999}) {
    Random random(count);
    std::vector<std::uint32_t> patterns(count);
    std::array<std::uint64_t, 256> expected{}, found{};
    for (auto& p : patterns) {
      p = static_cast<std::uint32_t>(random.next());
      ++expected[p & 0xFF];
      ++expected[(p >> 8) & 0xFF];
    }
    count_low_bytes(patterns.data(), count, found);
    EXPECT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace qi
