#include "engine/stats/symbols.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

#include "engine/codec/models.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr int kMantissaBitsCounted = 8;

// The value a top-of-a-float symbol stands for.
double top_value(const SymbolLayout& layout, std::uint32_t symbol) {
  const std::uint32_t fraction_mask = (1u << layout.mantissa_bits) - 1;
  const std::uint32_t exponent_mask = (1u << layout.exponent_bits) - 1;
  const std::uint32_t fraction = symbol & fraction_mask;
  const std::uint32_t exponent = (symbol >> layout.mantissa_bits) & exponent_mask;
  if (exponent == exponent_mask) {
    // A NaN whose payload lies in the bits cut off looks like infinity; neither is binned.
    return fraction == 0 ? INFINITY : NAN;
  }
  const bool negative = symbol >> (layout.exponent_bits + layout.mantissa_bits) != 0;
  const int bias = (1 << (layout.exponent_bits - 1)) - 1;
  double magnitude = 0;
  if (exponent != 0) {
    const double significand = 1 + fraction / (fraction_mask + 1.0);
    magnitude = std::ldexp(significand, static_cast<int>(exponent) - bias);
  } else if (fraction != 0) {
    magnitude = std::ldexp(fraction / (fraction_mask + 1.0), 1 - bias);
  }
  return negative ? -magnitude : magnitude;
}

std::size_t occurring(std::span<const std::uint64_t> counts) {
  return counts.size() -
         static_cast<std::size_t>(std::count(counts.begin(), counts.end(), std::uint64_t{0}));
}

constexpr int kLowestExponent = -1074;  // of a double that is not 0
constexpr int kHighestExponent = 1023;

// std::ilogb() of a finite number that is not 0, without a call for nearly all.
int exponent_of(double x) {
  const auto field = static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52 & 0x7FF);
  return field != 0 ? field - 1023 : std::ilogb(x);
}

}  // namespace

std::optional<SymbolLayout> SymbolLayout::of(DType type) {
  if (!is_float(type) || element_bits(type) > 16) return std::nullopt;
  const DTypeInfo& facts = info(type);
  SymbolLayout layout{element_bits(type), false, facts.exponent_bits, facts.mantissa_bits};
  layout.sign = layout.bits > layout.exponent_bits + layout.mantissa_bits;
  return layout;
}

PlaneBits plane_bits(const SymbolLayout& layout, std::span<const std::uint64_t> counts,
                     int coded_mantissa) {
  assert(counts.size() == std::size_t{1} << layout.bits);
  PlaneBits planes;
  planes.coded_mantissa = std::min(coded_mantissa, layout.mantissa_bits);
  const int coded_shift = layout.mantissa_bits - planes.coded_mantissa;
  const int mantissa_shift = std::max(0, layout.mantissa_bits - kMantissaBitsCounted);
  const std::size_t magnitudes = std::size_t{1} << (layout.exponent_bits + layout.mantissa_bits);
  std::array<std::uint64_t, 2> signs{};
  std::vector<std::uint64_t> exponents(std::size_t{1} << layout.exponent_bits);
  std::vector<std::uint64_t> mantissas(std::size_t{1} << (layout.mantissa_bits - mantissa_shift));
  std::vector<std::uint64_t> coded(magnitudes >> coded_shift);
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == 0) continue;
    const std::size_t magnitude = s & (magnitudes - 1);
    signs[s >= magnitudes ? 1 : 0] += counts[s];
    exponents[magnitude >> layout.mantissa_bits] += counts[s];
    mantissas[(magnitude & ((std::size_t{1} << layout.mantissa_bits) - 1)) >> mantissa_shift] +=
        counts[s];
    coded[magnitude >> coded_shift] += counts[s];
  }
  planes.sign = order0_bits(signs);
  planes.exponent = order0_bits(exponents);
  planes.mantissa = order0_bits(mantissas);
  planes.coded = order0_bits(coded);
  return planes;
}

