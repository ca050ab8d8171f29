// MXFP4 and NVFP4: E2M1 numbers under a power of two for 32 of them, or an unsigned E4M3 number for
// 16. Scales are few, so the ones that can be best are all tried, side by side in the lanes of F,
// and the least squared error wins (ggml takes the one that the largest magnitude asks for).
// Included once per SIMD target. Refuses nothing; any thread.
#if defined(QI_ENGINE_QUANT_GGML_SEARCH_FP4_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_GGML_SEARCH_FP4_INL_H
#undef QI_ENGINE_QUANT_GGML_SEARCH_FP4_INL_H
#else
#define QI_ENGINE_QUANT_GGML_SEARCH_FP4_INL_H
#endif

#include <algorithm>
#include <cmath>

#include "engine/quant/ggml_bytes.h"
#include "engine/quant/ggml_superblock.h"
#include "engine/quant/iq_tables.h"
#include "engine/quant/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

// Twice E2M1, as the tables of ggml have it.
struct E2M1Levels {
  template <typename F>
  static HWY_INLINE F nearest(const F& position) {
    const F zero = F::set(0.0f);
    const F magnitude = F::max(position, zero - position);
    F level = zero;
    for (std::size_t i = 1; i < 8; ++i) {
      const auto above = static_cast<float>(kMxfp4Values[i]);
      const float between = 0.5f * (static_cast<float>(kMxfp4Values[i - 1]) + above);
      level = F::if_less(F::set(between), magnitude, F::set(above), level);
    }
    return F::if_less(position, zero, zero - level, level);
  }
  static std::uint8_t code(float level) {
    const auto* at = std::find(kMxfp4Values.begin(), kMxfp4Values.begin() + 8,
                               static_cast<std::int8_t>(std::fabs(level)));
    return static_cast<std::uint8_t>(at - kMxfp4Values.begin() + (level < 0.0f ? 8 : 0));
  }
};

// The best of 16 scales for `count` values; their codes.
template <typename F>
HWY_INLINE int best_fp4_scale(const SuperBlock& block, std::size_t count, const float* scales,
                              std::uint8_t* codes) {
  const F scale = F::load(scales);
  const F inverse = F::set(1.0f) / scale;
  F error = F::set(0.0f);
  for (std::size_t j = 0; j < count; ++j) {
    const F value = F::set(block.x[j]);
    const F off = value - scale * E2M1Levels::nearest(value * inverse);
    error = error + F::set(block.weights[j]) * (off * off);
  }
  const int best = least_lane(error);
  for (std::size_t j = 0; j < count; j += 16) {
    float levels[16];
    E2M1Levels::nearest(F::load(block.x.data() + j) * F::set(lane(inverse, best))).store(levels);
    for (std::size_t i = 0; i < 16; ++i) codes[j + i] = E2M1Levels::code(levels[i]);
  }
  return best;
}

template <typename F>
void search_mxfp4(const float* x, const float* importance, std::byte* out) {
  const SuperBlock block(x, importance, 32);
  std::uint8_t codes[32] = {};
  int stored = 0;
  if (!block.zero) {
    // The largest magnitude is in 1 … 2 (or below, where the unit is the least): with 6 as the
    // largest number, scales from 1/8 to 1/2 come into question; more do no harm.
    const int unit = std::ilogb(block.unit) + 127;
    float scales[16];
    int exponents[16];
    for (int i = 0; i < 16; ++i) {
      exponents[i] = std::clamp(unit - 8 + i, 0, 252);  // 12 · 2^(252 − 128) is still finite
      scales[i] = std::ldexp(0.5f, exponents[i] - unit);
    }
    stored = exponents[best_fp4_scale<F>(block, 32, scales, codes)];
  }
  put_u8(out, static_cast<unsigned>(stored));
  put_nibbles(codes, out + 1);
}

template <typename F>
void search_nvfp4(const float* x, const float* importance, std::byte* out) {
  for (std::size_t g = 0; g < 4; ++g) {
    const SuperBlock block(x + 16 * g, importance == nullptr ? nullptr : importance + 16 * g, 16);
    std::uint8_t codes[16] = {};
    int stored = 0;
    if (!block.zero) {
      float largest = 0.0f;
      for (std::size_t j = 0; j < 16; ++j) largest = std::max(largest, std::fabs(block.x[j]));
      // Stored numbers grow with their values: the first that reaches the largest magnitude.
      const float wanted = largest / 12.0f * block.unit;
      int reaching = 1;
      while (reaching < 126 && nvfp4_scale(static_cast<unsigned>(reaching)) < wanted) ++reaching;
      float scales[16];
      int candidates[16];
      for (int i = 0; i < 16; ++i) {
        candidates[i] = std::clamp(reaching - 10 + i, 1, 126);
        const float scale = nvfp4_scale(static_cast<unsigned>(candidates[i]));
        scales[i] = std::clamp(scale * block.inverse, 1e-15f, 1e15f);
      }
      stored = candidates[best_fp4_scale<F>(block, 16, scales, codes)];
    }
    put_u8(out + g, static_cast<unsigned>(stored));
    for (std::size_t j = 0; j < 8; ++j) {
      put_u8(out + 4 + 8 * g + j, codes[j] | static_cast<unsigned>(codes[j + 8]) << 4);
    }
  }
}

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
