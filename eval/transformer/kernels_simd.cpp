#include <algorithm>
#include <cstring>

#include "eval/transformer/kernels.h"

// Targets that bring nothing to these loops.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "eval/transformer/kernels_simd.cpp"
// The last one is to be read once for every target, so it stays the last.
// clang-format off
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<float> kF;
using Floats = hn::Vec<decltype(kF)>;

/// The last numbers of a run as a whole vector; the lanes behind them hold `fill`.
HWY_INLINE Floats LoadTail(const float* x, std::size_t count, float fill) {
  HWY_ALIGN float lanes[hn::MaxLanes(kF)];
  std::fill(lanes, lanes + hn::Lanes(kF), fill);
  std::memcpy(lanes, x, count * sizeof(float));
  return hn::Load(kF, lanes);
}
HWY_INLINE void StoreTail(Floats v, float* x, std::size_t count) {
  HWY_ALIGN float lanes[hn::MaxLanes(kF)];
  hn::Store(v, kF, lanes);
  std::memcpy(x, lanes, count * sizeof(float));
}

float Largest(const float* x, std::size_t count) {
  const std::size_t lanes = hn::Lanes(kF);
  Floats max = hn::Set(kF, x[0]);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) max = hn::Max(max, hn::LoadU(kF, x + i));
  if (i < count) max = hn::Max(max, LoadTail(x + i, count - i, x[0]));
  return hn::GetLane(hn::MaxOfLanes(kF, max));
}

double ExpShifted(const float* x, std::size_t count, float scale, float shift, float* out) {
  const std::size_t lanes = hn::Lanes(kF);
  const Floats zero = hn::Zero(kF);
  const auto exp = [&](Floats v) HWY_ATTR {
    const Floats power = hn::Mul(hn::Sub(v, hn::Set(kF, shift)), hn::Set(kF, scale));
    // Exp() takes NaN for a large negative number; 0 · power is 0, or NaN.
    return hn::Add(hn::Exp(kF, power), hn::Mul(power, zero));
  };
  // In single precision a few vectors long, then in double.
  constexpr std::size_t kVectors = 16;
  double sum = 0;
  std::size_t i = 0;
  while (i + lanes <= count) {
    const std::size_t end = std::min(count / lanes * lanes, i + kVectors * lanes);
    Floats part = zero;
    for (; i < end; i += lanes) {
      const Floats e = exp(hn::LoadU(kF, x + i));
      part = hn::Add(part, e);
      if (out != nullptr) hn::StoreU(e, kF, out + i);
    }
    sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(kF, part)));
  }
  if (i < count) {
    const Floats e = exp(LoadTail(x + i, count - i, shift));
    HWY_ALIGN float kept[hn::MaxLanes(kF)];
    hn::Store(e, kF, kept);
    for (std::size_t k = 0; k < count - i; ++k) sum += static_cast<double>(kept[k]);
    if (out != nullptr) std::memcpy(out + i, kept, (count - i) * sizeof(float));
  }
  return sum;
}

/// a[i] = kernel(a[i], b[i]).
template <class Kernel>
HWY_INLINE void Combine(float* a, const float* b, std::size_t count, const Kernel& kernel) {
  const std::size_t lanes = hn::Lanes(kF);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(kernel(hn::LoadU(kF, a + i), hn::LoadU(kF, b + i)), kF, a + i);
  }
  if (i < count) {
    const std::size_t rest = count - i;
    StoreTail(kernel(LoadTail(a + i, rest, 0), LoadTail(b + i, rest, 0)), a + i, rest);
  }
}

/// x / (1 + exp(−z)): x · σ(z). What exp() cannot hold gives 0 all the same.
HWY_INLINE Floats TimesSigmoid(Floats x, Floats z) {
  const Floats e = hn::Exp(kF, hn::Min(hn::Neg(z), hn::Set(kF, 88.0f)));
  return hn::Div(x, hn::Add(hn::Set(kF, 1.0f), e));
}

void SiluGated(float* gate, const float* up, std::size_t count) {
  Combine(gate, up, count,
          [](Floats g, Floats u) HWY_ATTR { return hn::Mul(TimesSigmoid(g, g), u); });
}

void GeluGated(float* gate, const float* up, std::size_t count) {
  Combine(gate, up, count, [](Floats g, Floats u) HWY_ATTR {
    const Floats twice_root = hn::Set(kF, 1.5957691216057308f);  // 2 · √(2/π)
    const Floats cube = hn::Mul(hn::Mul(g, g), hn::Mul(g, hn::Set(kF, 0.044715f)));
    return hn::Mul(TimesSigmoid(g, hn::Mul(twice_root, hn::Add(g, cube))), u);
  });
}

void SoftCap(float* x, std::size_t count, float cap) {
  // tanh(z) = 2σ(2z) − 1.
  const Floats c = hn::Set(kF, cap);
  const Floats one = hn::Set(kF, 1.0f);
  const Floats two = hn::Set(kF, 2.0f);
  Combine(x, x, count, [&](Floats v, Floats) HWY_ATTR {
    const Floats z = hn::Div(v, c);
    const Floats tanh = hn::Sub(TimesSigmoid(two, hn::Mul(two, z)), one);
    return hn::Add(hn::Mul(c, tanh), hn::Mul(v, hn::Zero(kF)));  // NaN stays NaN
  });
}

}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi {

HWY_EXPORT(Largest);
HWY_EXPORT(ExpShifted);
HWY_EXPORT(SiluGated);
HWY_EXPORT(GeluGated);
HWY_EXPORT(SoftCap);

namespace simd {

float largest(const float* x, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(Largest)(x, count);
}
double exp_shifted(const float* x, std::size_t count, float scale, float shift, float* out) {
  return HWY_DYNAMIC_DISPATCH(ExpShifted)(x, count, scale, shift, out);
}
void silu_gated(float* gate, const float* up, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(SiluGated)(gate, up, count);
}
void gelu_gated(float* gate, const float* up, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(GeluGated)(gate, up, count);
}
void soft_cap(float* x, std::size_t count, float cap) {
  HWY_DYNAMIC_DISPATCH(SoftCap)(x, count, cap);
}

}  // namespace simd
}  // namespace qi
#endif
