// SIMD kernels of the types with one rounding per value: the bytes of ggml_quantize_plain.cpp.
// Blocks whose extreme is 0 go through the plain loops, since there the sign of a zero decides.
#include <array>
#include <bit>
#include <cassert>
#include <cmath>

#include "engine/quant/ggml_quantize_plain.h"
#include "engine/quant/ggml_quantize_simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/quant/ggml_quantize_fast.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

const hn::CappedTag<float, 16> kF;
const hn::RebindToSigned<decltype(kF)> kI;
const hn::RebindToUnsigned<decltype(kF)> kW;
const hn::Rebind<std::uint8_t, decltype(kF)> kU8;
const hn::Rebind<std::int8_t, decltype(kF)> kI8;
using Floats = hn::Vec<decltype(kF)>;
using Ints = hn::Vec<decltype(kI)>;

HWY_INLINE void StoreBytes(Ints v, std::byte* to) {
  hn::StoreU(hn::DemoteTo(kU8, v), kU8, reinterpret_cast<std::uint8_t*>(to));
}

// To the nearest integer, halves away from zero. Just below a half is added: a half itself would
// round the largest number below 0.5 up.
HWY_INLINE Ints RoundAway(Floats v) {
  const auto half = hn::CopySign(hn::Set(kF, 0x1.fffffep-2f), v);
  return hn::ConvertTo(kI, hn::Add(v, half));
}

