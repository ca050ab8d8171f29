#include "engine/tensor/numbers_simd.h"

#include <cstring>

#include "engine/tensor/numbers.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/tensor/numbers_simd.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<float> kFloats;
const hn::RebindToUnsigned<decltype(kFloats)> kWords;
const hn::RebindToSigned<decltype(kFloats)> kInts;
const hn::Rebind<std::uint16_t, decltype(kFloats)> kHalves;
const hn::Rebind<std::uint8_t, decltype(kFloats)> kBytes;
const hn::Rebind<std::int8_t, decltype(kFloats)> kSignedBytes;

// Files align nothing: LoadU takes element pointers, whose alignment it does not need.
template <typename T>
const T* elements(const std::byte* bytes) {
  return reinterpret_cast<const T*>(bytes);
}

// Whole vectors, then the rest through a buffer of one vector.
template <typename D, typename T, typename Kernel>
HWY_INLINE void widen(D d, const std::byte* in, std::size_t count, float* out, T zero,
                      const Kernel& kernel) {
  const std::size_t lanes = hn::Lanes(kFloats);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(kernel(hn::LoadU(d, elements<T>(in + i * sizeof(T)))), kFloats, out + i);
  }
  if (i == count) return;
  HWY_ALIGN T rest[HWY_LANES(float)];
  HWY_ALIGN float values[HWY_LANES(float)];
  for (std::size_t k = 0; k < lanes; ++k) rest[k] = zero;
  std::memcpy(rest, in + i * sizeof(T), (count - i) * sizeof(T));
  hn::Store(kernel(hn::Load(d, rest)), kFloats, values);
  std::memcpy(out + i, values, (count - i) * sizeof(float));
}

void F16ToFloats(const std::byte* in, std::size_t count, float* out) {
  // f16_to_float() without branches: both results, then a choice per lane.
  widen(kHalves, in, count, out, std::uint16_t{0}, [](auto halves) HWY_ATTR {
    const auto bits = hn::PromoteTo(kWords, halves);
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(kWords, 0x8000u)));
    const auto magnitude = hn::And(bits, hn::Set(kWords, 0x7FFFu));
    const auto special = hn::Gt(hn::BitCast(kInts, magnitude), hn::Set(kInts, 0x7BFF));
    const auto rebias = hn::IfThenElse(hn::RebindMask(kWords, special), hn::Set(kWords, 224u << 23),
                                       hn::Set(kWords, 112u << 23));
    const auto normal = hn::Add(hn::ShiftLeft<13>(magnitude), rebias);
    const auto small =
        hn::Mul(hn::ConvertTo(kFloats, hn::BitCast(kInts, magnitude)), hn::Set(kFloats, 0x1p-24f));
    const auto is_small = hn::Lt(hn::BitCast(kInts, magnitude), hn::Set(kInts, 0x0400));
    const auto chosen =
        hn::IfThenElse(hn::RebindMask(kWords, is_small), hn::BitCast(kWords, small), normal);
    return hn::BitCast(kFloats, hn::Or(chosen, sign));
  });
}

void Bf16ToFloats(const std::byte* in, std::size_t count, float* out) {
  widen(kHalves, in, count, out, std::uint16_t{0}, [](auto halves) HWY_ATTR {
    return hn::BitCast(kFloats, hn::ShiftLeft<16>(hn::PromoteTo(kWords, halves)));
  });
}

void I8ToFloats(const std::byte* in, std::size_t count, float* out) {
  widen(kSignedBytes, in, count, out, std::int8_t{0},
        [](auto bytes) HWY_ATTR { return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, bytes)); });
}

void U8ToFloats(const std::byte* in, std::size_t count, float* out) {
  widen(kBytes, in, count, out, std::uint8_t{0},
        [](auto bytes) HWY_ATTR { return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, bytes)); });
}

// Whole vectors by convert(from, to), then the rest through buffers of one vector.
template <typename Convert>
HWY_INLINE void narrow_with(std::size_t lanes, const float* in, std::size_t count, std::byte* out,
                            const Convert& convert) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    convert(in + i, reinterpret_cast<std::uint16_t*>(out + 2 * i));
  }
  if (i == count) return;
  HWY_ALIGN float values[HWY_LANES(float)] = {};
  HWY_ALIGN std::uint16_t halves[HWY_LANES(float)];
  std::memcpy(values, in + i, (count - i) * sizeof(float));
  convert(values, halves);
  std::memcpy(out + 2 * i, halves, 2 * (count - i));
}

