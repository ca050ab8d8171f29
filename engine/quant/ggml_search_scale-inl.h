// Q3_K, Q6_K, IQ4_XS and IQ4_NL: each value is a level (an integer, or one of a table of 16) times
// a scale of its group, and that an integer times a half of the block (IQ4_NL: the half alone).
// The search, eight trials for each of two groups side by side in the lanes of F:
//   1. each group alone: trial scales of both signs, then Lloyd's alternation of levels and the
//      least-squares scale for them; the trial that explains most of the squares wins;
//   2. for trial halves, each group's integer scale among those near the quotient, by the error
//      left with levels chosen anew;
//   3. the half fitted by least squares to all levels, and 2 once more while that helps (Q3_K
//      gains nothing from that and goes without).
// Included once per SIMD target. Refuses nothing; any thread.
#if defined(QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H
#undef QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H
#else
#define QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H
#endif

#include <algorithm>
#include <iterator>

#include "engine/quant/ggml_superblock.h"
#include "engine/quant/iq_tables.h"
#include "engine/quant/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

// −half … half − 1, stored plus half.
template <int half>
struct IntegerLevels {
  template <typename F>
  static HWY_INLINE F nearest(const F& position) {
    return round_lanes(
        clamp_lanes(position, -static_cast<float>(half), static_cast<float>(half - 1)));
  }
  static std::uint8_t code(float level) {
    return static_cast<std::uint8_t>(static_cast<int>(level) + half);
  }
};

// The 16 levels of IQ4_NL, stored as their number.
struct Iq4Levels {
  template <typename F>
  static HWY_INLINE F nearest(const F& position) {
    F level = F::set(static_cast<float>(kIq4nlValues[0]));
    for (std::size_t i = 1; i < 16; ++i) {
      const auto above = static_cast<float>(kIq4nlValues[i]);
      const float between = 0.5f * (static_cast<float>(kIq4nlValues[i - 1]) + above);
      level = F::if_less(F::set(between), position, F::set(above), level);
    }
    return level;
  }
  static std::uint8_t code(float level) {
    const auto at =
        std::lower_bound(kIq4nlValues.begin(), kIq4nlValues.end(), static_cast<std::int8_t>(level));
    return static_cast<std::uint8_t>(at - kIq4nlValues.begin());
  }
};

struct Q3KShape : IntegerLevels<4> {
  static constexpr std::size_t kSize = 16;
  static constexpr int kRounds = 2;
  static constexpr int kRefits = 0;       // of step 3; 0: the half alone is fitted
  static constexpr int kHalfScales = 32;  // integer scales −32 … 31
  // What the largest magnitude is in units of the trial scale; also with the other sign.
  static constexpr float kTops[4] = {2.9f, 3.5f, 4.1f, 4.8f};
  static constexpr float kScaleTops[1] = {-31.0f};  // trials of step 2
};
struct Q6KShape : IntegerLevels<32> {
  static constexpr std::size_t kSize = 16;
  static constexpr int kRounds = 1;
  static constexpr int kRefits = 2;
  static constexpr int kHalfScales = 128;
  static constexpr float kTops[8] = {30.2f, 30.7f, 31.2f, 31.6f, 32.0f, 32.4f, 32.8f, 33.2f};
  static constexpr float kScaleTops[1] = {-128.0f};
};
struct IQ4XSShape : Iq4Levels {
  static constexpr std::size_t kSize = 32;
  static constexpr int kRounds = 2;
  static constexpr int kRefits = 2;
  static constexpr int kHalfScales = 32;
  static constexpr float kTops[8] = {96.0f, 103.0f, 110.0f, 116.0f, 122.0f, 129.0f, 137.0f, 146.0f};
  static constexpr float kScaleTops[2] = {-32.0f, -30.0f};
};

