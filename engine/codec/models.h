// Ideal code lengths: what a perfect coder of a given model would spend, in bits. No coder runs.
// Order-0 (empirical entropy) of any counts, and the pair model: a 16-bit weight given its
// LLM.int8() version (Near-uniform digit among the K values that round to q; q = 0 apart).
// Pure functions of their arguments, any thread.
#pragma once

#include <cstdint>
#include <span>

#include "engine/tensor/dtype.h"

namespace qi {

/// Σ c·log2(n/c) over the counts c with n their sum: bits for the whole sequence. 0 when empty.
double order0_bits(std::span<const std::uint64_t> counts);

/// Mantissa bits that the plane model codes together with the exponent; the rest, and the sign,
/// count as raw bits. A bf16 (or 8-bit) exponent is coded alone; wider mantissas still have a
/// measurable shape in their first three bits.
int coded_mantissa_bits(DType type);

/// The pair model's constants for one 16-bit type.
struct PairFormat {
  int exponent_bits;
  int mantissa_bits;
  /// A row whose side information (bits for q = 0, escapes) exceeds this many bits a weight is
  /// stored raw.
  unsigned side_limit_bits;
  unsigned max_radix;
};
/// For BF16 and F16; nullptr for any other type.
const PairFormat* pair_format(DType type);

/// Steps of the unary exponent code of q = 0 before it escapes to the plain exponent.
inline constexpr unsigned kUnaryLimit = 16;

/// A weight outside its interval: position and raw value.
inline constexpr unsigned kEscapeBits = 48;

/// The pair model for one row with scale s = max |w|, q = rint(w · (127/s)).
class PairRow {
 public:
  PairRow(const PairFormat& format, float scale);

  /// False for s = 0, NaN, infinite, or outside [2^−100, 2^100]: the row is stored raw.
  bool usable() const { return usable_; }
  /// fp32(127 / s), the factor of LLM.int8().
  float inverse() const { return inverse_; }
  /// Exponent field of d/2, d = s/127: the largest one a weight with q = 0 can have.
  std::uint32_t zero_exponent() const { return zero_exponent_; }

  /// d, widened downwards and upwards, and the bit pattern of s rounded down: what radix() and
  /// lowest() are made of.
  float step_down() const { return static_cast<float>(down_); }
  float step_up() const { return static_cast<float>(up_); }
  std::uint32_t top() const { return top_; }

  /// K: how many values of the type round to a q of this magnitude (1 … 127), the bounds widened
  /// by a relative 2^−20 so that ties fall inside whatever the order of operations was.
  std::uint32_t radix(std::uint32_t magnitude) const;
  /// First of those K values, as a bit pattern without the sign.
  std::uint32_t lowest(std::uint32_t magnitude) const;
  /// Bits for one weight with q = 0: the exponent counted down in unary from zero_exponent(), after
  /// kUnaryLimit steps as it stands, then sign and mantissa.
  std::uint32_t zero_bits(std::uint32_t symbol) const;
  /// Σ counts[a]·log2 K(a) over the magnitudes a = 1 … 127; counts[0] is ignored.
  double digit_bits(std::span<const std::uint32_t, 128> counts) const;
  /// Bits of a row: digits, q = 0 codes and escapes, or 16 a weight when the side limit is passed.
  double row_bits(double digit_bits, std::uint64_t side_bits, std::uint64_t cols) const;

 private:
  const PairFormat& format_;
  bool usable_ = false;
  float inverse_ = 0;
  double down_ = 0;  // d widened downwards and upwards, as float32 values
  double up_ = 0;
  std::uint32_t top_ = 0;  // bit pattern of s rounded down
  std::uint32_t zero_exponent_ = 0;
};

/// Largest value of a 16-bit float type that is ≤ x, and smallest that is ≥ x, as bit patterns;
/// x > 0 and finite. Above the largest finite value: that value, and infinity.
std::uint32_t floor_symbol(const PairFormat& format, float x);
std::uint32_t ceil_symbol(const PairFormat& format, float x);

}  // namespace qi
