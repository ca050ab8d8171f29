// K types: 256 numbers in groups of 16 or 32, each with a small integer scale (and minimum) in
// units of the block's F16. Each group is fitted by itself, its scale rounded to units; then units
// and integers are improved in turn while the weighted squared error falls.
#include <array>
#include <cstring>

#include "engine/quant/ggml_fit.h"
#include "engine/quant/ggml_quantizers.h"

namespace qi::ggml {
namespace {

constexpr int kBlock = 256;
using Codes = std::array<std::uint8_t, kBlock>;
using SignedCodes = std::array<std::int8_t, kBlock>;

float inverse_of(float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

float stored(float scale) {
  std::byte two[2];
  return put_scale(two, scale);
}

// --- scale and minimum: y = (d · s) · q − (dmin · m) -------------------------------------------

template <int kGroup, int kTop, int kUnits>  // numbers a group, largest code, largest s and m
struct ScaleMinBlock {
  static constexpr int kGroups = kBlock / kGroup;
  float d = 0, dmin = 0;
  std::array<int, kGroups> s{}, m{};
  Codes q{};

  static float group_error(const float* x, const float* w, float scale, float min) {
    const float inverse = inverse_of(scale);
    float error = 0;
    for (int i = 0; i < kGroup; ++i) {
      const float q = static_cast<float>(
          nearest(std::clamp((x[i] + min) * inverse, 0.0f, static_cast<float>(kTop))));
      const float e = scale * q - min - x[i];
      error += w[i] * e * e;
    }
    return error;
  }

  /// Of each group the best integers near those it has; codes to match. Returns the error.
  double choose(const float* x, const float* w) {
    double total = 0;
    for (int g = 0; g < kGroups; ++g) {
      const float *gx = x + g * kGroup, *gw = w + g * kGroup;
      const int s0 = s[static_cast<std::size_t>(g)], m0 = m[static_cast<std::size_t>(g)];
      int best_s = s0, best_m = m0;
      float best = group_error(gx, gw, d * static_cast<float>(s0), dmin * static_cast<float>(m0));
      for (int ds = -1; ds <= 1; ++ds) {
        for (int dm = -1; dm <= 1; ++dm) {
          const int si = s0 + ds, mi = m0 + dm;
          if ((ds == 0 && dm == 0) || si < 0 || mi < 0 || si > kUnits || mi > kUnits) continue;
          const float error =
              group_error(gx, gw, d * static_cast<float>(si), dmin * static_cast<float>(mi));
          if (error < best) {
            best = error;
            best_s = si;
            best_m = mi;
          }
        }
      }
      s[static_cast<std::size_t>(g)] = best_s;
      m[static_cast<std::size_t>(g)] = best_m;
      code_scale_min(gx, kGroup, kTop, d * static_cast<float>(best_s),
                     dmin * static_cast<float>(best_m), q.data() + g * kGroup);
      total += best;
    }
    return total;
  }

  /// The units with the least error for the integers and codes there are.
  void refit(const float* x, const float* w) {
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    for (int g = 0; g < kGroups; ++g) {
      float wqq = 0, wq = 0, ww = 0, wxq = 0, wx = 0;
      for (int i = g * kGroup; i < (g + 1) * kGroup; ++i) {
        const float code = q[static_cast<std::size_t>(i)];
        wqq += w[i] * code * code;
        wq += w[i] * code;
        ww += w[i];
        wxq += w[i] * x[i] * code;
        wx += w[i] * x[i];
      }
      const double a = s[static_cast<std::size_t>(g)], b = m[static_cast<std::size_t>(g)];
      aa += a * a * wqq;
      ab += a * b * wq;
      bb += b * b * ww;
      xa += a * wxq;
      xb += b * wx;
    }
    const double det = aa * bb - ab * ab;
    if (det > 1e-12 * aa * bb) {
      d = static_cast<float>((xa * bb - xb * ab) / det);
      dmin = static_cast<float>((xa * ab - xb * aa) / det);
    } else if (aa > 0) {
      d = static_cast<float>(xa / aa);
    }
    if (!(d >= 0)) d = 0;
    if (!(dmin >= 0)) dmin = 0;
  }

  void fit(const float* x, const float* w) {
    std::array<float, kGroups> scale, min;
    float most_scale = 0, most_min = 0;
    for (int g = 0; g < kGroups; ++g) {
      const ScaleMinFit fit =
          fit_scale_min(x + g * kGroup, w + g * kGroup, kGroup, kTop, false, q.data() + g * kGroup);
      scale[static_cast<std::size_t>(g)] = fit.scale;
      min[static_cast<std::size_t>(g)] = fit.min;
      most_scale = std::max(most_scale, fit.scale);
      most_min = std::max(most_min, fit.min);
    }
    d = stored(most_scale / kUnits);
    dmin = stored(most_min / kUnits);
    const float id = inverse_of(d), im = inverse_of(dmin);
    for (std::size_t g = 0; g < kGroups; ++g) {
      s[g] = nearest_in(scale[g] * id, 0, kUnits);
      m[g] = nearest_in(min[g] * im, 0, kUnits);
    }
    double error = choose(x, w);
    for (int again = 0; again < 2; ++again) {
      ScaleMinBlock next = *this;
      next.refit(x, w);
      next.d = stored(next.d);
      next.dmin = stored(next.dmin);
      const double lower = next.choose(x, w);
      if (!(lower < error)) break;
      error = lower;
      *this = next;
    }
  }
};

// The 12 bytes of eight 6-bit scales and minima (k_scale_min() reads them).
void put_scale_min(const int* s, const int* m, std::byte* out) {
  for (int j = 0; j < 4; ++j) {
    put_u8(out + j, static_cast<std::uint32_t>(s[j] | (s[j + 4] >> 4) << 6));
    put_u8(out + j + 4, static_cast<std::uint32_t>(m[j] | (m[j + 4] >> 4) << 6));
    put_u8(out + j + 8, static_cast<std::uint32_t>((s[j + 4] & 15) | (m[j + 4] & 15) << 4));
  }
}

// --- scale alone: y = d · s · q ----------------------------------------------------------------

template <int kLevels, int kLowest, int kHighest>  // codes −kLevels … ; s of kLowest … kHighest
struct ScaleBlock {
  static constexpr int kGroup = 16, kGroups = 16;
  float d = 0;
  std::array<int, kGroups> s{};
  SignedCodes q{};

  static float group_error(const float* x, const float* w, float scale) {
    const float inverse = inverse_of(scale);
    float error = 0;
    for (int i = 0; i < kGroup; ++i) {
      const float q = static_cast<float>(nearest(std::clamp(
          x[i] * inverse, static_cast<float>(-kLevels), static_cast<float>(kLevels - 1))));
      const float e = scale * q - x[i];
      error += w[i] * e * e;
    }
    return error;
  }

  double choose(const float* x, const float* w) {
    double total = 0;
    for (int g = 0; g < kGroups; ++g) {
      const float *gx = x + g * kGroup, *gw = w + g * kGroup;
      int& units = s[static_cast<std::size_t>(g)];
      int best_s = units;
      float best = group_error(gx, gw, d * static_cast<float>(units));
      for (const int si : {units - 1, units + 1}) {
        if (si < kLowest || si > kHighest) continue;
        const float error = group_error(gx, gw, d * static_cast<float>(si));
        if (error < best) {
          best = error;
          best_s = si;
        }
      }
      units = best_s;
      code_symmetric(gx, kGroup, kLevels, d * static_cast<float>(units), q.data() + g * kGroup);
      total += best;
    }
    return total;
  }

  void refit(const float* x, const float* w) {
    double aa = 0, xa = 0;
    for (int i = 0; i < kBlock; ++i) {
      const double a = s[static_cast<std::size_t>(i / kGroup)] * q[static_cast<std::size_t>(i)];
      aa += w[i] * a * a;
      xa += w[i] * a * x[i];
    }
    if (aa > 0) d = static_cast<float>(xa / aa);
  }

  void fit(const float* x, const float* w) {
    std::array<float, kGroups> scale;
    float most = 0;
    for (int g = 0; g < kGroups; ++g) {
      scale[static_cast<std::size_t>(g)] =
          fit_symmetric(x + g * kGroup, w + g * kGroup, kGroup, kLevels, q.data() + g * kGroup);
      if (std::abs(scale[static_cast<std::size_t>(g)]) > std::abs(most)) {
        most = scale[static_cast<std::size_t>(g)];
      }
    }
    // The largest scale on the lowest unit, which reaches further than the highest.
    d = stored(most / static_cast<float>(kLowest));
    const float id = inverse_of(d);
    for (std::size_t g = 0; g < kGroups; ++g) s[g] = nearest_in(scale[g] * id, kLowest, kHighest);
    double error = choose(x, w);
    for (int again = 0; again < 2; ++again) {
      ScaleBlock next = *this;
      next.refit(x, w);
      next.d = stored(next.d);
      const double lower = next.choose(x, w);
      if (!(lower < error)) break;
      error = lower;
      *this = next;
    }
  }
};

}  // namespace

void make_q2_k(const float* x, const float* w, std::byte* out) {  // u8 sc[16], qs[64]; d, dmin
  ScaleMinBlock<16, 3, 15> block;
  block.fit(x, w);
  for (std::size_t g = 0; g < 16; ++g) {
    put_u8(out + g, static_cast<std::uint32_t>(block.s[g] | block.m[g] << 4));
  }
  std::memset(out + 16, 0, 64);
  for (std::size_t i = 0; i < kBlock; ++i) {
    const std::size_t half = i / 128, within = i % 128;
    out[16 + 32 * half + within % 32] |= static_cast<std::byte>(block.q[i] << (2 * (within / 32)));
  }
  put_scale(out + 80, block.d);
  put_scale(out + 82, block.dmin);
}

void make_q3_k(const float* x, const float* w, std::byte* out) {  // hmask[32], qs[64], sc[12]; d
  ScaleBlock<4, -32, 31> block;
  block.fit(x, w);
  std::memset(out, 0, 108);
  for (std::size_t g = 0; g < 16; ++g) {
    const auto value = static_cast<std::uint32_t>(block.s[g] + 32);
    out[96 + g % 8] |= static_cast<std::byte>((value & 15) << (g < 8 ? 0 : 4));
    out[96 + 8 + g % 4] |= static_cast<std::byte>((value >> 4) << (2 * (g / 4)));
  }
  for (std::size_t i = 0; i < kBlock; ++i) {
    const auto code = static_cast<std::uint32_t>(block.q[i] + 4);
    const std::size_t half = i / 128, within = i % 128;
    out[32 + 32 * half + within % 32] |= static_cast<std::byte>((code & 3) << (2 * (within / 32)));
    out[i % 32] |= static_cast<std::byte>((code >> 2) << (i / 32));
  }
  put_scale(out + 108, block.d);
}

void make_q4_k(const float* x, const float* w, std::byte* out) {  // d, dmin; sc[12]; qs[128]
  ScaleMinBlock<32, 15, 63> block;
  block.fit(x, w);
  put_scale(out, block.d);
  put_scale(out + 2, block.dmin);
  put_scale_min(block.s.data(), block.m.data(), out + 4);
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t at = 64 * (i / 32) + i % 32;
    put_u8(out + 16 + i, block.q[at] | std::uint32_t{block.q[at + 32]} << 4);
  }
}

void make_q5_k(const float* x, const float* w,
               std::byte* out) {  // d, dmin; sc[12], qh[32], qs[128]
  ScaleMinBlock<32, 31, 63> block;
  block.fit(x, w);
  put_scale(out, block.d);
  put_scale(out + 2, block.dmin);
  put_scale_min(block.s.data(), block.m.data(), out + 4);
  std::memset(out + 16, 0, 32);
  for (std::size_t i = 0; i < kBlock; ++i) {
    out[16 + i % 32] |= static_cast<std::byte>((block.q[i] >> 4) << (i / 32));
  }
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t at = 64 * (i / 32) + i % 32;
    put_u8(out + 48 + i, (block.q[at] & 15u) | (block.q[at + 32] & 15u) << 4);
  }
}

void make_q6_k(const float* x, const float* w, std::byte* out) {  // ql[128], qh[64]; i8 sc[16]; d
  ScaleBlock<32, -128, 127> block;
  block.fit(x, w);
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t l = 0; l < 32; ++l) {
      std::array<std::uint32_t, 4> code;
      for (std::size_t k = 0; k < 4; ++k) {
        code[k] = static_cast<std::uint32_t>(block.q[128 * half + 32 * k + l] + 32);
      }
      put_u8(out + 64 * half + l, (code[0] & 15) | (code[2] & 15) << 4);
      put_u8(out + 64 * half + 32 + l, (code[1] & 15) | (code[3] & 15) << 4);
      put_u8(out + 128 + 32 * half + l,
             code[0] >> 4 | (code[1] >> 4) << 2 | (code[2] >> 4) << 4 | (code[3] >> 4) << 6);
    }
  }
  for (std::size_t g = 0; g < 16; ++g) {
    put_u8(out + 192 + g, static_cast<std::uint8_t>(block.s[g]));
  }
  put_scale(out + 208, block.d);
}

}  // namespace qi::ggml
