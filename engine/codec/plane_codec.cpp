#include "engine/codec/plane_codec.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_short.h"
#include "engine/codec/rans_stream.h"
#include "engine/io/error.h"

namespace qi {
namespace {

enum Mode : std::uint8_t { kRaw = 0, kConstant = 1, kCoded = 2, kShort = 3, kShortLow = 4 };
enum LowMode : std::uint8_t { kLowRaw = 0, kLowConstant = 1 };

constexpr std::size_t kCodedHead = 12;

[[noreturn]] void bad_block(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("plane block: ") + what,
              "a block of as many elements as its tensor says");
}

bool all_equal(const std::byte* values, std::size_t count, std::size_t bytes) {
  return count > 0 && std::memcmp(values, values + bytes, (count - 1) * bytes) == 0;
}

// Upper 16 bits of wide elements to `heads`, the bytes below to `low`.
template <std::size_t kBytes>
void take_apart(const std::byte* values, std::size_t count, std::byte* heads, std::byte* low) {
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(low + i * (kBytes - 2), values + i * kBytes, kBytes - 2);
    std::memcpy(heads + 2 * i, values + i * kBytes + kBytes - 2, 2);
  }
}
template <std::size_t kBytes>
void put_together(const std::byte* heads, const std::byte* low, std::size_t low_stride,
                  std::size_t count, std::byte* values) {
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(values + i * kBytes, low + i * low_stride, kBytes - 2);
    std::memcpy(values + i * kBytes + kBytes - 2, heads + 2 * i, 2);
  }
}

void split_nibbles(const std::byte* bytes, std::size_t count, std::byte* heads) {
  for (std::size_t i = 0; i < count; i += kRansLanes) {
    const std::size_t n = std::min(kRansLanes, count - i);
    for (std::size_t k = 0; k < n; ++k) heads[2 * i + k] = bytes[i + k] & std::byte{15};
    for (std::size_t k = 0; k < n; ++k) heads[2 * i + n + k] = bytes[i + k] >> 4;
  }
}
void join_nibbles(const std::byte* heads, std::size_t count, std::byte* bytes) {
  for (std::size_t i = 0; i < count; i += kRansLanes) {
    const std::size_t n = std::min(kRansLanes, count - i);
    for (std::size_t k = 0; k < n; ++k) bytes[i + k] = heads[2 * i + k] | heads[2 * i + n + k] << 4;
  }
}

// The raw bits of a block's groups: the last ones are carried by states.
struct RawPlane {
  RawPlane(const PlaneSplit& split, std::size_t groups)
      : group_bytes(8 * split.raw_bits()),
        bytes(group_bytes * groups),
        carried(std::min(bytes, kCarriedBytes)) {}

  std::size_t stored() const { return bytes - carried; }
  // The first group that is not stored as a whole.
  std::size_t first_carried() const { return group_bytes == 0 ? 0 : stored() / group_bytes; }

  std::size_t group_bytes;
  std::size_t bytes;
  std::size_t carried;
};

// Rows longer than this have the class of their scale.
constexpr std::size_t kLongestClose = 2048;
// Rows shorter than this go through the loops together, a class a head.
constexpr std::size_t kOwnRun = 8 * kRansLanes;

}  // namespace

// ---- runs ---------------------------------------------------------------------------------------

std::span<std::int8_t> RowRuns::rows(const PlaneTable& table, std::size_t heads) {
  rows_.clear();
  if (table.classes() != nullptr) {
    const std::size_t cols = table.classes()->cols;
    rows_.resize(heads / cols + (heads % cols != 0 ? 1 : 0));
  }
  return rows_;
}

std::span<const std::int8_t> RowRuns::classes(const PlaneTable& table, std::size_t heads) {
  classes_.resize(table.classes() != nullptr ? heads : 0);
  if (table.classes() != nullptr) table.classes()->fill(rows_.data(), heads, classes_.data());
  return classes_;
}

