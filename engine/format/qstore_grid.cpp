#include "engine/format/qstore_grid.h"

#include <array>
#include <bit>
#include <cstring>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxSide = UINT32_MAX;
constexpr std::uint64_t kAwqFields = 8;
constexpr std::array<unsigned, kAwqFields> kAwqField = {0, 4, 1, 5, 2, 6, 3, 7};

std::uint64_t codes_of_word(const QstoreGrid& grid) {
  return 32 / grid.bits;
}

std::uint64_t scale_bytes(const QstoreGrid& grid) {
  return grid.scales_as == GridScales::kF16 || grid.scales_as == GridScales::kBF16 ? 2 : 4;
}

// Bits of field `i` of words that begin at `words`.
std::uint32_t field_at(const std::byte* words, std::uint64_t i, unsigned bits) {
  const std::uint64_t fields = 32 / bits;
  return load_u32(words + 4 * (i / fields)) >> (i % fields * bits) & ((1U << bits) - 1);
}
std::uint32_t awq_at(const std::byte* words, std::uint64_t i) {
  return load_u32(words + 4 * (i / kAwqFields)) >> (4 * kAwqField[i % kAwqFields]) & 15;
}

float zero_at(const QstoreGrid& grid, const std::byte* zeros, std::uint64_t row, std::uint64_t g) {
  const std::uint64_t bits = grid.bits;
  const std::uint32_t mask = (1U << bits) - 1;
  switch (grid.zeros_as) {
    case GridZeros::kGptq:
    case GridZeros::kGptqOne: {
      const std::uint32_t stored = field_at(zeros + g * (grid.rows * bits / 8), row, grid.bits);
      return static_cast<float>((stored + (grid.zeros_as == GridZeros::kGptqOne ? 1 : 0)) & mask);
    }
    case GridZeros::kAwq:
      return static_cast<float>(awq_at(zeros + g * (grid.rows / 2), row));
    case GridZeros::kRows: {
      const std::uint64_t fields = codes_of_word(grid);
      const std::uint32_t word = load_u32(zeros + 4 * (row / fields * grid.groups + g));
      return static_cast<float>(word >> (row % fields * bits) & mask);
    }
    case GridZeros::kInt8:
      return static_cast<float>(load_u8(zeros + row * grid.groups + g) ^ 0x80U);
    case GridZeros::kMiddle:
      break;
  }
  return static_cast<float>(1U << (bits - 1));
}

float scale_at(const QstoreGrid& grid, const std::byte* scales, std::uint64_t i) {
  constexpr float kAbsmaxCode = 127;
  switch (grid.scales_as) {
    case GridScales::kF16:
      return f16_to_float(load_u16(scales + 2 * i));
    case GridScales::kBF16:
      return bf16_to_float(load_u16(scales + 2 * i));
    case GridScales::kAbsmax:
      return load_number<float>(scales + 4 * i) / kAbsmaxCode;
    case GridScales::kF32:
      break;
  }
  return load_number<float>(scales + 4 * i);
}

// use(row, col, code's place) for the codes of a word-packed layout would cost a division each:
// these walk words instead. `put`: codes go into the words.
template <bool kPut, typename Codes, typename Bytes>
void walk_gptq(const QstoreGrid& grid, Bytes* bytes, const GridTile& tile, Codes* codes) {
  const std::uint64_t fields = codes_of_word(grid);
  const std::uint32_t mask = (1U << grid.bits) - 1;
  const std::uint64_t end = tile.col + tile.cols;
  for (std::uint64_t col = tile.col / fields * fields; col < end; col += fields) {
    const std::uint64_t first = std::max(col, tile.col);
    const std::uint64_t last = std::min(col + fields, end);
    Bytes* word = bytes + 4 * (col / fields * grid.rows + tile.row);
    Codes* row = codes + (first - tile.col);
    for (std::uint64_t r = 0; r < tile.rows; ++r, word += 4, row += tile.cols) {
      if constexpr (kPut) {
        std::uint32_t value = 0;
        for (std::uint64_t c = first; c < last; ++c) {
          value |= (row[c - first] & mask) << ((c - col) * grid.bits);
        }
        store_u32(word, value);
      } else {
        const std::uint32_t value = load_u32(word);
        for (std::uint64_t c = first; c < last; ++c) {
          row[c - first] = static_cast<std::uint8_t>(value >> ((c - col) * grid.bits) & mask);
        }
      }
    }
  }
}

}  // namespace

