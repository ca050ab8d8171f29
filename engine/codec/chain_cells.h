// What a weight's lower version says about the higher one, in whole numbers: the model of the chain
// codec. Owns the order of numbers, the cells of the lower grid among them and the classes of those
// cells; knows nothing of streams. Only IEEE additions, multiplications and shifts: the same on
// every machine. Pure functions, any thread.
//
// A number of the higher version has an ordinal: a code is its own; 16-bit floats count from the
// most negative to the largest one, −0 before +0, and those whose exponent lies kOctaves below the
// step's share the ordinals of ±0 (they are escapes, but for ±0). ceil(x) is the ordinal of the
// smallest number that is at least x, or one past the last.
//   The cell of a weight whose lower version is `center` on a grid of `step`: the ordinals from
//   ceil(center − h) to below ceil(center + h), h = step/2 + |center|·2^−20: ties lie inside.
//   A step that is no number in [2^−100, 2^100], or such a center: all ordinals.
//   Its j-th slice of 1/S step: from ceil(center + step·(j/S − ½)) to below the same of j + 1.
// Cells are told apart by how many ordinals they have: kCellClasses classes.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "engine/tensor/numbers.h"

namespace qi {

enum class ChainKind : std::uint8_t { kBF16 = 0, kF16 = 1, kCodes = 2 };

/// The higher version's numbers: 16-bit patterns, or codes 0 … codes − 1.
struct ChainNumbers {
  ChainKind kind = ChainKind::kBF16;
  std::uint32_t codes = 0;
};

inline constexpr std::uint32_t kCellClasses = 16;
inline constexpr std::uint32_t kOpenClass = 15;  // cells of all ordinals
inline constexpr std::uint32_t kOctaves = 12;

struct ChainCell {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

/// Ordinals of one kind of numbers. `base`: magnitudes that count as 0, from the step.
template <ChainKind kKind>
struct ChainOrder {
  static constexpr std::uint32_t kZero = 0x8000;  // of +0
  static constexpr unsigned kMantissaBits = kKind == ChainKind::kBF16 ? 7 : 10;
  static constexpr std::uint32_t kExponentShift = kKind == ChainKind::kBF16 ? 0 : 112;
  static constexpr std::uint32_t kInfinity = kKind == ChainKind::kBF16 ? 0x7F80 : 0x7C00;

  std::uint32_t codes;

  std::uint32_t all() const { return kKind == ChainKind::kCodes ? codes : 0x10000; }

  static std::uint32_t base_of(float step) {
    if (kKind == ChainKind::kCodes) return 0;
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(step) >> 23 & 0xFF;
    constexpr std::uint32_t kLeast = kOctaves + kExponentShift;
    return exponent > kLeast ? (exponent - kLeast) << kMantissaBits : 0;
  }
  static std::uint32_t squeeze(std::uint32_t magnitude, std::uint32_t base) {
    return magnitude > base ? magnitude - base : 0;
  }
  static std::uint32_t of(std::uint32_t word, std::uint32_t base) {
    if (kKind == ChainKind::kCodes) return word;
    // Of negative numbers all bits are turned: −1 − magnitude.
    return kZero + (squeeze(word & 0x7FFF, base) ^ (0U - (word >> 15)));
  }
  /// The number with an ordinal that of() gives.
  static std::uint32_t word(std::uint32_t ordinal, std::uint32_t base) {
    if (kKind == ChainKind::kCodes) return ordinal;
    const std::uint32_t place = ordinal - kZero;
    const std::uint32_t negative = 0U - (place >> 31);
    const std::uint32_t magnitude = place ^ negative;
    return (magnitude == 0 ? 0 : magnitude + base) | (negative & 0x8000);
  }
  static float value(std::uint32_t word) {
    if (kKind == ChainKind::kCodes) return static_cast<float>(word);
    if (kKind == ChainKind::kBF16) return std::bit_cast<float>(word << 16);
    return f16_to_float(static_cast<std::uint16_t>(word));
  }

