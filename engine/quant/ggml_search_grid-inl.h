// The IQ1, IQ2 and IQ3 types: an entry of a codebook stands for 8 (or 4) values, under a scale of
// its group that is an odd multiple of the half of the block. For a scale s an entry leaves, beside
// the squares of the values, the error  s · (s · N − 2 · D),  where D = Σ w x g and N = Σ w g² over
// the values x and the entry's levels g. The search:
//   1. D and N of all entries, 16 side by side; then, 16 scales side by side, the best entry for
//      each of a geometric row of scales: these are the candidates of the run of values;
//   2. a least-squares scale for each group from the candidates; for trial halves, each group's
//      best multiple, all 16 side by side, over the candidates;
//   3. the half by least squares, and 2 once more while that helps;
//   4. with the scales settled, the best of all entries once more; the half by least squares.
// Included once per SIMD target. Refuses nothing; any thread.
#if defined(QI_ENGINE_QUANT_GGML_SEARCH_GRID_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_GGML_SEARCH_GRID_INL_H
#undef QI_ENGINE_QUANT_GGML_SEARCH_GRID_INL_H
#else
#define QI_ENGINE_QUANT_GGML_SEARCH_GRID_INL_H
#endif

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/quant/ggml_grids.h"
#include "engine/quant/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

// What the types have in common, with what most of them have.
struct GridShape {
  static constexpr std::size_t kWidth = 8;      // values of an entry
  static constexpr std::size_t kGroup = 32;     // values under one scale
  static constexpr std::size_t kSteps = 16;     // multiples 1, 3, 5 …
  static constexpr float kUnit = 0.125f;        // scale = half · unit · multiple
  static constexpr bool kSigns = true;          // levels are magnitudes
  static constexpr bool kEven = false;          // of 8 signs, an even number is negative
  static constexpr bool kShiftOfGroup = false;  // IQ1_S: one shift of a group
  // Trial scales: from here on, in units of the root mean square of the group.
  static constexpr float kFirst = 0.022f;
  static constexpr float kRatio = 1.13f;
  static constexpr float kTops[4] = {31.5f, 29.0f, 27.0f, 25.0f};  // largest multiples tried
};
struct IQ2XXSShape : GridShape {
  static constexpr DType kType = DType::kIQ2XXS;
  static constexpr std::size_t kEntries = 256;
  static constexpr bool kEven = true;
};
struct IQ2XSShape : GridShape {
  static constexpr DType kType = DType::kIQ2XS;
  static constexpr std::size_t kEntries = 512;
  static constexpr std::size_t kGroup = 16;
  static constexpr bool kEven = true;
};
struct IQ2SShape : GridShape {
  static constexpr DType kType = DType::kIQ2S;
  static constexpr std::size_t kEntries = 1024;
  static constexpr std::size_t kGroup = 16;
};
struct IQ3XXSShape : GridShape {
  static constexpr DType kType = DType::kIQ3XXS;
  static constexpr std::size_t kEntries = 256;
  static constexpr std::size_t kWidth = 4;
  static constexpr float kUnit = 0.25f;
  static constexpr bool kEven = true;
};
struct IQ3SShape : GridShape {
  static constexpr DType kType = DType::kIQ3S;
  static constexpr std::size_t kEntries = 512;
  static constexpr std::size_t kWidth = 4;
  static constexpr float kUnit = 1.0f;
  static constexpr float kFirst = 0.085f;
};
// Levels −1, 0 and 1, all shifted by an eighth up or down.
struct IQ1Shape : GridShape {
  static constexpr std::size_t kEntries = 2048;
  static constexpr std::size_t kSteps = 8;
  static constexpr float kUnit = 1.0f;
  static constexpr bool kSigns = false;
  static constexpr float kFirst = 0.7f;
  static constexpr float kRatio = 1.15f;
  static constexpr float kTops[4] = {15.5f, 14.0f, 12.5f, 11.0f};
};
struct IQ1SShape : IQ1Shape {
  static constexpr DType kType = DType::kIQ1S;
  static constexpr bool kShiftOfGroup = true;
};
struct IQ1MShape : IQ1Shape {
  static constexpr DType kType = DType::kIQ1M;
  static constexpr std::size_t kGroup = 16;
};

