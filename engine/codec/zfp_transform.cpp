#include "engine/codec/zfp_transform.h"

#include <array>
#include <cstring>

// Vectors of at most 8 numbers: what is newer than AVX2 adds nothing.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/codec/zfp_transform.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#ifndef QI_ZFP_ORDER
#define QI_ZFP_ORDER
namespace qi {
namespace {

// Where the coefficients of a block belong (x + 4 y + 16 z + 64 w), in the order they are coded:
// by the sum of their frequencies, then of their squares; ties as the format has them.
constexpr std::array<std::uint8_t, 4> kZfpOrder1 = {0, 1, 2, 3};
constexpr std::array<std::uint8_t, 16> kZfpOrder2 = {
    0, 1, 4, 5, 2, 8, 6, 9, 3, 12, 10, 7, 13, 11, 14, 15,
};
constexpr std::array<std::uint8_t, 64> kZfpOrder3 = {
    0,  1,  4,  16, 20, 17, 5,  2,  8,  32, 21, 6,  18, 24, 9,  33, 36, 3,  12, 48, 22, 25,
    37, 40, 34, 10, 7,  19, 28, 13, 49, 52, 41, 38, 26, 23, 29, 53, 11, 35, 44, 14, 50, 56,
    42, 27, 39, 45, 30, 54, 57, 60, 51, 15, 43, 46, 58, 61, 55, 31, 62, 59, 47, 63,
};
constexpr std::array<std::uint8_t, 256> kZfpOrder4 = {
    0,   1,   4,   16,  64,  5,   80,  17,  68,  65,  20,  2,   8,   32,  128, 84,  81,  69,  21,
    6,   18,  66,  24,  72,  9,   96,  33,  36,  129, 132, 144, 3,   12,  48,  192, 85,  82,  70,
    22,  73,  25,  88,  37,  100, 97,  148, 145, 133, 10,  160, 34,  136, 130, 40,  7,   19,  67,
    28,  76,  13,  112, 49,  52,  193, 196, 208, 86,  89,  101, 149, 161, 137, 41,  134, 38,  164,
    26,  152, 146, 104, 98,  74,  83,  71,  23,  77,  29,  92,  53,  116, 113, 212, 209, 197, 11,
    35,  131, 44,  140, 14,  176, 50,  56,  194, 200, 224, 90,  165, 102, 153, 150, 105, 168, 162,
    138, 42,  87,  93,  117, 213, 27,  75,  99,  39,  135, 147, 108, 45,  141, 156, 30,  78,  177,
    180, 54,  114, 120, 57,  198, 210, 216, 201, 225, 228, 15,  240, 51,  204, 195, 60,  169, 166,
    154, 106, 91,  103, 151, 109, 157, 94,  181, 118, 121, 214, 217, 229, 163, 139, 43,  142, 46,
    172, 58,  184, 178, 232, 226, 202, 241, 205, 61,  199, 55,  244, 31,  220, 211, 124, 115, 79,
    170, 167, 155, 107, 158, 110, 173, 122, 185, 182, 233, 230, 218, 95,  245, 119, 221, 215, 125,
    242, 206, 62,  203, 59,  248, 47,  236, 227, 188, 179, 143, 171, 174, 186, 234, 246, 222, 126,
    219, 123, 249, 111, 237, 231, 189, 183, 159, 252, 243, 207, 63,  175, 250, 187, 238, 235, 190,
    253, 247, 223, 127, 254, 251, 239, 191, 255,
};

const std::uint8_t* zfp_order(int dims) {
  const std::array<const std::uint8_t*, 4> orders = {kZfpOrder1.data(), kZfpOrder2.data(),
                                                     kZfpOrder3.data(), kZfpOrder4.data()};
  return orders[static_cast<std::size_t>(dims - 1)];
}

/// Number v of a lane is that bit of its planes.
std::array<std::uint8_t, kZfpLaneNumbers> zfp_bit_of_number(int dims) {
  std::array<std::uint8_t, kZfpLaneNumbers> bits{};
  const unsigned size = 1u << (2 * dims);
  for (unsigned c = 0; c < kZfpLaneNumbers; ++c) {
    bits[c / size * size + zfp_order(dims)[c % size]] = static_cast<std::uint8_t>(c);
  }
  return bits;
}

constexpr std::uint32_t kNegabinary = 0xAAAAAAAA;

}  // namespace
}  // namespace qi
#endif

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

void ZfpFloats(int dims, const ZfpPlanes& planes, unsigned used, float* out) {
  zfp_floats_plain(dims, planes, used, out);
}

#else
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using ZfpBytes = hn::CappedTag<std::uint8_t, 32>;
using ZfpInts = hn::CappedTag<std::int32_t, kZfpLanes>;
using ZfpInt = hn::Vec<ZfpInts>;