std::span<const PlaneRun> RowRuns::of(const PlaneTable& table, std::size_t groups) {
  PlaneRun run;
  run.split = table.split();
  run.slots = table.slots();
  run.encode = table.encode();
  run.groups = groups;
  runs_.clear();
  const PlaneClasses* classes = table.classes();
  if (classes == nullptr) {
    const RansTable& rans = table.rans();
    run.table = &rans;
    if (rans.layout == RansLayout::kAlias) run.slot_of = rans.slot_of.data();
    runs_.push_back(run);
    return runs_;
  }
  const std::size_t cols = classes->cols;
  if (classes->columns.empty() && cols % kRansLanes == 0 && cols >= kOwnRun) {
    // A row is all one class: a run with a table and a base of its own.
    std::size_t left = groups;
    for (std::size_t r = 0; left != 0; ++r) {
      const int c = classes->of_row(rows_[r]);
      const auto t = static_cast<std::size_t>(c) % classes->tables();
      const int moved = (c >> classes->table_bits) * (1 << classes->octave_bits);
      PlaneRun& row = runs_.emplace_back(run);
      row.split.base = static_cast<std::uint16_t>(run.split.base + moved);
      row.slots = run.slots + t * kRansSlots;
      row.encode = run.encode + t * 256;
      row.groups = std::min(left, cols / kRansLanes);
      left -= row.groups;
    }
    return runs_;
  }
  classes_.resize(groups * kRansLanes);
  classes->fill(rows_.data(), classes_.size(), classes_.data());
  run.classes = classes_.data();
  run.table_bits = classes->table_bits;
  run.octave_bits = classes->octave_bits;
  runs_.push_back(run);
  return runs_;
}

// ---- encoder ------------------------------------------------------------------------------------

PlaneEncoder::PlaneEncoder(CodecPath path) : kernels_(plane_kernels(path)) {}

std::span<const std::int8_t> PlaneEncoder::rows_of(const PlaneTable& table, const std::byte* heads,
                                                   std::size_t count) {
  const std::span<std::int8_t> rows = runs_.rows(table, count);
  // Where columns differ, too, or there is little: then it pays, or takes no time. The scale of a
  // long row is exact enough.
  const PlaneClasses* classes = table.classes();
  const bool closely = classes != nullptr && classes->cols <= kLongestClose &&
                       (count <= kShortHeads || !classes->columns.empty());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::size_t cols = table.classes()->cols;
    rows[r] = table.class_of_row(heads + r * cols * table.split().head_bytes,
                                 std::min(cols, count - r * cols), closely);
  }
  return rows;
}

// Classes, raw bits, states, words, escapes and the last heads, after the place of the block's
// head.
std::size_t PlaneEncoder::encode_heads(const PlaneTable& table, const std::byte* heads,
                                       std::size_t count, std::byte* out) {
  const PlaneSplit& split = table.split();
  const std::size_t groups = count / kRansLanes;
  const std::size_t group_bytes = kRansLanes * split.head_bytes;
  std::byte* raw = out + kCodedHead;
  const std::span<const std::int8_t> rows = rows_of(table, heads, count);
  if (!rows.empty()) raw += pack_rows(rows, raw);
  const RawPlane plane(split, groups);
  for (std::size_t g = plane.first_carried(); plane.carried != 0 && g < groups; ++g) {
    portable::take_raw(split, heads + g * group_bytes, raw + g * plane.group_bytes);
  }
  const std::span<const PlaneRun> runs = runs_.of(table, groups);
  EncodeCursor cursor;
  start_encoding(cursor, {raw + plane.stored(), plane.carried}, words_, escapes_, count);
  std::size_t first = groups;
  for (std::size_t i = runs.size(); i-- > 0;) {
    first -= runs[i].groups;
    cursor.in = heads + first * group_bytes;
    cursor.raw = raw + first * 8 * split.raw_bits();
    kernels_.encode(cursor, runs[i]);
  }
  std::byte* end = raw + plane.stored();  // what is carried need not be stored
  const StreamSizes sizes = finish_encoding(cursor, words_, escapes_, split, end);
  end += sizes.bytes;
  const std::size_t coded = groups * group_bytes;
  const std::size_t rest = count * split.head_bytes - coded;
  std::memcpy(end, heads + coded, rest);
  store_u32(out + 4, sizes.words);
  store_u32(out + 8, sizes.escapes);
  return static_cast<std::size_t>(end + rest - out);
}