template <typename F, typename Shape>
class GridSearch {
 public:
  static void run(const SuperBlock& block, GridCodes& best) {
    best = GridCodes();
    if (block.zero) return;
    GridSearch search(block, best);
    search.search(best);
  }

 private:
  static constexpr std::size_t kWidth = Shape::kWidth;
  static constexpr std::size_t kEntries = Shape::kEntries;
  static constexpr std::size_t kRuns = SuperBlock::kValues / kWidth;
  static constexpr std::size_t kGroups = SuperBlock::kValues / Shape::kGroup;
  static constexpr std::size_t kRunsOfGroup = Shape::kGroup / kWidth;
  static constexpr bool kShifted = !Shape::kSigns;
  // Scales tried for the candidates; shifted types try half as many with either shift.
  static constexpr std::size_t kScales = kShifted ? 8 : 16;
  static constexpr float kShift = 0.125f;

  // Step 1 of one run: the best entry for each trial scale; after 8 of them the other shift.
  struct Candidates {
    float d2[16];  // 2 D
    float n[16];
    float entry[16];
  };

  GridSearch(const SuperBlock& block, GridCodes& codes)
      : block_(block), grid_(grid_levels(Shape::kType)) {
    std::copy(block.x.begin(), block.x.end(), x_);
    if constexpr (Shape::kSigns) take_signs(codes);
    for (std::size_t g = 0; g < kGroups; ++g) {
      fit(g);
      most_ = std::max(most_, scale_[g]);
    }
  }

  // Magnitudes stay in x_; where the signs must be even in number and are not, the value that
  // costs least has the wrong one, so it stays negative.
  void take_signs(GridCodes& codes) {
    for (std::size_t v = 0; v < SuperBlock::kValues / 8; ++v) {
      float* x = x_ + 8 * v;
      const float* w = block_.weights.data() + 8 * v;
      unsigned signs = 0;
      std::size_t least = 0;
      for (std::size_t j = 0; j < 8; ++j) {
        if (x[j] < 0.0f) signs |= 1u << j;
        x[j] = std::fabs(x[j]);
        if (w[j] * x[j] * x[j] < w[least] * x[least] * x[least]) least = j;
      }
      if (Shape::kEven && std::popcount(signs) % 2 != 0) {
        signs ^= 1u << least;
        x[least] = -x[least];
      }
      codes.signs[v] = static_cast<std::uint8_t>(signs);
    }
  }

  // D and N of all entries for run `v`; for shifted types also Σ w g, and D and N without a shift.
  HWY_INLINE void products(std::size_t v) {
    const float* x = x_ + kWidth * v;
    const float* w = block_.weights.data() + kWidth * v;
    for (std::size_t e = 0; e < kEntries; e += 16) {
      F d = F::set(0.0f);
      F n = d;
      F s = d;
      for (std::size_t j = 0; j < kWidth; ++j) {
        const F level = F::load(grid_ + j * kEntries + e);
        const F wl = F::set(w[j]) * level;
        d = d + F::set(x[j]) * wl;
        n = n + wl * level;
        if constexpr (kShifted) s = s + wl;
      }
      (d + d).store(d2_ + e);
      n.store(n_ + e);
      if constexpr (kShifted) s.store(s_ + e);
    }
    sum_w_ = 0.0f;
    sum_x_ = 0.0f;
    for (std::size_t j = 0; j < kWidth; ++j) {
      sum_w_ += w[j];
      sum_x_ += w[j] * x[j];
    }
  }

