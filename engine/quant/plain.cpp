#include "engine/quant/plain.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

class PlainReader : public WeightReader {
 public:
  PlainReader(const Model& opened, const Weight& plain)
      : WeightReader(opened, plain),
        part_(opened, opened.tensor(plain.parts.front())),
        bits_(static_cast<std::uint64_t>(element_bits(part_.tensor().dtype))) {}

  int code_bits() const override { return bits_ <= 16 ? static_cast<int>(bits_) : 0; }

  std::span<const std::byte> stored(std::uint64_t first, std::uint64_t count) override {
    if (bits_ < 8) return {};
    const std::uint64_t width = bits_ / 8;
    const auto raw = part_.bytes(first * width, count * width);
    if (!part_.swap() || width == 1) return raw;
    native_.assign(raw.begin(), raw.end());
    for (std::uint64_t i = 0; i < native_.size(); i += width) {
      const auto begin = native_.begin() + static_cast<std::ptrdiff_t>(i);
      std::reverse(begin, begin + static_cast<std::ptrdiff_t>(width));
    }
    return native_;
  }

  DType stored_row_type() const override {
    return bits_ < 8 || part_.swap() ? DType::kUnknown : part_.tensor().dtype;
  }
  StoredRows stored_rows(std::uint64_t first, std::uint64_t count) override {
    const std::uint64_t row_bytes = weight_.cols() * bits_ / 8;
    return {part_.kept_bytes(first * row_bytes, count * row_bytes), {}};
  }

 protected:
  void read_values(const Tile& tile, float* out) override {
    each_run(tile, [&](std::uint64_t first, std::uint64_t count, std::uint64_t at) {
      part_.floats(first, count, out + at);
    });
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    each_run(tile, [&](std::uint64_t first, std::uint64_t count, std::uint64_t at) {
      run_codes(first, count, out + at);
    });
  }

 private:
  /// Calls run(first element, count, place in the tile): once for whole rows, else row by row.
  template <typename Run>
  void each_run(const Tile& tile, const Run& run) {
    const std::uint64_t cols = weight_.cols();
    if (tile.cols == cols) return run(tile.row * cols, tile.rows * cols, 0);
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      run((tile.row + r) * cols + tile.col, tile.cols, r * tile.cols);
    }
  }

  void run_codes(std::uint64_t first, std::uint64_t count, std::uint16_t* out) {
    if (bits_ == 16) {
      const auto raw = stored(first, count);
      std::memcpy(out, raw.data(), raw.size());
      return;
    }
    const std::uint64_t begin = first * bits_ / 8;
    const std::uint64_t end = ceil_div<std::uint64_t>((first + count) * bits_, 8);
    const auto raw = part_.bytes(begin, end - begin);
    if (bits_ == 8) {
      for (std::uint64_t i = 0; i < count; ++i) out[i] = std::to_integer<std::uint16_t>(raw[i]);
      return;
    }
    // 4 and 6 bits: a little-endian bit stream.
    const std::uint32_t mask = (1u << bits_) - 1;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t bit = (first + i) * bits_ - 8 * begin;
      std::uint32_t two = std::to_integer<std::uint32_t>(raw[bit / 8]);
      if (bit / 8 + 1 < raw.size()) two |= std::to_integer<std::uint32_t>(raw[bit / 8 + 1]) << 8;
      out[i] = static_cast<std::uint16_t>((two >> (bit % 8)) & mask);
    }
  }

  PartBytes part_;
  std::uint64_t bits_;
  Buffer native_;
};

}  // namespace

std::string plain_obstacle(const Tensor& tensor) {
  if (tensor.dtype == DType::kUnknown)
    return fmt::format("{} is not a known type", tensor.dtype_text);
  if (info(tensor.dtype).kind == NumberKind::kComplex) {
    return fmt::format("{}: complex numbers have no single float32 value", info(tensor.dtype).name);
  }
  if (!has_float_value(tensor.dtype)) {
    return fmt::format("{} is not decoded", info(tensor.dtype).name);
  }
  return {};
}

std::unique_ptr<WeightReader> open_plain_reader(const Model& model, const Weight& weight) {
  return std::make_unique<PlainReader>(model, weight);
}

}  // namespace qi
