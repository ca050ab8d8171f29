#include "engine/quant/ggml_blocks.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/quant/ggml_codes.h"
#include "engine/quant/ggml_plain.h"
#include "engine/quant/ggml_simd.h"

namespace qi {
namespace {

using namespace ggml;

// A run of equal multi-byte fields inside a block.
struct Fields {
  std::uint16_t offset = 0;
  std::uint8_t width = 0;
  std::uint8_t count = 0;
};

struct BlockRow {
  DType type;
  int code_bits;
  UnpackBlock codes;       // nullptr: no scalar codes
  DequantizeBlock values;  // nullptr: interleaved
  std::array<Fields, 2> fields;
};

constexpr std::array kBlocks = {
    BlockRow{DType::kQ4_0, 4, codes_q4_0, plain_q4_0, {{{0, 2, 1}}}},
    BlockRow{DType::kQ4_1, 4, codes_q4_1, plain_q4_1, {{{0, 2, 2}}}},
    BlockRow{DType::kQ5_0, 5, codes_q5_0, plain_q5_0, {{{0, 2, 1}, {2, 4, 1}}}},
    BlockRow{DType::kQ5_1, 5, codes_q5_1, plain_q5_1, {{{0, 2, 2}, {4, 4, 1}}}},
    BlockRow{DType::kQ8_0, 8, codes_q8_0, plain_q8_0, {{{0, 2, 1}}}},
    BlockRow{DType::kQ8_1, 8, codes_q8_1, plain_q8_1, {{{0, 2, 2}}}},
    BlockRow{DType::kQ2K, 2, codes_q2_k, plain_q2_k, {{{80, 2, 2}}}},
    BlockRow{DType::kQ3K, 3, codes_q3_k, plain_q3_k, {{{108, 2, 1}}}},
    BlockRow{DType::kQ4K, 4, codes_q4_k, plain_q4_k, {{{0, 2, 2}}}},
    BlockRow{DType::kQ5K, 5, codes_q5_k, plain_q5_k, {{{0, 2, 2}}}},
    BlockRow{DType::kQ6K, 6, codes_q6_k, plain_q6_k, {{{208, 2, 1}}}},
    BlockRow{DType::kQ8K, 8, codes_q8_k, plain_q8_k, {{{0, 4, 1}, {260, 2, 16}}}},
    BlockRow{DType::kIQ2XXS, 0, nullptr, plain_iq2_xxs, {{{0, 2, 1}, {2, 4, 16}}}},
    BlockRow{DType::kIQ2XS, 0, nullptr, plain_iq2_xs, {{{0, 2, 33}}}},
    BlockRow{DType::kIQ3XXS, 0, nullptr, plain_iq3_xxs, {{{0, 2, 1}, {66, 4, 8}}}},
    BlockRow{DType::kIQ1S, 0, nullptr, plain_iq1_s, {{{0, 2, 1}, {34, 2, 8}}}},
    BlockRow{DType::kIQ4NL, 4, codes_q4_0, plain_iq4_nl, {{{0, 2, 1}}}},
    BlockRow{DType::kIQ3S, 0, nullptr, plain_iq3_s, {{{0, 2, 1}}}},
    BlockRow{DType::kIQ2S, 0, nullptr, plain_iq2_s, {{{0, 2, 1}}}},
    BlockRow{DType::kIQ4XS, 4, codes_iq4_xs, plain_iq4_xs, {{{0, 2, 2}}}},
    BlockRow{DType::kIQ1M, 0, nullptr, plain_iq1_m, {{{48, 2, 4}}}},
    BlockRow{DType::kQ4_0_4_4, 4, nullptr, nullptr, {{{0, 2, 4}}}},
    BlockRow{DType::kQ4_0_4_8, 4, nullptr, nullptr, {{{0, 2, 4}}}},
    BlockRow{DType::kQ4_0_8_8, 4, nullptr, nullptr, {{{0, 2, 8}}}},
    BlockRow{DType::kTQ1_0, 2, codes_tq1_0, plain_tq1_0, {{{52, 2, 1}}}},
    BlockRow{DType::kTQ2_0, 2, codes_tq2_0, plain_tq2_0, {{{64, 2, 1}}}},
    BlockRow{DType::kMXFP4, 4, codes_mxfp4, plain_mxfp4, {}},
    BlockRow{DType::kNVFP4, 4, codes_nvfp4, plain_nvfp4, {}},
    BlockRow{DType::kQ1_0, 1, codes_q1_0, plain_q1_0, {{{0, 2, 1}}}},
    BlockRow{DType::kQ2_0, 2, codes_q2_0, plain_q2_0, {{{0, 2, 1}}}},
};

const BlockRow* find(DType type) {
  const auto it = std::find_if(kBlocks.begin(), kBlocks.end(),
                               [&](const BlockRow& row) { return row.type == type; });
  return it == kBlocks.end() ? nullptr : &*it;
}

const BlockRow& row_of(DType type) {
  const BlockRow* row = find(type);
  if (row == nullptr || row->values == nullptr) {
    throw Error(ErrorCode::kBadDtype, fmt::format("type {} has no values", info(type).name),
                "a ggml block type");
  }
  return *row;
}

void swap_field(std::byte* at, std::size_t width) {
  std::reverse(at, at + width);
}

}  // namespace

bool ggml_decodable(DType type) {
  return find(type) != nullptr;
}

int ggml_code_bits(DType type) {
  const BlockRow* row = find(type);
  return row == nullptr ? 0 : row->code_bits;
}

void dequantize_blocks_plain(DType type, const std::byte* blocks, std::uint64_t elements,
                             float* out) {
  const BlockRow& row = row_of(type);
  const DTypeInfo& sizes = info(type);
  assert(elements % sizes.block_elements == 0);
  for (std::uint64_t done = 0; done < elements; done += sizes.block_elements) {
    row.values(blocks, out + done);
    blocks += sizes.block_bytes;
  }
}

void dequantize_blocks(DType type, const std::byte* blocks, std::uint64_t elements, float* out) {
  if (!has_kernel(type)) return dequantize_blocks_plain(type, blocks, elements, out);
  assert(elements % info(type).block_elements == 0);
  dequantize_simd(type, blocks, elements / info(type).block_elements, out);
}

void unpack_codes(DType type, const std::byte* blocks, std::uint64_t elements, std::uint16_t* out) {
  const BlockRow& row = row_of(type);
  if (row.codes == nullptr) {
    throw Error(ErrorCode::kBadDtype, fmt::format("type {} has no scalar codes", info(type).name),
                "a type with one code per weight");
  }
  const DTypeInfo& sizes = info(type);
  assert(elements % sizes.block_elements == 0);
  std::array<std::uint8_t, 256> codes;
  for (std::uint64_t done = 0; done < elements; done += sizes.block_elements) {
    row.codes(blocks, codes.data());
    std::copy_n(codes.data(), sizes.block_elements, out + done);
    blocks += sizes.block_bytes;
  }
}

std::uint32_t interleaved_rows(DType type) {
  switch (type) {
    case DType::kQ4_0_4_4:
    case DType::kQ4_0_4_8:
      return 4;
    case DType::kQ4_0_8_8:
      return 8;
    default:
      return 0;
  }
}

void deinterleave(DType type, const std::byte* group, std::byte* out) {
  const std::uint32_t rows = interleaved_rows(type);
  assert(rows > 0);
  const std::uint32_t run = type == DType::kQ4_0_4_4 ? 4 : 8;
  constexpr std::size_t kBlock = 18;
  constexpr std::uint32_t kNibbleBytes = 16;
  for (std::uint32_t r = 0; r < rows; ++r) std::memcpy(out + r * kBlock, group + 2 * r, 2);
  const std::byte* from = group + 2 * rows;
  for (std::uint32_t i = 0; i < rows * kNibbleBytes / run; ++i) {
    std::byte* to = out + (i % rows) * kBlock + 2 + (i / rows) * run;
    // Stored nibbles are two's complement; Q4_0 has them offset by 8.
    for (std::uint32_t j = 0; j < run; ++j) to[j] = *from++ ^ std::byte{0x88};
  }
}

void dequantize_interleaved(DType type, const std::byte* blocks, std::uint64_t rows,
                            std::uint64_t cols, float* out) {
  const std::uint32_t mixed = interleaved_rows(type);
  if (mixed == 0) {
    throw Error(ErrorCode::kBadDtype, fmt::format("type {} is not interleaved", info(type).name),
                "Q4_0_4_4, Q4_0_4_8 or Q4_0_8_8");
  }
  if (rows % mixed != 0 || cols % 32 != 0) {
    throw Error(ErrorCode::kBadShape,
                fmt::format("{} rows of {} in type {}", rows, cols, info(type).name),
                fmt::format("a multiple of {} rows of a multiple of 32", mixed));
  }
  std::array<std::byte, 8 * 18> group;
  for (std::uint64_t row = 0; row < rows; row += mixed) {
    for (std::uint64_t col = 0; col < cols; col += 32) {
      deinterleave(type, blocks, group.data());
      blocks += std::size_t{18} * mixed;
      for (std::uint32_t r = 0; r < mixed; ++r) {
        plain_q4_0(group.data() + std::size_t{18} * r, out + (row + r) * cols + col);
      }
    }
  }
}

void swap_blocks(DType type, std::byte* blocks, std::uint64_t bytes) {
  if (is_plain(type)) {
    const std::size_t width = info(type).block_bytes;
    if (width == 1 || info(type).block_elements != 1) return;
    for (std::uint64_t i = 0; i + width <= bytes; i += width) swap_field(blocks + i, width);
    return;
  }
  const BlockRow* row = find(type);
  if (row == nullptr) return;
  const std::uint64_t unit =
      std::uint64_t{info(type).block_bytes} * std::max(1U, interleaved_rows(type));
  for (std::uint64_t i = 0; i + unit <= bytes; i += unit) {
    for (const Fields& run : row->fields) {
      for (std::size_t k = 0; k < run.count; ++k) {
        swap_field(blocks + i + run.offset + k * run.width, run.width);
      }
    }
  }
}

}  // namespace qi
