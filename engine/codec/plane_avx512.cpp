// The plane codec's loops with AVX-512: 64 lanes in four registers, two-level tables and those of
// the encoder in registers, too; other tables in memory, an entry a lane. Where nothing but the
// order of independent steps differs from plane_portable.cpp, that file has the formulas.
#include "engine/codec/plane_kernels.h"

#if defined(__x86_64__)

#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/codec/x86_vectors.h"

QI_BEGIN_TARGET(QI_AVX512_TARGET)
#include "engine/codec/avx512_lanes.h"
#include "engine/codec/plane_heads_avx2.h"
#include "engine/codec/plane_splits.h"

namespace qi::avx512 {
namespace {

// ---- heads, 32 at a time as 16-bit numbers ------------------------------------------------------

template <typename S>
struct Heads {
  static HWY_INLINE __m512i load_heads(const std::byte* in) {
    if constexpr (S::kHeadBytes == 2) return load(in);
    return _mm512_cvtepu8_epi16(avx2::load(in));
  }
  static HWY_INLINE __m512i code_of(__m512i heads) {
    return _mm512_and_si512(_mm512_srli_epi16(heads, S::kShift), set1_16(S::kCodeMask));
  }
  static HWY_INLINE __m512i field_of(__m512i code) {
    return _mm512_and_si512(_mm512_slli_epi16(code, S::kShift), set1_16(S::kField));
  }

  // The code in its place and raw bits → 32 heads.
  static HWY_INLINE void merge(__m512i heads, const std::byte* raw_bits, int half, std::byte* out) {
    const avx2::RawBytes bytes = avx2::load_raw<S::kRawBits>(raw_bits, half);
    __m512i raw = _mm512_cvtepu8_epi16(bytes.low);
    if constexpr (S::kRawBits > 8) {
      raw = _mm512_or_si512(raw, _mm512_slli_epi16(_mm512_cvtepu8_epi16(bytes.high), 8));
    }
    if constexpr (S::kShift > 0) heads = or_masked(heads, raw, set1_16(S::kLowMask));
    if constexpr (S::kSign) {
      heads = or_masked(heads, _mm512_slli_epi16(raw, S::kSignMove), set1_16(S::kSignBit));
    }
    if constexpr (S::kHeadBytes == 2) {
      store(out, heads);
    } else {
      avx2::store(out, _mm512_cvtepi16_epi8(heads));
    }
  }

  static HWY_INLINE void store_raw(const __m512i* heads, std::byte* out) {
    if constexpr (S::kRawBits == 0) return;
    __m256i low[2];
    __m256i high[2];
    for (int half = 0; half < 2; ++half) {
      __m512i raw = _mm512_and_si512(heads[half], set1_16(S::kLowMask));
      if constexpr (S::kSign) {
        const __m512i sign = _mm512_srli_epi16(heads[half], S::kSignMove);
        raw = or_masked(raw, sign, set1_16(1u << S::kShift));
      }
      low[half] = _mm512_cvtepi16_epi8(raw);
      if constexpr (S::kRawBits > 8) high[half] = _mm512_cvtepi16_epi8(_mm512_srli_epi16(raw, 8));
    }
    if constexpr (S::kRawBits < 8) {
      avx2::store_fields<S::kRawBits>(low[0], low[1], out);
    } else {
      avx2::store(out, low[0]);
      avx2::store(out + 32, low[1]);
    }
    if constexpr (S::kRawBits > 8) {
      avx2::store_fields<S::kRawBits & 7>(high[0], high[1], out + kRansLanes);
    }
  }
};

HWY_INLINE std::uint64_t equal_heads(const __m512i* heads, __m512i value) {
  return _mm512_cmpeq_epi16_mask(heads[0], value) |
         std::uint64_t{_mm512_cmpeq_epi16_mask(heads[1], value)} << 32;
}

// Of 32 heads: the table, and by how much their codes move.
struct ClassLanes {
  __m512i table, code_shift;
};
struct ClassBits {
  explicit ClassBits(const PlaneRun& run)
      : table_bits(_mm_cvtsi32_si128(static_cast<int>(run.table_bits))),
        octave_bits(_mm_cvtsi32_si128(static_cast<int>(run.octave_bits))),
        table_mask(set1_16((1u << run.table_bits) - 1)) {}

