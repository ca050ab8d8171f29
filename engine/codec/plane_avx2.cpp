// The plane codec's loops with AVX2: 64 lanes in eight registers. Two-level tables are looked up as
// byte planes, 32 lanes a vpshufb; other tables in memory, an entry a lane. Where nothing but the
// order of independent steps differs from plane_portable.cpp, that file has the formulas.
#include "engine/codec/plane_kernels.h"

#if defined(__x86_64__)

#include "engine/codec/little_endian.h"
#include "engine/codec/x86_vectors.h"

QI_BEGIN_TARGET(QI_AVX2_TARGET)
#include "engine/codec/avx2_lanes.h"
#include "engine/codec/plane_heads_avx2.h"
#include "engine/codec/plane_splits.h"

namespace qi::avx2 {
namespace {

// From the order of packed bytes (see find_32()) to the natural one.
HWY_INLINE std::uint64_t natural_order(std::uint64_t packed) {
  const std::uint64_t outer = packed & 0xff0000ffff0000ffu;
  return outer | (packed >> 8 & 0x0000ff000000ff00u) | (packed << 8 & 0x00ff000000ff0000u);
}

// Of 16 heads: the table, and by how much their codes move.
struct ClassLanes {
  __m256i table, code_shift;
};
struct ClassBits {
  explicit ClassBits(const PlaneRun& run)
      : table_bits(_mm_cvtsi32_si128(static_cast<int>(run.table_bits))),
        octave_bits(_mm_cvtsi32_si128(static_cast<int>(run.octave_bits))),
        table_mask(set1_16((1u << run.table_bits) - 1)) {}

  HWY_INLINE ClassLanes lanes(const std::int8_t* classes) const {
    const __m256i c = _mm256_cvtepi8_epi16(load_128(classes));
    return {_mm256_and_si256(c, table_mask),
            _mm256_sll_epi16(_mm256_sra_epi16(c, table_bits), octave_bits)};
  }

