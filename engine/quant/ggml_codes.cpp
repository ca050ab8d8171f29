#include "engine/quant/ggml_codes.h"

#include <cstring>

#include "engine/quant/ggml_bytes.h"

// Layouts: ggml-common.h block structs; the clause beside each function names its fields.
namespace qi::ggml {
namespace {

std::uint8_t byte(std::uint32_t value) {
  return static_cast<std::uint8_t>(value);
}

// 2 · half codes from half bytes: low nibbles first, then high ones.
void nibbles(const std::byte* qs, int half, std::uint8_t* codes) {
  for (int j = 0; j < half; ++j) {
    codes[j] = byte(low_nibble(qs + j));
    codes[j + half] = byte(high_nibble(qs + j));
  }
}

void five_bits(const std::byte* qh_at, const std::byte* qs, std::uint8_t* codes) {
  const std::uint32_t qh = u32(qh_at);
  nibbles(qs, 16, codes);
  for (int j = 0; j < 32; ++j) codes[j] = byte(codes[j] | ((qh >> j) & 1) << 4);
}

// Two-bit codes of a K block: 16 groups of 16 (ggml-common.h, block_q2_K).
void k_two_bits(const std::byte* qs, std::uint8_t* codes) {
  for (int g = 0; g < 16; ++g) {
    const int shift = 2 * ((g % 8) / 2);
    const std::byte* base = qs + 32 * (g / 8) + 16 * (g % 2);
    for (int l = 0; l < 16; ++l) codes[16 * g + l] = byte((u8(base + l) >> shift) & 3);
  }
}

// Four-bit codes of a K block: pairs of groups of 32 share 32 bytes.
void k_four_bits(const std::byte* qs, std::uint8_t* codes) {
  for (int pair = 0; pair < 4; ++pair) nibbles(qs + 32 * pair, 32, codes + 64 * pair);
}

}  // namespace

void codes_q4_0(const std::byte* block, std::uint8_t* codes) {  // f16 d; u8 qs[16]
  nibbles(block + 2, 16, codes);
}

void codes_q4_1(const std::byte* block, std::uint8_t* codes) {  // f16 d, m; u8 qs[16]
  nibbles(block + 4, 16, codes);
}

void codes_q5_0(const std::byte* block, std::uint8_t* codes) {  // f16 d; u32 qh; u8 qs[16]
  five_bits(block + 2, block + 6, codes);
}

void codes_q5_1(const std::byte* block, std::uint8_t* codes) {  // f16 d, m; u32 qh; u8 qs[16]
  five_bits(block + 4, block + 8, codes);
}

void codes_q8_0(const std::byte* block, std::uint8_t* codes) {  // f16 d; i8 qs[32]
  std::memcpy(codes, block + 2, 32);
}

void codes_q8_1(const std::byte* block, std::uint8_t* codes) {  // f16 d, s; i8 qs[32]
  std::memcpy(codes, block + 4, 32);
}

void codes_q2_k(const std::byte* block, std::uint8_t* codes) {  // u8 sc[16], qs[64]; f16 d, dmin
  k_two_bits(block + 16, codes);
}

void codes_q3_k(const std::byte* block, std::uint8_t* codes) {  // u8 hmask[32], qs[64], sc[12]; d
  k_two_bits(block + 32, codes);
  for (int g = 0; g < 16; ++g) {
    const std::byte* hmask = block + 16 * (g % 2);
    for (int l = 0; l < 16; ++l) {
      std::uint8_t& code = codes[16 * g + l];
      code = byte(code | ((u8(hmask + l) >> (g / 2)) & 1) << 2);
    }
  }
}

void codes_q4_k(const std::byte* block, std::uint8_t* codes) {  // f16 d, dmin; u8 sc[12], qs[128]
  k_four_bits(block + 16, codes);
}

void codes_q5_k(const std::byte* block, std::uint8_t* codes) {  // d, dmin; sc[12], qh[32], qs[128]
  k_four_bits(block + 48, codes);
  for (int j = 0; j < 8; ++j) {
    for (int l = 0; l < 32; ++l) {
      std::uint8_t& code = codes[32 * j + l];
      code = byte(code | ((u8(block + 16 + l) >> j) & 1) << 4);
    }
  }
}

void codes_q6_k(const std::byte* block, std::uint8_t* codes) {  // ql[128], qh[64]; i8 sc[16]; d
  for (int half = 0; half < 2; ++half) {
    const std::byte* ql = block + 64 * half;
    const std::byte* qh = block + 128 + 32 * half;
    for (int k = 0; k < 4; ++k) {
      for (int l = 0; l < 32; ++l) {
        const std::uint32_t low =
            k < 2 ? low_nibble(ql + l + 32 * k) : high_nibble(ql + l + 32 * (k - 2));
        codes[128 * half + 32 * k + l] = byte(low | ((u8(qh + l) >> (2 * k)) & 3) << 4);
      }
    }
  }
}

void codes_q8_k(const std::byte* block, std::uint8_t* codes) {  // f32 d; i8 qs[256]; i16 bsums[16]
  std::memcpy(codes, block + 4, 256);
}

void codes_iq4_xs(const std::byte* block, std::uint8_t* codes) {  // d; u16 sh; u8 sl[4], qs[128]
  for (int g = 0; g < 8; ++g) nibbles(block + 8 + 16 * g, 16, codes + 32 * g);
}

void codes_tq1_0(const std::byte* block, std::uint8_t* codes) {  // u8 qs[48], qh[4]; f16 d
  // Base-3 digits, most significant first: multiply by 3^n modulo 256, then by 3 and take the
  // carry.
  static constexpr std::uint8_t kPowers[5] = {1, 3, 9, 27, 81};
  const auto digits = [&codes](const std::byte* bytes, int width, int count) {
    for (int n = 0; n < count; ++n) {
      for (int i = 0; i < width; ++i) {
        const std::uint32_t rest = (u8(bytes + i) * kPowers[n]) & 0xFF;
        *codes++ = byte(rest * 3 >> 8);
      }
    }
  };
  digits(block, 32, 5);
  digits(block + 32, 16, 5);
  digits(block + 48, 4, 4);
}

void codes_tq2_0(const std::byte* block, std::uint8_t* codes) {  // u8 qs[64]; f16 d
  for (int half = 0; half < 2; ++half) {
    for (int l = 0; l < 4; ++l) {
      for (int m = 0; m < 32; ++m) {
        codes[128 * half + 32 * l + m] = byte((u8(block + 32 * half + m) >> (2 * l)) & 3);
      }
    }
  }
}

void codes_mxfp4(const std::byte* block, std::uint8_t* codes) {  // u8 e; u8 qs[16]
  nibbles(block + 1, 16, codes);
}

void codes_nvfp4(const std::byte* block, std::uint8_t* codes) {  // u8 d[4]; u8 qs[32]
  for (int g = 0; g < 4; ++g) nibbles(block + 4 + 8 * g, 8, codes + 16 * g);
}

void codes_q1_0(const std::byte* block, std::uint8_t* codes) {  // f16 d; u8 qs[16]
  for (int j = 0; j < 128; ++j) codes[j] = byte((u8(block + 2 + j / 8) >> (j % 8)) & 1);
}

void codes_q2_0(const std::byte* block, std::uint8_t* codes) {  // f16 d; u8 qs[16]
  for (int j = 0; j < 64; ++j) codes[j] = byte((u8(block + 2 + j / 4) >> (2 * (j % 4))) & 3);
}

}  // namespace qi::ggml
