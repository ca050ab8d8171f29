#include "engine/quant/ggml_simd.h"

#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>

#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_bytes.h"
#include "engine/quant/iq_tables.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/quant/ggml_simd.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "engine/quant/ggml_bits-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
// No vectors to hold 16 bytes: the plain loops are the kernel.
void Dequantize(DType type, const std::byte* in, std::size_t blocks, float* out) {
  dequantize_blocks_plain(type, in, blocks * info(type).block_elements, out);
}
#else

// Every format works on runs of 16 weights: codes are 16 bytes, values up to 16 lanes.
const hn::CappedTag<float, 16> kF;
const hn::Rebind<std::int32_t, decltype(kF)> kI;
const hn::Rebind<std::int8_t, decltype(kF)> kNarrow;

// 16 signed codes → floats → `map` → out.
template <typename Map>
HWY_INLINE void Emit(SignedBytes codes, float* HWY_RESTRICT out, const Map& map) {
  HWY_ALIGN std::int8_t buffer[16];
  hn::Store(codes, kI8, buffer);
  const std::size_t lanes = hn::Lanes(kF);
  for (std::size_t i = 0; i < 16; i += lanes) {
    const auto v = hn::ConvertTo(kF, hn::PromoteTo(kI, hn::LoadU(kNarrow, buffer + i)));
    hn::StoreU(map(v), kF, out + i);
  }
}
HWY_INLINE void Scaled(SignedBytes codes, float scale, float* HWY_RESTRICT out) {
  const auto s = hn::Set(kF, scale);
  Emit(codes, out, [s](auto v) HWY_ATTR { return hn::Mul(v, s); });
}
HWY_INLINE void ScaledPlus(Bytes codes, float scale, float add, float* HWY_RESTRICT out) {
  const auto s = hn::Set(kF, scale);
  const auto a = hn::Set(kF, add);
  Emit(hn::BitCast(kI8, codes), out, [s, a](auto v) HWY_ATTR { return hn::Add(hn::Mul(v, s), a); });
}
HWY_INLINE void ScaledMinus(Bytes codes, float scale, float min, float* HWY_RESTRICT out) {
  const auto s = hn::Set(kF, scale);
  const auto m = hn::Set(kF, min);
  Emit(hn::BitCast(kI8, codes), out, [s, m](auto v) HWY_ATTR { return hn::Sub(hn::Mul(v, s), m); });
}

HWY_INLINE void Q4_0(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  const Bytes qs = Load16(block + 2);
  Scaled(Minus(Low(qs), 8), d, out);
  Scaled(Minus(High(qs), 8), d, out + 16);
}

HWY_INLINE void Q4_1(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  const float m = f16(block + 2);
  const Bytes qs = Load16(block + 4);
  ScaledPlus(Low(qs), d, m, out);
  ScaledPlus(High(qs), d, m, out + 16);
}

HWY_INLINE void Q5_0(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  const std::uint32_t qh = u32(block + 2);
  const Bytes qs = Load16(block + 6);
  Scaled(Minus(hn::Or(Low(qs), FifthBits(qh)), 16), d, out);
  Scaled(Minus(hn::Or(High(qs), FifthBits(qh >> 16)), 16), d, out + 16);
}

HWY_INLINE void Q5_1(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  const float m = f16(block + 2);
  const std::uint32_t qh = u32(block + 4);
  const Bytes qs = Load16(block + 8);
  ScaledPlus(hn::Or(Low(qs), FifthBits(qh)), d, m, out);
  ScaledPlus(hn::Or(High(qs), FifthBits(qh >> 16)), d, m, out + 16);
}

HWY_INLINE void Q8_0(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  Scaled(hn::BitCast(kI8, Load16(block + 2)), d, out);
  Scaled(hn::BitCast(kI8, Load16(block + 18)), d, out + 16);
}

HWY_INLINE void Q2K(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block + 80);
  const float dmin = f16(block + 82);
  for (int g = 0; g < 16; ++g) {
    const Bytes qs = Load16(block + 16 + 32 * (g / 8) + 16 * (g % 2));
    ScaledMinus(TwoBits(qs, 2 * ((g % 8) / 2)), d * static_cast<float>(low_nibble(block + g)),
                dmin * static_cast<float>(high_nibble(block + g)), out + 16 * g);
  }
}

