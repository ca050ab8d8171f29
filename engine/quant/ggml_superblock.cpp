#include "engine/quant/ggml_superblock.h"

#include <algorithm>
#include <cstring>

namespace qi::ggml {
namespace {

// How much of the mean importance is added to that of each column.
constexpr float kShrink = 0.1f;

// 2^exponent for a normal float32.
float power_of_two(int exponent) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

// The power of two at or below the largest magnitude, kept where its inverse is a normal number.
int exponent_of(const float* values, std::size_t count) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < count; ++i) {
    most = std::max(most, std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFFu);
  }
  return most == 0 ? 1000 : std::clamp(static_cast<int>(most >> 23) - 127, -126, 126);
}

// Scales and minima of 6 bits as Q4_K and Q5_K pack eight of each into 12 bytes.
void put_k_scales(const SuperCodes& from, std::byte* sc) {
  for (std::size_t j = 0; j < 4; ++j) {
    const auto s = static_cast<unsigned>(from.scales[j]);
    const auto m = static_cast<unsigned>(from.minima[j]);
    const auto s4 = static_cast<unsigned>(from.scales[j + 4]);
    const auto m4 = static_cast<unsigned>(from.minima[j + 4]);
    put_u8(sc + j, s | (s4 >> 4) << 6);
    put_u8(sc + j + 4, m | (m4 >> 4) << 6);
    put_u8(sc + j + 8, (s4 & 15) | (m4 & 15) << 4);
  }
}

// Two low bits of 128 values in 32 bytes: value 32 k + l of the half in bits 2 k of byte l.
void put_two_bits(const std::uint8_t* codes, std::byte* qs) {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      const std::uint8_t* c = codes + 128 * half + l;
      put_u8(qs + 32 * half + l,
             (c[0] & 3u) | (c[32] & 3u) << 2 | (c[64] & 3u) << 4 | (c[96] & 3u) << 6);
    }
  }
}

// Low nibbles of group 2 p and high nibbles of group 2 p + 1 share 32 bytes.
void put_group_nibbles(const std::uint8_t* codes, std::byte* qs) {
  for (int pair = 0; pair < 4; ++pair) {
    for (int l = 0; l < 32; ++l) {
      const std::uint8_t* c = codes + 64 * pair + l;
      put_u8(qs + 32 * pair + l, (c[0] & 15u) | (c[32] & 15u) << 4);
    }
  }
}

}  // namespace

SuperBlock::SuperBlock(const float* values, const float* importance, std::size_t count) {
  const int exponent = exponent_of(values, count);
  zero = exponent == 1000;
  if (zero) return;
  unit = power_of_two(exponent);
  inverse = power_of_two(-exponent);
  for (std::size_t i = 0; i < count; ++i) x[i] = values[i] * inverse;
  if (importance == nullptr) {
    std::fill_n(weights.begin(), count, 1.0f);
    return;
  }
  float most = 0.0f;
  for (std::size_t i = 0; i < count; ++i) most = std::max(most, importance[i]);
  if (!(most > 0.0f)) {
    std::fill_n(weights.begin(), count, 1.0f);
    return;
  }
  float sum = 0.0f;
  for (std::size_t i = 0; i < count; ++i) {
    weights[i] = importance[i] / most;
    sum += weights[i];
  }
  // The importance of a column is an estimate from few samples, so all are drawn a little to their
  // mean; a column that was never used counts as well then, and every group has a best scale.
  const float little = kShrink * sum / static_cast<float>(count);
  for (std::size_t i = 0; i < count; ++i) weights[i] = weights[i] + little;
}

void put_q2_k(const SuperCodes& from, std::byte* block) {
  for (std::size_t g = 0; g < 16; ++g) {
    put_u8(block + g, static_cast<unsigned>(from.scales[g] | from.minima[g] << 4));
  }
  put_two_bits(from.codes.data(), block + 16);
  put_u16(block + 80, from.d.bits);
  put_u16(block + 82, from.dmin.bits);
}

void put_q3_k(const SuperCodes& from, std::byte* block) {
  for (int l = 0; l < 32; ++l) {
    unsigned high = 0;
    for (int k = 0; k < 8; ++k) {
      high |= (from.codes[static_cast<std::size_t>(32 * k + l)] >> 2 & 1u) << k;
    }
    put_u8(block + l, high);
  }
  put_two_bits(from.codes.data(), block + 32);
  std::byte* sc = block + 96;
  std::memset(sc, 0, 12);
  for (std::size_t g = 0; g < 16; ++g) {
    const auto s = static_cast<unsigned>(from.scales[g] + 32);
    sc[g % 8] |= static_cast<std::byte>(g < 8 ? s & 15 : (s & 15) << 4);
    sc[8 + g % 4] |= static_cast<std::byte>((s >> 4) << (2 * (g / 4)));
  }
  put_u16(block + 108, from.d.bits);
}

void put_q4_k(const SuperCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  put_u16(block + 2, from.dmin.bits);
  put_k_scales(from, block + 4);
  put_group_nibbles(from.codes.data(), block + 16);
}

void put_q5_k(const SuperCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  put_u16(block + 2, from.dmin.bits);
  put_k_scales(from, block + 4);
  for (int l = 0; l < 32; ++l) {
    unsigned high = 0;
    for (int j = 0; j < 8; ++j) {
      high |= (from.codes[static_cast<std::size_t>(32 * j + l)] >> 4 & 1u) << j;
    }
    put_u8(block + 16 + l, high);
  }
  put_group_nibbles(from.codes.data(), block + 48);
}

void put_q6_k(const SuperCodes& from, std::byte* block) {
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 32; ++l) {
      const std::uint8_t* c = from.codes.data() + 128 * half + l;
      put_u8(block + 64 * half + l, (c[0] & 15u) | (c[64] & 15u) << 4);
      put_u8(block + 64 * half + 32 + l, (c[32] & 15u) | (c[96] & 15u) << 4);
      put_u8(block + 128 + 32 * half + l, (c[0] >> 4 & 3u) | (c[32] >> 4 & 3u) << 2 |
                                              (c[64] >> 4 & 3u) << 4 | (c[96] >> 4 & 3u) << 6);
    }
  }
  for (std::size_t g = 0; g < 16; ++g) {
    put_u8(block + 192 + g, static_cast<unsigned>(from.scales[g]) & 255);
  }
  put_u16(block + 208, from.d.bits);
}

void put_iq4_xs(const SuperCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  unsigned high = 0;
  std::array<unsigned, 4> low{};
  for (std::size_t g = 0; g < 8; ++g) {
    const auto s = static_cast<unsigned>(from.scales[g] + 32);
    low[g / 2] |= (s & 15) << (4 * (g % 2));
    high |= (s >> 4) << (2 * g);
    put_nibbles(from.codes.data() + 32 * g, block + 8 + 16 * g);
  }
  put_u16(block + 2, high);
  for (std::size_t i = 0; i < 4; ++i) put_u8(block + 4 + i, low[i]);
}

}  // namespace qi::ggml
