// Codebook block types of ggml: an index picks a group of 4 or 8 magnitudes, signs are apart.
// Layouts and formulas: ggml-common.h (llama.cpp b3901).
#include <bit>
#include <cstdint>

#include "engine/quant/ggml_bytes.h"
#include "engine/quant/ggml_plain.h"
#include "engine/quant/iq_tables.h"

namespace qi::ggml {
namespace {

// count magnitudes in the bytes of `grid`, negated where `signs` has a bit.
template <typename Word>
void signed_grid(Word grid, std::uint32_t signs, float scale, float* out) {
  for (unsigned j = 0; j < sizeof(Word); ++j) {
    const float value =
        scale * static_cast<float>(static_cast<std::int32_t>((grid >> (8 * j)) & 0xFF));
    // The sign bit by exclusive or: no branch, so the loop becomes vectors.
    const std::uint32_t minus = ((signs >> j) & 1) << 31;
    out[j] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ minus);
  }
}

// IQ1: −1, 0 or 1 shifted by an eighth.
void ternary_grid(std::uint64_t grid, float delta, float scale, float* out) {
  for (unsigned j = 0; j < 8; ++j) {
    const auto level = static_cast<std::int8_t>((grid >> (8 * j)) & 0xFF);
    out[j] = scale * (static_cast<float>(level) + delta);
  }
}

float quarter_scale(float d, std::uint32_t four_bits) {
  return d * (0.5f + static_cast<float>(four_bits)) * 0.25f;
}

constexpr float kDelta = 0.125f;

}  // namespace

void plain_iq2_xxs(const std::byte* block, float* out) {  // f16 d; u16 qs[32]
  const float d = f16(block);
  for (int g = 0; g < 8; ++g) {
    const std::byte* group = block + 2 + 8 * g;
    const std::uint32_t a0 = u32(group);
    const std::uint32_t a1 = u32(group + 4);
    const float scale = quarter_scale(d, a1 >> 28);
    for (int k = 0; k < 4; ++k) {
      const std::uint64_t grid = kIq2xxsGrid[(a0 >> (8 * k)) & 0xFF];
      signed_grid(grid, iq_signs((a1 >> (7 * k)) & 127), scale, out + 32 * g + 8 * k);
    }
  }
}

void plain_iq2_xs(const std::byte* block, float* out) {  // f16 d; u16 qs[32]; u8 sc[8]
  const float d = f16(block);
  for (int g = 0; g < 8; ++g) {
    const std::byte* sc = block + 66 + g;
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t q = u16(block + 2 + 2 * (4 * g + k));
      const float scale = quarter_scale(d, k < 2 ? low_nibble(sc) : high_nibble(sc));
      signed_grid(kIq2xsGrid[q & 511], iq_signs(q >> 9), scale, out + 32 * g + 8 * k);
    }
  }
}

void plain_iq2_s(const std::byte* block, float* out) {  // f16 d; u8 qs[64], qh[8], sc[8]
  const float d = f16(block);
  for (int g = 0; g < 8; ++g) {
    const std::uint32_t qh = u8(block + 66 + g);
    const std::byte* sc = block + 74 + g;
    for (int k = 0; k < 4; ++k) {
      const std::byte* qs = block + 2 + 4 * g + k;
      const std::uint32_t index = u8(qs) | ((qh >> (2 * k)) & 3) << 8;
      const float scale = quarter_scale(d, k < 2 ? low_nibble(sc) : high_nibble(sc));
      signed_grid(kIq2sGrid[index], u8(qs + 32), scale, out + 32 * g + 8 * k);
    }
  }
}

void plain_iq3_xxs(const std::byte* block, float* out) {  // f16 d; u8 qs[96]
  const float d = f16(block);
  for (int g = 0; g < 8; ++g) {
    const std::byte* qs = block + 2 + 8 * g;
    const std::uint32_t a = u32(block + 2 + 64 + 4 * g);
    const float scale = d * (0.5f + static_cast<float>(a >> 28)) * 0.5f;
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t signs = iq_signs((a >> (7 * k)) & 127);
      float* y = out + 32 * g + 8 * k;
      signed_grid(kIq3xxsGrid[u8(qs + 2 * k)], signs, scale, y);
      signed_grid(kIq3xxsGrid[u8(qs + 2 * k + 1)], signs >> 4, scale, y + 4);
    }
  }
}

void plain_iq3_s(const std::byte* block, float* out) {  // d; u8 qs[64], qh[8], signs[32], sc[4]
  const float d = f16(block);
  for (int g = 0; g < 8; ++g) {
    const std::byte* qs = block + 2 + 8 * g;
    const std::uint32_t qh = u8(block + 66 + g);
    const std::uint32_t nibble = (u8(block + 106 + g / 2) >> (4 * (g % 2))) & 15;
    const float scale = d * static_cast<float>(1 + 2 * nibble);
    for (int k = 0; k < 8; ++k) {
      const std::uint32_t index = u8(qs + k) | ((qh >> k) & 1) << 8;
      const std::uint32_t signs = u8(block + 74 + 4 * g + k / 2) >> (4 * (k % 2));
      signed_grid(kIq3sGrid[index], signs, scale, out + 32 * g + 4 * k);
    }
  }
}

void plain_iq1_s(const std::byte* block, float* out) {  // f16 d; u8 qs[32]; u16 qh[8]
  const float d = f16(block);
  for (int g = 0; g < 8; ++g) {
    const std::uint32_t qh = u16(block + 34 + 2 * g);
    const float scale = d * static_cast<float>(2 * ((qh >> 12) & 7) + 1);
    const float delta = (qh & 0x8000) != 0 ? -kDelta : kDelta;
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t index = u8(block + 2 + 4 * g + k) | ((qh >> (3 * k)) & 7) << 8;
      ternary_grid(kIq1sGrid[index], delta, scale, out + 32 * g + 8 * k);
    }
  }
}

void plain_iq1_m(const std::byte* block, float* out) {  // u8 qs[32], qh[16]; u16 sc[4]
  const std::byte* sc = block + 48;
  const std::uint32_t s[4] = {u16(sc), u16(sc + 2), u16(sc + 4), u16(sc + 6)};
  // The f16 scale of the block is spread over the top nibbles.
  const std::uint32_t bits =
      s[0] >> 12 | ((s[1] >> 8) & 0xF0) | ((s[2] >> 4) & 0xF00) | (s[3] & 0xF000);
  const float d = f16_to_float(static_cast<std::uint16_t>(bits));
  for (int g = 0; g < 8; ++g) {
    for (int k = 0; k < 4; ++k) {
      const std::uint32_t three = (s[g / 2] >> (6 * (g % 2) + 3 * (k / 2))) & 7;
      const float scale = d * static_cast<float>(2 * three + 1);
      const std::uint32_t high = (u8(block + 32 + 2 * g + k / 2) >> (4 * (k % 2))) & 15;
      const std::uint32_t index = u8(block + 4 * g + k) | (high & 7) << 8;
      ternary_grid(kIq1sGrid[index], (high & 8) != 0 ? -kDelta : kDelta, scale,
                   out + 32 * g + 8 * k);
    }
  }
}

}  // namespace qi::ggml
