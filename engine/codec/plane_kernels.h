// The inner loops of the plane codec, one set for each kind of machine: the same bytes from all.
// Owns nothing. Callers have checked tables and the sizes of all streams; decoding never reads
// outside what the cursor and the run name, whatever the bytes say. Any thread.
//
// An element's head (its 8 bits, or its upper 16) is split into a code and raw bits:
//   code = the bits from `shift` up, without the sign;  raw = the lower bits, the sign above them.
// symbol = code − base, and what is not a symbol of the table is an escape.
//
// Groups of 64 heads. Raw bits of a group, R bits a head, 8·R bytes: for R ≥ 8 their lowest 8 bits,
// one byte a head; then as R mod 8 has bits,
//   4: 32 bytes, byte j = heads j (low half) and j + 32;
//   2: 16 bytes, byte j = heads j, j + 16, j + 32, j + 48, from the low bits up;
//   1:  8 bytes, bit k of byte j = head 8·j + k;  each takes the lowest bits not yet stored.
// Lane 32·h + 16·o + k serves head 32·h + 2·k + o: of every 32 heads the even ones, then the odd.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/codec/rans_table.h"

namespace qi {

/// How a head is split.
struct PlaneSplit {
  std::uint8_t head_bytes = 2;  // 1 or 2
  std::uint8_t shift = 7;
  bool has_sign = true;
  std::uint16_t base = 0;

  unsigned raw_bits() const { return shift + (has_sign ? 1u : 0u); }
  unsigned code_bits() const { return 8u * head_bytes - raw_bits(); }
  /// Bytes of an escaped code.
  std::size_t escape_bytes() const { return code_bits() > 8 ? 2 : 1; }
};

/// A run of groups that share tables. With classes, c = classes[i] being that of head i: it takes
/// table c mod 2^table_bits, and its code is base + symbol + ⌊c/2^table_bits⌋·2^octave_bits.
struct PlaneRun {
  PlaneSplit split;
  const RansTable* table = nullptr;           // without classes; nullptr: `slots` alone
  const std::uint32_t* slots = nullptr;       // [4096], with classes [2^table_bits][4096]
  const RansTable::Encode* encode = nullptr;  // [256], with classes [2^table_bits][256]
  /// Without classes only: [4096 …]; nullptr: slots are cumulative + rank.
  const std::uint16_t* slot_of = nullptr;
  const std::int8_t* classes = nullptr;  // [64·groups]
  unsigned table_bits = 0;               // at most 3
  unsigned octave_bits = 0;
  std::size_t groups = 0;

  bool has_classes() const { return classes != nullptr; }
};

struct DecodeCursor {
  alignas(64) std::array<std::uint32_t, kRansLanes> lanes{};
  const std::byte* raw = nullptr;
  std::byte* out = nullptr;  // heads
  const std::byte* words = nullptr;
  const std::byte* words_limit = nullptr;  // no group starts past it
  const std::byte* escapes = nullptr;
  const std::byte* escapes_end = nullptr;
  bool exhausted = false;  // more escapes than there are
};

/// A group takes 64 words at most, and vector loads read this far past the one they take.
inline constexpr std::size_t kWordsAhead = 2 * kRansLanes + 64;

struct EncodeCursor {
  alignas(64) std::array<std::uint32_t, kRansLanes> lanes{};
  const std::byte* in = nullptr;  // heads of the run
  std::byte* raw = nullptr;       // raw bits of the run
  std::byte* words = nullptr;     // end of what is free: words are written below it, and up to
                                  // kWordsAhead bytes below the last one are scribbled on
  std::byte* escapes = nullptr;   // the same
};

/// Coding paths, in rising order of speed.
enum class CodecPath : std::uint8_t { kPortable, kAvx2, kAvx512 };

struct PlaneKernels {
  /// Decodes up to run.groups groups from the cursor on, which it advances; stops before a group
  /// that would start past words_limit. kWordsAhead bytes must be readable from words_limit on.
  /// Returns the groups done.
  std::size_t (*decode)(DecodeCursor& cursor, const PlaneRun& run);
  /// Encodes the run's groups, the last one first; cursor.in and .raw are those of the first group
  /// and stay as they are.
  void (*encode)(EncodeCursor& cursor, const PlaneRun& run);
};

/// Paths this machine can run: kPortable always.
std::span<const CodecPath> codec_paths();
/// The last of them.
CodecPath best_codec_path();
std::string_view name_of(CodecPath path);
const PlaneKernels& plane_kernels(CodecPath path);

namespace portable {
extern const PlaneKernels kPlaneKernels;

/// The raw bits of a single group of heads, and the inverse, which leaves the heads' codes alone.
void take_raw(const PlaneSplit& split, const std::byte* heads, std::byte* raw);
void put_raw(const PlaneSplit& split, const std::byte* raw, std::byte* heads);
}  // namespace portable
namespace avx2 {
extern const PlaneKernels kPlaneKernels;
}
namespace avx512 {
extern const PlaneKernels kPlaneKernels;
}

}  // namespace qi
