// Sixteen float32 numbers that are worked on side by side: in the vectors of the machine
// (Lanes) or in an array (PlainLanes), with the same results bit for bit, since every operation is
// one IEEE operation per number and sums have a fixed order.
// Included once per SIMD target (hwy/foreach_target.h). Refuses nothing; any thread.
#if defined(QI_ENGINE_QUANT_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_LANES_INL_H
#undef QI_ENGINE_QUANT_LANES_INL_H
#else
#define QI_ENGINE_QUANT_LANES_INL_H
#endif

#include <cstddef>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

struct PlainLanes {
  float v[16];

  static PlainLanes set(float value) {
    PlainLanes r;
    for (float& x : r.v) x = value;
    return r;
  }
  // `low` in the first eight, `high` in the others.
  static PlainLanes pair(float low, float high) {
    PlainLanes r;
    for (std::size_t i = 0; i < 16; ++i) r.v[i] = i < 8 ? low : high;
    return r;
  }
  static PlainLanes load(const float* at) {
    PlainLanes r;
    for (std::size_t i = 0; i < 16; ++i) r.v[i] = at[i];
    return r;
  }
  void store(float* at) const {
    for (std::size_t i = 0; i < 16; ++i) at[i] = v[i];
  }
  template <typename Op>
  static PlainLanes each(const PlainLanes& a, const PlainLanes& b, Op op) {
    PlainLanes r;
    for (std::size_t i = 0; i < 16; ++i) r.v[i] = op(a.v[i], b.v[i]);
    return r;
  }
  friend PlainLanes operator+(const PlainLanes& a, const PlainLanes& b) {
    return each(a, b, [](float x, float y) { return x + y; });
  }
  friend PlainLanes operator-(const PlainLanes& a, const PlainLanes& b) {
    return each(a, b, [](float x, float y) { return x - y; });
  }
  friend PlainLanes operator*(const PlainLanes& a, const PlainLanes& b) {
    return each(a, b, [](float x, float y) { return x * y; });
  }
  friend PlainLanes operator/(const PlainLanes& a, const PlainLanes& b) {
    return each(a, b, [](float x, float y) { return x / y; });
  }
  static PlainLanes min(const PlainLanes& a, const PlainLanes& b) {
    return each(a, b, [](float x, float y) { return x < y ? x : y; });
  }
  static PlainLanes max(const PlainLanes& a, const PlainLanes& b) {
    return each(a, b, [](float x, float y) { return x > y ? x : y; });
  }
  static PlainLanes if_less(const PlainLanes& a, const PlainLanes& b, const PlainLanes& yes,
                            const PlainLanes& no) {
    PlainLanes r;
    for (std::size_t i = 0; i < 16; ++i) r.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
    return r;
  }
  float largest() const {
    float most = v[0];
    for (std::size_t i = 1; i < 16; ++i) most = v[i] > most ? v[i] : most;
    return most;
  }
  // Halves are added to halves until one number is left.
  float sum() const {
    float part[16];
    store(part);
    for (std::size_t n = 8; n > 0; n /= 2) {
      for (std::size_t i = 0; i < n; ++i) part[i] += part[i + n];
    }
    return part[0];
  }
};

#if HWY_HAVE_SCALABLE || HWY_TARGET == HWY_SCALAR
using Lanes = PlainLanes;  // vectors of unknown length cannot be members
#else
struct Lanes {
  using Tag = hn::CappedTag<float, 16>;
  using Vector = hn::Vec<Tag>;
  static constexpr std::size_t kLanes = hn::MaxLanes(Tag());
  static constexpr std::size_t kVectors = 16 / kLanes;
  Vector v[kVectors];

