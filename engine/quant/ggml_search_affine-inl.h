// Q2_K, Q4_K, Q5_K: integer codes under a scale and a minimum of each group, which are themselves
// integers under two halves. The search, sixteen trials side by side in the lanes of F:
//   1. each group alone: trial ranges, then Lloyd's alternation of codes and the least-squares
//      scale and minimum for them; the trial that explains most of the squares wins;
//   2. for trial halves, each group's integer scale and minimum among the 4 × 4 nearest pairs, by
//      the error left with codes rounded anew;
//   3. the halves fitted by least squares to all codes, and 2 once more while that helps.
// Included once per SIMD target. Refuses nothing; any thread.
#if defined(QI_ENGINE_QUANT_GGML_SEARCH_AFFINE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_GGML_SEARCH_AFFINE_INL_H
#undef QI_ENGINE_QUANT_GGML_SEARCH_AFFINE_INL_H
#else
#define QI_ENGINE_QUANT_GGML_SEARCH_AFFINE_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <iterator>

#include "engine/quant/ggml_superblock.h"
#include "engine/quant/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

struct Q2KShape {
  static constexpr std::size_t kSize = 16;  // values of a group
  static constexpr int kMost = 3;           // largest code
  static constexpr int kMostScale = 15;     // largest integer scale and minimum
  static constexpr int kRounds = 3;         // of Lloyd's alternation
  // Parts of a group's range that trials leave out at the lower and the upper end.
  static constexpr float kLowCuts[4] = {0.0f, 0.07f, 0.14f, 0.21f};
  static constexpr float kHighCuts[4] = {0.0f, 0.07f, 0.14f, 0.21f};
  // The largest scale and minimum of the groups as integers, in the trials of step 2.
  static constexpr float kTops[2] = {15.0f, 13.5f};
};
struct Q4KShape {
  static constexpr std::size_t kSize = 32;
  static constexpr int kMost = 15;
  static constexpr int kMostScale = 63;
  static constexpr int kRounds = 2;
  static constexpr float kLowCuts[4] = {-0.025f, 0.005f, 0.035f, 0.065f};
  static constexpr float kHighCuts[8] = {-0.04f, -0.02f, 0.0f, 0.015f, 0.03f, 0.045f, 0.06f, 0.08f};
  static constexpr float kTops[1] = {63.0f};
};
struct Q5KShape {
  static constexpr std::size_t kSize = 32;
  static constexpr int kMost = 31;
  static constexpr int kMostScale = 63;
  static constexpr int kRounds = 2;
  static constexpr float kLowCuts[4] = {-0.015f, 0.0f, 0.015f, 0.03f};
  static constexpr float kHighCuts[4] = {-0.015f, 0.0f, 0.015f, 0.03f};
  static constexpr float kTops[1] = {63.0f};
};