  // Step 1 and the first half of step 2 for group g.
  HWY_INLINE void fit(std::size_t g) {
    float square = 0.0f;
    for (std::size_t j = 0; j < Shape::kGroup; ++j) {
      const float x = x_[Shape::kGroup * g + j];
      square += x * x;
    }
    float scales[16];
    float shifts[16];
    scales[0] =
        Shape::kFirst * std::max(std::sqrt(square / static_cast<float>(Shape::kGroup)), 1e-15f);
    for (std::size_t k = 0; k < 16; ++k) {
      if (k > 0) scales[k] = k % kScales == 0 ? scales[0] : scales[k - 1] * Shape::kRatio;
      shifts[k] = k < 8 ? kShift : -kShift;
    }
    float left[16] = {};
    float cross[16] = {};
    float norm[16] = {};
    for (std::size_t r = 0; r < kRunsOfGroup; ++r) {
      Candidates& to = candidates_[kRunsOfGroup * g + r];
      products(kRunsOfGroup * g + r);
      best_entries(F::load(scales), F::load(shifts), to);
      for (std::size_t k = 0; k < kScales; ++k) {
        std::size_t from = k;
        if (kShifted && !Shape::kShiftOfGroup &&
            cost(scales[k], to, k + 8) < cost(scales[k], to, k)) {
          from = k + 8;
        }
        left[k] += cost(scales[k], to, from);
        cross[k] += 0.5f * to.d2[from];
        norm[k] += to.n[from];
        if constexpr (Shape::kShiftOfGroup) {
          left[k + 8] += cost(scales[k], to, k + 8);
          cross[k + 8] += 0.5f * to.d2[k + 8];
          norm[k + 8] += to.n[k + 8];
        }
      }
    }
    constexpr std::size_t kTrials = Shape::kShiftOfGroup ? 16 : kScales;
    const auto best = static_cast<std::size_t>(std::min_element(left, left + kTrials) - left);
    scale_[g] = norm[best] > 0.0f ? std::max(cross[best] / norm[best], 0.0f) : 0.0f;
  }

  static float cost(float scale, const Candidates& of, std::size_t k) {
    return scale * (scale * of.n[k] - of.d2[k]);
  }

  // Step 1 for one run of values: for 16 scales side by side, the best of all entries.
  HWY_INLINE void best_entries(const F& scales, const F& shifts, Candidates& to) const {
    F least = F::set(1e30f);
    F entry = F::set(0.0f);
    const F two_shifts = shifts + shifts;
    const F extra_n = shifts * shifts * F::set(sum_w_);
    const F extra_d2 = two_shifts * F::set(sum_x_);
    for (std::size_t e = 0; e < kEntries; ++e) {
      F n = F::set(n_[e]);
      const F d2 = F::set(d2_[e]);
      if constexpr (kShifted) n = n + two_shifts * F::set(s_[e]);
      const F left = scales * n - d2;
      entry = F::if_less(left, least, F::set(static_cast<float>(e)), entry);
      least = F::min(left, least);
    }
    entry.store(to.entry);
    float extra[16];
    extra_n.store(extra);
    float shift2[16];
    two_shifts.store(shift2);
    float extra_d[16];
    extra_d2.store(extra_d);
    for (std::size_t k = 0; k < 16; ++k) {
      const auto e = static_cast<std::size_t>(to.entry[k]);
      to.d2[k] = d2_[e];
      to.n[k] = n_[e];
      if constexpr (kShifted) {
        to.d2[k] += extra_d[k];
        to.n[k] += shift2[k] * s_[e] + extra[k];
        if (k >= 8) to.entry[k] += static_cast<float>(kEntries);
      }
    }
  }

  // Step 2: the best multiples under the half of `to`, the error that is left (beside the squares),
  // and the half that would be best with the entries at hand.
  HWY_INLINE float choose(GridCodes& to, float& better) const {
    float steps[16];
    for (std::size_t i = 0; i < 16; ++i) {
      steps[i] = static_cast<float>(2 * std::min(i, Shape::kSteps - 1) + 1);
    }
    const float unit = to.d.value * Shape::kUnit;
    const F scale = F::set(unit) * F::load(steps);
    float total = 0.0f;
    float cross = 0.0f;
    float norm = 0.0f;
    for (std::size_t g = 0; g < kGroups; ++g) {
      float least = HUGE_VALF;
      std::size_t first = 0;  // of the candidates that count: those of one shift of the group
      constexpr std::size_t kCount = Shape::kShiftOfGroup ? 8 : 16;
      for (std::size_t from = 0; from < 16; from += kCount) {
        F left = F::set(0.0f);
        for (std::size_t r = 0; r < kRunsOfGroup; ++r) {
          const Candidates& run = candidates_[kRunsOfGroup * g + r];
          F best = scale * F::set(run.n[from]) - F::set(run.d2[from]);
          for (std::size_t k = from + 1; k < from + kCount; ++k) {
            best = F::min(best, scale * F::set(run.n[k]) - F::set(run.d2[k]));
          }
          left = left + scale * best;
        }
        const int at = least_lane(left);
        if (!(lane(left, at) < least)) continue;
        least = lane(left, at);
        first = from;
        to.steps[g] = static_cast<std::uint8_t>(at);
      }
      total += least;
      shift_down_[g] = first > 0;
      const float step = steps[to.steps[g]];
      for (std::size_t r = 0; r < kRunsOfGroup; ++r) {
        const Candidates& run = candidates_[kRunsOfGroup * g + r];
        std::size_t best = first;
        for (std::size_t k = first + 1; k < first + kCount; ++k) {
          if (cost(unit * step, run, k) < cost(unit * step, run, best)) best = k;
        }
        cross += step * 0.5f * run.d2[best];
        norm += step * step * run.n[best];
      }
    }
    better = norm > 0.0f ? std::max(cross / norm, 0.0f) / Shape::kUnit : 0.0f;
    return total;
  }