std::optional<GridSizes> grid_sizes(const QstoreGrid& grid) {
  const bool known_bits = grid.bits == 2 || grid.bits == 4 || grid.bits == 8;
  const std::uint64_t side = std::max({grid.rows, grid.cols, grid.groups, grid.group_size});
  constexpr std::uint64_t kMost = std::uint64_t{1} << 60;  // no size below overflows
  if (!known_bits || grid.rows == 0 || grid.cols == 0 || grid.groups == 0 || side > kMaxSide ||
      grid.groups > grid.cols) {
    return std::nullopt;
  }
  if (!grid.index &&
      (grid.group_size == 0 ? 1 : ceil_div(grid.cols, grid.group_size)) > grid.groups) {
    return std::nullopt;
  }
  const std::uint64_t count = grid.rows * grid.cols;
  if (count > kMost) return std::nullopt;
  const std::uint64_t of_groups = grid.rows * grid.groups;
  const std::uint64_t fields = codes_of_word(grid);
  GridSizes sizes;
  sizes.codes = count / 8 * grid.bits + count % 8 * grid.bits / 8;
  sizes.scales = scale_bytes(grid) * of_groups;
  sizes.index = grid.index ? 4 * grid.cols : 0;
  bool fits = true;
  switch (grid.layout) {
    case GridLayout::kInt8:
      fits = grid.bits == 8;
      sizes.line = grid.cols;
      break;
    case GridLayout::kGptq:
      fits = grid.cols % fields == 0;
      sizes.line = 4 * grid.rows;
      break;
    case GridLayout::kAwq:
      fits = grid.bits == 4 && grid.rows % kAwqFields == 0;
      sizes.line = grid.rows / 2;
      break;
    case GridLayout::kRows:
      fits = grid.cols % fields == 0;
      sizes.line = grid.cols / fields * 4;
      break;
  }
  switch (grid.zeros_as) {
    case GridZeros::kMiddle:
      return fits && !grid.zeros ? std::optional(sizes) : std::nullopt;
    case GridZeros::kInt8:
      fits = fits && grid.bits == 8;
      sizes.zeros = of_groups;
      break;
    case GridZeros::kAwq:
      fits = fits && grid.bits == 4 && grid.rows % kAwqFields == 0;
      sizes.zeros = of_groups / 2;
      break;
    case GridZeros::kGptq:
    case GridZeros::kGptqOne:
    case GridZeros::kRows:
      fits = fits && grid.rows % fields == 0;
      sizes.zeros = of_groups / fields * 4;
      break;
  }
  return fits && grid.zeros ? std::optional(sizes) : std::nullopt;
}

GridTile tile_at(const QstoreGrid& grid, std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t line = grid_sizes(grid)->line;
  const std::uint64_t first = offset / line;
  const std::uint64_t lines = bytes / line;
  switch (grid.layout) {
    case GridLayout::kGptq:
      return {0, grid.rows, first * codes_of_word(grid), lines * codes_of_word(grid)};
    case GridLayout::kAwq:
      return {0, grid.rows, first, lines};
    default:
      return {first, lines, 0, grid.cols};
  }
}

QstoreGrid grid_of_tile(const QstoreGrid& grid, const GridTile& tile) {
  QstoreGrid part = grid;
  part.rows = tile.rows;
  part.cols = tile.cols;
  return part;
}

