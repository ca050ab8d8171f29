// IQ4_NL and IQ4_XS: sixteen uneven levels times a scale. Each group of 32 tries scales that put
// its largest number on or near the outermost level, each followed by the least-squares scale of
// the codes it gives; IQ4_XS then rounds the scales to six bits in units of the block's F16.
#include <array>

#include "engine/quant/ggml_quantizers.h"
#include "engine/quant/iq_tables.h"

namespace qi::ggml {
namespace {

constexpr int kGroup = 32;

// The nearest level of a number in units of the scale, for every whole number: levels are whole, so
// only numbers halfway between two of them could differ, and then either is as near.
constexpr int kSpan = 128;
constexpr std::array<std::uint8_t, 2 * kSpan> kNearest = [] {
  std::array<std::uint8_t, 2 * kSpan> table{};
  for (int v = -kSpan; v < kSpan; ++v) {
    int best = 0;
    for (int k = 1; k < 16; ++k) {
      const int now = v - kIq4nlValues[static_cast<std::size_t>(k)];
      const int then = v - kIq4nlValues[static_cast<std::size_t>(best)];
      if (now * now < then * then) best = k;
    }
    table[static_cast<std::size_t>(v + kSpan)] = static_cast<std::uint8_t>(best);
  }
  return table;
}();

std::uint8_t level_of(float value) {
  return kNearest[static_cast<std::size_t>(nearest_in(value, -kSpan, kSpan - 1) + kSpan)];
}

float inverse_of(float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

struct Sums {
  float xq = 0, qq = 0;
  float gain() const { return qq > 0 ? xq * xq / qq : 0; }
};

Sums sums_of(const float* x, const float* w, float inverse, std::uint8_t* q) {
  Sums sums;
  for (int i = 0; i < kGroup; ++i) {
    q[i] = level_of(x[i] * inverse);
    const float level = kIq4nlValues[q[i]];
    sums.xq += w[i] * x[i] * level;
    sums.qq += w[i] * level * level;
  }
  return sums;
}

float fit(const float* x, const float* w, std::uint8_t* q) {
  float value = 0;
  for (int i = 0; i < kGroup; ++i) {
    if (std::abs(x[i]) > std::abs(value)) value = x[i];
  }
  Sums best;
  float scale = 0;
  std::array<std::uint8_t, kGroup> codes;
  const auto consider = [&](float inverse) {
    if (!std::isfinite(inverse) || inverse == 0) return;
    const Sums sums = sums_of(x, w, inverse, codes.data());
    if (sums.gain() > best.gain()) {
      best = sums;
      scale = sums.xq / sums.qq;
      std::copy(codes.begin(), codes.end(), q);
    }
  };
  std::fill_n(q, kGroup, level_of(0));
  if (value == 0) return 0;
  for (int step = -6; step <= 6; ++step) {
    // of either sign: the levels are not symmetric
    const float outermost = -127.0f + 4.0f * static_cast<float>(step);
    consider(outermost / value);
    consider(-(outermost + 14.0f) / value);
  }
  for (int again = 0; again < 2 && scale != 0; ++again) consider(1.0f / scale);
  return scale;
}

float error_of(const float* x, const float* w, float scale) {
  const float inverse = inverse_of(scale);
  float error = 0;
  for (int i = 0; i < kGroup; ++i) {
    const float e = scale * kIq4nlValues[level_of(x[i] * inverse)] - x[i];
    error += w[i] * e * e;
  }
  return error;
}

void put_codes(const std::uint8_t* q, std::byte* out) {
  for (int j = 0; j < 16; ++j) put_u8(out + j, q[j] | std::uint32_t{q[j + 16]} << 4);
}

void code(const float* x, float scale, std::uint8_t* q) {
  const float inverse = inverse_of(scale);
  for (int i = 0; i < kGroup; ++i) q[i] = level_of(x[i] * inverse);
}

}  // namespace

void make_iq4_nl(const float* x, const float* w, std::byte* out) {  // f16 d; u8 qs[16]
  std::array<std::uint8_t, kGroup> q;
  const float d = put_scale(out, fit(x, w, q.data()));
  code(x, d, q.data());
  put_codes(q.data(), out + 2);
}

void make_iq4_xs(const float* x, const float* w, std::byte* out) {  // d; u16 sh; u8 sl[4], qs[128]
  constexpr std::size_t kGroups = 8;
  std::array<std::uint8_t, kGroups * kGroup> q;
  std::array<float, kGroups> scales;
  float most = 0;
  for (std::size_t g = 0; g < kGroups; ++g) {
    scales[g] = fit(x + g * kGroup, w + g * kGroup, q.data() + g * kGroup);
    if (std::abs(scales[g]) > std::abs(most)) most = scales[g];
  }
  std::array<int, kGroups> units{};
  const auto choose = [&](float d, std::array<int, kGroups>& s) {
    double total = 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float *gx = x + g * kGroup, *gw = w + g * kGroup;
      const int middle = s[g];
      float best = error_of(gx, gw, d * static_cast<float>(middle));
      for (const int near : {middle - 1, middle + 1}) {
        if (near < -32 || near > 31) continue;
        const float error = error_of(gx, gw, d * static_cast<float>(near));
        if (error < best) {
          best = error;
          s[g] = near;
        }
      }
      total += best;
    }
    return total;
  };
  const auto stored = [](float d) {
    std::byte two[2];
    return put_scale(two, d);
  };
  float d = stored(most / -32.0f);
  const float inverse = inverse_of(d);
  for (std::size_t g = 0; g < kGroups; ++g) units[g] = nearest_in(scales[g] * inverse, -32, 31);
  double error = choose(d, units);
  for (int again = 0; again < 2; ++again) {
    double xa = 0, aa = 0;
    for (std::size_t g = 0; g < kGroups; ++g) {
      code(x + g * kGroup, d * static_cast<float>(units[g]), q.data() + g * kGroup);
      for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
        const double a = units[g] * kIq4nlValues[q[i]];
        xa += w[i] * a * x[i];
        aa += w[i] * a * a;
      }
    }
    if (!(aa > 0)) break;
    const float next = stored(static_cast<float>(xa / aa));
    std::array<int, kGroups> next_units = units;
    const double lower = choose(next, next_units);
    if (!(lower < error)) break;
    error = lower;
    d = next;
    units = next_units;
  }
  put_scale(out, d);
  std::uint32_t high = 0;
  for (std::size_t g = 0; g < kGroups; ++g) {
    code(x + g * kGroup, d * static_cast<float>(units[g]), q.data() + g * kGroup);
    put_codes(q.data() + g * kGroup, out + 8 + 16 * g);
    high |= static_cast<std::uint32_t>((units[g] + 32) >> 4) << (2 * g);
  }
  put_u16(out + 2, high);
  for (std::size_t g = 0; g < kGroups; g += 2) {
    put_u8(out + 4 + g / 2,
           static_cast<std::uint32_t>(((units[g] + 32) & 15) | ((units[g + 1] + 32) & 15) << 4));
  }
}

}  // namespace qi::ggml
