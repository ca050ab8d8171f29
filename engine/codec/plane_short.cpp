#include "engine/codec/plane_short.h"

#include <algorithm>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::size_t kShortStateBytes = 4;
constexpr std::size_t kCarried = 2;
constexpr std::size_t kMaxNumber = 5;
constexpr std::uint64_t kNoNumber = std::uint64_t{1} << 40;

[[noreturn]] void bad_short(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("short plane block: ") + what,
              "a block of as many elements as its tensor says");
}

std::size_t raw_bytes(const PlaneSplit& split, std::size_t count) {
  return (count * split.raw_bits() + 7) / 8;
}

unsigned load_head(const PlaneSplit& split, const std::byte* heads, std::size_t i) {
  return split.head_bytes == 2 ? load_u16(heads + 2 * i) : load_u8(heads + i);
}

// The parts of a head, and the table and move of its class.
struct Splitter {
  Splitter(const PlaneTable& table, std::span<const std::int8_t> classes_in)
      : split(table.split()),
        classes(classes_in),
        code_mask((1u << split.code_bits()) - 1),
        low_mask((1u << split.shift) - 1),
        sign_move(8u * split.head_bytes - 1 - split.shift),
        table_bits(table.classes() != nullptr ? table.classes()->table_bits : 0u),
        octave_bits(table.classes() != nullptr ? table.classes()->octave_bits : 0u) {}

  unsigned raw(unsigned head) const {
    const unsigned sign = split.has_sign ? head >> sign_move & ~low_mask : 0;
    return (head & low_mask) | sign;
  }
  std::uint32_t table_of(std::size_t i) const {
    return classes.empty() ? 0 : static_cast<std::uint32_t>(classes[i]) & ((1u << table_bits) - 1);
  }
  std::uint32_t moved(std::size_t i) const {
    if (classes.empty()) return 0;
    return static_cast<std::uint32_t>(classes[i] >> table_bits) << octave_bits;
  }

  const PlaneSplit& split;
  std::span<const std::int8_t> classes;
  unsigned code_mask;
  unsigned low_mask;
  unsigned sign_move;
  unsigned table_bits;
  unsigned octave_bits;
};

}  // namespace

std::size_t short_bound(const PlaneTable& table, std::size_t heads) {
  // A head gives one word and one escape at most.
  return kMaxNumber + packed_rows_bound(heads) + raw_bytes(table.split(), heads) +
         kShortStateBytes + 4 * heads;
}

std::size_t encode_short(const PlaneTable& table, std::span<const std::int8_t> rows,
                         std::span<const std::int8_t> classes, const std::byte* heads,
                         std::size_t count, std::byte* out) {
  const Splitter at(table, classes);
  const PlaneSplit& split = at.split;
  std::vector<std::byte> raw(raw_bytes(split, count));
  std::size_t filled = 0;
  std::uint64_t held = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    held |= std::uint64_t{at.raw(load_head(split, heads, i))} << bits;
    bits += split.raw_bits();
    for (; bits >= 8; bits -= 8, held >>= 8) raw[filled++] = static_cast<std::byte>(held & 255);
  }
  if (bits != 0) raw[filled] = static_cast<std::byte>(held);
  const std::size_t carried = std::min(raw.size(), kCarried);
  const std::size_t stored = raw.size() - carried;
  std::uint32_t x = kRansStateLow;
  for (std::size_t k = 0; k < carried; ++k) x += load_u8(raw.data() + stored + k) << (8 * k);

  std::vector<std::byte> words(2 * count);
  std::vector<std::byte> codes(split.escape_bytes() * count);
  std::byte* word = words.data() + words.size();
  std::byte* code_at = codes.data() + codes.size();
  const std::uint16_t* slot_of =
      table.rans().layout == RansLayout::kAlias ? table.rans().slot_of.data() : nullptr;
  for (std::size_t i = count; i-- > 0;) {
    const unsigned code = load_head(split, heads, i) >> split.shift & at.code_mask;
    const std::uint32_t symbol =
        std::min((code - split.base - at.moved(i)) & 0xFFFF, std::uint32_t{kEscapeSymbol});
    const RansTable::Encode& e = table.encode()[at.table_of(i) * 256 + symbol];
    if ((e.cumulative & RansTable::kEscapeFlag) != 0) {
      code_at -= split.escape_bytes();
      if (split.escape_bytes() == 2) {
        store_u16(code_at, static_cast<std::uint16_t>(code));
      } else {
        *code_at = static_cast<std::byte>(code);
      }
    }
    if (x >> 20 >= e.frequency) {
      word -= 2;
      store_u16(word, static_cast<std::uint16_t>(x));
      x >>= 16;
    }
    std::uint32_t slot = (e.cumulative & (kRansSlots - 1)) + x % e.frequency;
    if (slot_of != nullptr) slot = slot_of[slot];
    x = x / e.frequency << kRansSlotBits | slot;
  }

  std::byte* end = out;
  const auto append = [&end](const std::byte* from, std::size_t bytes) {
    if (bytes != 0) std::memcpy(end, from, bytes);
    end += bytes;
  };
  const auto escape_bytes = static_cast<std::size_t>(codes.data() + codes.size() - code_at);
  std::size_t escapes = escape_bytes / split.escape_bytes();
  for (; escapes >= 128; escapes >>= 7) *end++ = static_cast<std::byte>((escapes & 127) | 128);
  *end++ = static_cast<std::byte>(escapes);
  if (!rows.empty()) end += pack_rows(rows, end);
  append(raw.data(), stored);
  store_u32(end, x);
  end += kShortStateBytes;
  append(word, static_cast<std::size_t>(words.data() + words.size() - word));
  append(code_at, escape_bytes);
  return static_cast<std::size_t>(end - out);
}