void unpack_tile(const QstoreGrid& grid, std::span<const std::byte> codes, const GridTile& tile,
                 std::uint8_t* out) {
  const std::byte* bytes = codes.data();
  switch (grid.layout) {
    case GridLayout::kGptq:
      return walk_gptq<false>(grid, bytes, tile, out);
    case GridLayout::kAwq:
      for (std::uint64_t c = 0; c < tile.cols; ++c) {
        const std::byte* line = bytes + (tile.col + c) * (grid.rows / 2);
        for (std::uint64_t r = 0; r < tile.rows; ++r) {
          out[r * tile.cols + c] = static_cast<std::uint8_t>(awq_at(line, tile.row + r));
        }
      }
      return;
    case GridLayout::kInt8:
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        const std::byte* line = bytes + (tile.row + r) * grid.cols + tile.col;
        for (std::uint64_t c = 0; c < tile.cols; ++c) *out++ = load_u8(line + c) ^ 0x80U;
      }
      return;
    case GridLayout::kRows:
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        const std::byte* line = bytes + (tile.row + r) * (grid.cols / codes_of_word(grid) * 4);
        for (std::uint64_t c = 0; c < tile.cols; ++c) {
          *out++ = static_cast<std::uint8_t>(field_at(line, tile.col + c, grid.bits));
        }
      }
      return;
  }
}

void pack_grid(const QstoreGrid& grid, const std::uint8_t* codes, std::span<std::byte> out) {
  const GridTile all{0, grid.rows, 0, grid.cols};
  std::byte* bytes = out.data();
  switch (grid.layout) {
    case GridLayout::kGptq:
      return walk_gptq<true>(grid, bytes, all, codes);
    case GridLayout::kAwq:
      for (std::uint64_t c = 0; c < grid.cols; ++c) {
        for (std::uint64_t r = 0; r < grid.rows; r += kAwqFields, bytes += 4) {
          std::uint32_t word = 0;
          for (std::uint64_t k = 0; k < kAwqFields; ++k) {
            word |= (codes[(r + k) * grid.cols + c] & 15U) << (4 * kAwqField[k]);
          }
          store_u32(bytes, word);
        }
      }
      return;
    case GridLayout::kInt8:
      for (std::uint64_t i = 0; i < all.count(); ++i)
        bytes[i] = static_cast<std::byte>(codes[i] ^ 0x80U);
      return;
    case GridLayout::kRows: {
      const std::uint64_t fields = codes_of_word(grid);
      const std::uint32_t mask = (1U << grid.bits) - 1;
      for (std::uint64_t i = 0; i < all.count(); i += fields, bytes += 4) {
        std::uint32_t word = 0;
        for (std::uint64_t k = 0; k < fields; ++k) word |= (codes[i + k] & mask) << (k * grid.bits);
        store_u32(bytes, word);
      }
      return;
    }
  }
}

void load_numbers(const QstoreGrid& grid, const GridBytes& bytes, std::uint64_t row,
                  std::uint64_t rows, GridNumbers& out) {
  out.groups = grid.groups;
  out.scales.resize(static_cast<std::size_t>(rows * grid.groups));
  out.zeros.resize(out.scales.size());
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint64_t g = 0; g < grid.groups; ++g) {
      const std::uint64_t place =
          grid.scales_by_group ? g * grid.rows + row + r : (row + r) * grid.groups + g;
      const auto to = static_cast<std::size_t>(r * grid.groups + g);
      out.scales[to] = scale_at(grid, bytes.scales.data(), place);
      out.zeros[to] = zero_at(grid, bytes.zeros.data(), row + r, g);
    }
  }
}

void load_groups(const QstoreGrid& grid, std::span<const std::byte> index,
                 std::vector<std::uint32_t>& out) {
  out.resize(static_cast<std::size_t>(grid.cols));
  for (std::size_t c = 0; c < out.size(); ++c) {
    if (grid.index) {
      out[c] = load_u32(index.data() + 4 * c);
    } else {
      out[c] = grid.group_size == 0 ? 0 : static_cast<std::uint32_t>(c / grid.group_size);
    }
    if (out[c] < grid.groups) continue;
    throw Error(ErrorCode::kCorrupt, fmt::format("group {} of column {}", out[c], c),
                fmt::format("less than {}", grid.groups));
  }
}

}  // namespace qi
