#include "engine/stats/int8_row.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/stats/int8_row.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<float> kFloats;
const hn::RebindToSigned<decltype(kFloats)> kInts;
const hn::RebindToUnsigned<decltype(kFloats)> kWords;
const hn::Rebind<std::uint16_t, decltype(kFloats)> kHalves;
const hn::Rebind<std::int8_t, decltype(kFloats)> kCodes;
const hn::ScalableTag<std::int16_t> kShorts;

// LoadU wants element pointers but no alignment.
const std::uint16_t* words_of(const std::byte* in) {
  return reinterpret_cast<const std::uint16_t*>(in);
}

std::uint32_t AbsMax16(const std::byte* in, std::size_t count) {
  // Without the sign a pattern is a non-negative int16, for which every target has a max.
  const std::size_t lanes = hn::Lanes(kShorts);
  const auto mask = hn::Set(kShorts, 0x7FFF);
  const auto* shorts = reinterpret_cast<const std::int16_t*>(in);
  auto a = hn::Zero(kShorts);
  auto b = a;
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    a = hn::Max(a, hn::And(mask, hn::LoadU(kShorts, shorts + i)));
    b = hn::Max(b, hn::And(mask, hn::LoadU(kShorts, shorts + i + lanes)));
  }
  HWY_ALIGN std::int16_t found[HWY_LANES(std::int16_t)];
  hn::Store(hn::Max(a, b), kShorts, found);
  const auto largest = static_cast<std::uint32_t>(*std::max_element(found, found + lanes));
  return std::max(largest, plain::absmax_16(in + 2 * i, count - i));
}

std::uint32_t AbsMax32(const float* in, std::size_t count) {
  const std::size_t lanes = hn::Lanes(kInts);
  const auto mask = hn::Set(kInts, 0x7FFFFFFF);
  auto a = hn::Zero(kInts);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    a = hn::Max(a, hn::And(mask, hn::BitCast(kInts, hn::LoadU(kFloats, in + i))));
  }
  HWY_ALIGN std::int32_t found[HWY_LANES(std::int32_t)];
  hn::Store(a, kInts, found);
  const auto largest = static_cast<std::uint32_t>(*std::max_element(found, found + lanes));
  return std::max(largest, plain::absmax_32(in + i, count - i));
}

// |value·inverse| ≤ 127 but for the last rounding: saturation below keeps it in a byte, and
// 127.00001 rounds to 127.
template <typename V>
HWY_INLINE auto rounded(V value, float inverse) {
  return hn::NearestInt(hn::Mul(value, hn::Set(kFloats, inverse)));
}

template <int kMantissaBits, typename Widen>
HWY_INLINE std::uint64_t QuantizeWords(const PairRow& row, const std::byte* in, std::size_t count,
                                       std::int8_t* q, const Widen& widen, std::size_t& done) {
  constexpr std::uint32_t kExponentBits = 15 - kMantissaBits;
  const std::size_t lanes = hn::Lanes(kFloats);
  const auto exponent_mask = hn::Set(kInts, (1 << kExponentBits) - 1);
  const auto top = hn::Set(kInts, static_cast<std::int32_t>(row.zero_exponent()));
  const auto limit = hn::Set(kInts, static_cast<std::int32_t>(kUnaryLimit));
  const auto escaped = hn::Set(kInts, static_cast<std::int32_t>(kUnaryLimit + kExponentBits));
  const auto one = hn::Set(kInts, 1);
  const auto fixed = hn::Set(kInts, 1 + kMantissaBits);  // sign and mantissa
  auto sum = hn::Zero(kInts);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto halves = hn::LoadU(kHalves, words_of(in) + i);
    const auto code = rounded(widen(halves), row.inverse());
    hn::StoreU(hn::DemoteTo(kCodes, code), kCodes, q + i);
    // PairRow::zero_bits() in every lane, kept where q = 0.
    const auto bits = hn::PromoteTo(kInts, halves);
    const auto exponent = hn::And(hn::ShiftRight<kMantissaBits>(bits), exponent_mask);
    const auto steps = hn::Sub(top, exponent);
    const auto near = hn::And(hn::Lt(steps, limit), hn::Gt(steps, hn::Set(kInts, -1)));
    const auto unary = hn::IfThenElse(near, hn::Add(steps, one), escaped);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::Eq(code, hn::Zero(kInts)), hn::Add(unary, fixed)));
  }
  HWY_ALIGN std::int32_t lane_sums[HWY_LANES(std::int32_t)];
  hn::Store(sum, kInts, lane_sums);
  std::uint64_t total = 0;
  for (std::size_t k = 0; k < lanes; ++k) total += static_cast<std::uint32_t>(lane_sums[k]);
  done = i;
  return total;
}