// Step 1: the scales of two groups, each of kSize values.
template <typename F, typename Shape>
HWY_INLINE void fit_scales(const float* x, const float* w, float (&scales)[2]) {
  constexpr std::size_t kSize = Shape::kSize;
  const F tiny = F::set(1e-30f);
  float unit[2];  // 1 / the largest magnitude
  for (std::size_t half = 0; half < 2; ++half) {
    F most = F::set(0.0f);
    for (std::size_t j = half * kSize; j < (half + 1) * kSize; j += 16) {
      const F value = F::load(x + j);
      most = F::max(most, F::max(value, F::set(0.0f) - value));
    }
    const float largest = most.largest();
    unit[half] = largest > 1e-30f ? 1.0f / largest : 0.0f;
    scales[half] = 0.0f;
  }
  float least[2] = {0.0f, 0.0f};
  for (std::size_t first = 0; first < std::size(Shape::kTops); first += 4) {
    float tops[16];
    for (std::size_t i = 0; i < 16; ++i) {
      const float top = Shape::kTops[first + i % 4] * unit[i / 8];
      tops[i] = i % 8 < 4 ? top : -top;
    }
    F inverse = F::load(tops);
    F scale = tiny;
    F unexplained = tiny;
    for (int round = 0; round < Shape::kRounds; ++round) {
      F cross = F::set(0.0f);
      F square = cross;
      for (std::size_t j = 0; j < kSize; ++j) {
        const F value = F::pair(x[j], x[j + kSize]);
        const F level = Shape::nearest(value * inverse);
        const F wl = F::pair(w[j], w[j + kSize]) * level;
        cross = cross + wl * value;
        square = square + wl * level;
      }
      scale = cross / F::max(square, tiny);
      unexplained = F::set(0.0f) - scale * cross;
      if (round + 1 < Shape::kRounds) {
        // A trial that explains nothing has no scale to go on with: any will do.
        inverse = F::if_less(unexplained, F::set(0.0f) - tiny, F::set(1.0f) / scale, inverse);
      }
    }
    float all[16];
    float left[16];
    scale.store(all);
    unexplained.store(left);
    int best[2];
    least_lanes(unexplained, best);
    for (std::size_t half = 0; half < 2; ++half) {
      if (!(left[best[half]] < least[half])) continue;
      least[half] = left[best[half]];
      scales[half] = all[best[half]];
    }
  }
}

template <typename F, typename Shape>
class ScaleSearch {
 public:
  static void run(const SuperBlock& block, SuperCodes& best) {
    best = SuperCodes();
    if (block.zero) {
      std::fill(best.codes.begin(), best.codes.end(), Shape::code(0.0f));
      return;
    }
    ScaleSearch search(block);
    float least = HUGE_VALF;
    SuperCodes trial;
    for (const float top : Shape::kScaleTops) {
      trial.d = HalfScale(search.most_ / top, block);
      const float error = search.choose(trial);
      if (!(error < least)) continue;
      least = error;
      best = trial;
    }
    for (int round = 0; round < Shape::kRefits; ++round) {
      trial = best;
      if (!search.refit(trial)) break;
      const float error = search.choose(trial);
      if (!(error < least)) break;
      least = error;
      best = trial;
    }
    if (Shape::kRefits == 0) search.refit(best);
    search.codes(best);
  }

 private:
  static constexpr std::size_t kSize = Shape::kSize;
  static constexpr std::size_t kGroups = SuperBlock::kValues / kSize;
  static constexpr float kTiny = 1e-30f;

  explicit ScaleSearch(const SuperBlock& block) : block_(block) {
    for (std::size_t g = 0; g < kGroups; g += 2) {
      float scales[2];
      fit_scales<F, Shape>(block.x.data() + g * kSize, block.weights.data() + g * kSize, scales);
      for (std::size_t half = 0; half < 2; ++half) {
        scale_[g + half] = scales[half];
        if (std::fabs(scales[half]) > std::fabs(most_)) most_ = scales[half];
      }
    }
  }

  // 0 where the scale is as good as that.
  static HWY_INLINE F inverse_of(const F& scale) {
    const F tiny = F::set(kTiny);
    return F::if_less(scale * scale, tiny, F::set(0.0f),
                      F::set(1.0f) / F::if_less(scale * scale, tiny, tiny, scale));
  }

