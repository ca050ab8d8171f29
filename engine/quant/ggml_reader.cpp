#include "engine/quant/ggml_reader.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_scales.h"
#include "engine/quant/part_bytes.h"

namespace qi {
namespace {

constexpr std::uint64_t kPiece = 32768;  // elements per look at the file; a multiple of all blocks
constexpr std::size_t kLargestBlock = 256;

void decode(DType type, const std::byte* blocks, std::uint64_t elements, float* out) {
  dequantize_blocks(type, blocks, elements, out);
}
void decode(DType type, const std::byte* blocks, std::uint64_t elements, std::uint16_t* out) {
  unpack_codes(type, blocks, elements, out);
}

class GgmlReader : public WeightReader {
 public:
  GgmlReader(const Model& model, const Weight& weight)
      : WeightReader(model, weight),
        part_(model, model.tensor(weight.parts.front())),
        type_(part_.tensor().dtype),
        block_elements_(info(type_).block_elements),
        block_bytes_(info(type_).block_bytes) {}

  int code_bits() const override { return ggml_code_bits(type_); }

  DType stored_row_type() const override {
    const bool whole = weight_.cols() % block_elements_ == 0 && interleaved_rows(type_) == 0;
    return whole && !part_.swap() ? type_ : DType::kUnknown;
  }
  StoredRows stored_rows(std::uint64_t first, std::uint64_t count) override {
    const std::uint64_t row_bytes = weight_.cols() / block_elements_ * block_bytes_;
    return {part_.kept_bytes(first * row_bytes, count * row_bytes), {}};
  }

 protected:
  void read_values(const Tile& tile, float* out) override { read(tile, out); }
  void read_codes(const Tile& tile, std::uint16_t* out) override { read(tile, out); }

  void read_scales(const ScaleSink& sink) override {
    const std::uint64_t mixed = std::max(1U, interleaved_rows(type_));
    const std::uint64_t unit = mixed * block_bytes_;
    const std::uint64_t units = weight_.params / block_elements_ / mixed;
    constexpr std::uint64_t kUnits = 256;
    std::vector<float> scales(kUnits * kMostBlockScales);
    std::vector<float> minima(kUnits * kMostBlockScales);
    for (std::uint64_t at = 0; at < units; at += kUnits) {
      const std::uint64_t some = std::min(kUnits, units - at);
      const auto raw = blocks(at * unit, some * unit);
      std::size_t count = 0;
      bool added = false;
      for (std::uint64_t i = 0; i < some; ++i) {
        const BlockScales one = block_scales(type_, raw.data() + i * unit, scales.data() + count,
                                             minima.data() + count);
        count += one.count;
        added = one.has_minima;
      }
      const std::span<const float> zeros(minima.data(), added ? count : 0);
      if (count == 0 || !sink({{scales.data(), count}, zeros, added})) return;
    }
  }

 private:
  template <typename T>
  void read(const Tile& tile, T* out) {
    if (interleaved_rows(type_) > 0) {
      read_interleaved(tile, out);
    } else if (tile.cols == weight_.cols()) {
      read_run(tile.row * tile.cols, tile.rows * tile.cols, out);
    } else {
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        read_run((tile.row + r) * weight_.cols() + tile.col, tile.cols, out + r * tile.cols);
      }
    }
  }

  // Whole units of `unit` bytes, little-endian.
  std::span<const std::byte> blocks(std::uint64_t offset, std::uint64_t length) {
    const std::span<const std::byte> raw = part_.bytes(offset, length);
    if (!part_.swap()) return raw;
    swapped_.assign(raw.begin(), raw.end());
    swap_blocks(type_, swapped_.data(), length);
    return swapped_;
  }

