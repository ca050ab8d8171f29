// The plain loops: the definition of the format, and the path of machines without AVX2. Steps of
// the lane loop are free of branches: a renormalisation is as likely as not.
#include <algorithm>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_kernels.h"

namespace qi::portable {
namespace {

using Heads = std::array<std::uint16_t, kRansLanes>;

constexpr std::size_t head_of_lane(std::size_t lane) {
  return lane / 32 * 32 + lane % 16 * 2 + lane / 16 % 2;
}

void pack_raw(const Heads& raw, unsigned bits, std::byte* out) {
  unsigned at = 0;
  if ((bits & 8) != 0) {
    for (std::size_t i = 0; i < kRansLanes; ++i) out[i] = static_cast<std::byte>(raw[i] & 255);
    out += kRansLanes;
    at = 8;
  }
  if ((bits & 4) != 0) {
    for (std::size_t j = 0; j < 32; ++j) {
      const unsigned low = raw[j] >> at & 15u;
      const unsigned high = raw[j + 32] >> at & 15u;
      out[j] = static_cast<std::byte>(low | high << 4);
    }
    out += 32;
    at += 4;
  }
  if ((bits & 2) != 0) {
    for (std::size_t j = 0; j < 16; ++j) {
      unsigned byte = 0;
      for (std::size_t k = 0; k < 4; ++k) byte |= (raw[j + 16 * k] >> at & 3u) << (2 * k);
      out[j] = static_cast<std::byte>(byte);
    }
    out += 16;
    at += 2;
  }
  if ((bits & 1) != 0) {
    for (std::size_t j = 0; j < 8; ++j) {
      unsigned byte = 0;
      for (std::size_t k = 0; k < 8; ++k) byte |= (raw[8 * j + k] >> at & 1u) << k;
      out[j] = static_cast<std::byte>(byte);
    }
  }
}

void unpack_raw(const std::byte* in, unsigned bits, Heads& raw) {
  const auto at_byte = [&](std::size_t i) { return std::to_integer<unsigned>(in[i]); };
  const auto merge = [&](std::size_t i, unsigned value) {
    raw[i] = static_cast<std::uint16_t>(raw[i] | value);
  };
  raw.fill(0);
  unsigned at = 0;
  if ((bits & 8) != 0) {
    for (std::size_t i = 0; i < kRansLanes; ++i) raw[i] = static_cast<std::uint16_t>(at_byte(i));
    in += kRansLanes;
    at = 8;
  }
  if ((bits & 4) != 0) {
    for (std::size_t i = 0; i < kRansLanes; ++i) {
      merge(i, (at_byte(i % 32) >> (i / 32 * 4) & 15u) << at);
    }
    in += 32;
    at += 4;
  }
  if ((bits & 2) != 0) {
    for (std::size_t i = 0; i < kRansLanes; ++i) {
      merge(i, (at_byte(i % 16) >> (i / 16 * 2) & 3u) << at);
    }
    in += 16;
    at += 2;
  }
  if ((bits & 1) != 0) {
    for (std::size_t i = 0; i < kRansLanes; ++i) merge(i, (at_byte(i / 8) >> (i % 8) & 1u) << at);
  }
}

// Negative classes, too, are ⌊c/2^b⌋·2^b + c mod 2^b.
struct Class {
  std::uint32_t table;
  std::uint32_t code_shift;
};
Class class_of(const PlaneRun& run, std::size_t i) {
  const int c = run.classes[i];
  return {static_cast<std::uint32_t>(c) & ((1u << run.table_bits) - 1),
          static_cast<std::uint32_t>(c >> run.table_bits) << run.octave_bits};
}

template <bool kClasses>
std::size_t decode(DecodeCursor& cursor, const PlaneRun& run) {
  const PlaneSplit split = run.split;
  const unsigned code_mask = (1u << split.code_bits()) - 1;
  const unsigned low_mask = (1u << split.shift) - 1;
  const unsigned sign_up = 8u * split.head_bytes - 1 - split.shift;
  // Copies: a store to bytes may change anything that is not local.
  const std::uint32_t* const slots = run.slots;
  const std::byte* words = cursor.words;
  std::array<std::uint32_t, kRansLanes> x = cursor.lanes;
  std::size_t group = 0;
  for (; group < run.groups && words <= cursor.words_limit; ++group) {
    std::array<std::uint8_t, kRansLanes> symbol;
    // Sixteen lanes serve every second head from head_of_lane() of the first on.
    for (std::size_t first = 0; first < kRansLanes; first += 16) {
      for (std::size_t k = 0; k < 16; ++k) {
        const std::size_t head = head_of_lane(first) + 2 * k;
        const std::uint32_t state = x[first + k];
        const std::uint32_t table = kClasses ? class_of(run, 64 * group + head).table : 0;
        const std::uint32_t entry = slots[table * kRansSlots + state % kRansSlots];
        const std::uint32_t next = (entry >> 20) * (state / kRansSlots) + (entry >> 8 & 4095);
        // All ones below 2^16, else 0: a compiler makes a branch of anything plainer.
        const auto takes = static_cast<std::uint32_t>((std::uint64_t{next} - kRansStateLow) >> 32);
        x[first + k] = next ^ ((next ^ (next << 16 | load_u16(words))) & takes);
        words += takes & 2;
        symbol[head] = static_cast<std::uint8_t>(entry);
      }
    }
    Heads raw;
    unpack_raw(cursor.raw, split.raw_bits(), raw);
    Heads heads;
    unsigned escaped = 0;
    for (std::size_t i = 0; i < kRansLanes; ++i) {
      const std::uint32_t moved = kClasses ? class_of(run, 64 * group + i).code_shift : 0;
      const std::uint32_t code = (symbol[i] + split.base + moved) & code_mask;
      const std::uint32_t kept = (raw[i] & low_mask) | (raw[i] & ~low_mask) << sign_up;
      heads[i] = static_cast<std::uint16_t>(kept | code << split.shift);
      escaped |= symbol[i] == kEscapeSymbol ? 1u : 0u;
    }
    for (std::size_t i = 0; escaped != 0 && i < kRansLanes; ++i) {
      if (symbol[i] != kEscapeSymbol) continue;
      if (cursor.escapes == cursor.escapes_end) {
        cursor.exhausted = true;
        break;
      }
      const bool wide = split.escape_bytes() == 2;
      const unsigned code = wide ? load_u16(cursor.escapes) : load_u8(cursor.escapes);
      cursor.escapes += split.escape_bytes();
      const unsigned kept = heads[i] & ~(code_mask << split.shift);
      heads[i] = static_cast<std::uint16_t>(kept | (code & code_mask) << split.shift);
    }
    if (split.head_bytes == 2) {
      std::memcpy(cursor.out, heads.data(), sizeof(heads));
    } else {
      std::byte* const out = cursor.out;
      for (std::size_t i = 0; i < kRansLanes; ++i) out[i] = static_cast<std::byte>(heads[i]);
    }
    cursor.out += kRansLanes * split.head_bytes;
    cursor.raw += 8 * split.raw_bits();
  }
  cursor.words = words;
  cursor.lanes = x;
  return group;
}

template <bool kClasses>
void encode(EncodeCursor& cursor, const PlaneRun& run) {
  const PlaneSplit split = run.split;
  const unsigned code_mask = (1u << split.code_bits()) - 1;
  const unsigned low_mask = (1u << split.shift) - 1;
  const unsigned sign_down = 8u * split.head_bytes - 1 - split.shift;
  std::byte* words = cursor.words;
  for (std::size_t group = run.groups; group-- > 0;) {
    const std::byte* in = cursor.in + group * kRansLanes * split.head_bytes;
    Heads raw;
    std::array<std::uint16_t, kRansLanes> entry_of;
    for (std::size_t i = kRansLanes; i-- > 0;) {
      const unsigned head = split.head_bytes == 2 ? load_u16(in + 2 * i) : load_u8(in + i);
      const unsigned sign = split.has_sign ? head >> sign_down & ~low_mask : 0;
      raw[i] = static_cast<std::uint16_t>((head & low_mask) | sign);
      const unsigned code = head >> split.shift & code_mask;
      const Class c = kClasses ? class_of(run, 64 * group + i) : Class{0, 0};
      // Codes below the base wrap to large symbols.
      const std::uint32_t symbol =
          std::min((code - split.base - c.code_shift) & 0xFFFF, std::uint32_t{kEscapeSymbol});
      entry_of[i] = static_cast<std::uint16_t>(c.table * 256 + symbol);
      if ((run.encode[entry_of[i]].cumulative & RansTable::kEscapeFlag) == 0) continue;
      cursor.escapes -= split.escape_bytes();
      if (split.escape_bytes() == 2) {
        store_u16(cursor.escapes, static_cast<std::uint16_t>(code));
      } else {
        *cursor.escapes = static_cast<std::byte>(code);
      }
    }
    pack_raw(raw, split.raw_bits(), cursor.raw + 8 * split.raw_bits() * group);
    for (std::size_t lane = kRansLanes; lane-- > 0;) {
      const std::uint32_t index = entry_of[head_of_lane(lane)];
      const RansTable::Encode e = run.encode[index];
      const std::uint32_t f = e.frequency;
      std::uint32_t x = cursor.lanes[lane];
      const std::uint32_t gives = (x >> 20) >= f ? 1 : 0;
      store_u16(words - 2, static_cast<std::uint16_t>(x));
      words -= 2 * gives;
      x >>= 16 * gives;
      auto quotient = static_cast<std::uint32_t>((std::uint64_t{x} * e.reciprocal) >> 32);
      std::uint32_t rank = x - quotient * f;
      const std::uint32_t one_more = rank >= f ? 1 : 0;
      quotient += one_more;
      rank -= f & (0u - one_more);
      std::uint32_t slot = (e.cumulative & (kRansSlots - 1)) + rank;
      if (!kClasses && run.slot_of != nullptr) slot = run.slot_of[slot];
      cursor.lanes[lane] = quotient << kRansSlotBits | slot;
    }
  }
  cursor.words = words;
}

std::size_t decode_any(DecodeCursor& cursor, const PlaneRun& run) {
  return run.has_classes() ? decode<true>(cursor, run) : decode<false>(cursor, run);
}
void encode_any(EncodeCursor& cursor, const PlaneRun& run) {
  run.has_classes() ? encode<true>(cursor, run) : encode<false>(cursor, run);
}

unsigned load_head(const PlaneSplit& split, const std::byte* heads, std::size_t i) {
  return split.head_bytes == 2 ? load_u16(heads + 2 * i) : load_u8(heads + i);
}

}  // namespace

void take_raw(const PlaneSplit& split, const std::byte* heads, std::byte* raw) {
  const unsigned low_mask = (1u << split.shift) - 1;
  const unsigned sign_down = 8u * split.head_bytes - 1 - split.shift;
  Heads bits;
  for (std::size_t i = 0; i < kRansLanes; ++i) {
    const unsigned head = load_head(split, heads, i);
    const unsigned sign = split.has_sign ? head >> sign_down & ~low_mask : 0;
    bits[i] = static_cast<std::uint16_t>((head & low_mask) | sign);
  }
  pack_raw(bits, split.raw_bits(), raw);
}

void put_raw(const PlaneSplit& split, const std::byte* raw, std::byte* heads) {
  const unsigned low_mask = (1u << split.shift) - 1;
  const unsigned field = ((1u << split.code_bits()) - 1) << split.shift;
  const unsigned sign_up = 8u * split.head_bytes - 1 - split.shift;
  Heads bits;
  unpack_raw(raw, split.raw_bits(), bits);
  for (std::size_t i = 0; i < kRansLanes; ++i) {
    const unsigned kept = (bits[i] & low_mask) | (bits[i] & ~low_mask) << sign_up;
    const unsigned head = (load_head(split, heads, i) & field) | kept;
    if (split.head_bytes == 2) {
      store_u16(heads + 2 * i, static_cast<std::uint16_t>(head));
    } else {
      heads[i] = static_cast<std::byte>(head);
    }
  }
}

const PlaneKernels kPlaneKernels = {&decode_any, &encode_any};

}  // namespace qi::portable