constexpr std::size_t kRowBytes = kZfpLaneNumbers / 8;
constexpr std::size_t kByteLanes = hn::MaxLanes(ZfpBytes());
constexpr std::size_t kIntLanes = hn::MaxLanes(ZfpInts());

/// The 8 x 8 bits at the same byte of eight vectors, transposed (Warren, Hacker's Delight, 7-3).
HWY_INLINE void transpose_bits(hn::Vec<ZfpBytes>* rows) {
  const hn::Repartition<std::uint64_t, ZfpBytes> words;
  const auto swap = [&](auto& low, auto& high, auto shifted, auto back,
                        std::uint8_t mask) HWY_ATTR {
    const auto moved =
        hn::And(hn::Xor(hn::BitCast(ZfpBytes(), shifted(hn::BitCast(words, low))), high),
                hn::Set(ZfpBytes(), mask));
    high = hn::Xor(high, moved);
    low = hn::Xor(low, hn::BitCast(ZfpBytes(), back(hn::BitCast(words, moved))));
  };
  for (int i = 0; i < 4; ++i) {
    swap(
        rows[i], rows[i + 4], [](auto v) HWY_ATTR { return hn::ShiftRight<4>(v); },
        [](auto v) HWY_ATTR { return hn::ShiftLeft<4>(v); }, 0x0F);
  }
  for (const int i : {0, 1, 4, 5}) {
    swap(
        rows[i], rows[i + 2], [](auto v) HWY_ATTR { return hn::ShiftRight<2>(v); },
        [](auto v) HWY_ATTR { return hn::ShiftLeft<2>(v); }, 0x33);
  }
  for (const int i : {0, 2, 4, 6}) {
    swap(
        rows[i], rows[i + 1], [](auto v) HWY_ATTR { return hn::ShiftRight<1>(v); },
        [](auto v) HWY_ATTR { return hn::ShiftLeft<1>(v); }, 0x55);
  }
}

/// Bytes of eight lanes side by side: bytes 2m and 2m + 1 of every 16 of all lanes are in lanes[m].
HWY_INLINE void interleave_lanes(hn::Vec<ZfpBytes>* lanes) {
  const ZfpBytes d;
  const hn::Repartition<std::uint16_t, ZfpBytes> pairs;
  const hn::Repartition<std::uint32_t, ZfpBytes> fours;
  hn::Vec<ZfpBytes> step[8];
  for (int i = 0; i < 4; ++i) {  // lanes 2i and 2i + 1
    step[i] = hn::InterleaveLower(d, lanes[2 * i], lanes[2 * i + 1]);
    step[i + 4] = hn::InterleaveUpper(d, lanes[2 * i], lanes[2 * i + 1]);
  }
  for (const int half : {0, 4}) {  // bytes 0 to 7, 8 to 15
    const auto a = hn::BitCast(pairs, step[half]), b = hn::BitCast(pairs, step[half + 1]);
    const auto e = hn::BitCast(pairs, step[half + 2]), f = hn::BitCast(pairs, step[half + 3]);
    const auto low0 = hn::BitCast(fours, hn::InterleaveLower(pairs, a, b));
    const auto low1 = hn::BitCast(fours, hn::InterleaveUpper(pairs, a, b));
    const auto high0 = hn::BitCast(fours, hn::InterleaveLower(pairs, e, f));
    const auto high1 = hn::BitCast(fours, hn::InterleaveUpper(pairs, e, f));
    lanes[half] = hn::BitCast(d, hn::InterleaveLower(fours, low0, high0));
    lanes[half + 1] = hn::BitCast(d, hn::InterleaveUpper(fours, low0, high0));
    lanes[half + 2] = hn::BitCast(d, hn::InterleaveLower(fours, low1, high1));
    lanes[half + 3] = hn::BitCast(d, hn::InterleaveUpper(fours, low1, high1));
  }
}

/// Where zfp_numbers() leaves the number of bit `bit`, in eights.
constexpr std::size_t place_of_bit(std::size_t bit) {
  const std::size_t byte = bit / 8, inside = byte % kByteLanes;
  const std::size_t vector = byte / kByteLanes * 8 + inside % 16 / 2;
  return bit % 8 * kRowBytes + (vector * (kByteLanes / 16) + inside / 16) * 2 + inside % 2;
}