void add_symbol_bytes(int bits, std::span<const std::uint64_t> counts,
                      std::span<std::uint64_t, 256> bytes) {
  assert(bits == 8 || bits == 16);
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == 0) continue;
    bytes[s & 0xFF] += counts[s];
    if (bits == 16) bytes[s >> 8] += counts[s];
  }
}

CountedValues symbol_values(DType type, int bits, std::span<const std::uint64_t> counts) {
  CountedValues found;
  std::vector<std::uint32_t> symbols;
  const std::size_t different = occurring(counts);
  symbols.reserve(different);
  found.counts.reserve(different);
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == 0) continue;
    symbols.push_back(static_cast<std::uint32_t>(s));
    found.counts.push_back(counts[s]);
  }
  found.values.resize(symbols.size());
  if (const float* table = float_table(type); table != nullptr) {
    for (std::size_t i = 0; i < symbols.size(); ++i) found.values[i] = table[symbols[i]];
    return found;
  }
  assert(bits == 8 || bits == 16);
  const std::size_t width = static_cast<std::size_t>(bits) / 8;
  std::vector<std::byte> stored(symbols.size() * width);
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    stored[i * width] = static_cast<std::byte>(symbols[i] & 0xFF);
    if (width == 2) stored[i * width + 1] = static_cast<std::byte>(symbols[i] >> 8);
  }
  std::vector<float> floats(symbols.size());
  to_floats(type, stored.data(), symbols.size(), std::endian::native == std::endian::big,
            floats.data());
  std::copy(floats.begin(), floats.end(), found.values.begin());
  return found;
}

CountedValues top_values(const SymbolLayout& layout, std::span<const std::uint64_t> counts) {
  CountedValues found;
  const std::size_t different = occurring(counts);
  found.values.reserve(different);
  found.counts.reserve(different);
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == 0) continue;
    found.values.push_back(top_value(layout, static_cast<std::uint32_t>(s)));
    found.counts.push_back(counts[s]);
  }
  return found;
}

ValueHistogram value_histogram(const CountedValues& counted, double low, double high) {
  ValueHistogram histogram{low, high, {}};
  const auto bins = static_cast<double>(histogram.bins.size());
  for (std::size_t i = 0; i < counted.values.size(); ++i) {
    // Halves keep the width of a float64's whole range finite.
    const double x = std::clamp(counted.values[i], low, high);
    if (!std::isfinite(counted.values[i])) continue;
    const double width = high / 2 - low / 2;
    const double place = width > 0 ? (x / 2 - low / 2) / width * bins : 0;
    const auto bin = static_cast<std::size_t>(std::clamp(place, 0.0, bins - 1));
    histogram.bins[bin] += counted.counts[i];
  }
  return histogram;
}

ExponentHistogram exponent_histogram(const CountedValues& counted) {
  std::array<std::uint64_t, kHighestExponent - kLowestExponent + 1> counts{};
  for (std::size_t i = 0; i < counted.values.size(); ++i) {
    const double x = counted.values[i];
    if (!std::isfinite(x) || x == 0) continue;
    counts[static_cast<std::size_t>(exponent_of(x) - kLowestExponent)] += counted.counts[i];
  }
  ExponentHistogram histogram;
  const auto occurs = [](std::uint64_t count) { return count != 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), occurs);
  if (first == counts.end()) return histogram;
  const auto end = std::find_if(counts.rbegin(), counts.rend(), occurs).base();
  histogram.first = kLowestExponent + static_cast<int>(first - counts.begin());
  histogram.counts.assign(first, end);
  return histogram;
}

std::uint64_t subnormals(const SymbolLayout& layout, std::span<const std::uint64_t> counts) {
  // A type without a mantissa (E8M0) has no subnormals: its field 0 is a power of two.
  const std::size_t mantissas = std::size_t{1} << layout.mantissa_bits;
  const std::size_t magnitudes = mantissas << layout.exponent_bits;
  std::uint64_t total = 0;
  for (std::size_t zero = 0; zero < counts.size(); zero += magnitudes) {  // +0 and −0
    for (std::size_t m = 1; m < mantissas; ++m) total += counts[zero + m];
  }
  return total;
}

}  // namespace qi