HWY_INLINE void Q3K(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block + 108);
  for (int g = 0; g < 16; ++g) {
    const Bytes qs = Load16(block + 32 + 32 * (g / 8) + 16 * (g % 2));
    const Bytes high = WhereBit(Load16(block + 16 * (g % 2)), static_cast<unsigned>(g / 2), 4);
    const Bytes codes = hn::Or(TwoBits(qs, 2 * ((g % 8) / 2)), high);
    Scaled(Minus(codes, 4), d * static_cast<float>(q3k_scale(block + 96, g)), out + 16 * g);
  }
}

// Scale and minimum of the 8 groups of Q4_K and Q5_K.
struct Affine {
  explicit HWY_INLINE Affine(const std::byte* block) {
    const float d = f16(block);
    const float dmin = f16(block + 2);
    for (int j = 0; j < 8; ++j) {
      const ScaleMin sm = k_scale_min(block + 4, j);
      scale[j] = d * static_cast<float>(sm.scale);
      min[j] = dmin * static_cast<float>(sm.min);
    }
  }
  float scale[8];
  float min[8];
};

HWY_INLINE void Q4K(const std::byte* block, float* HWY_RESTRICT out) {
  const Affine groups(block);
  for (int pair = 0; pair < 4; ++pair) {
    for (int half = 0; half < 2; ++half) {
      const Bytes qs = Load16(block + 16 + 32 * pair + 16 * half);
      float* y = out + 64 * pair + 16 * half;
      ScaledMinus(Low(qs), groups.scale[2 * pair], groups.min[2 * pair], y);
      ScaledMinus(High(qs), groups.scale[2 * pair + 1], groups.min[2 * pair + 1], y + 32);
    }
  }
}

HWY_INLINE void Q5K(const std::byte* block, float* HWY_RESTRICT out) {
  const Affine groups(block);
  for (int half = 0; half < 2; ++half) {
    const Bytes qh = Load16(block + 16 + 16 * half);
    for (int pair = 0; pair < 4; ++pair) {
      const int j = 2 * pair;
      const auto bit = static_cast<unsigned>(j);
      const Bytes qs = Load16(block + 48 + 32 * pair + 16 * half);
      float* y = out + 64 * pair + 16 * half;
      ScaledMinus(hn::Or(Low(qs), WhereBit(qh, bit, 16)), groups.scale[j], groups.min[j], y);
      ScaledMinus(hn::Or(High(qs), WhereBit(qh, bit + 1, 16)), groups.scale[j + 1],
                  groups.min[j + 1], y + 32);
    }
  }
}

HWY_INLINE void Q6K(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block + 208);
  for (int run = 0; run < 4; ++run) {  // 128-weight half, then 16-weight half of each group of 32
    const int half = run / 2;
    const int l = 16 * (run % 2);
    const Bytes a = Load16(block + 64 * half + l);
    const Bytes b = Load16(block + 64 * half + 32 + l);
    const Bytes qh = Load16(block + 128 + 32 * half + l);
    const std::byte* sc = block + 192 + 8 * half + run % 2;
    float* y = out + 128 * half + l;
    const auto top = [qh](int k) HWY_ATTR {
      return hn::BitCast(kU8, hn::ShiftLeft<4>(hn::BitCast(kU16, TwoBits(qh, 2 * k))));
    };
    Scaled(Minus(hn::Or(Low(a), top(0)), 32), d * static_cast<float>(i8(sc)), y);
    Scaled(Minus(hn::Or(Low(b), top(1)), 32), d * static_cast<float>(i8(sc + 2)), y + 32);
    Scaled(Minus(hn::Or(High(a), top(2)), 32), d * static_cast<float>(i8(sc + 4)), y + 64);
    Scaled(Minus(hn::Or(High(b), top(3)), 32), d * static_cast<float>(i8(sc + 6)), y + 96);
  }
}

// Nibbles as indices of a table of 16 signed levels.
HWY_INLINE void Levels(Bytes nibbles, const std::array<std::int8_t, 16>& table, float scale,
                       float* HWY_RESTRICT out) {
  const SignedBytes levels = hn::LoadU(kI8, table.data());
  Scaled(hn::TableLookupBytes(levels, hn::BitCast(kI8, nibbles)), scale, out);
}

HWY_INLINE void IQ4NL(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  const Bytes qs = Load16(block + 2);
  Levels(Low(qs), kIq4nlValues, d, out);
  Levels(High(qs), kIq4nlValues, d, out + 16);
}