std::uint64_t QuantizeBF16(const PairRow& row, const std::byte* in, std::size_t count,
                           std::int8_t* q) {
  std::size_t done = 0;
  const std::uint64_t bits = QuantizeWords<7>(
      row, in, count, q,
      [](auto halves) HWY_ATTR {
        return hn::BitCast(kFloats, hn::ShiftLeft<16>(hn::PromoteTo(kWords, halves)));
      },
      done);
  return bits + plain::quantize_bf16(row, in + 2 * done, count - done, q + done);
}

std::uint64_t QuantizeF16(const PairRow& row, const std::byte* in, std::size_t count,
                          std::int8_t* q) {
  std::size_t done = 0;
  const std::uint64_t bits = QuantizeWords<10>(
      row, in, count, q,
      [](auto halves) HWY_ATTR {
        // f16_to_float() of finite numbers: a subnormal by its integer, so that no float32
        // subnormal slows the machine down.
        const auto word = hn::PromoteTo(kWords, halves);
        const auto sign = hn::ShiftLeft<16>(hn::And(word, hn::Set(kWords, 0x8000u)));
        const auto magnitude = hn::And(word, hn::Set(kWords, 0x7FFFu));
        const auto integer = hn::BitCast(kInts, magnitude);
        const auto small = hn::Mul(hn::ConvertTo(kFloats, integer), hn::Set(kFloats, 0x1p-24f));
        const auto normal = hn::BitCast(
            kFloats, hn::Add(hn::ShiftLeft<13>(magnitude), hn::Set(kWords, 112u << 23)));
        const auto is_small = hn::RebindMask(kFloats, hn::Lt(integer, hn::Set(kInts, 0x0400)));
        const auto value = hn::IfThenElse(is_small, small, normal);
        return hn::BitCast(kFloats, hn::Or(hn::BitCast(kWords, value), sign));
      },
      done);
  return bits + plain::quantize_f16(row, in + 2 * done, count - done, q + done);
}

void QuantizeF32(float inverse, const float* in, std::size_t count, std::int8_t* q) {
  const std::size_t lanes = hn::Lanes(kFloats);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::DemoteTo(kCodes, rounded(hn::LoadU(kFloats, in + i), inverse)), kCodes, q + i);
  }
  plain::quantize_f32(inverse, in + i, count - i, q + i);
}

}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi {

HWY_EXPORT(AbsMax16);
HWY_EXPORT(AbsMax32);
HWY_EXPORT(QuantizeBF16);
HWY_EXPORT(QuantizeF16);
HWY_EXPORT(QuantizeF32);

std::uint32_t absmax_16(const std::byte* in, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(AbsMax16)(in, count);
}
std::uint32_t absmax_32(const float* in, std::size_t count) {
  return HWY_DYNAMIC_DISPATCH(AbsMax32)(in, count);
}
std::uint64_t quantize_bf16(const PairRow& row, const std::byte* in, std::size_t count,
                            std::int8_t* q) {
  return HWY_DYNAMIC_DISPATCH(QuantizeBF16)(row, in, count, q);
}
std::uint64_t quantize_f16(const PairRow& row, const std::byte* in, std::size_t count,
                           std::int8_t* q) {
  return HWY_DYNAMIC_DISPATCH(QuantizeF16)(row, in, count, q);
}
void quantize_f32(float inverse, const float* in, std::size_t count, std::int8_t* q) {
  HWY_DYNAMIC_DISPATCH(QuantizeF32)(inverse, in, count, q);
}

}  // namespace qi
#endif