  HWY_INLINE ClassLanes lanes(const std::int8_t* classes) const {
    const __m512i c = _mm512_cvtepi8_epi16(avx2::load(classes));
    return {_mm512_and_si512(c, table_mask),
            _mm512_sll_epi16(_mm512_sra_epi16(c, table_bits), octave_bits)};
  }

  __m128i table_bits, octave_bits;
  __m512i table_mask;
};

// ---- decoders -----------------------------------------------------------------------------------

// Eight entries a quarter of a register: loads are faster than a gather.
HWY_INLINE __m512i look_up_16(const std::uint32_t* table, const std::uint32_t* index) {
  return join(avx2::look_up_8(table, index), avx2::look_up_8(table, index + 8));
}

template <typename S, bool kClasses>
std::size_t decode_slots(DecodeCursor& cursor, const PlaneRun& run) {
  __m512i x[4];
  load_lanes(cursor.lanes, x);
  const std::uint32_t* slots = run.slots;
  const std::byte* words = cursor.words;
  const __m512i slot_mask = set1_32(kRansSlots - 1);
  const __m512i base = set1_16(run.split.base);
  const ClassBits class_bits(run);
  std::size_t group = 0;
  for (; group < run.groups && words <= cursor.words_limit; ++group) {
    alignas(64) std::uint32_t index[kRansLanes];
    __m512i code_shift[2];
    for (int half = 0; half < 2; ++half) {
      __m512i even = _mm512_and_si512(x[2 * half], slot_mask);
      __m512i odd = _mm512_and_si512(x[2 * half + 1], slot_mask);
      if constexpr (kClasses) {
        const ClassLanes c = class_bits.lanes(run.classes + kRansLanes * group + 32 * half);
        code_shift[half] = c.code_shift;
        even = or_masked(even, _mm512_slli_epi32(c.table, kRansSlotBits), set1_32(7 * kRansSlots));
        odd =
            or_masked(odd, _mm512_srli_epi32(c.table, 16 - kRansSlotBits), set1_32(7 * kRansSlots));
      }
      store(index + 32 * half, even);
      store(index + 32 * half + 16, odd);
    }
    asm volatile("" : "+m"(index));  // read back from memory: extracting is slower
    __m512i entry[4];
#pragma GCC unroll 4  // keeps x and entry in registers
    for (int k = 0; k < 4; ++k) {
      entry[k] = look_up_16(slots, index + 16 * k);
      const __m512i rank = _mm512_and_si512(_mm512_srli_epi32(entry[k], 8), slot_mask);
      const __m512i scaled = _mm512_mullo_epi32(_mm512_srli_epi32(x[k], kRansSlotBits),
                                                _mm512_srli_epi32(entry[k], 20));
      x[k] = _mm512_add_epi32(scaled, rank);
    }
    for (__m512i& lanes : x) renormalise(lanes, words);
    __m512i symbol[2];
    for (int half = 0; half < 2; ++half) {
      const __m512i even = _mm512_and_si512(entry[2 * half], set1_32(255));
      const __m512i odd = _mm512_slli_epi32(entry[2 * half + 1], 16);
      symbol[half] = or_masked(even, odd, set1_32(255 << 16));
      __m512i code = _mm512_add_epi16(symbol[half], base);
      if constexpr (kClasses) code = _mm512_add_epi16(code, code_shift[half]);
      Heads<S>::merge(Heads<S>::field_of(code), cursor.raw, half,
                      cursor.out + 32 * S::kHeadBytes * static_cast<std::size_t>(half));
    }
    const std::uint64_t escaped = equal_heads(symbol, set1_16(kEscapeSymbol));
    if (escaped != 0) [[unlikely]] {
      patch_escapes<S>(cursor, escaped);
    }
    cursor.raw += 8 * S::kRawBits;
    cursor.out += kRansLanes * S::kHeadBytes;
  }
  cursor.words = words;
  store_lanes(x, cursor.lanes);
  return group;
}

// By bucket: position << 12 | what is missing to 4096 at the first slot of the next position, so
// that adding the slot carries into the position. No boundary: nothing carries.
HWY_INLINE Table64 bucket_table(const RansTable& t) {
  alignas(64) std::uint32_t values[64];
  for (std::uint32_t bucket = 0; bucket < 64; ++bucket) {
    const std::uint32_t first = bucket < 30 ? 128 * bucket : 3840 - 8 * 32 + 8 * bucket;
    const std::uint32_t boundary = (first & ~127u) + t.bucket_boundary[bucket];
    values[bucket] = std::uint32_t{t.bucket_position[bucket]} << kRansSlotBits;
    if (t.bucket_boundary[bucket] < 128) values[bucket] |= kRansSlots - boundary;
  }
  return load_table_64(values);
}
HWY_INLINE Table32 position_table(const std::array<std::uint16_t, 32>& by_position) {
  return {{_mm512_cvtepu16_epi32(avx2::load(by_position.data())),
           _mm512_cvtepu16_epi32(avx2::load(by_position.data() + 16))}};
}

template <typename S>
struct TwoLevelTables {
  TwoLevelTables(const RansTable& t, unsigned base)
      : bucket(bucket_table(t)),
        frequency(position_table(t.position_frequency)),
        start(position_table(t.position_cumulative)) {
    alignas(64) std::uint16_t codes[32];
    std::uint16_t escape_position = 0xffff;  // none
    for (std::uint16_t j = 0; j < 32; ++j) {
      codes[j] = static_cast<std::uint16_t>(t.position_symbol[j] + base);
      if (j < t.count && t.position_symbol[j] == kEscapeSymbol) escape_position = j;
    }
    field = Heads<S>::field_of(load(codes));
    escape = set1_16(escape_position);
  }