HWY_INLINE void IQ4XS(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block);
  const std::uint32_t sh = u16(block + 2);
  for (int g = 0; g < 8; ++g) {
    const std::uint32_t low = (u8(block + 4 + g / 2) >> (4 * (g % 2))) & 15;
    const auto bits = static_cast<int>(low | ((sh >> (2 * g)) & 3) << 4);
    const float scale = d * static_cast<float>(bits - 32);
    const Bytes qs = Load16(block + 8 + 16 * g);
    Levels(Low(qs), kIq4nlValues, scale, out + 32 * g);
    Levels(High(qs), kIq4nlValues, scale, out + 32 * g + 16);
  }
}

HWY_INLINE void MXFP4(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = mxfp4_scale(u8(block));
  const Bytes qs = Load16(block + 1);
  Levels(Low(qs), kMxfp4Values, d, out);
  Levels(High(qs), kMxfp4Values, d, out + 16);
}

HWY_INLINE void NVFP4(const std::byte* block, float* HWY_RESTRICT out) {
  for (int pair = 0; pair < 2; ++pair) {  // 16 bytes hold two groups of 8 low and 8 high nibbles
    const Bytes qs = Load16(block + 4 + 16 * pair);
    const Bytes low = Low(qs);
    const Bytes high = High(qs);
    const hn::FixedTag<std::uint64_t, 2> words;
    const auto a = hn::BitCast(words, low);
    const auto b = hn::BitCast(words, high);
    float* y = out + 32 * pair;
    const std::byte* scales = block + 2 * pair;
    Levels(hn::BitCast(kU8, hn::InterleaveLower(words, a, b)), kMxfp4Values,
           nvfp4_scale(u8(scales)), y);
    Levels(hn::BitCast(kU8, hn::InterleaveUpper(words, a, b)), kMxfp4Values,
           nvfp4_scale(u8(scales + 1)), y + 16);
  }
}

HWY_INLINE void TQ2_0(const std::byte* block, float* HWY_RESTRICT out) {
  const float d = f16(block + 64);
  for (int i = 0; i < 16; ++i) {  // 16 runs of 16 weights
    const Bytes qs = Load16(block + 32 * (i / 8) + 16 * (i % 2));
    Scaled(Minus(TwoBits(qs, 2 * ((i % 8) / 2)), 1), d, out + 16 * i);
  }
}

template <typename Block>
HWY_INLINE void Each(DType type, const std::byte* in, std::size_t blocks, float* out,
                     const Block& block) {
  const std::size_t bytes = info(type).block_bytes;
  const std::size_t elements = info(type).block_elements;
  for (std::size_t i = 0; i < blocks; ++i) block(in + i * bytes, out + i * elements);
}

void Dequantize(DType type, const std::byte* in, std::size_t blocks, float* out) {
  const auto each = [=](const auto& block) HWY_ATTR { Each(type, in, blocks, out, block); };
#define QI_CASE(type_name, kernel) \
  case DType::type_name:           \
    return each([](const std::byte* b, float* y) HWY_ATTR { kernel(b, y); })
  switch (type) {
    QI_CASE(kQ4_0, Q4_0);
    QI_CASE(kQ4_1, Q4_1);
    QI_CASE(kQ5_0, Q5_0);
    QI_CASE(kQ5_1, Q5_1);
    QI_CASE(kQ8_0, Q8_0);
    QI_CASE(kQ2K, Q2K);
    QI_CASE(kQ3K, Q3K);
    QI_CASE(kQ4K, Q4K);
    QI_CASE(kQ5K, Q5K);
    QI_CASE(kQ6K, Q6K);
    QI_CASE(kIQ4NL, IQ4NL);
    QI_CASE(kIQ4XS, IQ4XS);
    QI_CASE(kMXFP4, MXFP4);
    QI_CASE(kNVFP4, NVFP4);
    QI_CASE(kTQ2_0, TQ2_0);
    default:
      assert(false);
  }
#undef QI_CASE
}

#endif  // HWY_SCALAR

}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::ggml {

HWY_EXPORT(Dequantize);

bool has_kernel(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
    case DType::kQ2K:
    case DType::kQ3K:
    case DType::kQ4K:
    case DType::kQ5K:
    case DType::kQ6K:
    case DType::kIQ4NL:
    case DType::kIQ4XS:
    case DType::kMXFP4:
    case DType::kNVFP4:
    case DType::kTQ2_0:
      return true;
    default:
      return false;
  }
}

void dequantize_simd(DType type, const std::byte* in, std::size_t blocks, float* out) {
  HWY_DYNAMIC_DISPATCH(Dequantize)(type, in, blocks, out);
}

}  // namespace qi::ggml
#endif
