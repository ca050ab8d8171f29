// Q3_K, Q6_K, IQ4_XS and IQ4_NL: each value is a level (an integer, or one of a table of 16) times
// a scale of its group, and that an integer times a half of the block (IQ4_NL: the half alone).
// The search, sixteen trials side by side in the lanes of F:
//   1. each group alone: trial scales of both signs, then Lloyd's alternation of levels and the
//      least-squares scale for them; the trial that explains most of the squares wins;
//   2. for trial halves, each group's integer scale among those near the quotient, by the error
//      left with levels chosen anew;
//   3. the half fitted by least squares to all levels, and 2 once more while that helps.
// Included once per SIMD target. Refuses nothing; any thread.
#if defined(QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H
#undef QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H
#else
#define QI_ENGINE_QUANT_GGML_SEARCH_SCALE_INL_H
#endif

#include <algorithm>

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
  static constexpr int kHalfScales = 32;  // integer scales −32 … 31
  // What the largest magnitude is in units of the trial scale; also with the other sign.
  static constexpr float kTops[8] = {2.9f, 3.2f, 3.5f, 3.8f, 4.1f, 4.4f, 4.7f, 5.1f};
  static constexpr float kScaleTops[3] = {-32.0f, -30.5f, -29.0f};  // trials of step 2
};
struct Q6KShape : IntegerLevels<32> {
  static constexpr std::size_t kSize = 16;
  static constexpr int kRounds = 1;
  static constexpr int kHalfScales = 128;
  static constexpr float kTops[8] = {30.2f, 30.7f, 31.2f, 31.6f, 32.0f, 32.4f, 32.8f, 33.2f};
  static constexpr float kScaleTops[1] = {-128.0f};
};
struct IQ4XSShape : Iq4Levels {
  static constexpr std::size_t kSize = 32;
  static constexpr int kRounds = 2;
  static constexpr int kHalfScales = 32;
  static constexpr float kTops[8] = {96.0f, 103.0f, 110.0f, 116.0f, 122.0f, 129.0f, 137.0f, 146.0f};
  static constexpr float kScaleTops[3] = {-32.0f, -30.5f, -29.0f};
};

// Step 1: the scale of kSize values, and how much of their squares it leaves unexplained beside the
// others (negative: less is better).
template <typename F, typename Shape>
HWY_INLINE float fit_scale(const float* x, const float* w) {
  F most = F::set(0.0f);
  for (std::size_t j = 0; j < Shape::kSize; j += 16) {
    const F value = F::load(x + j);
    most = F::max(most, F::max(value, F::set(0.0f) - value));
  }
  const F negative = F::set(0.0f) - most;
  const float largest = -lane(negative, least_lane(negative));
  if (!(largest > 1e-30f)) return 0.0f;
  float tops[16];
  for (int i = 0; i < 16; ++i) tops[i] = i < 8 ? Shape::kTops[i] : -Shape::kTops[i - 8];
  const F tiny = F::set(1e-30f);
  F inverse = F::load(tops) / F::set(largest);
  F scale = tiny;
  F unexplained = tiny;
  for (int round = 0; round < Shape::kRounds; ++round) {
    F cross = F::set(0.0f);
    F square = cross;
    for (std::size_t j = 0; j < Shape::kSize; ++j) {
      const F value = F::set(x[j]);
      const F level = Shape::nearest(value * inverse);
      const F wl = F::set(w[j]) * level;
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
  return lane(scale, least_lane(unexplained));
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
    for (int round = 0; round < 2; ++round) {
      trial = best;
      if (!search.refit(trial)) break;
      const float error = search.choose(trial);
      if (!(error < least)) break;
      least = error;
      best = trial;
    }
    search.codes(best);
  }

 private:
  static constexpr std::size_t kSize = Shape::kSize;
  static constexpr std::size_t kGroups = SuperBlock::kValues / kSize;
  static constexpr float kTiny = 1e-30f;

  explicit ScaleSearch(const SuperBlock& block) : block_(block) {
    for (std::size_t g = 0; g < kGroups; ++g) {
      scale_[g] = fit_scale<F, Shape>(block.x.data() + g * kSize, block.weights.data() + g * kSize);
      if (std::fabs(scale_[g]) > std::fabs(most_)) most_ = scale_[g];
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
    static constexpr float kNear[16] = {-3, -2, -1, 0, 1, 2, 3, 4, -3, -2, -1, 0, 1, 2, 3, 4};
    static constexpr float kSign[16] = {1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1};
    constexpr auto kHalf = static_cast<float>(Shape::kHalfScales);
    const float d = to.d.value;
    float total = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float quotient = d != 0.0f ? std::clamp(scale_[g] / d, -kHalf, kHalf) : 0.0f;
      const F s = clamp_lanes((F::set(std::floor(quotient)) + F::load(kNear)) * F::load(kSign),
                              -kHalf, kHalf - 1.0f);
      const F scale = F::set(d) * s;
      const F inverse = inverse_of(scale);
      F error = F::set(0.0f);
      const float* x = block_.x.data() + g * kSize;
      const float* w = block_.weights.data() + g * kSize;
      for (std::size_t j = 0; j < kSize; ++j) {
        const F value = F::set(x[j]);
        const F off = value - scale * Shape::nearest(value * inverse);
        error = error + F::set(w[j]) * (off * off);
      }
      const int best = least_lane(error);
      to.scales[g] = static_cast<int>(lane(s, best));
      total += lane(error, best);
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

// IQ4_NL: 32 values under one half, the fitted scale.
template <typename F>
void search_iq4_nl(const float* x, const float* importance, std::byte* out) {
  const SuperBlock block(x, importance, 32);
  std::uint8_t codes[32];
  HalfScale d;
  float inverse = 0.0f;
  if (!block.zero) {
    d = HalfScale(fit_scale<F, IQ4XSShape>(block.x.data(), block.weights.data()), block);
    inverse = d.value != 0.0f ? 1.0f / d.value : 0.0f;
  }
  for (std::size_t j = 0; j < 32; j += 16) {
    float levels[16];
    const F value = block.zero ? F::set(0.0f) : F::load(block.x.data() + j);
    Iq4Levels::nearest(value * F::set(inverse)).store(levels);
    for (std::size_t i = 0; i < 16; ++i) codes[j + i] = Iq4Levels::code(levels[i]);
  }
  put_u16(out, d.bits);
  put_nibbles(codes, out + 2);
}

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