std::span<const std::byte> PlaneEncoder::encode(const PlaneTable& table, const std::byte* values,
                                                std::size_t count) {
  const std::size_t element = table.element_bytes();
  const std::size_t head = table.split().head_bytes;
  const std::size_t raw_bytes = count * element;
  const std::size_t head_count = table.nibbles() ? 2 * count : count;
  // Raw bits, states, a word, an escape and a class a head, the heads of the rest, and low bytes.
  const std::size_t bound = kCodedHead + 4 * kRansLanes + 8 * head_count + raw_bytes +
                            packed_rows_bound(head_count) + kWordsAhead +
                            (head_count <= kShortHeads ? short_bound(table, head_count) : 0);
  if (out_.size() < bound) out_.resize(bound);
  std::byte* out = out_.data();
  if (all_equal(values, count, element)) {
    out[0] = std::byte{kConstant};
    std::memcpy(out + 1, values, element);
    return {out, 1 + element};
  }
  std::size_t size = raw_bytes + 1;
  if (head_count != 0) {
    const std::byte* heads = values;
    std::size_t low_bytes = 0;
    if (table.nibbles()) {
      heads_.resize(head_count);
      split_nibbles(values, count, heads_.data());
      heads = heads_.data();
    } else if (element > head) {
      heads_.resize(raw_bytes);  // heads, then low bytes
      const auto split = element == 4 ? take_apart<4> : take_apart<8>;
      split(values, count, heads_.data(), heads_.data() + 2 * count);
      heads = heads_.data();
      low_bytes = element - head;
    }
    const bool is_short = head_count <= kShortHeads;
    if (is_short) {
      out[0] = std::byte{kShort};
      const std::span<const std::int8_t> rows = rows_of(table, heads, head_count);
      size = 1 + encode_short(table, rows, runs_.classes(table, head_count), heads, head_count,
                              out + 1);
    } else {
      std::memset(out, 0, kCodedHead);
      out[0] = std::byte{kCoded};
      size = encode_heads(table, heads, head_count, out);
    }
    if (low_bytes != 0) {
      const std::byte* low = heads_.data() + 2 * count;
      const bool constant = all_equal(low, count, low_bytes);
      if (is_short) {
        out[0] = std::byte{constant ? kShortLow : kShort};
      } else {
        out[1] = std::byte{constant ? kLowConstant : kLowRaw};
      }
      const std::size_t bytes = constant ? low_bytes : low_bytes * count;
      if (size + bytes < raw_bytes + 1) std::memcpy(out + size, low, bytes);
      size += bytes;
    }
  }
  if (size >= raw_bytes + 1) {
    out[0] = std::byte{kRaw};
    if (raw_bytes != 0) std::memcpy(out + 1, values, raw_bytes);
    size = raw_bytes + 1;
  }
  return {out, size};
}

// ---- decoder ------------------------------------------------------------------------------------

namespace {

// Heads that are no whole elements, and the bytes below them, become elements.
void join_heads(const PlaneTable& table, const std::byte* heads, const std::byte* low,
                bool constant_low, std::size_t count, std::byte* out) {
  const std::size_t element = table.element_bytes();
  if (table.nibbles()) {
    // The rest is stored in whole bytes: nothing has checked that these are halves.
    join_nibbles(heads, count, out);
  } else if (element > table.split().head_bytes) {
    const auto join = element == 4 ? put_together<4> : put_together<8>;
    join(heads, low, constant_low ? 0 : element - table.split().head_bytes, count, out);
  }
}

}  // namespace

PlaneDecoder::PlaneDecoder(CodecPath path) : kernels_(plane_kernels(path)) {}

