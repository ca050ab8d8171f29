// How each type of stored rows lies in memory: of blocks their bytes, where factors are and how 32
// codes come out of them; of floats how a vector of them is loaded. Included once per SIMD target
// (hwy/foreach_target.h) by row_dots_simd.cpp alone, not for HWY_SCALAR. Refuses nothing; any
// address, any thread.
#if defined(QI_EVAL_TRANSFORMER_ROW_DOTS_TYPES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef QI_EVAL_TRANSFORMER_ROW_DOTS_TYPES_INL_H
#undef QI_EVAL_TRANSFORMER_ROW_DOTS_TYPES_INL_H
#else
#define QI_EVAL_TRANSFORMER_ROW_DOTS_TYPES_INL_H
#endif

#include <cstddef>
#include <cstdint>

#include <hwy/highway.h>

#include "engine/quant/ggml_bytes.h"
#include "engine/quant/iq_tables.h"
#include "eval/transformer/row_dots_sinks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {
namespace {

#if HWY_TARGET != HWY_SCALAR

// The types of blocks of 32: where their factors are, what is subtracted from codes (0: nothing,
// or offsets of their own), and their codes.

struct RowsI8 {
  static constexpr std::size_t kBytes = 32;
  static constexpr int kScaleAt = -1, kOffsetAt = -1, kZero = 0;
  static constexpr bool kSigned = true;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load32(b); }
};

struct RowsQ8_0 {
  static constexpr std::size_t kBytes = 34;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 0;
  static constexpr bool kSigned = true;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load32(b + 2); }
};

struct RowsQ4_0 {
  static constexpr std::size_t kBytes = 18;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 8;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load16Twice(Load16(b + 2)); }
};

struct RowsQ4_1 {
  static constexpr std::size_t kBytes = 20;
  static constexpr int kScaleAt = 0, kOffsetAt = 2, kZero = 0;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) { return Load16Twice(Load16(b + 4)); }
};

struct RowsQ5_0 {
  static constexpr std::size_t kBytes = 22;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 16;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) {
    return Or(Load16Twice(Load16(b + 6)), FifthBits32(ggml::u32(b + 2)));
  }
};

struct RowsQ5_1 {
  static constexpr std::size_t kBytes = 24;
  static constexpr int kScaleAt = 0, kOffsetAt = 2, kZero = 0;
  static constexpr bool kSigned = false;
  static HWY_INLINE Codes Of(const std::byte* b) {
    return Or(Load16Twice(Load16(b + 8)), FifthBits32(ggml::u32(b + 4)));
  }
};

struct RowsIQ4NL {
  static constexpr std::size_t kBytes = 18;
  static constexpr int kScaleAt = 0, kOffsetAt = -1, kZero = 0;
  static constexpr bool kSigned = true;
  static HWY_INLINE Codes Of(const std::byte* b) {
    const Bytes levels = hn::BitCast(kU8, hn::LoadU(kI8, kIq4nlValues.data()));
    const Bytes qs = Load16(b + 2);
    return Joined(hn::TableLookupBytes(levels, ggml::HWY_NAMESPACE::Low(qs)),
                  hn::TableLookupBytes(levels, ggml::HWY_NAMESPACE::High(qs)));
  }
};

// The types of blocks of 256: the factors of 16 runs of 16, and the codes of 8 groups of 32.

/// The 8 scales, then the 8 offsets of a Q4_K or Q5_K block, each for two runs: two words of six
/// bits each, four at a time.
HWY_INLINE SuperFactors FactorsOfQ4K(const std::byte* block) {
  const std::uint32_t first = ggml::u32(block + 4);
  const std::uint32_t second = ggml::u32(block + 8);
  const std::uint32_t third = ggml::u32(block + 12);
  const auto twice = [](std::uint32_t low, std::uint32_t high) HWY_ATTR {
    const hn::FixedTag<std::uint64_t, 2> words;
    const Bytes eight = hn::BitCast(kU8, hn::Set(words, std::uint64_t{high} << 32 | low));
    return hn::InterleaveLower(kU8, eight, eight);
  };
  return {hn::BitCast(
              kI8, twice(first & 0x3F3F3F3Fu, (third & 0x0F0F0F0Fu) | (first >> 2 & 0x30303030u))),
          twice(second & 0x3F3F3F3Fu, (third >> 4 & 0x0F0F0F0Fu) | (second >> 2 & 0x30303030u)),
          Half(block), -Half(block + 2)};
}

struct RowsQ2K {
  static constexpr std::size_t kBytes = 84;
  static constexpr int kRuns = 16;  // that have factors of their own
  static constexpr int kZero = 0;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) {
    const Bytes both = Load16(b);
    return {hn::BitCast(kI8, ggml::HWY_NAMESPACE::Low(both)), ggml::HWY_NAMESPACE::High(both),
            Half(b + 80), -Half(b + 82)};
  }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    for (std::size_t half = 0; half < 2; ++half) {
      const Codes codes = Load32(b + 16 + 32 * half);
      use(4 * half, TwoBits<0>(codes));
      use(4 * half + 1, TwoBits<2>(codes));
      use(4 * half + 2, TwoBits<4>(codes));
      use(4 * half + 3, TwoBits<6>(codes));
    }
  }
};

