// What a histogram of number symbols tells: entropies of sign, exponent and mantissa, the pooled
// byte histogram, moments, value and exponent histograms. A symbol is the top bits of a number.
// Pure functions, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/stats/moments.h"
#include "engine/stats/statistics.h"
#include "engine/tensor/dtype.h"

namespace qi {

/// How a symbol is made of fields; kept_mantissa < mantissa_bits when symbols are only the top bits
/// of a wider number.
struct SymbolLayout {
  int bits = 0;  // of the symbol
  bool sign = false;
  int exponent_bits = 0;
  int mantissa_bits = 0;  // kept in the symbol

  /// Whole numbers of a float type of at most 16 bits; nothing for other types.
  static std::optional<SymbolLayout> of(DType type);
  /// The top of a float32 (sign, exponent, 8 mantissa bits: 17) or float64 (20).
  static SymbolLayout top_of_f32() { return {17, true, 8, 8}; }
  static SymbolLayout top_of_f64() { return {20, true, 11, 8}; }
};

/// Total bits of each plane for the whole weight (order-0).
struct PlaneBits {
  double sign = 0;
  double exponent = 0;
  double mantissa = 0;  // its top 8 bits where wider
  double coded = 0;     // exponent together with its first `coded_mantissa` mantissa bits
  int coded_mantissa = 0;
};
PlaneBits plane_bits(const SymbolLayout& layout, std::span<const std::uint64_t> counts,
                     int coded_mantissa);

/// Adds the bytes of each 16-bit (or 8-bit) symbol to `bytes`.
void add_symbol_bytes(int bits, std::span<const std::uint64_t> counts,
                      std::span<std::uint64_t, 256> bytes);

/// The values of the symbols that occur, and how often: parallel arrays in symbol order.
struct CountedValues {
  std::vector<double> values;
  std::vector<std::uint64_t> counts;
};
/// Exact values of the symbols of a plain type of 8 or 16 bits, or of 4- and 6-bit codes.
CountedValues symbol_values(DType type, int bits, std::span<const std::uint64_t> counts);
/// What each top-of-a-float symbol stands for with the bits cut off taken as 0: exact for round
/// numbers, else short by a relative 2^−8 at most; NaN and infinity as they are.
CountedValues top_values(const SymbolLayout& layout, std::span<const std::uint64_t> counts);

/// 64 bins over [low, high]: value x goes to bin floor((x − low)/(high − low)·64), high to the
/// last.
ValueHistogram value_histogram(const CountedValues& counted, double low, double high);
ExponentHistogram exponent_histogram(const CountedValues& counted);
/// Non-zero symbols whose exponent field is 0.
std::uint64_t subnormals(const SymbolLayout& layout, std::span<const std::uint64_t> counts);

}  // namespace qi