/// The coefficients as negabinary numbers: [place of a bit][lane].
HWY_INLINE void zfp_numbers(const ZfpPlanes& planes, unsigned used, std::uint32_t* out) {
  const ZfpBytes d;
  // Byte g of a number holds its bits of planes 8g to 8g + 7, for the eight bits of a byte.
  alignas(64) std::uint8_t bytes[4][8][kZfpLanes][kByteLanes];
  const unsigned groups = (used + 7) / 8;
  for (std::size_t from = 0; from < kRowBytes; from += kByteLanes) {
    for (unsigned g = 0; g < groups; ++g) {
      for (std::size_t lane = 0; lane < kZfpLanes; ++lane) {
        hn::Vec<ZfpBytes> rows[8];
        for (unsigned i = 0; i < 8; ++i) {
          rows[i] = hn::Load(d, planes.planes[8 * g + 7 - i][lane] + from);
        }
        transpose_bits(rows);
        for (unsigned i = 0; i < 8; ++i) hn::Store(rows[i], d, bytes[g][i][lane]);
      }
    }
    for (unsigned i = 0; i < 8; ++i) {
      hn::Vec<ZfpBytes> lanes[4][8];
      for (unsigned g = 0; g < 4; ++g) {
        if (g >= groups) {
          for (auto& lane : lanes[g]) lane = hn::Zero(d);
          continue;
        }
        for (std::size_t lane = 0; lane < kZfpLanes; ++lane) {
          lanes[g][lane] = hn::Load(d, bytes[g][i][lane]);
        }
        interleave_lanes(lanes[g]);
      }
      for (std::size_t m = 0; m < 8; ++m) {
        std::uint32_t* const to =
            out + (i * kRowBytes + (from / kByteLanes * 8 + m) * (kByteLanes / 8)) * kZfpLanes;
        hn::StoreInterleaved4(lanes[3][m], lanes[2][m], lanes[1][m], lanes[0][m], d,
                              reinterpret_cast<std::uint8_t*>(to));
      }
    }
  }
}

HWY_INLINE void inverse_lift(ZfpInt& x, ZfpInt& y, ZfpInt& z, ZfpInt& w) {
  y = hn::Add(y, hn::ShiftRight<1>(w));
  w = hn::Sub(w, hn::ShiftRight<1>(y));
  y = hn::Add(y, w);
  w = hn::Sub(hn::Add(w, w), y);
  z = hn::Add(z, x);
  x = hn::Sub(hn::Add(x, x), z);
  y = hn::Add(y, z);
  z = hn::Sub(hn::Add(z, z), y);
  w = hn::Add(w, x);
  x = hn::Sub(hn::Add(x, x), w);
}

/// Four vectors, one for each x, of lanes: four numbers of each lane, where the lane has them.
HWY_INLINE void store_lines(const hn::Vec<hn::Rebind<float, ZfpInts> >* line, float* out) {
  const hn::Rebind<float, ZfpInts> d;
  const hn::Repartition<double, decltype(d)> wide;
  const auto low0 = hn::BitCast(wide, hn::InterleaveLower(d, line[0], line[1]));
  const auto high0 = hn::BitCast(wide, hn::InterleaveUpper(d, line[0], line[1]));
  const auto low1 = hn::BitCast(wide, hn::InterleaveLower(d, line[2], line[3]));
  const auto high1 = hn::BitCast(wide, hn::InterleaveUpper(d, line[2], line[3]));
  const auto put = [&](std::size_t lane, auto both) HWY_ATTR {
    const auto values = hn::BitCast(d, both);
    if constexpr (kIntLanes == 4) {
      hn::StoreU(values, d, out + lane * kZfpLaneNumbers);
    } else {
      const hn::Half<decltype(d)> half;
      hn::StoreU(hn::LowerHalf(half, values), half, out + lane * kZfpLaneNumbers);
      hn::StoreU(hn::UpperHalf(half, values), half, out + (lane + 4) * kZfpLaneNumbers);
    }
  };
  put(0, hn::InterleaveLower(wide, low0, low1));
  put(1, hn::InterleaveUpper(wide, low0, low1));
  put(2, hn::InterleaveLower(wide, high0, high1));
  put(3, hn::InterleaveUpper(wide, high0, high1));
}