  __m128i table_bits, octave_bits;
  __m256i table_mask;
};

// ---- tables in memory ---------------------------------------------------------------------------

template <typename S, bool kClasses>
std::size_t decode_slots(DecodeCursor& cursor, const PlaneRun& run) {
  __m256i x[8];
  load_lanes(cursor.lanes, x);
  const std::uint32_t* slots = run.slots;
  const std::byte* words = cursor.words;
  const __m256i slot_mask = _mm256_set1_epi32(kRansSlots - 1);
  const __m256i base = _mm256_set1_epi16(static_cast<short>(run.split.base));
  const ClassBits class_bits(run);
  std::size_t group = 0;
  for (; group < run.groups && words <= cursor.words_limit; ++group) {
    alignas(32) std::uint32_t index[kRansLanes];
    __m256i code_shift[4];
    for (int k = 0; k < 8; k += 4) {
      __m256i slot[4];
      for (int j = 0; j < 4; ++j) slot[j] = _mm256_and_si256(x[k + j], slot_mask);
      if constexpr (kClasses) {
        for (int j = 0; j < 2; ++j) {
          const ClassLanes c = class_bits.lanes(run.classes + kRansLanes * group + 8 * k + 16 * j);
          code_shift[k / 2 + j] = c.code_shift;
          const __m256i even =
              _mm256_slli_epi32(_mm256_and_si256(c.table, _mm256_set1_epi32(255)), kRansSlotBits);
          const __m256i odd = _mm256_slli_epi32(_mm256_srli_epi32(c.table, 16), kRansSlotBits);
          slot[j] = _mm256_or_si256(slot[j], even);
          slot[j + 2] = _mm256_or_si256(slot[j + 2], odd);
        }
      }
      for (int j = 0; j < 4; ++j) store(index + 8 * (k + j), slot[j]);
    }
    asm volatile("" : "+m"(index));  // read back from memory: extracting is slower
    std::uint64_t escaped = 0;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      __m256i entry[4];
      for (int j = 0; j < 4; ++j) {
        __m256i& lanes = x[4 * half + j];
        entry[j] = look_up_8(slots, index + 32 * half + 8 * j);
        const __m256i rank = _mm256_and_si256(_mm256_srli_epi32(entry[j], 8), slot_mask);
        const __m256i scaled = _mm256_mullo_epi32(_mm256_srli_epi32(lanes, kRansSlotBits),
                                                  _mm256_srli_epi32(entry[j], 20));
        lanes = _mm256_add_epi32(scaled, rank);
      }
      for (int j = 0; j < 4; ++j) renormalise(x[4 * half + j], words);
      const __m256i low = _mm256_set1_epi32(255);
      const __m256i high = _mm256_set1_epi32(255 << 16);
      Wide symbol;
      symbol.first = _mm256_or_si256(_mm256_and_si256(entry[0], low),
                                     _mm256_and_si256(_mm256_slli_epi32(entry[2], 16), high));
      symbol.second = _mm256_or_si256(_mm256_and_si256(entry[1], low),
                                      _mm256_and_si256(_mm256_slli_epi32(entry[3], 16), high));
      const __m256i escape = _mm256_set1_epi16(kEscapeSymbol);
      const __m256i found = _mm256_packs_epi16(_mm256_cmpeq_epi16(symbol.first, escape),
                                               _mm256_cmpeq_epi16(symbol.second, escape));
      const auto packed = static_cast<std::uint32_t>(_mm256_movemask_epi8(found));
      escaped |= std::uint64_t{packed} << (32 * half);
      Wide code = {_mm256_add_epi16(symbol.first, base), _mm256_add_epi16(symbol.second, base)};
      if constexpr (kClasses) {
        code.first = _mm256_add_epi16(code.first, code_shift[2 * half]);
        code.second = _mm256_add_epi16(code.second, code_shift[2 * half + 1]);
      }
      Heads<S>::merge(code, load_raw<S::kRawBits>(cursor.raw, half),
                      cursor.out + 32 * S::kHeadBytes * static_cast<std::size_t>(half));
    }
    if (escaped != 0) [[unlikely]] {
      patch_escapes<S>(cursor, natural_order(escaped));
    }
    cursor.raw += 8 * S::kRawBits;
    cursor.out += kRansLanes * S::kHeadBytes;
  }
  cursor.words = words;
  store_lanes(x, cursor.lanes);
  return group;
}

// ---- two-level tables as byte planes ------------------------------------------------------------

template <unsigned kEntries>
struct BytePlane {
  __m256i part[kEntries / 16];
};

template <unsigned kEntries>
BytePlane<kEntries> byte_plane(const std::uint8_t* values) {
  BytePlane<kEntries> plane;
  for (unsigned k = 0; k < kEntries / 16; ++k) {
    plane.part[k] = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + 16 * k)));
  }
  return plane;
}

// vpshufb gives 0 for an index with bit 7 set and ignores bits 4 to 6. So for each sixteenth of a
// table the indices get bit 7 wherever they belong to another one: index ⊕ 16·k is below 16 in
// part k alone, and + 0x70 carries the others into bit 7.
template <unsigned kEntries>
HWY_INLINE BytePlane<kEntries> part_indices(__m256i index) {
  BytePlane<kEntries> parts;
  if constexpr (kEntries == 16) {
    parts.part[0] = index;
    return parts;
  }
  for (unsigned k = 0; k < kEntries / 16; ++k) {
    const __m256i flipped = _mm256_xor_si256(index, _mm256_set1_epi8(static_cast<char>(16 * k)));
    parts.part[k] = _mm256_add_epi8(flipped, _mm256_set1_epi8(0x70));
  }
  return parts;
}

template <unsigned kEntries>
HWY_INLINE __m256i look_up_bytes(const BytePlane<kEntries>& plane,
                                 const BytePlane<kEntries>& parts) {
  __m256i found = _mm256_shuffle_epi8(plane.part[0], parts.part[0]);
  for (unsigned k = 1; k < kEntries / 16; ++k) {
    found = _mm256_or_si256(found, _mm256_shuffle_epi8(plane.part[k], parts.part[k]));
  }
  return found;
}

// Upper byte of a bf16 head that is an escape, in the table, and of hardly any other: enough to
// know when to look closer.
constexpr char kEscapeHigh = 0x7f;