struct RowsQ3K {
  static constexpr std::size_t kBytes = 110;
  static constexpr int kRuns = 16;
  static constexpr int kZero = 4;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) {
    const std::uint64_t low = ggml::u32(b + 96) | std::uint64_t{ggml::u32(b + 100)} << 32;
    const std::uint32_t high = ggml::u32(b + 104);
    const auto word = [&](int shift) HWY_ATTR {  // 8 scales: four bits of `low`, two of `high`
      const std::uint64_t top =
          (high >> shift & 0x03030303u) | std::uint64_t{high >> (shift + 2) & 0x03030303u} << 32;
      return (low >> shift & 0x0F0F0F0F0F0F0F0Fu) | top << 4;
    };
    const hn::FixedTag<std::uint64_t, 1> eight;
    const auto scales = hn::Combine(hn::FixedTag<std::uint64_t, 2>(), hn::Set(eight, word(4)),
                                    hn::Set(eight, word(0)));
    return {hn::Sub(hn::BitCast(kI8, scales), hn::Set(kI8, 32)), hn::Zero(kU8), Half(b + 108), 0};
  }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    const Codes top = Load32(b);
    for (unsigned half = 0; half < 2; ++half) {
      const Codes codes = Load32(b + 32 + 32 * half);
      const unsigned j = 4 * half;
      use(j, Or(TwoBits<0>(codes), WhereBit(top, j, 4)));
      use(j + 1, Or(TwoBits<2>(codes), WhereBit(top, j + 1, 4)));
      use(j + 2, Or(TwoBits<4>(codes), WhereBit(top, j + 2, 4)));
      use(j + 3, Or(TwoBits<6>(codes), WhereBit(top, j + 3, 4)));
    }
  }
};

struct RowsQ4K {
  static constexpr std::size_t kBytes = 144;
  static constexpr int kRuns = 8;
  static constexpr int kZero = 0;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) { return FactorsOfQ4K(b); }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    for (std::size_t j = 0; j < 8; j += 2) {
      const Codes codes = Load32(b + 16 + 16 * j);
      use(j, Low(codes));
      use(j + 1, High(codes));
    }
  }
};

struct RowsQ5K {
  static constexpr std::size_t kBytes = 176;
  static constexpr int kRuns = 8;
  static constexpr int kZero = 0;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) { return FactorsOfQ4K(b); }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    const Codes top = Load32(b + 16);
    for (unsigned j = 0; j < 8; j += 2) {
      const Codes codes = Load32(b + 48 + 16 * j);
      use(j, Or(Low(codes), WhereBit(top, j, 16)));
      use(j + 1, Or(High(codes), WhereBit(top, j + 1, 16)));
    }
  }
};

struct RowsQ6K {
  static constexpr std::size_t kBytes = 210;
  static constexpr int kRuns = 16;
  static constexpr int kZero = 32;
  static HWY_INLINE SuperFactors Factors(const std::byte* b) {
    return {hn::BitCast(kI8, Load16(b + 192)), hn::Zero(kU8), Half(b + 208), 0};
  }
  template <typename Use>
  static HWY_INLINE void EachCodes(const std::byte* b, const Use& use) {
    for (std::size_t half = 0; half < 2; ++half) {
      const Codes one = Load32(b + 64 * half);
      const Codes two = Load32(b + 64 * half + 32);
      const Codes top = Load32(b + 128 + 32 * half);  // two bits each
      const std::size_t j = 4 * half;
      use(j, Or(Low(one), Fourfold(TwoBits<0>(top))));
      use(j + 1, Or(Low(two), Fourfold(TwoBits<2>(top))));
      use(j + 2, Or(High(one), Fourfold(TwoBits<4>(top))));
      use(j + 3, Or(High(two), Fourfold(TwoBits<6>(top))));
    }
  }
};
// Plain numbers, as vectors of floats.

struct LoadF32 {
  static constexpr std::size_t kBytes = 4;
  static HWY_INLINE Floats Load(const std::byte* at) {
    return hn::LoadU(kF, reinterpret_cast<const float*>(at));
  }
};
struct LoadBF16 {
  static constexpr std::size_t kBytes = 2;
  static HWY_INLINE Floats Load(const std::byte* at) {
    const hn::RebindToUnsigned<decltype(kF)> words;
    const auto halves = hn::LoadU(kHalves, reinterpret_cast<const std::uint16_t*>(at));
    return hn::BitCast(kF, hn::ShiftLeft<16>(hn::PromoteTo(words, halves)));
  }
};
struct LoadF16 {
  static constexpr std::size_t kBytes = 2;
  static HWY_INLINE Floats Load(const std::byte* at) {
#if QI_MACHINE_HALVES
    const hn::Rebind<hwy::float16_t, decltype(kF)> halves;
    const auto bits = hn::LoadU(kHalves, reinterpret_cast<const std::uint16_t*>(at));
    return hn::PromoteTo(kF, hn::BitCast(halves, bits));
#else
    HWY_ALIGN float values[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) values[i] = ggml::f16(at + 2 * i);
    return hn::Load(kF, values);
#endif
  }
};
#endif  // HWY_SCALAR

}  // namespace
}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
