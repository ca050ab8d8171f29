#include "engine/checkpoint/layout.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/quant/packed_codes.h"
#include "engine/tensor/numbers.h"

namespace qi {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

PartWriter::PartWriter(std::string name, DType dtype, Shape shape) {
  part_.name = std::move(name);
  part_.dtype = dtype;
  part_.shape = std::move(shape);
  part_.bytes.resize(stored_bytes(dtype, element_count(part_.shape).value()).value());
}

void PartWriter::set_float(std::uint64_t index, float value) {
  if (part_.dtype == DType::kF32) {
    *at<float>(index) = value;
  } else {
    *at<std::uint16_t>(index) =
        part_.dtype == DType::kBF16 ? float_to_bf16(value) : float_to_f16(value);
  }
}

namespace {

constexpr std::uint64_t kTile = 16;  // SpQR's

float half(float value) {
  return f16_to_float(float_to_f16(value));
}

std::uint64_t words_of(std::uint64_t fields, int bits) {
  const std::uint64_t each = 32 / static_cast<std::uint64_t>(bits);
  return ceil_div(fields, each);
}

/// Codes in 32-bit words, as many as fit one whole, lowest bits first; what is left over is 0.
void pack_fields(int bits, const std::uint8_t* codes, std::uint64_t count, std::uint64_t stride,
                 PartWriter& out, std::uint64_t first_word, std::uint64_t word_stride) {
  const std::uint64_t each = 32 / static_cast<std::uint64_t>(bits);
  for (std::uint64_t w = 0; w * each < count; ++w) {
    std::uint32_t word = 0;
    for (std::uint64_t k = 0; k < each && w * each + k < count; ++k) {
      word |= std::uint32_t{codes[(w * each + k) * stride]} << (k * static_cast<unsigned>(bits));
    }
    *out.at<std::uint32_t>(first_word + w * word_stride) = word;
  }
}

std::vector<std::uint8_t> whole_zeros(const CodedMatrix& matrix) {
  std::vector<std::uint8_t> zeros(matrix.zeros.size());
  std::transform(matrix.zeros.begin(), matrix.zeros.end(), zeros.begin(),
                 [](float zero) { return static_cast<std::uint8_t>(zero); });
  return zeros;
}

/// Groups that are not runs of columns: act-order without static groups.
bool is_scattered(const CodedMatrix& matrix) {
  return !std::is_sorted(matrix.group_of.begin(), matrix.group_of.end());
}

PackedPart group_index(const std::string& name, const CodedMatrix& matrix) {
  PartWriter part(name, DType::kI32, {matrix.cols});
  std::copy(matrix.group_of.begin(), matrix.group_of.end(), part.at<std::uint32_t>(0));
  return part.take();
}

/// weight_scale [out, groups], and weight_zero_point where zeros are not all in the middle.
void add_row_grids(const LayoutFormat& format, const std::string& module, const CodedMatrix& matrix,
                   std::vector<PackedPart>& parts) {
  PartWriter scales(module + ".weight_scale", format.scale_type, {matrix.rows, matrix.groups});
  for (std::uint64_t i = 0; i < matrix.scales.size(); ++i) scales.set_float(i, matrix.scales[i]);
  parts.push_back(scales.take());
  if (matrix.symmetric) return;
  const std::vector<std::uint8_t> zeros = whole_zeros(matrix);
  const std::string name = module + ".weight_zero_point";
  if (format.layout == Layout::kInt8) {
    PartWriter part(name, DType::kI8, {matrix.rows, matrix.groups});
    for (std::uint64_t i = 0; i < zeros.size(); ++i) {
      *part.at<std::int8_t>(i) = static_cast<std::int8_t>(zeros[i] - 128);
    }
    return parts.push_back(part.take());
  }
  // Packed along the rows, a column for each group.
  PartWriter part(name, DType::kI32, {words_of(matrix.rows, matrix.bits), matrix.groups});
  for (std::uint64_t g = 0; g < matrix.groups; ++g) {
    pack_fields(matrix.bits, zeros.data() + g, matrix.rows, matrix.groups, part, g, matrix.groups);
  }
  parts.push_back(part.take());
}

std::vector<PackedPart> pack_rows(const LayoutFormat& format, const std::string& module,
                                  const CodedMatrix& matrix) {
  std::vector<PackedPart> parts;
  const std::uint64_t words = words_of(matrix.cols, matrix.bits);
  PartWriter codes(module + ".weight_packed", DType::kI32, {matrix.rows, words});
  for (std::uint64_t r = 0; r < matrix.rows; ++r) {
    pack_fields(matrix.bits, matrix.codes.data() + r * matrix.cols, matrix.cols, 1, codes,
                r * words, 1);
  }
  parts.push_back(codes.take());
  add_row_grids(format, module, matrix, parts);
  PartWriter shape(module + ".weight_shape", DType::kI64, {2});
  *shape.at<std::uint64_t>(0) = matrix.rows;
  *shape.at<std::uint64_t>(1) = matrix.cols;
  parts.push_back(shape.take());
  if (is_scattered(matrix)) parts.push_back(group_index(module + ".weight_g_idx", matrix));
  return parts;
}

std::vector<PackedPart> store_int8(const LayoutFormat& format, const std::string& module,
                                   const CodedMatrix& matrix) {
  std::vector<PackedPart> parts;
  PartWriter codes(module + ".weight", DType::kI8, {matrix.rows, matrix.cols});
  for (std::uint64_t i = 0; i < matrix.codes.size(); ++i) {
    *codes.at<std::int8_t>(i) = static_cast<std::int8_t>(matrix.codes[i] - 128);
  }
  parts.push_back(codes.take());
  add_row_grids(format, module, matrix, parts);
  return parts;
}

/// Words of a column of codes lie one below the other; zero points are one less than they are.
std::vector<PackedPart> pack_gptq(const LayoutFormat& format, const std::string& module,
                                  const CodedMatrix& matrix) {
  const int bits = matrix.bits;
  const auto width = static_cast<std::uint64_t>(bits);
  const std::uint64_t out = matrix.rows;
  const std::uint64_t words = matrix.cols * width / 32;
  std::vector<PackedPart> parts;
  PartWriter codes(module + ".qweight", DType::kI32, {words, out});
  std::vector<std::byte> line(4 * words);
  for (std::uint64_t o = 0; o < out; ++o) {
    pack_codes(bits, matrix.codes.data() + o * matrix.cols, matrix.cols, line.data());
    for (std::uint64_t w = 0; w < words; ++w) {
      std::memcpy(codes.at<std::uint32_t>(w * out + o), line.data() + 4 * w, 4);
    }
  }
  parts.push_back(codes.take());
  PartWriter zeros(module + ".qzeros", DType::kI32, {matrix.groups, out * width / 32});
  PartWriter scales(module + ".scales", format.scale_type, {matrix.groups, out});
  std::vector<std::uint8_t> less(out);
  for (std::uint64_t g = 0; g < matrix.groups; ++g) {
    for (std::uint64_t o = 0; o < out; ++o) {
      const auto zero = static_cast<unsigned>(matrix.zeros[o * matrix.groups + g]);
      less[o] = static_cast<std::uint8_t>((zero - 1) & ((1u << bits) - 1));
      scales.set_float(g * out + o, matrix.scales[o * matrix.groups + g]);
    }
    pack_codes(bits, less.data(), out, zeros.at<std::byte>(g * out * width / 8));
  }
  parts.push_back(zeros.take());
  parts.push_back(scales.take());
  parts.push_back(group_index(module + ".g_idx", matrix));
  return parts;
}

/// Eight neighbouring outputs a word, in the order that GPU kernels unpack them in.
std::vector<PackedPart> pack_awq(const LayoutFormat& format, const std::string& module,
                                 const CodedMatrix& matrix) {
  constexpr std::array<unsigned, 8> kOrder = {0, 2, 4, 6, 1, 3, 5, 7};
  const std::uint64_t out = matrix.rows;
  // Line `row` of codes that lie [out, lines].
  const auto pack_line = [&](const std::uint8_t* values, std::uint64_t lines, std::uint64_t row,
                             PartWriter& part) {
    for (std::uint64_t c = 0; c < out / 8; ++c) {
      std::uint32_t word = 0;
      for (unsigned j = 0; j < 8; ++j) {
        word |= std::uint32_t{values[(8 * c + kOrder[j]) * lines + row]} << (4 * j);
      }
      *part.at<std::uint32_t>(row * (out / 8) + c) = word;
    }
  };
  std::vector<PackedPart> parts;
  PartWriter codes(module + ".qweight", DType::kI32, {matrix.cols, out / 8});
  for (std::uint64_t i = 0; i < matrix.cols; ++i) {
    pack_line(matrix.codes.data(), matrix.cols, i, codes);
  }
  parts.push_back(codes.take());
  const std::vector<std::uint8_t> points = whole_zeros(matrix);
  PartWriter zeros(module + ".qzeros", DType::kI32, {matrix.groups, out / 8});
  PartWriter scales(module + ".scales", format.scale_type, {matrix.groups, out});
  for (std::uint64_t g = 0; g < matrix.groups; ++g) {
    pack_line(points.data(), matrix.groups, g, zeros);
    for (std::uint64_t o = 0; o < out; ++o) {
      scales.set_float(g * out + o, matrix.scales[o * matrix.groups + g]);
    }
  }
  parts.push_back(zeros.take());
  parts.push_back(scales.take());
  return parts;
}

// ---- SpQR: tiles of 16 × 16 in processing order, a 64-bit word a row of one ---------------------

/// The column coded k-th; as they are without an order.
std::vector<std::uint32_t> processing_order(const CodedMatrix& matrix) {
  std::vector<std::uint32_t> order = matrix.order;
  if (order.empty()) {
    order.resize(matrix.cols);
    std::iota(order.begin(), order.end(), 0);
  }
  return order;
}

/// Four halves: scale and zero of the grid that the tile's scales are on, then of its zeros.
std::uint64_t tile_statistics(const CodedMatrix& matrix, std::uint64_t row_tile, std::uint64_t g) {
  const auto bits = [](float value) { return std::uint64_t{float_to_f16(value)}; };
  const std::uint64_t at = row_tile * matrix.groups + g;
  const CodedMatrix::SecondLevel& scale = *matrix.scale_codes;
  const CodedMatrix::SecondLevel& zero = *matrix.zero_codes;
  return bits(scale.grid_scales[at]) | bits(zero.grid_scales[at]) << 16 |
         bits(scale.grid_zeros[at]) << 32 | bits(zero.grid_zeros[at]) << 48;
}

void pack_tiles(const CodedMatrix& matrix, const std::vector<std::uint32_t>& order,
                PartWriter& words) {
  const std::uint64_t row_tiles = ceil_div(matrix.rows, kTile);
  for (std::uint64_t ti = 0; ti < row_tiles; ++ti) {
    for (std::uint64_t tj = 0; tj < matrix.groups; ++tj) {
      const std::uint64_t statistics = tile_statistics(matrix, ti, tj);
      for (std::uint64_t k = 0; k < kTile; ++k) {
        const std::uint64_t row = ti * kTile + k;
        std::uint64_t word = (statistics >> (8 * (k / 2)) & 0xFF) << 54;
        word |= std::uint64_t{matrix.scale_codes->codes[row * matrix.groups + tj]};
        word |= std::uint64_t{matrix.zero_codes->codes[row * matrix.groups + tj]} << 3;
        for (std::uint64_t l = 0; l < kTile && tj * kTile + l < matrix.cols; ++l) {
          const std::uint64_t col = order[tj * kTile + l];
          word |= std::uint64_t{matrix.codes[row * matrix.cols + col]} << (6 + 3 * l);
        }
        *words.at<std::uint64_t>((ti * matrix.groups + tj) * kTile + k) = word;
      }
    }
  }
}

float grid_value(const CodedMatrix& matrix, std::uint64_t row, std::uint64_t col) {
  const std::uint64_t at = row * matrix.groups + matrix.group_of[col];
  return matrix.scales[at] *
         (static_cast<float>(matrix.codes[row * matrix.cols + col]) - matrix.zeros[at]);
}

std::vector<PackedPart> pack_spqr(const std::string& module, const CodedMatrix& matrix) {
  const std::vector<std::uint32_t> order = processing_order(matrix);
  std::vector<std::uint32_t> place(matrix.cols);  // where a column was coded
  for (std::uint32_t k = 0; k < matrix.cols; ++k) place[order[k]] = k;
  PartWriter words(module + ".dense_weights", DType::kI64,
                   {ceil_div(matrix.rows, kTile) * matrix.groups * kTile});
  pack_tiles(matrix, order, words);

  // What an outlier adds to its code's value; by row, then place.
  std::vector<CodedMatrix::Outlier> outliers = matrix.outliers;
  std::sort(outliers.begin(), outliers.end(), [&](const auto& a, const auto& b) {
    return std::pair(a.row, place[a.col]) < std::pair(b.row, place[b.col]);
  });
  PartWriter offsets(module + ".row_offsets", DType::kI32, {matrix.rows + 1});
  PartWriter values(module + ".col_vals", DType::kI32, {outliers.size()});
  std::vector<std::uint32_t> counts(matrix.rows + 1);
  for (std::uint64_t i = 0; i < outliers.size(); ++i) {
    const CodedMatrix::Outlier& outlier = outliers[i];
    const float added = outlier.value - grid_value(matrix, outlier.row, outlier.col);
    *values.at<std::uint32_t>(i) = place[outlier.col] | std::uint32_t{float_to_f16(added)} << 16;
    ++counts[outlier.row + 1];
  }
  std::uint32_t sum = 0;
  for (std::uint64_t r = 0; r <= matrix.rows; ++r) *offsets.at<std::uint32_t>(r) = sum += counts[r];

  PartWriter permutation(module + ".in_perm", DType::kI32, {matrix.cols / 2});
  for (std::uint64_t k = 0; k < matrix.cols; ++k) {
    *permutation.at<std::uint16_t>(k) = static_cast<std::uint16_t>(order[k]);
  }
  std::vector<PackedPart> parts;
  for (PartWriter* part : {&words, &offsets, &values, &permutation}) parts.push_back(part->take());
  return parts;
}

void hold_second_level(CodedMatrix::SecondLevel& level, std::uint64_t groups,
                       std::vector<float>& numbers) {
  for (float& scale : level.grid_scales) scale = half(scale);
  for (float& zero : level.grid_zeros) zero = half(zero);
  for (std::uint64_t i = 0; i < numbers.size(); ++i) {
    const std::uint64_t at = i / groups / level.run * groups + i % groups;
    numbers[i] =
        level.grid_scales[at] * (static_cast<float>(level.codes[i]) - level.grid_zeros[at]);
  }
}

}  // namespace

bool holds_grids(Layout layout) {
  return layout == Layout::kPacked || layout == Layout::kInt8 || layout == Layout::kGptq ||
         layout == Layout::kAwq || layout == Layout::kSpqr;
}

std::string unfit(const LayoutFormat& format, std::uint64_t rows, std::uint64_t cols) {
  const auto rows_by = [&](std::uint64_t multiple) {
    return rows % multiple == 0 ? std::string()
                                : fmt::format("{} rows, no multiple of {}", rows, multiple);
  };
  const auto cols_by = [&](std::uint64_t multiple) {
    return cols % multiple == 0
               ? std::string()
               : fmt::format("rows of {} weights, no multiple of {}", cols, multiple);
  };
  const auto both = [](std::string first, std::string second) {
    return first.empty() ? second : first;
  };
  if (rows == 0 || cols == 0) return "no weights";
  const std::string groups = format.group == 0 ? std::string() : cols_by(format.group);
  switch (format.layout) {
    case Layout::kGptq:
      return both(cols_by(32), rows_by(32));
    case Layout::kAwq:
      return both(groups, rows_by(8));
    case Layout::kSpqr:
      if (cols > 65536) return fmt::format("rows of {} weights, more than 65536", cols);
      return both(cols_by(kTile), rows_by(kTile));
    case Layout::kNf4:
    case Layout::kNf4Nested:
      return {};  // blocks run over the ends of rows
    default:
      return groups;
  }
}

float held_scale(const LayoutFormat& format, float scale) {
  if (format.scale_type == DType::kF16) return half(scale);
  if (format.scale_type == DType::kBF16) return bf16_to_float(float_to_bf16(scale));
  return scale;
}

void hold(const LayoutFormat& format, CodedMatrix& matrix) {
  if (format.layout != Layout::kSpqr) {
    for (float& scale : matrix.scales) scale = held_scale(format, scale);
    return;
  }
  hold_second_level(*matrix.scale_codes, matrix.groups, matrix.scales);
  hold_second_level(*matrix.zero_codes, matrix.groups, matrix.zeros);
  for (CodedMatrix::Outlier& outlier : matrix.outliers) {
    const float coded = grid_value(matrix, outlier.row, outlier.col);
    // Twice: the first sum is rounded, and pack() takes the difference again.
    for (int i = 0; i < 2; ++i) outlier.value = coded + half(outlier.value - coded);
  }
}

std::vector<PackedPart> pack(const LayoutFormat& format, const std::string& weight,
                             const CodedMatrix& matrix) {
  const std::string module = module_of(weight);
  switch (format.layout) {
    case Layout::kInt8:
      return store_int8(format, module, matrix);
    case Layout::kGptq:
      return pack_gptq(format, module, matrix);
    case Layout::kAwq:
      return pack_awq(format, module, matrix);
    case Layout::kSpqr:
      return pack_spqr(module, matrix);
    default:
      return pack_rows(format, module, matrix);
  }
}

DType float_part_type(DType type) {
  return type == DType::kF16 || type == DType::kBF16 ? type : DType::kF32;
}

std::string module_of(const std::string& weight) {
  constexpr std::string_view kEnding = ".weight";
  return weight.ends_with(kEnding) ? weight.substr(0, weight.size() - kEnding.size()) : weight;
}

}  // namespace qi