std::uint64_t take_escapes(std::span<const std::byte>& body) {
  std::uint64_t escapes = 0;
  for (std::size_t i = 0; i < std::min(body.size(), kMaxNumber); ++i) {
    const unsigned byte = load_u8(body.data() + i);
    escapes |= std::uint64_t{byte & 127u} << (7 * i);
    if (byte >= 128) continue;
    body = body.subspan(i + 1);
    return escapes;
  }
  return kNoNumber;
}

void decode_short(const PlaneTable& table, std::uint64_t escapes,
                  std::span<const std::int8_t> classes, std::span<const std::byte> body,
                  std::size_t count, std::byte* heads) {
  const Splitter at(table, classes);
  const PlaneSplit& split = at.split;
  const std::size_t raw_size = raw_bytes(split, count);
  const std::size_t carried = std::min(raw_size, kCarried);
  const std::size_t stored = raw_size - carried;
  const std::uint64_t fixed = stored + kShortStateBytes + escapes * split.escape_bytes();
  if (body.size() < fixed || (body.size() - fixed) % 2 != 0) bad_short("sizes of its streams");
  std::uint32_t x = load_u32(body.data() + stored);
  const std::byte* word = body.data() + stored + kShortStateBytes;
  const std::byte* const codes = word + (body.size() - fixed);
  const std::byte* escaped = codes;
  const std::byte* const end = body.data() + body.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t entry = table.slots()[at.table_of(i) * kRansSlots + x % kRansSlots];
    x = (entry >> 20) * (x / kRansSlots) + (entry >> 8 & 4095);
    if (x < kRansStateLow) {
      if (word == codes) bad_short("too few words");
      x = x << 16 | load_u16(word);
      word += 2;
    }
    std::uint32_t code = (entry & 255) + split.base + at.moved(i);
    if ((entry & 255) == kEscapeSymbol) {
      if (escaped == end) bad_short("number of escapes");
      code = split.escape_bytes() == 2 ? load_u16(escaped) : load_u8(escaped);
      escaped += split.escape_bytes();
    }
    const unsigned head = (code & at.code_mask) << split.shift;
    if (split.head_bytes == 2) {
      store_u16(heads + 2 * i, static_cast<std::uint16_t>(head));
    } else {
      heads[i] = static_cast<std::byte>(head);
    }
  }
  const std::uint32_t last = x - kRansStateLow;
  if (word != codes || escaped != end || last >= 1u << (8 * carried)) {
    bad_short("words or escapes left over, or the last state");
  }
  std::size_t next = 0;
  std::uint64_t held = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (; bits < split.raw_bits(); bits += 8, ++next) {
      const std::uint64_t byte =
          next < stored ? load_u8(body.data() + next) : last >> (8 * (next - stored)) & 255u;
      held |= byte << bits;
    }
    const auto raw = static_cast<unsigned>(held) & ((1u << split.raw_bits()) - 1);
    held >>= split.raw_bits();
    bits -= split.raw_bits();
    const unsigned kept = (raw & at.low_mask) | (raw & ~at.low_mask) << at.sign_move;
    const unsigned head = load_head(split, heads, i) | kept;
    if (split.head_bytes == 2) {
      store_u16(heads + 2 * i, static_cast<std::uint16_t>(head));
    } else {
      heads[i] = static_cast<std::byte>(head);
    }
  }
  if (held != 0) bad_short("bits behind the last");
}

}  // namespace qi
