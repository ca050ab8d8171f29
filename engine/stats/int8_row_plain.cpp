#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/stats/int8_row.h"
#include "engine/tensor/numbers.h"

namespace qi::plain {
namespace {

std::uint16_t word_at(const std::byte* in, std::size_t i) {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(in[2 * i]) |
                                    std::to_integer<unsigned>(in[2 * i + 1]) << 8);
}

std::int8_t quantize(float value, float inverse) {
  const float scaled = std::clamp(value * inverse, -127.0f, 127.0f);
  return static_cast<std::int8_t>(std::nearbyint(scaled));
}

template <typename ToFloat>
std::uint64_t quantize_words(const PairRow& row, const std::byte* in, std::size_t count,
                             std::int8_t* q, ToFloat to_float) {
  std::uint64_t zero_bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t word = word_at(in, i);
    q[i] = quantize(to_float(word), row.inverse());
    if (q[i] == 0) zero_bits += row.zero_bits(word);
  }
  return zero_bits;
}

}  // namespace

std::uint32_t absmax_16(const std::byte* in, std::size_t count) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    largest = std::max<std::uint32_t>(largest, word_at(in, i) & 0x7FFFu);
  }
  return largest;
}

std::uint32_t absmax_32(const float* in, std::size_t count) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(in[i]) & 0x7FFFFFFFu);
  }
  return largest;
}

std::uint64_t quantize_bf16(const PairRow& row, const std::byte* in, std::size_t count,
                            std::int8_t* q) {
  return quantize_words(row, in, count, q, [](std::uint16_t w) { return bf16_to_float(w); });
}

std::uint64_t quantize_f16(const PairRow& row, const std::byte* in, std::size_t count,
                           std::int8_t* q) {
  return quantize_words(row, in, count, q, [](std::uint16_t w) { return f16_to_float(w); });
}

void quantize_f32(float inverse, const float* in, std::size_t count, std::int8_t* q) {
  for (std::size_t i = 0; i < count; ++i) q[i] = quantize(in[i], inverse);
}

}  // namespace qi::plain
