// The codes of ggml blocks, 16 bytes of them at a time: nibbles, pairs of bits and single ones, in
// the order that every block type keeps them in. Included once per SIMD target
// (hwy/foreach_target.h), not for HWY_SCALAR, which has no vectors of 16 bytes. Refuses nothing;
// any address, any thread.
#if defined(QI_ENGINE_QUANT_GGML_BITS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_ENGINE_QUANT_GGML_BITS_INL_H
#undef QI_ENGINE_QUANT_GGML_BITS_INL_H
#else
#define QI_ENGINE_QUANT_GGML_BITS_INL_H
#endif

#include <cstddef>
#include <cstdint>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

const hn::FixedTag<std::uint8_t, 16> kU8;
const hn::FixedTag<std::int8_t, 16> kI8;
const hn::FixedTag<std::uint16_t, 8> kU16;
using Bytes = hn::Vec<decltype(kU8)>;
using SignedBytes = hn::Vec<decltype(kI8)>;

HWY_INLINE Bytes Load16(const std::byte* at) {
  return hn::LoadU(kU8, reinterpret_cast<const std::uint8_t*>(at));
}
HWY_INLINE Bytes Low(Bytes v) {
  return hn::And(v, hn::Set(kU8, 15));
}
HWY_INLINE Bytes High(Bytes v) {
  return hn::And(hn::BitCast(kU8, hn::ShiftRight<4>(hn::BitCast(kU16, v))), hn::Set(kU8, 15));
}
// (v >> shift) & 3 per byte: bits of the neighbour fall to the mask.
HWY_INLINE Bytes TwoBits(Bytes v, int shift) {
  const auto moved = hn::ShiftRightSame(hn::BitCast(kU16, v), shift);
  return hn::And(hn::BitCast(kU8, moved), hn::Set(kU8, 3));
}
// `value` where the byte has the bit, else 0.
HWY_INLINE Bytes WhereBit(Bytes v, unsigned bit, unsigned value) {
  const Bytes mask = hn::Set(kU8, static_cast<std::uint8_t>(1u << bit));
  return hn::IfThenElseZero(hn::TestBit(v, mask), hn::Set(kU8, static_cast<std::uint8_t>(value)));
}
HWY_INLINE SignedBytes Minus(Bytes v, int zero) {
  return hn::Sub(hn::BitCast(kI8, v), hn::Set(kI8, static_cast<std::int8_t>(zero)));
}

// 16 where bit i of `bits` is set, for i = 0 … 15.
HWY_INLINE Bytes FifthBits(std::uint32_t bits) {
  alignas(16) static constexpr std::uint8_t kSpread[16] = {0, 0, 0, 0, 0, 0, 0, 0,
                                                           1, 1, 1, 1, 1, 1, 1, 1};
  alignas(16) static constexpr std::uint8_t kMasks[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                                          1, 2, 4, 8, 16, 32, 64, 128};
  const Bytes pairs = hn::BitCast(kU8, hn::Set(kU16, static_cast<std::uint16_t>(bits)));
  const Bytes spread = hn::TableLookupBytes(pairs, hn::Load(kU8, kSpread));
  return hn::IfThenElseZero(hn::TestBit(spread, hn::Load(kU8, kMasks)), hn::Set(kU8, 16));
}

#endif  // HWY_SCALAR

}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