  /// Magnitude of |x| as a pattern of the type, rounded down, or up with `round` = 1.
  static std::uint32_t magnitude_of(std::uint32_t bits, std::uint32_t round) {
    if (kKind == ChainKind::kBF16) return (bits + 0xFFFF * round) >> 16;
    constexpr std::uint32_t kNormal = (kExponentShift + 1) << 23;
    if (bits >= kNormal) {
      return std::min(kInfinity, (bits - (kExponentShift << 23) + 0x1FFF * round) >> 13);
    }
    const float units = std::bit_cast<float>(bits) * 0x1p24F;
    const auto below = static_cast<std::uint32_t>(units);
    return below + (static_cast<float>(below) < units ? round : 0);
  }
  std::uint32_t ceil(float x, std::uint32_t base) const {
    if (kKind == ChainKind::kCodes) {
      const float most = static_cast<float>(codes);
      const float bounded = x > 0 ? (x < most ? x : most) : 0;
      const auto below = static_cast<std::uint32_t>(bounded);
      return below + (static_cast<float>(below) < bounded ? 1 : 0);
    }
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t negative = bits >> 31;
    const std::uint32_t magnitude = magnitude_of(bits & 0x7FFFFFFF, 1 - negative);
    return kZero + (squeeze(magnitude, base) ^ (0U - negative));
  }

  static bool usable(float center, float step) {
    constexpr float kLargest = 0x1p100F;
    return step >= 0x1p-100F && step <= kLargest && center >= -kLargest && center <= kLargest;
  }
  /// The whole cell of a usable center and step.
  ChainCell cell(float center, float step, std::uint32_t base) const {
    const float half = step * 0.5F + std::fabs(center) * 0x1p-20F;
    const std::uint32_t first = ceil(center - half, base);
    return {first, ceil(center + half, base) - first};
  }
  /// Where slice `j` of 1/2^log_slices step begins.
  std::uint32_t slice_begin(float center, float step, std::uint32_t base, int j,
                            unsigned log_slices) const {
    const float place =
        static_cast<float>(j) * (1.0F / static_cast<float>(1U << log_slices)) - 0.5F;
    return ceil(center + step * place, base);
  }
};

/// Class of a cell by its ordinals; kOpenClass is not among them.
inline std::uint32_t cell_class(std::uint32_t count) {
  if (count < 4) return count;
  const auto log = static_cast<std::uint32_t>(std::bit_width(count)) - 1;  // 2, 3, …
  if (log < 4) return 2 * log + (count >> (log - 1) & 1);                  // 4 … 7
  return std::min(log + 4, kOpenClass - 1);                                // 16 … 31: 8
}

/// How the cells of a class are coded.
enum class CellCut : std::uint8_t {
  kWhole = 0,  // an ordinal inside the cell is a digit, all others are escapes
  kEach = 1,   // a symbol says which ordinal, counted from the cell's first
  kSlices =
      2  // and beyond: a symbol says which of the slices of 1/1, 1/2 … 1/32 step, then a digit
};
inline constexpr std::uint8_t kCellCuts = 8;
inline unsigned slices_log(std::uint8_t cut) {
  return cut - static_cast<unsigned>(CellCut::kSlices);
}

/// Symbols of a class: 0 … 62, and one for escapes.
inline constexpr std::uint32_t kChainSymbols = 64;
inline constexpr std::uint32_t kChainEscape = kChainSymbols - 1;
/// Symbol of a cell's first ordinal (kEach), and of slice 0.
inline constexpr int kEachOrigin = 24;
inline int slice_origin(unsigned log_slices) {
  return 31 - (1 << log_slices) / 2;
}

/// A digit of as many values, above that many bits as they are.
inline constexpr std::uint32_t kChainRadix = 240;
struct ChainDigit {
  explicit ChainDigit(std::uint32_t count)
      : low_bits(count <= kChainRadix
                     ? 0
                     : static_cast<unsigned>(std::bit_width((count - 1) / kChainRadix))),
        radix(((count - 1) >> low_bits) + 1) {}
  unsigned low_bits;
  std::uint32_t radix;
};

}  // namespace qi
