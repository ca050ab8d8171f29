#include "engine/quant/ggml_plain.h"

#include <array>
#include <cstdint>

#include "engine/quant/ggml_bytes.h"
#include "engine/quant/ggml_codes.h"
#include "engine/quant/iq_tables.h"

namespace qi::ggml {
namespace {

template <std::size_t kCount>
using Codes = std::array<std::uint8_t, kCount>;

template <std::size_t kCount>
Codes<kCount> unpack(UnpackBlock codes_of, const std::byte* block) {
  Codes<kCount> codes;
  codes_of(block, codes.data());
  return codes;
}

// out = (code − zero) · d
template <std::size_t kCount>
void centred(UnpackBlock codes_of, const std::byte* block, float d, int zero, float* out) {
  const auto codes = unpack<kCount>(codes_of, block);
  for (std::size_t j = 0; j < kCount; ++j) {
    out[j] = static_cast<float>(static_cast<int>(codes[j]) - zero) * d;
  }
}

// out = (signed code) · d
template <std::size_t kCount>
void signed_bytes(UnpackBlock codes_of, const std::byte* block, float d, float* out) {
  const auto codes = unpack<kCount>(codes_of, block);
  for (std::size_t j = 0; j < kCount; ++j) {
    out[j] = static_cast<float>(static_cast<std::int8_t>(codes[j])) * d;
  }
}

// out = code · d + m
void affine(UnpackBlock codes_of, const std::byte* block, float* out) {
  const float d = f16(block);
  const float m = f16(block + 2);
  const auto codes = unpack<32>(codes_of, block);
  for (int j = 0; j < 32; ++j) {
    out[j] = static_cast<float>(codes[static_cast<std::size_t>(j)]) * d + m;
  }
}

// Q4_K, Q5_K: out = (d · scale) · code − (dmin · min), 8 groups of 32.
void k_affine(UnpackBlock codes_of, const std::byte* block, float* out) {
  const float d = f16(block);
  const float dmin = f16(block + 2);
  const auto codes = unpack<256>(codes_of, block);
  for (int j = 0; j < 8; ++j) {
    const ScaleMin sm = k_scale_min(block + 4, j);
    const float scale = d * static_cast<float>(sm.scale);
    const float min = dmin * static_cast<float>(sm.min);
    for (int l = 32 * j; l < 32 * j + 32; ++l) {
      out[l] = scale * static_cast<float>(codes[static_cast<std::size_t>(l)]) - min;
    }
  }
}

void levels(const std::uint8_t* codes, int count, const std::array<std::int8_t, 16>& table, float d,
            float* out) {
  for (int j = 0; j < count; ++j) out[j] = d * static_cast<float>(table[codes[j]]);
}

}  // namespace

void plain_q4_0(const std::byte* block, float* out) {
  centred<32>(codes_q4_0, block, f16(block), 8, out);
}

void plain_q4_1(const std::byte* block, float* out) {
  affine(codes_q4_1, block, out);
}

void plain_q5_0(const std::byte* block, float* out) {
  centred<32>(codes_q5_0, block, f16(block), 16, out);
}

void plain_q5_1(const std::byte* block, float* out) {
  affine(codes_q5_1, block, out);
}

void plain_q8_0(const std::byte* block, float* out) {
  signed_bytes<32>(codes_q8_0, block, f16(block), out);
}

void plain_q8_1(const std::byte* block, float* out) {
  signed_bytes<32>(codes_q8_1, block, f16(block), out);
}

void plain_q2_k(const std::byte* block, float* out) {
  const float d = f16(block + 80);
  const float dmin = f16(block + 82);
  const auto codes = unpack<256>(codes_q2_k, block);
  for (int g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(low_nibble(block + g));
    const float min = dmin * static_cast<float>(high_nibble(block + g));
    for (int l = 16 * g; l < 16 * g + 16; ++l) {
      out[l] = scale * static_cast<float>(codes[static_cast<std::size_t>(l)]) - min;
    }
  }
}

void plain_q3_k(const std::byte* block, float* out) {
  const float d = f16(block + 108);
  const auto codes = unpack<256>(codes_q3_k, block);
  for (int g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(q3k_scale(block + 96, g));
    for (int l = 16 * g; l < 16 * g + 16; ++l) {
      // The high bit stands for "no 4 subtracted", so the code is the value plus 4.
      out[l] = scale * static_cast<float>(static_cast<int>(codes[static_cast<std::size_t>(l)]) - 4);
    }
  }
}

void plain_q4_k(const std::byte* block, float* out) {
  k_affine(codes_q4_k, block, out);
}

void plain_q5_k(const std::byte* block, float* out) {
  k_affine(codes_q5_k, block, out);
}

void plain_q6_k(const std::byte* block, float* out) {
  const float d = f16(block + 208);
  const auto codes = unpack<256>(codes_q6_k, block);
  for (int g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(i8(block + 192 + g));
    for (int l = 16 * g; l < 16 * g + 16; ++l) {
      out[l] =
          scale * static_cast<float>(static_cast<int>(codes[static_cast<std::size_t>(l)]) - 32);
    }
  }
}

void plain_q8_k(const std::byte* block, float* out) {
  signed_bytes<256>(codes_q8_k, block, f32(block), out);
}

void plain_iq4_nl(const std::byte* block, float* out) {
  const auto codes = unpack<32>(codes_q4_0, block);
  levels(codes.data(), 32, kIq4nlValues, f16(block), out);
}

void plain_iq4_xs(const std::byte* block, float* out) {
  const float d = f16(block);
  const std::uint32_t sh = u16(block + 2);
  const auto codes = unpack<256>(codes_iq4_xs, block);
  for (int g = 0; g < 8; ++g) {
    const std::uint32_t low = (u8(block + 4 + g / 2) >> (4 * (g % 2))) & 15;
    const auto scale = static_cast<int>(low | ((sh >> (2 * g)) & 3) << 4) - 32;
    levels(codes.data() + 32 * g, 32, kIq4nlValues, d * static_cast<float>(scale), out + 32 * g);
  }
}

void plain_tq1_0(const std::byte* block, float* out) {
  centred<256>(codes_tq1_0, block, f16(block + 52), 1, out);
}

void plain_tq2_0(const std::byte* block, float* out) {
  centred<256>(codes_tq2_0, block, f16(block + 64), 1, out);
}

void plain_mxfp4(const std::byte* block, float* out) {
  const auto codes = unpack<32>(codes_mxfp4, block);
  levels(codes.data(), 32, kMxfp4Values, mxfp4_scale(u8(block)), out);
}

void plain_nvfp4(const std::byte* block, float* out) {
  const auto codes = unpack<64>(codes_nvfp4, block);
  for (int g = 0; g < 4; ++g) {
    levels(codes.data() + 16 * g, 16, kMxfp4Values, nvfp4_scale(u8(block + g)), out + 16 * g);
  }
}

void plain_q1_0(const std::byte* block, float* out) {
  const float d = f16(block);
  const auto codes = unpack<128>(codes_q1_0, block);
  for (std::size_t j = 0; j < codes.size(); ++j) out[j] = codes[j] != 0 ? d : -d;
}

void plain_q2_0(const std::byte* block, float* out) {
  centred<64>(codes_q2_0, block, f16(block), 1, out);
}

}  // namespace qi::ggml