template <typename F, typename Shape>
class AffineSearch {
 public:
  static void run(const SuperBlock& block, SuperCodes& best) {
    best = SuperCodes();
    if (block.zero) return;
    AffineSearch search(block);
    float least = HUGE_VALF;
    SuperCodes trial;
    for (const float top : Shape::kTops) {
      for (const float min_top : Shape::kTops) {
        search.halves(search.most_scale_ / top, search.most_min_ / min_top, trial);
        const float error = search.choose(trial);
        if (error < least) {
          least = error;
          best = trial;
        }
      }
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
  static constexpr std::size_t kHighCuts = std::size(Shape::kHighCuts);
  static constexpr std::size_t kTrials = std::size(Shape::kLowCuts) * kHighCuts;
  static_assert(kTrials % 16 == 0);
  static constexpr float kTiny = 1e-30f;

  explicit AffineSearch(const SuperBlock& block) : block_(block) {
    for (std::size_t g = 0; g < kGroups; ++g) {
      fit(g);
      most_scale_ = std::max(most_scale_, scale_[g]);
      most_min_ = std::max(most_min_, min_[g]);
    }
  }

  void halves(float d, float dmin, SuperCodes& to) const {
    to.d = HalfScale(d, block_);
    to.dmin = HalfScale(dmin, block_);
  }

  // Step 1 for group g.
  HWY_INLINE void fit(std::size_t g) {
    const float* x = block_.x.data() + g * kSize;
    const float* w = block_.weights.data() + g * kSize;
    F low = F::set(0.0f);
    F high = low;
    F sums_w = low;
    F sums_x = low;
    for (std::size_t j = 0; j < kSize; j += 16) {
      const F value = F::load(x + j);
      const F weight = F::load(w + j);
      low = F::min(low, value);
      high = F::max(high, value);
      sums_w = sums_w + weight;
      sums_x = sums_x + weight * value;
    }
    sum_w_[g] = sums_w.sum();
    sum_x_[g] = sums_x.sum();
    const float bottom = -(F::set(0.0f) - low).largest();
    const float range = high.largest() - bottom;
    if (!(range > 0.0f)) {
      scale_[g] = 0.0f;
      min_[g] = 0.0f;
      return;
    }
    float least = HUGE_VALF;
    for (std::size_t first = 0; first < kTrials; first += 16) fit(g, first, bottom, range, least);
  }

  // 16 of the trials of step 1; `least` is what the best of those before left unexplained.
  HWY_INLINE void fit(std::size_t g, std::size_t first, float bottom, float range, float& least) {
    const float* x = block_.x.data() + g * kSize;
    const float* w = block_.weights.data() + g * kSize;
    float cut_low[16];
    float cut_both[16];
    for (std::size_t i = 0; i < 16; ++i) {
      const float low = Shape::kLowCuts[(first + i) / kHighCuts];
      const float high = Shape::kHighCuts[(first + i) % kHighCuts];
      cut_low[i] = low;
      cut_both[i] = static_cast<float>(Shape::kMost) / (1.0f - low - high);
    }
    const F zero = F::set(0.0f);
    const F sum_w = F::set(sum_w_[g]);
    const F sum_x = F::set(sum_x_[g]);
    const F tiny = F::set(kTiny);
    F min = F::set(bottom) + F::load(cut_low) * F::set(range);
    F inverse = F::load(cut_both) / F::set(range);
    F scale = zero;
    F unexplained = zero;
    for (int round = 0; round < Shape::kRounds; ++round) {
      F sl = zero;
      F sll = zero;
      F sxl = zero;
      for (std::size_t j = 0; j < kSize; ++j) {
        const F value = F::set(x[j]);
        const F l = code((value - min) * inverse);
        const F wl = F::set(w[j]) * l;
        sl = sl + wl;
        sll = sll + wl * l;
        sxl = sxl + wl * value;
      }
      const F determinant = sum_w * sll - sl * sl;
      const F divisor = F::max(determinant, tiny);
      scale = (sum_w * sxl - sum_x * sl) / divisor;
      min = (sll * sum_x - sl * sxl) / divisor;
      // The minimum cannot be positive; and where all codes are equal, one of the two does it all.
      const F alone = F::max(sxl / F::max(sll, tiny), zero);
      const F flat = F::set(1e-6f) * sum_w * sll;
      const F mean = sum_x / sum_w;
      const F flat_scale = F::if_less(sum_x, zero, zero, alone);
      scale = F::if_less(zero, min, alone, scale);
      min = F::min(min, zero);
      scale = F::if_less(flat, determinant, scale, flat_scale);
      min = F::if_less(flat, determinant, min, F::min(mean, zero));
      unexplained = zero - (scale * sxl + min * sum_x);
      inverse = F::set(1.0f) / F::max(scale, tiny);
    }
    const int best = least_lane(unexplained);
    if (!(lane(unexplained, best) < least)) return;
    least = lane(unexplained, best);
    scale_[g] = std::max(lane(scale, best), 0.0f);
    min_[g] = std::max(-lane(min, best), 0.0f);
  }

  static HWY_INLINE F code(const F& position) {
    return round_lanes(clamp_lanes(position, 0.0f, static_cast<float>(Shape::kMost)));
  }

  // Step 2: integer scales and minima under the halves of `to`; the error that is left.
  HWY_INLINE float choose(SuperCodes& to) const {
    static constexpr float kAcross[16] = {-1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2};
    static constexpr float kDown[16] = {-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2};
    const float d = to.d.value;
    const float dmin = to.dmin.value;
    constexpr auto kTop = static_cast<float>(Shape::kMostScale);
    float total = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const float s0 = d > 0.0f ? std::floor(std::min(scale_[g] / d, kTop)) : 0.0f;
      const float m0 = dmin > 0.0f ? std::floor(std::min(min_[g] / dmin, kTop)) : 0.0f;
      const F s = clamp_lanes(F::set(s0) + F::load(kAcross), 0.0f, kTop);
      const F m = clamp_lanes(F::set(m0) + F::load(kDown), 0.0f, kTop);
      const F scale = F::set(d) * s;
      const F min = F::set(dmin) * m;
      const F inverse = inverse_of(scale);
      F error = F::set(0.0f);
      const float* x = block_.x.data() + g * kSize;
      const float* w = block_.weights.data() + g * kSize;
      for (std::size_t j = 0; j < kSize; ++j) {
        const F above = F::set(x[j]) + min;
        const F off = above - scale * code(above * inverse);
        error = error + F::set(w[j]) * (off * off);
      }
      const int best = least_lane(error);
      to.scales[g] = static_cast<int>(lane(s, best));
      to.minima[g] = static_cast<int>(lane(m, best));
      total += lane(error, best);
    }
    return total;
  }

  // 0 for 0.
  static HWY_INLINE F inverse_of(const F& scale) {
    const F tiny = F::set(kTiny);
    return F::if_less(scale, tiny, F::set(0.0f), F::set(1.0f) / F::max(scale, tiny));
  }

  // Codes of 16 values.
  HWY_INLINE F codes_at(const SuperCodes& from, std::size_t at) const {
    const std::size_t g = at / kSize;
    const F scale = F::set(from.d.value * static_cast<float>(from.scales[g]));
    const F min = F::set(from.dmin.value * static_cast<float>(from.minima[g]));
    return code((F::load(block_.x.data() + at) + min) * inverse_of(scale));
  }

  // Step 3: halves by least squares. False when there is nothing to fit.
  HWY_INLINE bool refit(SuperCodes& to) const {
    float a = 0.0f;  // sums over all values of w · (s l)², w · s l m, w · m², w · x s l, w · x m
    float b = 0.0f;
    float c = 0.0f;
    float p = 0.0f;
    float q = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      F sl = F::set(0.0f);
      F sll = sl;
      F sxl = sl;
      for (std::size_t j = g * kSize; j < (g + 1) * kSize; j += 16) {
        const F l = codes_at(to, j);
        const F wl = F::load(block_.weights.data() + j) * l;
        sl = sl + wl;
        sll = sll + wl * l;
        sxl = sxl + wl * F::load(block_.x.data() + j);
      }
      const auto s = static_cast<float>(to.scales[g]);
      const auto m = static_cast<float>(to.minima[g]);
      a += s * s * sll.sum();
      b += s * m * sl.sum();
      c += m * m * sum_w_[g];
      p += s * sxl.sum();
      q += m * sum_x_[g];
    }
    if (!(a > kTiny)) return false;
    const float determinant = a * c - b * b;
    const std::uint16_t d = to.d.bits;
    const std::uint16_t dmin = to.dmin.bits;
    if (determinant > 1e-6f * a * c) {
      halves(std::max((p * c - b * q) / determinant, 0.0f),
             std::max((b * p - a * q) / determinant, 0.0f), to);
    } else {
      halves(std::max(p / a, 0.0f), 0.0f, to);
    }
    return to.d.bits != d || to.dmin.bits != dmin;
  }

  HWY_INLINE void codes(SuperCodes& to) const {
    for (std::size_t j = 0; j < SuperBlock::kValues; j += 16) {
      float values[16];
      codes_at(to, j).store(values);
      for (std::size_t i = 0; i < 16; ++i) {
        to.codes[j + i] = static_cast<std::uint8_t>(static_cast<int>(values[i]));
      }
    }
  }

  const SuperBlock& block_;
  float scale_[kGroups];  // step 1: value = scale · code − min
  float min_[kGroups];
  float sum_w_[kGroups];
  float sum_x_[kGroups];
  float most_scale_ = 0.0f;
  float most_min_ = 0.0f;
};

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
