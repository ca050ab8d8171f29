// The splits that the vector loops are compiled for, what they share, and the choice among them.
// Included inside the attributes of the file that uses it: everything is local to that file.
// Internal to the codec. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_kernels.h"

namespace qi {
namespace {

template <unsigned kHeadBytesIn, unsigned kShiftIn, bool kSignIn>
struct Split {
  static constexpr unsigned kHeadBytes = kHeadBytesIn;
  static constexpr int kShift = static_cast<int>(kShiftIn);
  static constexpr bool kSign = kSignIn;
  static constexpr unsigned kRawBits = kShiftIn + (kSign ? 1 : 0);
  static constexpr int kSignMove = static_cast<int>(8 * kHeadBytes - 1 - kShiftIn);
  static constexpr unsigned kLowMask = (1u << kShiftIn) - 1;
  static constexpr unsigned kSignBit = 1u << (8 * kHeadBytes - 1);
  static constexpr unsigned kCodeMask = (1u << (8 * kHeadBytes - kRawBits)) - 1;
  static constexpr unsigned kField = kCodeMask << kShift;
  static constexpr std::size_t kEscapeBytes = 8 * kHeadBytes - kRawBits > 8 ? 2 : 1;

  static bool matches(const PlaneSplit& s) {
    return s.head_bytes == kHeadBytes && s.shift == kShift && s.has_sign == kSign;
  }
};

// Escaped codes of one group of heads, bit i of `escaped` for head i. Rare: kept out of the loops.
template <typename S>
[[gnu::noinline]] void patch_escapes(DecodeCursor& cursor, std::uint64_t escaped) {
  for (; escaped != 0; escaped &= escaped - 1) {
    if (cursor.escapes == cursor.escapes_end) {
      cursor.exhausted = true;
      return;
    }
    const unsigned code = S::kEscapeBytes == 2 ? load_u16(cursor.escapes) : load_u8(cursor.escapes);
    cursor.escapes += S::kEscapeBytes;
    std::byte* head = cursor.out + S::kHeadBytes * static_cast<unsigned>(__builtin_ctzll(escaped));
    const unsigned field = code << S::kShift & S::kField;
    if constexpr (S::kHeadBytes == 2) {
      store_u16(head, static_cast<std::uint16_t>((load_u16(head) & ~S::kField) | field));
    } else {
      *head = static_cast<std::byte>((load_u8(head) & ~S::kField) | field);
    }
  }
}

// The inverse: the last one first.
template <typename S>
[[gnu::noinline]] void write_escapes(EncodeCursor& cursor, std::uint64_t escaped,
                                     const std::byte* heads) {
  while (escaped != 0) {
    const auto i = static_cast<std::size_t>(63 - __builtin_clzll(escaped));
    escaped ^= std::uint64_t{1} << i;
    const unsigned head = S::kHeadBytes == 2 ? load_u16(heads + 2 * i) : load_u8(heads + i);
    const unsigned code = head >> S::kShift & S::kCodeMask;
    cursor.escapes -= S::kEscapeBytes;
    if constexpr (S::kEscapeBytes == 2) {
      store_u16(cursor.escapes, static_cast<std::uint16_t>(code));
    } else {
      *cursor.escapes = static_cast<std::byte>(code);
    }
  }
}

// Runs Loops::decode<S> or Loops::encode<S> of the run's split, or the plain loop for any other.
template <typename Loops, typename... Splits>
struct Instances {
  static std::size_t decode(DecodeCursor& cursor, const PlaneRun& run) {
    std::size_t groups = 0;
    const bool found = ((Splits::matches(run.split) &&
                         (groups = Loops::template decode<Splits>(cursor, run), true)) ||
                        ...);
    return found ? groups : portable::kPlaneKernels.decode(cursor, run);
  }
  static void encode(EncodeCursor& cursor, const PlaneRun& run) {
    const bool found =
        ((Splits::matches(run.split) && (Loops::template encode<Splits>(cursor, run), true)) ||
         ...);
    if (!found) portable::kPlaneKernels.encode(cursor, run);
  }
};

// bf16 (and the upper half of f32) with 0 and 1 coded mantissa bits; f16 with 0 to 2, f64 with 0
// and 1; bytes with 0 to 4 raw bits, with and without a sign.
template <typename Loops>
using AllSplits =
    Instances<Loops, Split<2, 7, true>, Split<2, 6, true>, Split<2, 5, true>, Split<2, 10, true>,
              Split<2, 9, true>, Split<2, 8, true>, Split<2, 4, true>, Split<2, 3, true>,
              Split<1, 0, false>, Split<1, 1, false>, Split<1, 2, false>, Split<1, 3, false>,
              Split<1, 4, false>, Split<1, 0, true>, Split<1, 1, true>, Split<1, 2, true>>;

}  // namespace
}  // namespace qi