  void search(GridCodes& best) {
    float least = HUGE_VALF;
    float better = 0.0f;
    GridCodes trial = best;
    const auto attempt = [&](float d) {
      trial.d = HalfScale(d, block_);
      float next = 0.0f;
      const float error = choose(trial, next);
      if (!(error < least)) return false;
      least = error;
      best = trial;
      better = next;
      std::copy(shift_down_, shift_down_ + kGroups, best_shift_down_);
      return true;
    };
    for (const float top : Shape::kTops) attempt(most_ / (top * Shape::kUnit));
    for (int round = 0; round < 3 && attempt(better); ++round) {
    }
    settle(best);
  }

  // Step 4.
  HWY_INLINE void settle(GridCodes& codes) {
    float cross = 0.0f;
    float norm = 0.0f;
    for (std::size_t v = 0; v < kRuns; ++v) {
      const std::size_t g = v / kRunsOfGroup;
      const auto step = static_cast<float>(2 * codes.steps[g] + 1);
      products(v);
      const float scale = codes.d.value * Shape::kUnit * step;
      float least = HUGE_VALF;
      std::size_t entry = 0;
      float d2 = 0.0f;
      float n = 0.0f;
      for (const float shift : {kShift, -kShift}) {
        if (!kShifted && shift < 0.0f) break;
        if (Shape::kShiftOfGroup && best_shift_down_[g] != (shift < 0.0f)) continue;
        const float used = kShifted ? shift : 0.0f;
        const std::size_t e = best_entry(scale, used);
        const float e_n = n_[e] + (kShifted ? 2.0f * used * s_[e] + used * used * sum_w_ : 0.0f);
        const float e_d2 = d2_[e] + 2.0f * used * sum_x_;
        const float left = scale * (scale * e_n - e_d2);
        if (!(left < least)) continue;
        least = left;
        entry = e + (used < 0.0f ? kEntries : 0);
        d2 = e_d2;
        n = e_n;
      }
      codes.entries[v] = static_cast<std::uint16_t>(entry);
      cross += step * 0.5f * d2;
      norm += step * step * n;
    }
    if (norm > 0.0f && cross > 0.0f) codes.d = HalfScale(cross / norm / Shape::kUnit, block_);
  }

  HWY_INLINE std::size_t best_entry(float scale, float shift) const {
    alignas(64) static constexpr float kCount[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                     8, 9, 10, 11, 12, 13, 14, 15};
    F least = F::set(1e30f);
    F entry = F::set(0.0f);
    F number = F::load(kCount);
    const F scales = F::set(scale);
    const F two_shifts = F::set(2.0f * shift);
    for (std::size_t e = 0; e < kEntries; e += 16) {
      F n = F::load(n_ + e);
      if constexpr (kShifted) n = n + two_shifts * F::load(s_ + e);
      const F left = scales * n - F::load(d2_ + e);
      entry = F::if_less(left, least, number, entry);
      least = F::min(left, least);
      number = number + F::set(16.0f);
    }
    return static_cast<std::size_t>(lane(entry, least_lane(least)));
  }

  const SuperBlock& block_;
  const float* grid_;
  float x_[SuperBlock::kValues];
  float scale_[kGroups];
  float most_ = 0.0f;
  Candidates candidates_[kRuns];
  mutable bool shift_down_[kGroups];
  bool best_shift_down_[kGroups] = {};
  // Of the run that products() was called for.
  alignas(64) float d2_[kEntries];
  alignas(64) float n_[kEntries];
  alignas(64) float s_[kShifted ? kEntries : 16];
  float sum_w_ = 0.0f;
  float sum_x_ = 0.0f;
};

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