  // Positions of sixteen lanes, which go one step.
  HWY_INLINE __m512i step(__m512i& x) const {
    const __m512i slot = _mm512_and_si512(x, set1_32(kRansSlots - 1));
    // max(slot >> 7, 32 + (slot − 3840 >> 3)); 3840 − 8·32 keeps the 32 inside the shift.
    const __m512i fine = _mm512_srai_epi32(_mm512_sub_epi32(slot, set1_32(3840 - 8 * 32)), 3);
    const __m512i at = _mm512_max_epi32(_mm512_srli_epi32(slot, 7), fine);
    const __m512i position =
        _mm512_srli_epi32(_mm512_add_epi32(look_up(bucket, at), slot), kRansSlotBits);
    const __m512i scaled =
        _mm512_mullo_epi32(_mm512_srli_epi32(x, kRansSlotBits), look_up(frequency, position));
    x = _mm512_add_epi32(scaled, _mm512_sub_epi32(slot, look_up(start, position)));
    return position;
  }

  Table64 bucket;
  Table32 frequency, start;
  __m512i field;   // of 32 positions: the code in its place
  __m512i escape;  // its position
};

template <typename S>
std::size_t decode_two_level(DecodeCursor& cursor, const PlaneRun& run) {
  const TwoLevelTables<S> table(*run.table, run.split.base);
  __m512i x[4];
  load_lanes(cursor.lanes, x);
  const std::byte* words = cursor.words;
  std::size_t group = 0;
  for (; group < run.groups && words <= cursor.words_limit; ++group) {
    __m512i lanes[4];
    for (int k = 0; k < 4; ++k) lanes[k] = table.step(x[k]);
    for (__m512i& state : x) renormalise(state, words);
    __m512i position[2];
    for (int half = 0; half < 2; ++half) {
      // Even heads and odd ones: side by side they are in order.
      position[half] = _mm512_or_si512(lanes[2 * half], _mm512_slli_epi32(lanes[2 * half + 1], 16));
      Heads<S>::merge(_mm512_permutexvar_epi16(position[half], table.field), cursor.raw, half,
                      cursor.out + 32 * S::kHeadBytes * static_cast<std::size_t>(half));
    }
    const std::uint64_t escaped = equal_heads(position, table.escape);
    if (escaped != 0) [[unlikely]] {
      patch_escapes<S>(cursor, escaped);
    }
    cursor.raw += 8 * S::kRawBits;
    cursor.out += kRansLanes * S::kHeadBytes;
  }
  cursor.words = words;
  store_lanes(x, cursor.lanes);
  return group;
}

// ---- encoder ------------------------------------------------------------------------------------

// Entries of the first 64 symbols.
struct EncodeTables {
  explicit EncodeTables(const RansTable::Encode* entries) {
    alignas(64) std::uint32_t words[2][64];
    for (std::size_t i = 0; i < 64; ++i) {
      words[0][i] = entries[i].cumulative | std::uint32_t{entries[i].frequency} << 16;
      words[1][i] = entries[i].reciprocal;
    }
    start_frequency = load_table_64(words[0]);
    reciprocal = load_table_64(words[1]);
  }
  HWY_INLINE EncodeLanes at(__m512i symbol) const {
    const __m512i lanes = look_up(reciprocal, symbol);
    return {look_up(start_frequency, symbol), lanes, _mm512_srli_epi64(lanes, 32)};
  }
  Table64 start_frequency, reciprocal;
};

// Whether symbols beyond the first 63 are all alike (escapes), or none.
template <typename S>
bool fits_registers(const PlaneRun& run) {
  if (S::kCodeMask < 64 && run.split.base == 0) return true;
  return std::memcmp(run.encode + 63, run.encode + 64, 192 * sizeof(*run.encode)) == 0;
}

template <typename S, bool kRegisters, bool kClasses>
void encode_heads(EncodeCursor& cursor, const PlaneRun& run) {
  const EncodeTables table(run.encode);
  __m512i x[4];
  load_lanes(cursor.lanes, x);
  std::byte* words = cursor.words;
  const __m512i base = set1_16(run.split.base);
  const ClassBits class_bits(run);
  const __m512i last = set1_16(kRegisters ? 63 : kEscapeSymbol);
  for (std::size_t group = run.groups; group-- > 0;) {
    const std::byte* in = cursor.in + group * kRansLanes * S::kHeadBytes;
    const __m512i heads[2] = {Heads<S>::load_heads(in),
                              Heads<S>::load_heads(in + 32 * S::kHeadBytes)};
    Heads<S>::store_raw(heads, cursor.raw + 8 * S::kRawBits * group);
    alignas(64) std::uint16_t entry_of[kRansLanes];
    alignas(64) std::uint32_t entries[kRansLanes];
    __m512i flags = _mm512_setzero_si512();
    for (int half = 1; half >= 0; --half) {
      __m512i symbol = _mm512_sub_epi16(Heads<S>::code_of(heads[half]), base);
      if constexpr (kClasses) {
        const ClassLanes c = class_bits.lanes(run.classes + kRansLanes * group + 32 * half);
        symbol = _mm512_min_epu16(_mm512_sub_epi16(symbol, c.code_shift), last);
        symbol = _mm512_or_si512(symbol, _mm512_slli_epi16(c.table, 8));
      } else {
        symbol = _mm512_min_epu16(symbol, last);
      }
      store(entry_of + 32 * half, symbol);
      for (int odd = 1; odd >= 0; --odd) {
        EncodeLanes e;
        if constexpr (kRegisters) {
          e = table.at(odd != 0 ? _mm512_srli_epi32(symbol, 16) : symbol);
        } else {
          const std::uint16_t* first = entry_of + 32 * half + odd;
          const avx2::EncodeLanes low = avx2::look_up_encode(run.encode, first);
          const avx2::EncodeLanes high = avx2::look_up_encode(run.encode, first + 16);
          e = {join(low.start_frequency, high.start_frequency), join(low.even, high.even),
               join(low.odd, high.odd)};
        }
        flags = _mm512_or_si512(flags, e.start_frequency);
        store(entries + 32 * half + 16 * odd, e.start_frequency);
        encode_16(x[2 * half + odd], e, words);
      }
    }
    if (_mm512_test_epi32_mask(flags, set1_32(RansTable::kEscapeFlag)) != 0) [[unlikely]] {
      write_escapes<S>(cursor, avx2::escaped_heads(entries), in);
    }
  }
  cursor.words = words;
  store_lanes(x, cursor.lanes);
}

struct Loops {
  template <typename S>
  static std::size_t decode(DecodeCursor& cursor, const PlaneRun& run) {
    if (run.has_classes()) return decode_slots<S, true>(cursor, run);
    const bool two_level = run.table != nullptr && run.table->layout == RansLayout::kTwoLevel;
    return two_level ? decode_two_level<S>(cursor, run) : decode_slots<S, false>(cursor, run);
  }
  template <typename S>
  static void encode(EncodeCursor& cursor, const PlaneRun& run) {
    // Slots that are looked up themselves are those of alias tables, which are hardly made.
    if (run.slot_of != nullptr) return avx2::kPlaneKernels.encode(cursor, run);
    if (run.has_classes()) return encode_heads<S, false, true>(cursor, run);
    return fits_registers<S>(run) ? encode_heads<S, true, false>(cursor, run)
                                  : encode_heads<S, false, false>(cursor, run);
  }
};

}  // namespace

const PlaneKernels kPlaneKernels = {&AllSplits<Loops>::decode, &AllSplits<Loops>::encode};

}  // namespace qi::avx512
QI_END_TARGET

#endif  // __x86_64__
