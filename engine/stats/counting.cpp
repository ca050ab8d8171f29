#include "engine/stats/counting.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace qi {
namespace {

// The second table starts off a multiple of 4 KiB behind the first: increments of equal symbols in
// the two tables must not look like the same address to the store buffer.
constexpr std::size_t kSkew = 1040;
constexpr std::uint64_t kFoldAt = std::uint64_t{1} << 31;

std::uint64_t load64(const std::byte* bytes) {
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word;
}

std::uint16_t load16(const std::byte* bytes) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(bytes[0]) |
                                    std::to_integer<unsigned>(bytes[1]) << 8);
}

}  // namespace

void SymbolCounter::reserve(std::size_t count) {
  if (tables_.empty()) {
    stride_ = (std::size_t{1} << bits_) + kSkew;
    tables_.resize(2 * stride_);
  }
  if (pending_ + count > kFoldAt) fold();
  pending_ += count;
}

void SymbolCounter::fold() {
  const std::size_t symbols = std::size_t{1} << bits_;
  folded_.resize(symbols);
  for (std::size_t s = 0; s < symbols; ++s) {
    folded_[s] += std::uint64_t{tables_[s]} + tables_[stride_ + s];
  }
  std::fill(tables_.begin(), tables_.end(), 0u);
  pending_ = 0;
}

void SymbolCounter::add_words(const std::byte* words, std::size_t count) {
  assert(bits_ == 16);
  reserve(count);
  std::uint32_t* const even = tables_.data();
  std::uint32_t* const odd = even + stride_;
  const auto four = [&](std::uint64_t w) {
    ++even[w & 0xFFFF];
    ++odd[(w >> 16) & 0xFFFF];
    ++even[(w >> 32) & 0xFFFF];
    ++odd[w >> 48];
  };
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const std::uint64_t a = load64(words + 2 * i);
    const std::uint64_t b = load64(words + 2 * i + 8);
    const std::uint64_t c = load64(words + 2 * i + 16);
    const std::uint64_t d = load64(words + 2 * i + 24);
    four(a);
    four(b);
    four(c);
    four(d);
  }
  for (; i < count; ++i) ++even[load16(words + 2 * i)];
}

void SymbolCounter::add_codes(const std::uint16_t* codes, std::size_t count) {
  reserve(count);
  std::uint32_t* const even = tables_.data();
  std::uint32_t* const odd = even + stride_;
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    assert((codes[i] | codes[i + 1]) >> bits_ == 0);
    ++even[codes[i]];
    ++odd[codes[i + 1]];
  }
  if (i < count) ++even[codes[i]];
}

void SymbolCounter::add_tops(const std::uint32_t* patterns, std::size_t count) {
  reserve(count);
  std::uint32_t* const even = tables_.data();
  std::uint32_t* const odd = even + stride_;
  const int shift = 32 - bits_;
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    ++even[patterns[i] >> shift];
    ++odd[patterns[i + 1] >> shift];
  }
  if (i < count) ++even[patterns[i] >> shift];
}

void SymbolCounter::add_tops(const std::uint64_t* patterns, std::size_t count) {
  reserve(count);
  for (std::size_t i = 0; i < count; ++i) ++tables_[patterns[i] >> (64 - bits_)];
}

void SymbolCounter::add_to(std::span<std::uint64_t> totals) {
  const std::size_t symbols = std::size_t{1} << bits_;
  assert(totals.size() == symbols);
  if (!folded_.empty()) {
    for (std::size_t s = 0; s < symbols; ++s) totals[s] += folded_[s];
  }
  if (tables_.empty()) return;
  for (std::size_t s = 0; s < symbols; ++s) {
    totals[s] += std::uint64_t{tables_[s]} + tables_[stride_ + s];
  }
}

void count_words_plain(const std::byte* words, std::size_t count, std::span<std::uint64_t> totals) {
  for (std::size_t i = 0; i < count; ++i) ++totals[load16(words + 2 * i)];
}

namespace {

// Four tables of byte counters: bytes of weights repeat more than words do.
class ByteTables {
 public:
  void add8(std::uint64_t w) {
    ++tables_[0][w & 0xFF];
    ++tables_[1][(w >> 8) & 0xFF];
    ++tables_[2][(w >> 16) & 0xFF];
    ++tables_[3][(w >> 24) & 0xFF];
    ++tables_[0][(w >> 32) & 0xFF];
    ++tables_[1][(w >> 40) & 0xFF];
    ++tables_[2][(w >> 48) & 0xFF];
    ++tables_[3][w >> 56];
  }
  void add_low2(std::uint32_t a, std::uint32_t b) {
    ++tables_[0][a & 0xFF];
    ++tables_[1][(a >> 8) & 0xFF];
    ++tables_[2][b & 0xFF];
    ++tables_[3][(b >> 8) & 0xFF];
  }
  void add(std::size_t byte) { ++tables_[0][byte]; }
  std::uint32_t count(std::size_t byte) const {
    return tables_[0][byte] + tables_[1][byte] + tables_[2][byte] + tables_[3][byte];
  }

 private:
  std::uint32_t tables_[4][256 + 16] = {};
};

// Keeps the sum of the four 32-bit counters of a byte below 2^32.
constexpr std::size_t kPieceBytes = std::size_t{1} << 30;

}  // namespace

void count_bytes(const std::byte* bytes, std::size_t count, std::span<std::uint64_t, 256> totals) {
  for (std::size_t begin = 0; begin < count; begin += kPieceBytes) {
    const std::size_t end = std::min(count, begin + kPieceBytes);
    ByteTables tables;
    std::size_t i = begin;
    for (; i + 8 <= end; i += 8) tables.add8(load64(bytes + i));
    for (; i < end; ++i) tables.add(std::to_integer<std::size_t>(bytes[i]));
    for (std::size_t b = 0; b < 256; ++b) totals[b] += tables.count(b);
  }
}

void count_low_bytes(const std::uint32_t* patterns, std::size_t count,
                     std::span<std::uint64_t, 256> totals) {
  for (std::size_t begin = 0; begin < count; begin += kPieceBytes) {
    const std::size_t end = std::min(count, begin + kPieceBytes);
    ByteTables tables;
    std::size_t i = begin;
    for (; i + 2 <= end; i += 2) tables.add_low2(patterns[i], patterns[i + 1]);
    if (i < end) {
      tables.add(patterns[i] & 0xFF);
      tables.add((patterns[i] >> 8) & 0xFF);
    }
    for (std::size_t b = 0; b < 256; ++b) totals[b] += tables.count(b);
  }
}

void count_row(const std::int8_t* bytes, std::size_t count, std::span<std::uint32_t, 256> counts) {
  constexpr std::size_t kNarrow = 512;  // below, clearing and adding four tables costs more
  if (count < kNarrow) {
    std::fill(counts.begin(), counts.end(), 0u);
    for (std::size_t i = 0; i < count; ++i) ++counts[static_cast<std::uint8_t>(bytes[i])];
    return;
  }
  const auto* raw = reinterpret_cast<const std::byte*>(bytes);
  ByteTables tables;
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) tables.add8(load64(raw + i));
  for (; i < count; ++i) tables.add(std::to_integer<std::size_t>(raw[i]));
  for (std::size_t b = 0; b < 256; ++b) counts[b] = tables.count(b);
}

}  // namespace qi