template <unsigned kPositions>
struct TwoLevelPlanes {
  BytePlane<64> position, boundary;
  BytePlane<kPositions> frequency_low, frequency_high, start_low, start_high, symbol;
  BytePlane<kPositions> head_low, head_high;  // code << 7

  TwoLevelPlanes(const RansTable& t, unsigned base)
      : position(byte_plane<64>(t.bucket_position.data())),
        boundary(byte_plane<64>(t.bucket_boundary.data())),
        symbol(byte_plane<kPositions>(t.position_symbol.data())) {
    std::array<std::uint8_t, 32> bytes[6];
    for (std::size_t j = 0; j < 32; ++j) {
      bytes[0][j] = static_cast<std::uint8_t>(t.position_frequency[j]);
      bytes[1][j] = static_cast<std::uint8_t>(t.position_frequency[j] >> 8);
      bytes[2][j] = static_cast<std::uint8_t>(t.position_cumulative[j]);
      bytes[3][j] = static_cast<std::uint8_t>(t.position_cumulative[j] >> 8);
      const bool escape = t.position_symbol[j] == kEscapeSymbol;
      const unsigned head = (t.position_symbol[j] + base) << 7;
      bytes[4][j] = static_cast<std::uint8_t>(escape ? 0 : head & 255);
      bytes[5][j] = static_cast<std::uint8_t>(escape ? kEscapeHigh : head >> 8 & 127);
    }
    head_low = byte_plane<kPositions>(bytes[4].data());
    head_high = byte_plane<kPositions>(bytes[5].data());
    frequency_low = byte_plane<kPositions>(bytes[0].data());
    frequency_high = byte_plane<kPositions>(bytes[1].data());
    start_low = byte_plane<kPositions>(bytes[2].data());
    start_high = byte_plane<kPositions>(bytes[3].data());
  }
};

// Slots of 16 heads as 16-bit numbers.
HWY_INLINE __m256i slots_16(__m256i even, __m256i odd) {
  return _mm256_and_si256(_mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xaa),
                          _mm256_set1_epi16(kRansSlots - 1));
}

HWY_INLINE __m256i bucket_16(__m256i slot) {
  // max(slot >> 7, 32 + (slot − 3840 >> 3)); 3840 − 8·32 keeps the 32 inside the shift.
  const __m256i fine =
      _mm256_srai_epi16(_mm256_sub_epi16(slot, _mm256_set1_epi16(3840 - 8 * 32)), 3);
  return _mm256_max_epi16(_mm256_srli_epi16(slot, 7), fine);
}

// x ← f·⌊x/4096⌋ + rank for the even and odd lanes of 16 heads.
HWY_INLINE void advance_16(__m256i& even, __m256i& odd, __m256i frequency, __m256i rank) {
  const __m256i low = _mm256_set1_epi32(0xffff);
  const __m256i scaled_even =
      _mm256_mullo_epi32(_mm256_srli_epi32(even, kRansSlotBits), _mm256_and_si256(frequency, low));
  const __m256i scaled_odd =
      _mm256_mullo_epi32(_mm256_srli_epi32(odd, kRansSlotBits), _mm256_srli_epi32(frequency, 16));
  even = _mm256_add_epi32(scaled_even, _mm256_and_si256(rank, low));
  odd = _mm256_add_epi32(scaled_odd, _mm256_srli_epi32(rank, 16));
}

