// The types with one scale (and minimum) a block: without weights by ggml's own rule, byte for
// byte; with weights by the best of several scales.
#include <array>
#include <bit>
#include <limits>

#include "engine/quant/ggml_fit.h"
#include "engine/quant/ggml_quantizers.h"
#include "engine/quant/iq_tables.h"

namespace qi::ggml {
namespace {

// What x86 makes of a float cast to int and cut to eight bits: 0 for what does not fit. ggml meets
// that where 1 / d overflows, and its bytes are the reference.
int cut(float value) {
  return value > -2147483648.0f && value < 2147483648.0f ? static_cast<int>(value) : 0;
}
float inverse(float d) {
  return d != 0.0f ? 1.0f / d : 0.0f;
}

float signed_largest(const float* x, int count) {
  float largest = 0, value = 0;
  for (int i = 0; i < count; ++i) {
    if (std::abs(x[i]) > largest) {
      largest = std::abs(x[i]);
      value = x[i];
    }
  }
  return value;
}
float absolute_largest(const float* x, int count) {
  float largest = 0;
  for (int i = 0; i < count; ++i) largest = std::max(largest, std::abs(x[i]));
  return largest;
}

void put_nibbles(const std::uint8_t* q, std::byte* out) {
  for (int j = 0; j < 16; ++j) put_u8(out + j, (q[j] & 15u) | (q[j + 16] & 15u) << 4);
}
void put_fifth_bits(const std::uint8_t* q, std::byte* out) {
  std::uint32_t high = 0;
  for (int j = 0; j < 32; ++j) high |= static_cast<std::uint32_t>(q[j] >> 4) << j;
  put_u32(out, high);
}

/// d = m / −levels, codes 0 … 2 · levels − 1.
void symmetric(const float* x, const float* w, int levels, std::byte* d_out, std::uint8_t* q) {
  if (w != nullptr) {
    std::array<std::int8_t, 32> codes;
    const float fitted = fit_symmetric(x, w, 32, levels, codes.data());
    const float d = put_scale(d_out, fitted);
    code_symmetric(x, 32, levels, d, codes.data());
    for (std::size_t j = 0; j < 32; ++j) q[j] = static_cast<std::uint8_t>(codes[j] + levels);
    return;
  }
  const float d = signed_largest(x, 32) / static_cast<float>(-levels);
  const float id = inverse(d);
  put_scale(d_out, d);
  const float half = static_cast<float>(levels) + 0.5f;
  for (int j = 0; j < 32; ++j) {
    q[j] = static_cast<std::uint8_t>(std::min(
        2 * levels - 1, static_cast<int>(static_cast<std::int8_t>(cut(x[j] * id + half)))));
  }
}

/// y = q · d + m, codes 0 … top.
void with_minimum(const float* x, const float* w, int top, std::byte* d_out, std::byte* m_out,
                  std::uint8_t* q) {
  if (w != nullptr) {
    const ScaleMinFit fit = fit_scale_min(x, w, 32, top, /*free_minimum=*/true, q);
    const float d = put_scale(d_out, fit.scale);
    const float m = put_scale(m_out, -fit.min);
    code_scale_min(x, 32, top, d, -m, q);
    return;
  }
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float d = (*high - *low) / static_cast<float>(top);
  const float id = inverse(d);
  put_scale(d_out, d);
  put_scale(m_out, *low);
  for (int j = 0; j < 32; ++j) {
    q[j] = static_cast<std::uint8_t>(
        std::min(top, static_cast<int>(static_cast<std::uint8_t>(cut((x[j] - *low) * id + 0.5f)))));
  }
}

// lroundf, half away from zero; 0 for what does not fit.
int away(float value) {
  return cut(value < 0 ? value - 0.5f : value + 0.5f);
}

void ternary(const float* x, const float* w, std::byte* d_out, std::uint8_t* q) {
  float d = absolute_largest(x, 256);
  if (w != nullptr) {
    std::array<std::int8_t, 256> codes;
    d = std::abs(fit_ternary(x, w, 256, codes.data()));
  }
  const float id = inverse(d);
  const float stored = put_scale(d_out, d);
  for (int i = 0; i < 256; ++i) {
    const int code = w != nullptr ? nearest_in(x[i] * inverse(stored), -1, 1) : away(x[i] * id);
    q[i] = static_cast<std::uint8_t>(std::clamp(code, -1, 1) + 1);
  }
}

}  // namespace

void make_q4_0(const float* x, const float* w, std::byte* out) {
  std::array<std::uint8_t, 32> q;
  symmetric(x, w, 8, out, q.data());
  put_nibbles(q.data(), out + 2);
}

void make_q5_0(const float* x, const float* w, std::byte* out) {
  std::array<std::uint8_t, 32> q;
  symmetric(x, w, 16, out, q.data());
  put_fifth_bits(q.data(), out + 2);
  put_nibbles(q.data(), out + 6);
}

void make_q4_1(const float* x, const float* w, std::byte* out) {
  std::array<std::uint8_t, 32> q;
  with_minimum(x, w, 15, out, out + 2, q.data());
  put_nibbles(q.data(), out + 4);
}

void make_q5_1(const float* x, const float* w, std::byte* out) {
  std::array<std::uint8_t, 32> q;
  with_minimum(x, w, 31, out, out + 2, q.data());
  put_fifth_bits(q.data(), out + 4);
  put_nibbles(q.data(), out + 8);
}

void make_q8_0(const float* x, const float*, std::byte* out) {
  const float d = absolute_largest(x, 32) / 127.0f;
  const float id = inverse(d);
  put_scale(out, d);
  for (int j = 0; j < 32; ++j) {
    // roundf: half away from zero, and exact where x + 0.5 would round up
    const float scaled = x[j] * id;
    const float whole = std::trunc(scaled);
    put_u8(out + 2 + j,
           static_cast<std::uint8_t>(cut(
               whole + (std::abs(scaled - whole) >= 0.5f ? std::copysign(1.0f, scaled) : 0.0f))));
  }
}

void make_tq1_0(const float* x, const float* w, std::byte* out) {
  std::array<std::uint8_t, 256> q;
  ternary(x, w, out + 52, q.data());
  // Digits to the base three, the first the highest, as a fraction of 256: rounded up, so that
  // taking the digits off by multiplication finds them.
  const auto put = [&](std::byte* at, int count, int bytes, const std::uint8_t* digits) {
    for (int m = 0; m < bytes; ++m) {
      std::uint32_t number = 0;
      for (int n = 0; n < 5; ++n) {
        number = number * 3 + (n < count ? digits[m + n * bytes] : 0);
      }
      put_u8(at + m, (number * 256 + 242) / 243);
    }
  };
  put(out, 5, 32, q.data());
  put(out + 32, 5, 16, q.data() + 160);
  put(out + 48, 4, 4, q.data() + 240);
}

void make_tq2_0(const float* x, const float* w, std::byte* out) {
  std::array<std::uint8_t, 256> q;
  ternary(x, w, out + 64, q.data());
  for (int half = 0; half < 2; ++half) {
    for (int m = 0; m < 32; ++m) {
      std::uint32_t byte = 0;
      for (int l = 0; l < 4; ++l) byte |= std::uint32_t{q[128 * half + 32 * l + m]} << (2 * l);
      put_u8(out + 32 * half + m, byte);
    }
  }
}

void make_mxfp4(const float* x, const float*, std::byte* out) {
  // OCP MX: the largest gets the exponent of the largest E2M1, 2².
  const float largest = absolute_largest(x, 32);
  const int e = largest > 0 ? std::clamp(std::ilogb(largest) - 2 + 127, 0, 254) : 0;
  put_u8(out, static_cast<std::uint32_t>(e));
  const float scale = std::ldexp(1.0f, e - 127);  // of E2M1 itself
  std::array<std::uint8_t, 32> q;
  // Thresholds between 0, .5, 1, 1.5, 2, 3, 4, 6; a tie goes to the even code.
  constexpr std::array<float, 7> kEdges = {.25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
  for (std::size_t j = 0; j < 32; ++j) {
    const float magnitude = std::abs(x[j]) / scale;
    std::uint32_t code = 0;
    for (std::size_t k = 0; k < kEdges.size(); ++k) {
      code += magnitude > kEdges[k] || (k % 2 == 1 && magnitude == kEdges[k]) ? 1 : 0;
    }
    q[j] = static_cast<std::uint8_t>(code | (std::signbit(x[j]) && code != 0 ? 8 : 0));
  }
  put_nibbles(q.data(), out + 1);
}

}  // namespace qi::ggml
