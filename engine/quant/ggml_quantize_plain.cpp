#include "engine/quant/ggml_quantize_plain.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace qi::ggml {
namespace {

// The value of the largest magnitude, the first of them, with its sign.
float extreme(const float* x, int count) {
  float most = 0.0f;
  for (int j = 0; j < count; ++j) {
    if (std::fabs(x[j]) > std::fabs(most)) most = x[j];
  }
  return most;
}

// Codes 0 … 2 · zero − 1 around `zero`, which is what the largest magnitude's side is not rounded
// off at.
template <int zero>
float centred_codes(const float* x, std::uint8_t* codes) {
  const float d = extreme(x, 32) / -static_cast<float>(zero);
  const float inverse = inverse_scale(d);
  if (inverse == 0.0f) {
    // What ggml's conversion of infinity gives, or all in the middle for zeros.
    std::fill_n(codes, 32, static_cast<std::uint8_t>(d == 0.0f ? zero : 0));
    return d;
  }
  for (int j = 0; j < 32; ++j) {
    const auto code = static_cast<int>(x[j] * inverse + (static_cast<float>(zero) + 0.5f));
    codes[j] = static_cast<std::uint8_t>(std::min(2 * zero - 1, code));
  }
  return d;
}

struct Affine {
  float d;
  float min;
};
template <int most>
Affine affine_codes(const float* x, std::uint8_t* codes) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float min = *low;
  // Half the largest float on either side would overflow.
  const float range = std::min(*high - min, 3.4028235e38f);
  const float d = range / static_cast<float>(most);
  const float inverse = inverse_scale(d);
  for (int j = 0; j < 32; ++j) {
    const float position = std::min((x[j] - min), range) * inverse + 0.5f;
    codes[j] = static_cast<std::uint8_t>(std::min(most, static_cast<int>(position)));
  }
  return {d, min};
}

void put_half(std::byte* at, float value) {
  put_u16(at, half_scale(value));
}

}  // namespace

void make_q4_0(const float* x, std::byte* block) {
  std::array<std::uint8_t, 32> codes;
  put_half(block, centred_codes<8>(x, codes.data()));
  put_nibbles(codes.data(), block + 2);
}

void make_q5_0(const float* x, std::byte* block) {
  std::array<std::uint8_t, 32> codes;
  put_half(block, centred_codes<16>(x, codes.data()));
  put_u32(block + 2, put_nibbles(codes.data(), block + 6));
}

void make_q4_1(const float* x, std::byte* block) {
  std::array<std::uint8_t, 32> codes;
  const Affine affine = affine_codes<15>(x, codes.data());
  put_half(block, affine.d);
  put_half(block + 2, affine.min);
  put_nibbles(codes.data(), block + 4);
}

void make_q5_1(const float* x, std::byte* block) {
  std::array<std::uint8_t, 32> codes;
  const Affine affine = affine_codes<31>(x, codes.data());
  put_half(block, affine.d);
  put_half(block + 2, affine.min);
  put_u32(block + 4, put_nibbles(codes.data(), block + 8));
}

void make_q8_0(const float* x, std::byte* block) {
  const float d = std::fabs(extreme(x, 32)) / 127.0f;
  const float inverse = inverse_scale(d);
  put_half(block, d);
  for (int j = 0; j < 32; ++j) {
    put_u8(block + 2 + j,
           static_cast<unsigned>(static_cast<int>(std::round(x[j] * inverse))) & 255);
  }
}

void make_tq1_0(const float* x, std::byte* block) {
  const float d = std::fabs(extreme(x, 256));
  const float inverse = inverse_scale(d);
  const auto digit = [x, inverse](int at) {
    return static_cast<unsigned>(static_cast<int>(std::round(x[at] * inverse)) + 1);
  };
  // `count` bytes of `digits` base-3 digits, the most significant one first; a fraction of 243
  // rounded up to one of 256 gives the digits back by multiplication alone.
  const auto pack = [&](int first, int count, int digits, std::byte* to) {
    for (int b = 0; b < count; ++b) {
      unsigned number = 0;
      for (int n = 0; n < 5; ++n)
        number = 3 * number + (n < digits ? digit(first + n * count + b) : 0);
      put_u8(to + b, (number * 256 + 242) / 243);
    }
  };
  pack(0, 32, 5, block);
  pack(160, 16, 5, block + 32);
  pack(240, 4, 4, block + 48);
  put_half(block + 52, d);
}

void make_tq2_0(const float* x, std::byte* block) {
  const float d = std::fabs(extreme(x, 256));
  const float inverse = inverse_scale(d);
  for (int b = 0; b < 64; ++b) {
    unsigned byte = 0;
    for (int l = 0; l < 4; ++l) {
      const float v = x[128 * (b / 32) + 32 * l + b % 32];
      byte |= static_cast<unsigned>(static_cast<int>(std::round(v * inverse)) + 1) << (2 * l);
    }
    put_u8(block + b, byte);
  }
  put_half(block + 64, d);
}

}  // namespace qi::ggml
