#include "engine/format/qstore_layout.h"

#include <array>
#include <cstring>
#include <string_view>

namespace qi {
namespace {

// Fields of a block in the order they are stored: a kind and a width in bytes. h: F16 numbers,
// f: an F32 number, n: nibbles, b: bytes, i: signed bytes, w: signed 16-bit sums.
struct BlockFields {
  DType type;
  std::string_view kinds;
  std::array<std::uint16_t, 6> widths;
};

constexpr std::array kBlocks = {
    BlockFields{DType::kQ4_0, "hn", {2, 16}},
    BlockFields{DType::kQ4_1, "hn", {4, 16}},
    BlockFields{DType::kQ5_0, "hbn", {2, 4, 16}},
    BlockFields{DType::kQ5_1, "hbn", {4, 4, 16}},
    BlockFields{DType::kQ8_0, "hi", {2, 32}},
    BlockFields{DType::kQ8_1, "hi", {4, 32}},
    BlockFields{DType::kQ2K, "nbh", {16, 64, 4}},
    BlockFields{DType::kQ3K, "bbbh", {32, 64, 12, 2}},
    BlockFields{DType::kQ4K, "hbn", {4, 12, 128}},
    BlockFields{DType::kQ5K, "hbbn", {4, 12, 32, 128}},
    BlockFields{DType::kQ6K, "nbih", {128, 64, 16, 2}},
    BlockFields{DType::kQ8K, "fiw", {4, 256, 32}},
    BlockFields{DType::kIQ2XXS, "hb", {2, 64}},
    BlockFields{DType::kIQ2XS, "hbn", {2, 64, 8}},
    BlockFields{DType::kIQ3XXS, "hb", {2, 96}},
    BlockFields{DType::kIQ1S, "hbb", {2, 32, 16}},
    BlockFields{DType::kIQ4NL, "hn", {2, 16}},
    BlockFields{DType::kIQ3S, "hbbbn", {2, 64, 8, 32, 4}},
    BlockFields{DType::kIQ2S, "hbbn", {2, 64, 8, 8}},
    BlockFields{DType::kIQ4XS, "hbbn", {2, 2, 4, 128}},
    BlockFields{DType::kIQ1M, "bbb", {32, 16, 8}},
    BlockFields{DType::kTQ1_0, "bbh", {48, 4, 2}},
    BlockFields{DType::kTQ2_0, "bh", {64, 2}},
    BlockFields{DType::kMXFP4, "bn", {1, 16}},
    BlockFields{DType::kNVFP4, "bn", {4, 32}},
    BlockFields{DType::kQ1_0, "hb", {2, 16}},
    BlockFields{DType::kQ2_0, "hb", {2, 16}},
};

PlaneKind kind_of(char kind) {
  switch (kind) {
    case 'h':
      return plane_kind(DType::kF16);
    case 'f':
      return plane_kind(DType::kF32);
    case 'n':
      return nibble_kind();
    case 'i':
      return plane_kind(DType::kI8);
    default:
      return plane_kind(DType::kU8);
  }
}

// Each byte of a number of `bytes` bytes by itself.
FieldLayout byte_planes(std::size_t bytes) {
  return FieldLayout(bytes, {1, plane_kind(DType::kU8)});
}

std::optional<FieldLayout> block_layout(DType type, bool big_endian) {
  for (const BlockFields& block : kBlocks) {
    if (block.type != type) continue;
    FieldLayout layout;
    for (std::size_t i = 0; i < block.kinds.size(); ++i) {
      const char kind = block.kinds[i];
      const std::uint32_t width = block.widths[i];
      const bool wide = kind == 'h' || kind == 'f' || kind == 'w';
      if (wide && (big_endian || kind == 'w')) {
        for (const LayoutField& byte : byte_planes(width)) layout.push_back(byte);
      } else {
        layout.push_back({width, kind_of(kind)});
      }
    }
    return layout;
  }
  return std::nullopt;
}

template <std::size_t kWidth>
void gather(std::span<const std::byte> records, std::size_t stride, std::size_t offset,
            std::byte* out) {
  for (std::size_t at = offset; at < records.size(); at += stride, out += kWidth) {
    std::memcpy(out, records.data() + at, kWidth);
  }
}

}  // namespace

std::uint64_t record_bytes(const FieldLayout& layout) {
  std::uint64_t sum = 0;
  for (const LayoutField& field : layout) sum += field.width;
  return sum;
}

std::vector<FieldLayout> layouts_of(DType type, bool big_endian) {
  const FieldLayout bytes = {{1, plane_kind(DType::kU8)}};
  const FieldLayout nibbles = {{1, nibble_kind()}};
  if (is_block(type)) {
    if (const auto layout = block_layout(type, big_endian)) return {*layout};
    return {bytes, nibbles};
  }
  const std::size_t width =
      type == DType::kUnknown || info(type).block_elements != 1 ? 1 : info(type).block_bytes;
  if (is_float(type) && width > 1) {
    if (big_endian) return {byte_planes(width)};
    return {{{static_cast<std::uint32_t>(width), plane_kind(type)}}};
  }
  if (type == DType::kC64 && !big_endian) return {{{4, plane_kind(DType::kF32)}}};
  if (is_float(type) && element_bits(type) == 8) {
    return {{{1, plane_kind(type)}}, bytes};
  }
  if (type == DType::kI8) return {{{1, plane_kind(type)}}, bytes, nibbles};
  if (width > 1) return {byte_planes(width), nibbles, bytes};
  return {nibbles, bytes};
}

void gather_field(std::span<const std::byte> records, std::size_t record_bytes, std::size_t offset,
                  std::size_t width, std::byte* out) {
  switch (width) {
    case 1:
      return gather<1>(records, record_bytes, offset, out);
    case 2:
      return gather<2>(records, record_bytes, offset, out);
    case 4:
      return gather<4>(records, record_bytes, offset, out);
    case 16:
      return gather<16>(records, record_bytes, offset, out);
    default:
      for (std::size_t at = offset; at < records.size(); at += record_bytes, out += width) {
        std::memcpy(out, records.data() + at, width);
      }
  }
}

void scatter_field(const std::byte* field, std::size_t count, std::size_t record_bytes,
                   std::size_t offset, std::size_t width, std::byte* records) {
  std::byte* at = records + offset;
  for (std::size_t i = 0; i < count; ++i, at += record_bytes, field += width) {
    if (width == 1) {
      *at = *field;
    } else {
      std::memcpy(at, field, width);
    }
  }
}

}  // namespace qi