// Positions of 32 heads, in the order of packed bytes: 0–7, 16–23 | 8–15, 24–31. Unpacking the
// bytes of two such vectors gives heads 0–15 and 16–31.
template <unsigned kPositions>
HWY_INLINE BytePlane<kPositions> find_32(const TwoLevelPlanes<kPositions>& t, __m256i* x) {
  const __m256i slot0 = slots_16(x[0], x[2]);
  const __m256i slot1 = slots_16(x[1], x[3]);
  const __m256i in_bucket = _mm256_set1_epi16(127);
  const BytePlane<64> bucket =
      part_indices<64>(_mm256_packus_epi16(bucket_16(slot0), bucket_16(slot1)));
  const __m256i place =
      _mm256_packus_epi16(_mm256_and_si256(slot0, in_bucket), _mm256_and_si256(slot1, in_bucket));
  const __m256i boundary = look_up_bytes(t.boundary, bucket);
  const __m256i past = _mm256_cmpeq_epi8(_mm256_max_epu8(place, boundary), place);
  const BytePlane<kPositions> position =
      part_indices<kPositions>(_mm256_sub_epi8(look_up_bytes(t.position, bucket), past));
  const __m256i start_low = look_up_bytes(t.start_low, position);
  const __m256i start_high = look_up_bytes(t.start_high, position);
  const __m256i f_low = look_up_bytes(t.frequency_low, position);
  const __m256i f_high = look_up_bytes(t.frequency_high, position);
  advance_16(x[0], x[2], _mm256_unpacklo_epi8(f_low, f_high),
             _mm256_sub_epi16(slot0, _mm256_unpacklo_epi8(start_low, start_high)));
  advance_16(x[1], x[3], _mm256_unpackhi_epi8(f_low, f_high),
             _mm256_sub_epi16(slot1, _mm256_unpackhi_epi8(start_low, start_high)));
  return position;
}

template <typename S, unsigned kPositions>
std::size_t decode_two_level(DecodeCursor& cursor, const PlaneRun& run) {
  const TwoLevelPlanes<kPositions> table(*run.table, run.split.base);
  __m256i x[8];
  load_lanes(cursor.lanes, x);
  const std::byte* words = cursor.words;
  const __m256i base = _mm256_set1_epi16(static_cast<short>(run.split.base));
  const __m256i zero = _mm256_setzero_si256();
  std::size_t group = 0;
  for (; group < run.groups && words <= cursor.words_limit; ++group) {
    // Both halves go through each stage together: there is more to do at once.
    const BytePlane<kPositions> position[2] = {find_32(table, x), find_32(table, x + 4)};
    for (__m256i& lanes : x) renormalise(lanes, words);
    __m256i escaped = _mm256_setzero_si256();
    for (int half = 0; half < 2; ++half) {
      std::byte* out = cursor.out + 32 * S::kHeadBytes * static_cast<std::size_t>(half);
      if constexpr (S::kHeadBytes == 2 && S::kRawBits == 8) {
        // A byte of raw bits a head: the two bytes of a head come from tables of their own.
        const __m256i raw = _mm256_permute4x64_epi64(load(cursor.raw + 32 * half), 0xd8);
        const __m256i low = look_up_bytes(table.head_low, position[half]);
        const __m256i high = look_up_bytes(table.head_high, position[half]);
        const __m256i sign = _mm256_set1_epi8(-128);
        const __m256i head_low = _mm256_or_si256(low, _mm256_andnot_si256(sign, raw));
        const __m256i head_high = _mm256_or_si256(high, _mm256_and_si256(sign, raw));
        store(out, _mm256_unpacklo_epi8(head_low, head_high));
        store(out + 32, _mm256_unpackhi_epi8(head_low, head_high));
        const __m256i escape = _mm256_cmpeq_epi8(high, _mm256_set1_epi8(kEscapeHigh));
        escaped = _mm256_or_si256(escaped, escape);
        continue;
      }
      const __m256i symbol = look_up_bytes(table.symbol, position[half]);
      const Wide code = {_mm256_add_epi16(_mm256_unpacklo_epi8(symbol, zero), base),
                         _mm256_add_epi16(_mm256_unpackhi_epi8(symbol, zero), base)};
      const __m256i escape = _mm256_cmpeq_epi8(symbol, _mm256_set1_epi8(-1));
      escaped = _mm256_or_si256(escaped, escape);
      Heads<S>::merge(code, load_raw<S::kRawBits>(cursor.raw, half), out);
    }
    if (_mm256_movemask_epi8(escaped) != 0) [[unlikely]] {
      std::uint64_t packed = 0;
      for (int half = 0; half < 2; ++half) {
        const __m256i symbol = look_up_bytes(table.symbol, position[half]);
        const __m256i escape = _mm256_cmpeq_epi8(symbol, _mm256_set1_epi8(-1));
        packed |= std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(escape))}
                  << (32 * half);
      }
      patch_escapes<S>(cursor, natural_order(packed));
    }
    cursor.raw += 8 * S::kRawBits;
    cursor.out += kRansLanes * S::kHeadBytes;
  }
  cursor.words = words;
  store_lanes(x, cursor.lanes);
  return group;
}

