// Counting symbols and bytes at one table increment each: two interleaved tables of 32-bit counters
// (neighbouring equal symbols do not wait for each other's store), folded into 64 bits in time.
// A counter belongs to one thread; counts of several add up in any order to the same result.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qi {

class SymbolCounter {
 public:
  /// Symbols of `bits` bits, 1 … 20. Memory is taken by the first add.
  explicit SymbolCounter(int bits) : bits_(bits) {}

  /// `count` little-endian 16-bit symbols at any alignment; needs bits = 16.
  void add_words(const std::byte* words, std::size_t count);
  /// `count` symbols, each below 2^bits.
  void add_codes(const std::uint16_t* codes, std::size_t count);
  /// The top `bits` bits of each of `count` 32-bit patterns.
  void add_tops(const std::uint32_t* patterns, std::size_t count);
  /// The same of 64-bit patterns.
  void add_tops(const std::uint64_t* patterns, std::size_t count);

  /// Adds what was counted to `totals`, 2^bits of them.
  void add_to(std::span<std::uint64_t> totals);

 private:
  void reserve(std::size_t count);
  void fold();

  int bits_;
  std::size_t stride_ = 0;             // distance of the two tables
  std::vector<std::uint32_t> tables_;  // two of them
  std::vector<std::uint64_t> folded_;  // empty until the 32-bit counters had to be folded once
  std::uint64_t pending_ = 0;          // symbols in tables_
};

/// One plain loop over 16-bit words: what tests and benchmarks hold add_words() against.
void count_words_plain(const std::byte* words, std::size_t count, std::span<std::uint64_t> totals);

/// Adds the counts of `count` bytes to `totals`.
void count_bytes(const std::byte* bytes, std::size_t count, std::span<std::uint64_t, 256> totals);

/// Adds the counts of the two low bytes of each 32-bit pattern.
void count_low_bytes(const std::uint32_t* patterns, std::size_t count,
                     std::span<std::uint64_t, 256> totals);

/// Counts of one row's bytes into `counts` (overwritten); count < 2^32.
void count_row(const std::int8_t* bytes, std::size_t count, std::span<std::uint32_t, 256> counts);

}  // namespace qi