HWY_INLINE float LargestMagnitude(const float* HWY_RESTRICT x, std::size_t count) {
  Floats most = hn::Zero(kF);
  const std::size_t lanes = hn::Lanes(kF);
  for (std::size_t i = 0; i < count; i += lanes) {
    most = hn::Max(most, hn::Abs(hn::LoadU(kF, x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(kF, most));
}

struct Range {
  float low;
  float high;
};
HWY_INLINE Range RangeOf(const float* HWY_RESTRICT x) {
  const std::size_t lanes = hn::Lanes(kF);
  Floats low = hn::LoadU(kF, x);
  Floats high = low;
  for (std::size_t i = lanes; i < 32; i += lanes) {
    const Floats v = hn::LoadU(kF, x + i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  return {hn::GetLane(hn::MinOfLanes(kF, low)), hn::GetLane(hn::MaxOfLanes(kF, high))};
}

// The value of the largest magnitude, the first of them.
HWY_INLINE float Extreme(const float* HWY_RESTRICT x) {
  const Range range = RangeOf(x);
  if (range.high != -range.low) return range.high > -range.low ? range.high : range.low;
  for (int j = 0; j < 32; ++j) {
    if (std::fabs(x[j]) == range.high) return x[j];
  }
  return 0.0f;
}

// Codes of 4 or 5 bits from position(values) into nibbles; the fifth bits of 32 values.
template <bool five, typename Position>
HWY_INLINE std::uint32_t Nibbles(const float* HWY_RESTRICT x, int most, std::byte* qs,
                                 const Position& position) {
  const std::size_t lanes = hn::Lanes(kF);
  const Ints top = hn::Set(kI, most);
  std::uint32_t high = 0;
  for (std::size_t i = 0; i < 16; i += lanes) {
    const Ints a = hn::Min(hn::ConvertTo(kI, position(hn::LoadU(kF, x + i))), top);
    const Ints b = hn::Min(hn::ConvertTo(kI, position(hn::LoadU(kF, x + i + 16))), top);
    if constexpr (five) {
      const Ints bit = hn::Set(kI, 16);
      std::uint8_t bits[8] = {};
      hn::StoreMaskBits(kI, hn::TestBit(a, bit), bits);
      std::uint32_t word = bits[0] | static_cast<std::uint32_t>(bits[1]) << 8;
      high |= word << i;
      bits[1] = 0;
      hn::StoreMaskBits(kI, hn::TestBit(b, bit), bits);
      word = bits[0] | static_cast<std::uint32_t>(bits[1]) << 8;
      high |= word << (i + 16);
    }
    const Ints low = hn::Set(kI, 15);
    StoreBytes(hn::Or(hn::And(a, low), hn::ShiftLeft<4>(hn::And(b, low))), qs + i);
  }
  return high;
}

template <int zero>
HWY_INLINE bool Centred(const float* HWY_RESTRICT x, std::byte* block) {
  const float d = Extreme(x) / -static_cast<float>(zero);
  const float inverse = inverse_scale(d);
  if (inverse == 0.0f) return false;
  const Floats scale = hn::Set(kF, inverse);
  const Floats shift = hn::Set(kF, static_cast<float>(zero) + 0.5f);
  const auto position = [=](Floats v) HWY_ATTR { return hn::Add(hn::Mul(v, scale), shift); };
  put_u16(block, half_scale(d));
  if constexpr (zero == 8) {
    Nibbles<false>(x, 15, block + 2, position);
  } else {
    put_u32(block + 2, Nibbles<true>(x, 31, block + 6, position));
  }
  return true;
}

template <int most>
HWY_INLINE bool WithMinimum(const float* HWY_RESTRICT x, std::byte* block) {
  const Range ends = RangeOf(x);
  if (ends.low == 0.0f) return false;
  const float range = std::min(ends.high - ends.low, 3.4028235e38f);
  const float d = range / static_cast<float>(most);
  const Floats scale = hn::Set(kF, inverse_scale(d));
  const Floats low = hn::Set(kF, ends.low);
  const Floats limit = hn::Set(kF, range);
  const Floats half = hn::Set(kF, 0.5f);
  const auto position = [=](Floats v) HWY_ATTR {
    return hn::Add(hn::Mul(hn::Min(hn::Sub(v, low), limit), scale), half);
  };
  put_u16(block, half_scale(d));
  put_u16(block + 2, half_scale(ends.low));
  if constexpr (most == 15) {
    Nibbles<false>(x, 15, block + 4, position);
  } else {
    put_u32(block + 4, Nibbles<true>(x, 31, block + 8, position));
  }
  return true;
}

HWY_INLINE bool Q8_0(const float* HWY_RESTRICT x, std::byte* block) {
  const float d = LargestMagnitude(x, 32) / 127.0f;
  const Floats scale = hn::Set(kF, inverse_scale(d));
  put_u16(block, half_scale(d));
  const std::size_t lanes = hn::Lanes(kF);
  for (std::size_t i = 0; i < 32; i += lanes) {
    const Ints codes = RoundAway(hn::Mul(hn::LoadU(kF, x + i), scale));
    hn::StoreU(hn::DemoteTo(kI8, codes), kI8, reinterpret_cast<std::int8_t*>(block + 2 + i));
  }
  return true;
}

// 0, 1 or 2.
HWY_INLINE Ints Digit(const float* HWY_RESTRICT x, Floats scale) {
  return hn::Add(RoundAway(hn::Mul(hn::LoadU(kF, x), scale)), hn::Set(kI, 1));
}

HWY_INLINE bool TQ2_0(const float* HWY_RESTRICT x, std::byte* block) {
  const float d = LargestMagnitude(x, 256);
  const Floats scale = hn::Set(kF, inverse_scale(d));
  const std::size_t lanes = hn::Lanes(kF);
  for (std::size_t b = 0; b < 64; b += lanes) {
    const float* from = x + 128 * (b / 32) + b % 32;
    const Ints low = hn::Or(Digit(from, scale), hn::ShiftLeft<2>(Digit(from + 32, scale)));
    const Ints high = hn::Or(Digit(from + 64, scale), hn::ShiftLeft<2>(Digit(from + 96, scale)));
    StoreBytes(hn::Or(low, hn::ShiftLeft<4>(high)), block + b);
  }
  put_u16(block + 64, half_scale(d));
  return true;
}

// number · 256 / 243 rounded up, by a multiplication.
constexpr std::int32_t kTimes = 17261;
constexpr int kShift = 22;
constexpr bool fraction_is_exact() {
  for (std::int32_t n = 0; n < 243; ++n) {
    if (((n * 256 + 242) * kTimes >> kShift) != (n * 256 + 242) / 243) return false;
  }
  return true;
}
static_assert(fraction_is_exact());

HWY_INLINE bool TQ1_0(const float* HWY_RESTRICT x, std::byte* block) {
  const float d = LargestMagnitude(x, 256);
  const float inverse = inverse_scale(d);
  const Floats scale = hn::Set(kF, inverse);
  const Ints three = hn::Set(kI, 3);
  const auto fraction = [](Ints number) HWY_ATTR {
    const Ints scaled = hn::Add(hn::ShiftLeft<8>(number), hn::Set(kI, 242));
    return hn::ShiftRight<kShift>(hn::Mul(scaled, hn::Set(kI, kTimes)));
  };
  const std::size_t lanes = hn::Lanes(kF);
  for (std::size_t b = 0; b < 48; b += lanes) {
    const std::size_t stride = b < 32 ? 32 : 16;
    const float* from = b < 32 ? x + b : x + 160 + (b - 32);
    Ints number = Digit(from, scale);
    for (std::size_t n = 1; n < 5; ++n) {
      number = hn::Add(hn::Mul(number, three), Digit(from + n * stride, scale));
    }
    StoreBytes(fraction(number), block + b);
  }
  for (std::size_t b = 0; b < 4; ++b) {
    int number = 0;
    for (std::size_t n = 0; n < 4; ++n) {
      number = 3 * number + static_cast<int>(std::round(x[240 + 4 * n + b] * inverse)) + 1;
    }
    put_u8(block + 48 + b, static_cast<unsigned>((3 * number * 256 + 242) / 243));
  }
  put_u16(block + 52, half_scale(d));
  return true;
}

template <typename Kernel>
HWY_INLINE void Each(DType type, const float* x, std::size_t blocks, std::byte* out,
                     QuantizeBlock plain, const Kernel& kernel) {
  const std::size_t elements = info(type).block_elements;
  const std::size_t bytes = info(type).block_bytes;
  for (std::size_t i = 0; i < blocks; ++i) {
    const float* values = x + i * elements;
    if (!kernel(values, out + i * bytes)) plain(values, out + i * bytes);
  }
}

void Quantize(DType type, const float* x, std::size_t blocks, std::byte* out) {
#define QI_CASE(type_name, plain, kernel)    \
  case DType::type_name:                     \
    return Each(type, x, blocks, out, plain, \
                [](const float* v, std::byte* b) HWY_ATTR { return kernel(v, b); })
  switch (type) {
    QI_CASE(kQ4_0, make_q4_0, Centred<8>);
    QI_CASE(kQ5_0, make_q5_0, Centred<16>);
    QI_CASE(kQ4_1, make_q4_1, WithMinimum<15>);
    QI_CASE(kQ5_1, make_q5_1, WithMinimum<31>);
    QI_CASE(kQ8_0, make_q8_0, Q8_0);
    QI_CASE(kTQ1_0, make_tq1_0, TQ1_0);
    QI_CASE(kTQ2_0, make_tq2_0, TQ2_0);
    default:
      assert(false);
  }
#undef QI_CASE
}

// The bits of the largest magnitude, NaN above all.
std::uint32_t LargestBits(const float* x, std::size_t count) {
  const std::size_t lanes = hn::Lanes(kF);
  const auto mask = hn::Set(kI, 0x7FFFFFFF);
  Ints most = hn::Zero(kI);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    most = hn::Max(most, hn::And(hn::BitCast(kI, hn::LoadU(kF, x + i)), mask));
  }
  auto largest = static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(kI, most)));
  for (; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFu);
  }
  return largest;
}

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::ggml {

HWY_EXPORT(Quantize);
HWY_EXPORT(LargestBits);

void quantize_simd(DType type, const float* values, std::size_t blocks, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(Quantize)(type, values, blocks, out);
}

std::uint32_t largest_bits(const float* values, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(LargestBits)(values, count);
}

}  // namespace qi::ggml
#endif