// ---- encoder ------------------------------------------------------------------------------------

template <typename S, bool kClasses>
void encode_heads(EncodeCursor& cursor, const PlaneRun& run) {
  __m256i x[8];
  load_lanes(cursor.lanes, x);
  std::byte* words = cursor.words;
  const __m256i base = _mm256_set1_epi16(static_cast<short>(run.split.base));
  const RansTable::Encode* const table = run.encode;
  const ClassBits class_bits(run);
  const EncodeStep encode_step;
  const __m256i escape = _mm256_set1_epi16(kEscapeSymbol);
  const __m256i escape_flag = _mm256_set1_epi32(RansTable::kEscapeFlag);
  for (std::size_t group = run.groups; group-- > 0;) {
    const std::byte* in = cursor.in + group * kRansLanes * S::kHeadBytes;
    const Wide heads[2] = {Heads<S>::load_heads(in), Heads<S>::load_heads(in + 32 * S::kHeadBytes)};
    Heads<S>::store_raw(heads, cursor.raw + 8 * S::kRawBits * group);
    alignas(32) std::uint16_t entry_of[kRansLanes];
    for (int k = 0; k < 4; ++k) {
      const __m256i head = k % 2 == 0 ? heads[k / 2].first : heads[k / 2].second;
      __m256i symbol = _mm256_sub_epi16(Heads<S>::code_16(head), base);
      if constexpr (kClasses) {
        const ClassLanes c = class_bits.lanes(run.classes + kRansLanes * group + 16 * k);
        symbol = _mm256_min_epu16(_mm256_sub_epi16(symbol, c.code_shift), escape);
        symbol = _mm256_or_si256(symbol, _mm256_slli_epi16(c.table, 8));
      } else {
        symbol = _mm256_min_epu16(symbol, escape);
      }
      store(entry_of + 16 * k, symbol);
    }
    asm volatile("" : "+m"(entry_of));  // read back from memory: extracting is slower
    alignas(32) std::uint32_t entries[kRansLanes];
    __m256i flags = _mm256_setzero_si256();
#pragma GCC unroll 8  // keeps x in registers
    for (int k = 7; k >= 0; --k) {
      // Vector k serves every second head from here on.
      const std::uint16_t* first = entry_of + k / 4 * 32 + k % 2 * 16 + k / 2 % 2;
      const EncodeLanes e = look_up_encode(table, first);
      flags = _mm256_or_si256(flags, e.start_frequency);
      store(entries + 8 * k, e.start_frequency);
      encode_step(x[k], e, words);
    }
    if (_mm256_testz_si256(flags, escape_flag) == 0) [[unlikely]] {
      write_escapes<S>(cursor, escaped_heads(entries), in);
    }
  }
  cursor.words = words;
  store_lanes(x, cursor.lanes);
}

struct Loops {
  template <typename S>
  static std::size_t decode(DecodeCursor& cursor, const PlaneRun& run) {
    if (run.has_classes()) return decode_slots<S, true>(cursor, run);
    if (run.table == nullptr || run.table->layout != RansLayout::kTwoLevel) {
      return decode_slots<S, false>(cursor, run);
    }
    return run.table->count <= 16 ? decode_two_level<S, 16>(cursor, run)
                                  : decode_two_level<S, 32>(cursor, run);
  }
  template <typename S>
  static void encode(EncodeCursor& cursor, const PlaneRun& run) {
    // Slots that are looked up themselves are those of alias tables, which are hardly made.
    if (run.slot_of != nullptr) return portable::kPlaneKernels.encode(cursor, run);
    run.has_classes() ? encode_heads<S, true>(cursor, run) : encode_heads<S, false>(cursor, run);
  }
};

}  // namespace

const PlaneKernels kPlaneKernels = {&AllSplits<Loops>::decode, &AllSplits<Loops>::encode};

}  // namespace qi::avx2
QI_END_TARGET

#endif  // __x86_64__