  HWY_INLINE float choose(SuperCodes& to) const {
    // Around the quotient, and around it with the other sign, since levels are not symmetric.
    static constexpr float kNear[16] = {-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2};
    static constexpr float kSign[16] = {1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1};
    constexpr auto kHalf = static_cast<float>(Shape::kHalfScales);
    const float d = to.d.value;
    const float inverse_d = d != 0.0f ? 1.0f / d : 0.0f;
    float total = 0.0f;
    for (std::size_t g = 0; g < kGroups; g += 2) {
      const F quotient =
          clamp_lanes(F::pair(scale_[g] * inverse_d, scale_[g + 1] * inverse_d), -kHalf, kHalf);
      const F below = round_lanes(quotient - F::set(0.5f));
      const F s = clamp_lanes((below + F::load(kNear)) * F::load(kSign), -kHalf, kHalf - 1.0f);
      const F scale = F::set(d) * s;
      const F inverse = inverse_of(scale);
      F error = F::set(0.0f);
      const float* x = block_.x.data() + g * kSize;
      const float* w = block_.weights.data() + g * kSize;
      for (std::size_t j = 0; j < kSize; ++j) {
        const F value = F::pair(x[j], x[j + kSize]);
        const F off = value - scale * Shape::nearest(value * inverse);
        error = error + F::pair(w[j], w[j + kSize]) * (off * off);
      }
      int best[2];
      least_lanes(error, best);
      float errors[16];
      float all[16];
      error.store(errors);
      s.store(all);
      for (std::size_t half = 0; half < 2; ++half) {
        to.scales[g + half] = static_cast<int>(all[best[half]]);
        total += errors[best[half]];
      }
    }
    return total;
  }

  HWY_INLINE F levels_at(const SuperCodes& from, std::size_t at) const {
    const F scale = F::set(from.d.value * static_cast<float>(from.scales[at / kSize]));
    return Shape::nearest(F::load(block_.x.data() + at) * inverse_of(scale));
  }

  HWY_INLINE bool refit(SuperCodes& to) const {
    float cross = 0.0f;
    float square = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      F sxl = F::set(0.0f);
      F sll = sxl;
      for (std::size_t j = g * kSize; j < (g + 1) * kSize; j += 16) {
        const F level = levels_at(to, j);
        const F wl = F::load(block_.weights.data() + j) * level;
        sxl = sxl + wl * F::load(block_.x.data() + j);
        sll = sll + wl * level;
      }
      const auto s = static_cast<float>(to.scales[g]);
      cross += s * sxl.sum();
      square += s * s * sll.sum();
    }
    if (!(square > kTiny)) return false;
    const std::uint16_t before = to.d.bits;
    to.d = HalfScale(cross / square, block_);
    return to.d.bits != before;
  }

  HWY_INLINE void codes(SuperCodes& to) const {
    for (std::size_t j = 0; j < SuperBlock::kValues; j += 16) {
      float values[16];
      levels_at(to, j).store(values);
      for (std::size_t i = 0; i < 16; ++i) to.codes[j + i] = Shape::code(values[i]);
    }
  }

  const SuperBlock& block_;
  float scale_[kGroups];
  float most_ = 0.0f;  // the scale of the largest magnitude
};

// IQ4_NL: 32 values under one half, the fitted scale. Two blocks side by side; `count` is 1 or 2.
template <typename F>
void search_iq4_nl(const float* x, const float* importance, std::size_t count, std::byte* out) {
  alignas(64) float values[64] = {};
  alignas(64) float weights[64] = {};
  SuperBlock first(x, importance, 32);
  SuperBlock second =
      count < 2 ? first : SuperBlock(x + 32, importance == nullptr ? nullptr : importance + 32, 32);
  SuperBlock* blocks[2] = {&first, &second};
  for (std::size_t b = 0; b < 2; ++b) {
    if (blocks[b]->zero) continue;
    std::copy_n(blocks[b]->x.begin(), 32, values + 32 * b);
    std::copy_n(blocks[b]->weights.begin(), 32, weights + 32 * b);
  }
  float scales[2];
  fit_scales<F, IQ4XSShape>(values, weights, scales);
  for (std::size_t b = 0; b < count; ++b) {
    const HalfScale d = HalfScale(scales[b], *blocks[b]);
    const float inverse = std::fabs(d.value) > 1e-30f ? 1.0f / d.value : 0.0f;
    std::uint8_t codes[32];
    for (std::size_t j = 0; j < 32; j += 16) {
      float levels[16];
      Iq4Levels::nearest(F::load(values + 32 * b + j) * F::set(inverse)).store(levels);
      for (std::size_t i = 0; i < 16; ++i) codes[j + i] = Iq4Levels::code(levels[i]);
    }
    put_u16(out + 18 * b, d.bits);
    put_nibbles(codes, out + 18 * b + 2);
  }
}

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