  // Elements [first, first + count) of the tensor; blocks at either end may be cut.
  template <typename T>
  void read_run(std::uint64_t first, std::uint64_t count, T* out) {
    while (count > 0) {
      const std::uint64_t block = first / block_elements_;
      const std::uint64_t skip = first % block_elements_;
      if (skip == 0 && count >= block_elements_) {
        const std::uint64_t whole = std::min(kPiece, count - count % block_elements_);
        const auto raw = blocks(block * block_bytes_, whole / block_elements_ * block_bytes_);
        decode(type_, raw.data(), whole, out);
        first += whole;
        count -= whole;
        out += whole;
        continue;
      }
      std::array<T, kLargestBlock> values;
      decode(type_, blocks(block * block_bytes_, block_bytes_).data(), block_elements_,
             values.data());
      const std::uint64_t used = std::min(count, block_elements_ - skip);
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(skip), used, out);
      first += used;
      count -= used;
      out += used;
    }
  }

  // Groups of rows whose blocks alternate; the tile may cut them on all four sides.
  template <typename T>
  void read_interleaved(const Tile& tile, T* out) {
    const std::uint64_t mixed = interleaved_rows(type_);
    const std::uint64_t blocks_a_row = weight_.cols() / block_elements_;
    const std::uint64_t group_bytes = mixed * block_bytes_;
    std::array<std::byte, 8 * 18> plain;
    std::array<T, 32> values;
    const std::uint64_t row_end = tile.row + tile.rows;
    const std::uint64_t col_end = tile.col + tile.cols;
    for (std::uint64_t g = tile.row / mixed; g * mixed < row_end; ++g) {
      const std::uint64_t from_row = std::max(tile.row, g * mixed);
      const std::uint64_t to_row = std::min(row_end, (g + 1) * mixed);
      for (std::uint64_t b = tile.col / block_elements_; b * block_elements_ < col_end; ++b) {
        deinterleave(type_, blocks((g * blocks_a_row + b) * group_bytes, group_bytes).data(),
                     plain.data());
        const std::uint64_t from = std::max(tile.col, b * block_elements_);
        const std::uint64_t to = std::min(col_end, (b + 1) * block_elements_);
        for (std::uint64_t row = from_row; row < to_row; ++row) {
          decode(DType::kQ4_0, plain.data() + row % mixed * block_bytes_, block_elements_,
                 values.data());
          std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(from % block_elements_),
                      to - from, out + (row - tile.row) * tile.cols + (from - tile.col));
        }
      }
    }
  }

  PartBytes part_;
  DType type_;
  std::uint64_t block_elements_;
  std::uint64_t block_bytes_;
  Buffer swapped_;
};

}  // namespace

std::string ggml_undecodable(const Tensor& tensor) {
  if (tensor.dtype == DType::kUnknown) return fmt::format("{} is unknown", tensor.dtype_text);
  if (is_plain(tensor.dtype)) return {};
  const std::string_view name = info(tensor.dtype).name;
  if (!ggml_decodable(tensor.dtype)) return fmt::format("type {} has no known layout", name);
  const std::uint32_t mixed = interleaved_rows(tensor.dtype);
  // Groups of rows lie inside one matrix of a stack.
  const std::uint64_t rows = tensor.shape.size() < 2 ? 1 : tensor.shape[tensor.shape.size() - 2];
  if (mixed > 0 && rows % mixed != 0) {
    return fmt::format("{} needs a multiple of {} rows, not {}", name, mixed, rows);
  }
  return {};
}

std::unique_ptr<WeightReader> open_ggml_reader(const Model& model, const Weight& weight) {
  const Tensor& tensor = model.tensor(weight.parts.front());
  std::string reason = ggml_undecodable(tensor);
  if (reason.empty() && !is_block(tensor.dtype)) {
    reason = fmt::format("{} is not a block type", dtype_name(tensor));
  }
  if (!reason.empty()) {
    throw Error(ErrorCode::kBadDtype, fmt::format("values of '{}': {}", tensor.name, reason),
                "a type with known blocks", model.file(tensor).path(), tensor.offset);
  }
  return std::make_unique<GgmlReader>(model, weight);
}

}  // namespace qi