// `kernel` gives words whose low halves are the result.
template <typename Kernel>
HWY_INLINE void narrow(const float* in, std::size_t count, std::byte* out, const Kernel& kernel) {
  const std::size_t lanes = hn::Lanes(kFloats);
  const auto convert = [&kernel](const float* from, std::uint16_t* to) HWY_ATTR {
    const auto words = kernel(hn::LoadU(kFloats, from));
    hn::StoreU(hn::DemoteTo(kHalves, hn::BitCast(kInts, words)), kHalves, to);
  };
  narrow_with(lanes, in, count, out, convert);
}

void FloatsToBf16(const float* in, std::size_t count, std::byte* out) {
  narrow(in, count, out, [](auto v) HWY_ATTR {
    const auto bits = hn::BitCast(kWords, v);
    const auto magnitude = hn::And(bits, hn::Set(kWords, 0x7FFFFFFFu));
    const auto is_nan = hn::Gt(hn::BitCast(kInts, magnitude), hn::Set(kInts, 0x7F800000));
    const auto upper = hn::ShiftRight<16>(bits);
    const auto odd = hn::And(upper, hn::Set(kWords, 1u));
    const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(kWords, 0x7FFFu)), odd));
    return hn::IfThenElse(hn::RebindMask(kWords, is_nan), hn::Or(upper, hn::Set(kWords, 0x40u)),
                          rounded);
  });
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
// The machine's own conversion rounds alike, subnormals and payloads of NaN included.
void FloatsToF16(const float* in, std::size_t count, std::byte* out) {
  const hn::Rebind<hwy::float16_t, decltype(kFloats)> f16;
  narrow_with(hn::Lanes(kFloats), in, count, out,
              [f16](const float* from, std::uint16_t* to) HWY_ATTR {
                const auto halves = hn::DemoteTo(f16, hn::LoadU(kFloats, from));
                hn::StoreU(hn::BitCast(kHalves, halves), kHalves, to);
              });
}
#else
void FloatsToF16(const float* in, std::size_t count, std::byte* out) {
  narrow(in, count, out, [](auto v) HWY_ATTR {
    const auto bits = hn::BitCast(kWords, v);
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(kWords, 0x8000u));
    const auto magnitude = hn::And(bits, hn::Set(kWords, 0x7FFFFFFFu));
    const auto signed_magnitude = hn::BitCast(kInts, magnitude);
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(kWords, 1u));
    const auto normal = hn::ShiftRight<13>(
        hn::Add(hn::Add(magnitude, hn::Set(kWords, 0xFFFu - (112u << 23))), odd));
    const auto shifted = hn::Add(hn::BitCast(kFloats, magnitude), hn::Set(kFloats, 0.5f));
    const auto small = hn::Sub(hn::BitCast(kWords, shifted), hn::Set(kWords, 0x3F000000u));
    const auto payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(kWords, 0x3FFu));
    const auto quiet = hn::Or(payload, hn::Set(kWords, 0x7E00u));
    const auto choose = [](auto condition, auto yes, auto no) HWY_ATTR {
      return hn::IfThenElse(hn::RebindMask(kWords, condition), yes, no);
    };
    auto half = choose(hn::Lt(signed_magnitude, hn::Set(kInts, 0x38800000)), small, normal);
    half = choose(hn::Gt(signed_magnitude, hn::Set(kInts, 0x477FEFFF)), hn::Set(kWords, 0x7C00u),
                  half);
    half = choose(hn::Gt(signed_magnitude, hn::Set(kInts, 0x7F800000)), quiet, half);
    return hn::Or(half, sign);
  });
}
#endif

}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi {

HWY_EXPORT(F16ToFloats);
HWY_EXPORT(Bf16ToFloats);
HWY_EXPORT(FloatsToF16);
HWY_EXPORT(FloatsToBf16);
HWY_EXPORT(I8ToFloats);
HWY_EXPORT(U8ToFloats);

namespace simd {

void f16_to_floats(const std::byte* in, std::size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(F16ToFloats)(in, count, out);
}
void bf16_to_floats(const std::byte* in, std::size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(Bf16ToFloats)(in, count, out);
}
void floats_to_f16(const float* in, std::size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(FloatsToF16)(in, count, out);
}
void floats_to_bf16(const float* in, std::size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(FloatsToBf16)(in, count, out);
}
void i8_to_floats(const std::byte* in, std::size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(I8ToFloats)(in, count, out);
}
void u8_to_floats(const std::byte* in, std::size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(U8ToFloats)(in, count, out);
}

}  // namespace simd
}  // namespace qi
#endif