  HWY_INLINE static Lanes set(float value) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Set(Tag(), value);
    return r;
  }
  HWY_INLINE static Lanes pair(float low, float high) {
    Lanes r;
    if constexpr (kVectors == 1) {
      const hn::Half<Tag> half;
      r.v[0] = hn::Combine(Tag(), hn::Set(half, high), hn::Set(half, low));
    } else {
      for (std::size_t i = 0; i < kVectors; ++i) {
        r.v[i] = hn::Set(Tag(), i < kVectors / 2 ? low : high);
      }
    }
    return r;
  }
  HWY_INLINE static Lanes load(const float* at) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::LoadU(Tag(), at + i * kLanes);
    return r;
  }
  HWY_INLINE void store(float* at) const {
    for (std::size_t i = 0; i < kVectors; ++i) hn::StoreU(v[i], Tag(), at + i * kLanes);
  }
  HWY_INLINE friend Lanes operator+(const Lanes& a, const Lanes& b) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Add(a.v[i], b.v[i]);
    return r;
  }
  HWY_INLINE friend Lanes operator-(const Lanes& a, const Lanes& b) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Sub(a.v[i], b.v[i]);
    return r;
  }
  HWY_INLINE friend Lanes operator*(const Lanes& a, const Lanes& b) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Mul(a.v[i], b.v[i]);
    return r;
  }
  HWY_INLINE friend Lanes operator/(const Lanes& a, const Lanes& b) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Div(a.v[i], b.v[i]);
    return r;
  }
  HWY_INLINE static Lanes min(const Lanes& a, const Lanes& b) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Min(a.v[i], b.v[i]);
    return r;
  }
  HWY_INLINE static Lanes max(const Lanes& a, const Lanes& b) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) r.v[i] = hn::Max(a.v[i], b.v[i]);
    return r;
  }
  HWY_INLINE static Lanes if_less(const Lanes& a, const Lanes& b, const Lanes& yes,
                                  const Lanes& no) {
    Lanes r;
    for (std::size_t i = 0; i < kVectors; ++i) {
      r.v[i] = hn::IfThenElse(hn::Lt(a.v[i], b.v[i]), yes.v[i], no.v[i]);
    }
    return r;
  }
  HWY_INLINE float largest() const {
    Vector most = v[0];
    for (std::size_t i = 1; i < kVectors; ++i) most = hn::Max(most, v[i]);
    return hn::GetLane(hn::MaxOfLanes(Tag(), most));
  }
  HWY_INLINE float sum() const {
    Lanes part = *this;
    for (std::size_t n = kVectors / 2; n > 0; n /= 2) {
      for (std::size_t i = 0; i < n; ++i) part.v[i] = hn::Add(part.v[i], part.v[i + n]);
    }
    HWY_ALIGN float rest[kLanes];
    hn::Store(part.v[0], Tag(), rest);
    for (std::size_t n = kLanes / 2; n > 0; n /= 2) {
      for (std::size_t i = 0; i < n; ++i) rest[i] += rest[i + n];
    }
    return rest[0];
  }
};
#endif

/// To the nearest integer, ties to even, for magnitudes below 2^22.
template <typename F>
HWY_INLINE F round_lanes(const F& v) {
  const F shift = F::set(12582912.0f);  // 1.5 · 2^23: adding it leaves no room for a fraction
  return (v + shift) - shift;
}

template <typename F>
HWY_INLINE F clamp_lanes(const F& v, float low, float high) {
  return F::min(F::max(v, F::set(low)), F::set(high));
}

/// The lane of the least number, the first of them.
template <typename F>
HWY_INLINE int least_lane(const F& v) {
  float values[16];
  v.store(values);
  int best = 0;
  for (int i = 1; i < 16; ++i) best = values[i] < values[best] ? i : best;
  return best;
}

/// The same for the first eight lanes and for the others: two lanes.
template <typename F>
HWY_INLINE void least_lanes(const F& v, int (&best)[2]) {
  float values[16];
  v.store(values);
  best[0] = 0;
  best[1] = 8;
  for (int i = 1; i < 8; ++i) {
    best[0] = values[i] < values[best[0]] ? i : best[0];
    best[1] = values[i + 8] < values[best[1]] ? i + 8 : best[1];
  }
}

template <typename F>
HWY_INLINE float lane(const F& v, int index) {
  float values[16];
  v.store(values);
  return values[index];
}

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