template <int kDims>
void batch_floats(const ZfpPlanes& planes, unsigned used, float* out) {
  constexpr std::size_t kSize = std::size_t{1} << (2 * kDims);
  static const auto places = [] {
    std::array<std::uint16_t, kZfpLaneNumbers> list{};
    const auto bits = zfp_bit_of_number(kDims);
    for (std::size_t v = 0; v < list.size(); ++v) {
      list[v] = static_cast<std::uint16_t>(place_of_bit(bits[v]) * kZfpLanes);
    }
    return list;
  }();
  const ZfpInts d;
  const hn::Rebind<float, ZfpInts> floats;
  alignas(64) std::uint32_t coded[kZfpBatchNumbers];
  alignas(64) std::int32_t numbers[kZfpBatchNumbers];
  zfp_numbers(planes, used, coded);
  const auto mask = hn::Set(d, static_cast<std::int32_t>(kNegabinary));
  for (std::size_t lane = 0; lane < kZfpLanes; lane += kIntLanes) {
    const auto load_coded = [&](std::size_t v) HWY_ATTR {
      const auto* from = reinterpret_cast<const std::int32_t*>(coded) + places[v] + lane;
      return hn::Sub(hn::Xor(hn::Load(d, from), mask), mask);
    };
    const auto load = [&](std::size_t v)
                          HWY_ATTR { return hn::Load(d, numbers + v * kZfpLanes + lane); };
    // From the outermost dimension inwards, one pass for each: four numbers at `stride`.
    const auto pass = [&](std::size_t stride, const auto& first) HWY_ATTR {
      for (std::size_t outer = 0; outer < kZfpLaneNumbers; outer += 4 * stride) {
        for (std::size_t v = outer; v < outer + stride; ++v) {
          auto x = first(v), y = first(v + stride);
          auto z = first(v + 2 * stride), w = first(v + 3 * stride);
          inverse_lift(x, y, z, w);
          std::int32_t* const to = numbers + v * kZfpLanes + lane;
          hn::Store(x, d, to);
          hn::Store(y, d, to + stride * kZfpLanes);
          hn::Store(z, d, to + 2 * stride * kZfpLanes);
          hn::Store(w, d, to + 3 * stride * kZfpLanes);
        }
      }
    };
    if constexpr (kDims == 4) pass(64, load_coded);
    if constexpr (kDims == 3) pass(16, load_coded);
    if constexpr (kDims > 3) pass(16, load);
    if constexpr (kDims == 2) pass(4, load_coded);
    if constexpr (kDims > 2) pass(4, load);
    for (std::size_t v = 0; v < kZfpLaneNumbers; v += 4) {
      ZfpInt x, y, z, w;
      if constexpr (kDims == 1) {
        x = load_coded(v), y = load_coded(v + 1), z = load_coded(v + 2), w = load_coded(v + 3);
      } else {
        x = load(v), y = load(v + 1), z = load(v + 2), w = load(v + 3);
      }
      inverse_lift(x, y, z, w);
      const auto scale = hn::Load(floats, planes.scales[v / kSize] + lane);
      const hn::Vec<decltype(floats)> line[4] = {
          hn::Mul(hn::ConvertTo(floats, x), scale), hn::Mul(hn::ConvertTo(floats, y), scale),
          hn::Mul(hn::ConvertTo(floats, z), scale), hn::Mul(hn::ConvertTo(floats, w), scale)};
      store_lines(line, out + lane * kZfpLaneNumbers + v);
    }
  }
}

}  // namespace

void ZfpFloats(int dims, const ZfpPlanes& planes, unsigned used, float* out) {
  if (dims == 1) batch_floats<1>(planes, used, out);
  if (dims == 2) batch_floats<2>(planes, used, out);
  if (dims == 3) batch_floats<3>(planes, used, out);
  if (dims == 4) batch_floats<4>(planes, used, out);
}

#endif  // HWY_SCALAR
}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi {

HWY_EXPORT(ZfpFloats);

void zfp_floats(int dims, const ZfpPlanes& planes, unsigned used, float* out) {
  HWY_DYNAMIC_DISPATCH(ZfpFloats)(dims, planes, used, out);
}

void zfp_floats_plain(int dims, const ZfpPlanes& planes, unsigned used, float* out) {
  const auto bits = zfp_bit_of_number(dims);
  const auto half = [](std::uint32_t x) {
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(x) >> 1);
  };
  for (std::size_t lane = 0; lane < kZfpLanes; ++lane, out += kZfpLaneNumbers) {
    std::array<std::uint32_t, kZfpLaneNumbers> numbers{};
    for (std::size_t v = 0; v < kZfpLaneNumbers; ++v) {
      for (unsigned plane = 0; plane < used; ++plane) {
        const std::uint32_t bit = planes.planes[plane][lane][bits[v] / 8] >> (bits[v] % 8) & 1u;
        numbers[v] |= bit << (31 - plane);
      }
      numbers[v] = (numbers[v] ^ kNegabinary) - kNegabinary;
    }
    for (std::size_t stride = std::size_t{1} << (2 * (dims - 1)); stride > 0; stride /= 4) {
      for (std::size_t v = 0; v < kZfpLaneNumbers; ++v) {
        if (v / stride % 4 != 0) continue;
        std::uint32_t &x = numbers[v], &y = numbers[v + stride];
        std::uint32_t &z = numbers[v + 2 * stride], &w = numbers[v + 3 * stride];
        y += half(w), w -= half(y);
        y += w, w = 2 * w - y;
        z += x, x = 2 * x - z;
        y += z, z = 2 * z - y;
        w += x, x = 2 * x - w;
      }
    }
    for (std::size_t v = 0; v < kZfpLaneNumbers; ++v) {
      out[v] = static_cast<float>(static_cast<std::int32_t>(numbers[v])) *
               planes.scales[v >> (2 * dims)][lane];
    }
  }
}

}  // namespace qi
#endif