void PlaneDecoder::decode(const PlaneTable& table, std::span<const std::byte> block,
                          std::size_t count, std::byte* out) {
  const std::size_t element = table.element_bytes();
  const PlaneSplit& split = table.split();
  const std::size_t raw_bytes = count * element;
  if (block.empty()) bad_block("empty");
  const unsigned mode = load_u8(block.data());
  if (mode == kRaw) {
    if (block.size() != raw_bytes + 1) bad_block("size of raw elements");
    if (raw_bytes != 0) std::memcpy(out, block.data() + 1, raw_bytes);
    return;
  }
  if (mode == kConstant) {
    if (block.size() != element + 1) bad_block("size of one element");
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(out + i * element, block.data() + 1, element);
    }
    return;
  }
  if (mode == kShort || mode == kShortLow) return decode_short_block(table, block, count, out);
  if (mode != kCoded || block.size() < kCodedHead) bad_block("mode");
  const unsigned low_mode = load_u8(block.data() + 1);
  const std::size_t low_bytes = element - split.head_bytes;
  if (load_u16(block.data() + 2) != 0 || low_mode > (low_bytes != 0 ? kLowConstant : kLowRaw)) {
    bad_block("mode of the low bytes");
  }
  const std::size_t head_count = table.nibbles() ? 2 * count : count;
  const std::size_t groups = head_count / kRansLanes;
  const std::byte* at = block.data() + kCodedHead;
  const std::span<std::int8_t> rows = runs_.rows(table, head_count);
  std::size_t row_bytes = 0;
  if (!rows.empty()) row_bytes = unpack_rows(block.subspan(kCodedHead), rows);
  at += row_bytes;
  const std::uint64_t words = load_u32(block.data() + 4);
  const std::uint64_t escapes = load_u32(block.data() + 8);
  const RawPlane plane(split, groups);
  const std::size_t rest = (head_count - groups * kRansLanes) * split.head_bytes;
  const std::size_t low = low_mode == kLowConstant ? low_bytes : low_bytes * count;
  // No sum overflows: words and escapes are below 2^32, the others no more than the output.
  if (block.size() != kCodedHead + row_bytes + plane.stored() + 4 * kRansLanes + 2 * words +
                          split.escape_bytes() * escapes + rest + low) {
    bad_block("sizes of its streams");
  }
  std::byte* heads = out;
  if (table.nibbles() || low_bytes != 0) {
    heads_.resize(head_count * split.head_bytes);
    heads = heads_.data();
  }
  // The last groups' raw bits are wrong at first: in their place stand states.
  DecodeStream stream(at + plane.stored(), words, escapes * split.escape_bytes());
  stream.cursor.raw = at;
  stream.cursor.out = heads;
  for (const PlaneRun& run : runs_.of(table, groups)) stream.decode(kernels_, run);
  std::array<std::byte, 2 * kCarriedBytes> raw;
  const std::size_t first = plane.first_carried();
  const std::size_t begun = plane.stored() - first * plane.group_bytes;
  std::memcpy(raw.data(), at + first * plane.group_bytes, begun);
  stream.finish(std::span(raw).subspan(begun, plane.carried));
  for (std::size_t g = first; plane.carried != 0 && g < groups; ++g) {
    portable::put_raw(split, raw.data() + (g - first) * plane.group_bytes,
                      heads + g * kRansLanes * split.head_bytes);
  }
  at += plane.stored() + 4 * kRansLanes + 2 * words + split.escape_bytes() * escapes;
  std::memcpy(heads + groups * kRansLanes * split.head_bytes, at, rest);
  join_heads(table, heads, at + rest, low_mode == kLowConstant, count, out);
}

void PlaneDecoder::decode_short_block(const PlaneTable& table, std::span<const std::byte> block,
                                      std::size_t count, std::byte* out) {
  const std::size_t low_bytes = table.element_bytes() - table.split().head_bytes;
  const bool constant = load_u8(block.data()) == kShortLow;
  if (constant && low_bytes == 0) bad_block("mode");
  const std::size_t low = constant ? low_bytes : low_bytes * count;
  if (block.size() < 1 + low) bad_block("size of the low bytes");
  std::span<const std::byte> body = block.subspan(1, block.size() - 1 - low);
  const std::uint64_t escapes = take_escapes(body);
  const std::size_t head_count = table.nibbles() ? 2 * count : count;
  const std::span<std::int8_t> rows = runs_.rows(table, head_count);
  if (!rows.empty()) body = body.subspan(unpack_rows(body, rows));
  std::byte* heads = out;
  if (table.nibbles() || low_bytes != 0) {
    heads_.resize(head_count * table.split().head_bytes);
    heads = heads_.data();
  }
  decode_short(table, escapes, runs_.classes(table, head_count), body, head_count, heads);
  join_heads(table, heads, block.data() + block.size() - low, constant, count, out);
}

// ---- what a block says of itself ----------------------------------------------------------------

bool plane_block_is_raw(std::span<const std::byte> block) {
  return !block.empty() && load_u8(block.data()) == kRaw;
}

std::uint64_t plane_block_escapes(std::span<const std::byte> block) {
  const unsigned mode = block.empty() ? 0u : load_u8(block.data());
  if ((mode == kShort || mode == kShortLow) && block.size() > 1) {
    std::span<const std::byte> body = block.subspan(1);
    return take_escapes(body);
  }
  if (block.size() < kCodedHead || load_u8(block.data()) != kCoded) return 0;
  return load_u32(block.data() + 8);
}

}  // namespace qi
