// One table of the entropy coder: which symbol owns which of the 4096 slots, and what each kernel
// needs to code with it. Owns the normalisation of counts and the two layouts of slots; refuses
// frequencies that are not a table (kCorrupt). Immutable once built: any thread.
//
// A lane of the coder holds a state x in [2^16, 2^32). Its low 12 bits are a slot; each slot
// belongs to one symbol, and the slots of a symbol are numbered by rank 0 … f−1.
//   decode: (symbol, rank) of slot x mod 4096;  x ← f·⌊x/4096⌋ + rank;
//           x < 2^16: x ← 2^16·x + next word (16 bits, little-endian)
//   encode, last symbol first, words written backwards:
//           x ≥ 2^20·f: write x mod 2^16, x ← ⌊x/2^16⌋;   x ← 4096·⌊x/f⌋ + slot(x mod f)
//
// Layouts:
//   two-level: contiguous slots by falling frequency (ties: by index). Slots fall into 64 buckets,
//     max(⌊slot/128⌋, 32 + ⌊(slot − 3840)/8⌋); at most one symbol starts inside a bucket.
//   alias: B = 32 (up to 32 symbols) or 64 buckets of equal width; bucket b starts with `own` slots
//     of symbol b, ranks 0 …, and what remains belongs to one other symbol (alias_buckets()).
//   direct: contiguous slots in the order of symbols.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace qi {

inline constexpr std::uint32_t kRansSlots = 4096;
inline constexpr unsigned kRansSlotBits = 12;
inline constexpr std::uint32_t kRansStateLow = 1u << 16;
inline constexpr std::size_t kRansLanes = 64;
inline constexpr std::size_t kMaxRansSymbols = 64;
/// Vector loads read so many slots before and behind a table's.
inline constexpr std::size_t kSlotsAround = 3;
/// The symbol that says "not in the table": the code itself is in the escape list.
inline constexpr std::uint8_t kEscapeSymbol = 255;

enum class RansLayout : std::uint8_t { kTwoLevel = 0, kAlias = 1, kDirect = 2 };

/// A symbol and how many of the 4096 slots it owns.
struct RansSymbol {
  std::uint8_t symbol;
  std::uint16_t frequency;
};

/// Frequencies that sum to 4096 for counts of which at least two are not 0: each of those gets at
/// least `minimum`, the others 0. `counts.size()·minimum` ≤ 4096.
std::vector<std::uint16_t> normalise_counts(std::span<const std::uint64_t> counts,
                                            std::uint32_t minimum);

class RansTable {
 public:
  /// `symbols` ascending, 2 … 64 of them, frequencies 1 … 4095 that sum to 4096.
  /// Throws kCorrupt when they are not, or when the layout does not exist for them.
  RansTable(std::span<const RansSymbol> symbols, RansLayout layout);

  /// Whether each bucket of the two-level layout would hold one boundary at most (and there are
  /// at most 32 symbols).
  static bool two_level_exists(std::span<const RansSymbol> symbols);

  static constexpr std::uint16_t kEscapeFlag = 0x8000;
  struct Encode {
    std::uint32_t reciprocal;  // ⌊(2^32 − 1)/f⌋: ⌊x·reciprocal/2^32⌋ is ⌊x/f⌋ or one less
    std::uint16_t cumulative;  // kEscapeFlag on top where the symbol is not in the table
    std::uint16_t frequency;
  };

  RansLayout layout = RansLayout::kTwoLevel;
  std::uint32_t count = 0;
  bool has_escape = false;
  /// Symbols (but the escape) are first_symbol, first_symbol + 1, …
  bool contiguous = false;
  std::uint8_t first_symbol = 0;
  std::array<std::uint8_t, kMaxRansSymbols> symbol{};      // by index, ascending
  std::array<std::uint16_t, kMaxRansSymbols> frequency{};  // by index

  /// By slot: frequency << 20 | rank << 8 | symbol. Not the first member, nor the last one:
  /// kSlotsAround.
  alignas(64) std::array<std::uint32_t, kRansSlots> slots{};
  /// By symbol; one that is not in the table has that of the escape.
  alignas(64) std::array<Encode, 256> encode{};
  /// Alias only: cumulative + rank → slot. One word of padding for 32-bit loads.
  std::array<std::uint16_t, kRansSlots + 2> slot_of{};

  /// Two-level, by bucket: position (place in the order of falling frequency) of the first slot,
  /// and where in its 128 slots the next position starts (255: nowhere in this bucket).
  alignas(64) std::array<std::uint8_t, 64> bucket_position{};
  alignas(64) std::array<std::uint8_t, 64> bucket_boundary{};
  /// Two-level, by position.
  std::array<std::uint8_t, 32> position_symbol{};
  std::array<std::uint16_t, 32> position_frequency{};
  std::array<std::uint16_t, 32> position_cumulative{};

  /// Alias, by bucket: slots of its own; the other owner; what to add to the place in the bucket
  /// for the rank of the other one.
  std::uint32_t buckets = 0;
  std::array<std::uint8_t, 64> bucket_own{};
  std::array<std::uint8_t, 64> bucket_other{};
  std::array<std::int16_t, 64> bucket_other_rank{};

 private:
  void lay_out_two_level();
  void lay_out_direct();
  void alias_buckets();
  void fill_alias();
  void set_slot(std::uint32_t slot, std::uint32_t index, std::uint32_t rank);
};

}  // namespace qi
