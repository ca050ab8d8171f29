// The chain codec: the numbers of a matrix given a lower version of it, whatever made that: a cell
// of the lower grid holds so many numbers of the higher one (chain_cells.h), which of them is a
// digit; where the lower version is not the rounding of the higher one (GPTQ, AWQ), an entropy
// coded symbol says how far off it lies. Exact whatever the numbers are; refuses corrupt blocks
// (kCorrupt) without a checksum's help. An encoder or decoder belongs to one thread.
//
// Block of n numbers:
//   1 u8; flags u8 (1: there are digits); 16 cuts of 4 bits, the lowest first (CellCut, by class);
//   digits' bytes u32; words u32; low bits u32; escapes u32; mask u16: classes with a table, and
//   for each, rising: first symbol u8, symbols u8, then, if these are more than one, the frequency
//   of each as a number of seven bits a byte, lowest first, the top bit set on all but the last;
//   4 states u32 and the words u16, if a table has more than one symbol; 64 × v as 3 bytes and the
//   digits' bytes, if there are any; the low bits, lowest first; escapes (place u32, number u16),
//   rising.
// Symbols, of the numbers whose class has another cut than kWhole, in order: the k-th that has a
// choice is coded by state k mod 4 (rans_table.h, layout direct) with its class's table.
// Digits, of all numbers in order (pair_kernels.h, one refill): number i is weight i mod 192 of its
// run, in lane i mod 64; runs are filled up to whole groups with K = 1. Of a cell or slice of
// `count` ordinals the digit is (ordinal − first) >> low_bits (ChainDigit) and the rest low bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/codec/chain_cells.h"
#include "engine/codec/pair_digits.h"
#include "engine/codec/plane_kernels.h"
#include "engine/codec/rans_table.h"

namespace qi {

struct ChainRun;

/// What is known of each number: its lower version and that one's step, in the units of the higher
/// version's numbers.
struct ChainGiven {
  const float* center;
  const float* step;
  std::size_t count;  // below 2^32
};

/// Numbers that a call of the digits' kernels takes at a time: three groups of 64.
inline constexpr std::size_t kChainRun = 192;
inline constexpr std::size_t kChainStates = 4;

class ChainEncoder {
 public:
  explicit ChainEncoder(CodecPath path = best_codec_path());
  /// The block of `numbers` (16 bits each); valid until the next call.
  std::span<const std::byte> encode(const ChainNumbers& kind, const ChainGiven& given,
                                    const std::uint16_t* numbers);
  /// Of the last block, in bits: the order-0 entropy of the symbols of each class, log2 of the
  /// ordinals of each cell or slice that a number is one of, 48 an escape. A conditional entropy of
  /// the model without what a coder adds: tables, states, rounding.
  double ideal_bits() const { return ideal_bits_; }

 private:
  struct Escape {
    std::uint32_t place;
    std::uint16_t number;
  };
  struct Symbol {
    std::uint8_t of_class;
    std::uint8_t symbol;
  };

  template <ChainKind kKind>
  void choose_cuts(const ChainNumbers& kind, const ChainOrder<kKind>& order,
                   const ChainGiven& given, const std::uint16_t* numbers);
  template <ChainKind kKind>
  void plan(const ChainNumbers& kind, const ChainOrder<kKind>& order, const ChainGiven& given,
            const std::uint16_t* numbers);
  void put_low_bits(std::uint32_t value, unsigned count);
  void put_tables(std::vector<std::byte>& out);
  void encode_symbols();
  std::span<const std::byte> put_block();

  const PairKernels& kernels_;
  std::array<std::uint8_t, kCellClasses> cuts_{};
  std::vector<Symbol> symbols_;
  std::array<std::array<std::uint64_t, kChainSymbols>, kCellClasses> counts_{};
  std::array<std::optional<RansTable>, kCellClasses> tables_;
  std::array<std::uint32_t, kChainStates> states_{};
  std::vector<std::uint16_t> words_;  // the last one first
  std::vector<std::byte> low_bytes_;
  std::uint64_t low_bits_ = 0;
  std::vector<Escape> escapes_;
  std::array<std::uint32_t, kPairLanes> bound_{};
  std::vector<std::uint32_t> radix_digit_;
  std::vector<std::uint8_t> refills_;
  std::size_t groups_ = 0;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> out_;
  double ideal_bits_ = 0;
};

class ChainDecoder {
 public:
  explicit ChainDecoder(CodecPath path = best_codec_path());
  /// Fills `numbers` from the block.
  void decode(const ChainNumbers& kind, const ChainGiven& given, std::span<const std::byte> block,
              std::uint16_t* numbers);

 private:
  struct Head {
    std::uint32_t digit_bytes = 0;
    std::uint32_t words = 0;
    std::uint32_t low_bits = 0;
    std::uint32_t escapes = 0;
    std::uint32_t mask = 0;  // of the classes with a table
    bool has_digits = false;
  };
  Head take_head(std::span<const std::byte>& block);
  void take_tables(std::uint32_t mask, std::span<const std::byte>& block);
  std::uint32_t take_symbol(std::uint32_t of_class);
  std::uint32_t take_low_bits(unsigned count);
  template <ChainKind kKind>
  void cut_cells(const ChainOrder<kKind>& order, ChainRun& run, std::size_t count);
  void decode_runs(const ChainNumbers& kind, const ChainGiven& given, bool has_digits,
                   std::uint16_t* numbers);

  PairDigits digits_;
  std::array<std::uint8_t, kCellClasses> cuts_{};
  std::array<std::optional<RansTable>, kCellClasses> tables_;
  std::array<const std::uint32_t*, kCellClasses> slots_{};  // of tables_; nullptr: no choice
  std::array<std::uint8_t, kCellClasses> only_{};  // the symbol of classes without a choice
  std::array<std::uint32_t, kChainStates> states_{};
  std::size_t next_state_ = 0;
  const std::byte* words_ = nullptr;
  const std::byte* words_end_ = nullptr;
  std::vector<std::byte> low_bytes_;
  std::uint64_t low_at_ = 0;
  std::uint64_t low_bits_ = 0;
};

/// As plane_block_escapes().
std::uint64_t chain_block_escapes(std::span<const std::byte> block);

}  // namespace qi
