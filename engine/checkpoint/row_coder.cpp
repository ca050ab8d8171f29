#include "engine/checkpoint/row_coder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/io/checked.h"
#include "engine/io/xxh3.h"
#include "engine/quant/float_codes.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

/// Whole blocks of 64 for any length of row, whole tiles of every layout.
constexpr std::uint64_t kTileRows = 64;

/// use(index, tile, buffers) for all tiles of `rows` × `cols`; false: cancelled.
template <typename Use>
bool each_tile(std::uint64_t rows, std::uint64_t cols, const Workers& workers, const Use& use) {
  return workers.each(ceil_div(rows, kTileRows), rows * cols * 16,
                      [&](WorkBuffers& buffers, std::uint64_t i) {
                        const std::uint64_t row = i * kTileRows;
                        use(i, Tile{row, std::min(kTileRows, rows - row), 0, cols}, buffers);
                      });
}

/// XXH3 of the hashes of tiles, so that tiles may be hashed on any thread; empty: cancelled.
/// values(tile, out) gives the numbers.
template <typename Values>
std::string digest_of(std::uint64_t rows, std::uint64_t cols, const Workers& workers,
                      const Values& values) {
  std::vector<std::uint64_t> hashes(ceil_div(rows, kTileRows));
  const bool whole =
      each_tile(rows, cols, workers, [&](std::uint64_t i, const Tile& tile, WorkBuffers& buffers) {
        buffers.first.resize(tile.rows * tile.cols);
        values(tile, buffers.first.data());
        hashes[i] = XXH3_64bits(buffers.first.data(), buffers.first.size() * sizeof(float));
      });
  if (!whole) return {};
  const XXH128_hash_t hash = XXH3_128bits(hashes.data(), hashes.size() * sizeof(hashes[0]));
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

void coded_values(const CodedMatrix& matrix, const Tile& tile, float* out) {
  for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r, out += tile.cols) {
    matrix.row_values(r, out);
  }
}

/// Codes of rows, into the tensors of a layout.
class TileCoder {
 public:
  virtual ~TileCoder() = default;
  /// Codes the tile's numbers. Any thread.
  virtual void code(const Tile& tile, const float* in) = 0;
  /// All tiles are coded.
  virtual void finish() {}
  /// What the tile's numbers come back as, after finish(). Any thread.
  virtual void values(const Tile& tile, float* out) const = 0;
  virtual std::vector<PackedPart> take() = 0;
};

class Float8Coder : public TileCoder {
 public:
  Float8Coder(const std::string& weight, std::uint64_t rows, std::uint64_t cols)
      : codes_(module_of(weight) + ".weight", DType::kF8E4M3, {rows, cols}),
        scales_(module_of(weight) + ".weight_scale", DType::kF32, {rows, 1}) {}

  void code(const Tile& tile, const float* in) override {
    for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r, in += tile.cols) {
      const float scale = fp8_scale(DType::kF8E4M3, absmax(in, tile.cols));
      fp8_codes(DType::kF8E4M3, scale, in, tile.cols, codes_.at<std::uint8_t>(r * tile.cols));
      *scales_.at<float>(r) = scale;
    }
  }
  void values(const Tile& tile, float* out) const override {
    for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r, out += tile.cols) {
      fp8_values(DType::kF8E4M3, *scales_.at<float>(r), codes_.at<std::uint8_t>(r * tile.cols),
                 tile.cols, out);
    }
  }
  std::vector<PackedPart> take() override { return {codes_.take(), scales_.take()}; }

 private:
  PartWriter codes_;
  PartWriter scales_;
};

/// bitsandbytes: weights are float16 before they are coded.
class LlmInt8Coder : public TileCoder {
 public:
  LlmInt8Coder(const std::string& weight, std::uint64_t rows, std::uint64_t cols)
      : codes_(module_of(weight) + ".weight", DType::kI8, {rows, cols}),
        scales_(module_of(weight) + ".SCB", DType::kF32, {rows}),
        format_(module_of(weight) + ".weight_format", DType::kU8, {}) {}

  void code(const Tile& tile, const float* in) override {
    std::vector<float> line(tile.cols);
    for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r, in += tile.cols) {
      std::transform(in, in + tile.cols, line.begin(), [](float value) {
        const float half = f16_to_float(float_to_f16(value));
        return std::isfinite(half) ? half : value;
      });
      const float scale = absmax(line.data(), tile.cols);
      int8_codes(scale, line.data(), tile.cols, codes_.at<std::int8_t>(r * tile.cols));
      *scales_.at<float>(r) = scale;
    }
  }
  void values(const Tile& tile, float* out) const override {
    for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r) {
      const std::int8_t* codes = codes_.at<std::int8_t>(r * tile.cols);
      const float factor = *scales_.at<float>(r) * (1.0f / 127.0f);
      for (std::uint64_t c = 0; c < tile.cols; ++c) *out++ = static_cast<float>(codes[c]) * factor;
    }
  }
  std::vector<PackedPart> take() override {  // format 0: row by row
    return {codes_.take(), scales_.take(), format_.take()};
  }

 private:
  PartWriter codes_;
  PartWriter scales_;
  PartWriter format_;
};

/// Blocks of 64 run over the ends of rows; tiles begin with one.
class Nf4Coder : public TileCoder {
 public:
  static constexpr std::uint64_t kBlock = 64;

  Nf4Coder(const std::string& weight, const LayoutFormat& format, std::uint64_t rows,
           std::uint64_t cols)
      : name_(weight),
        format_(format),
        rows_(rows),
        cols_(cols),
        nibbles_(weight, DType::kU8, {ceil_div<std::uint64_t>(rows * cols, 2), 1}),
        scales_(ceil_div(rows * cols, kBlock)) {}

  void code(const Tile& tile, const float* in) override {
    const std::uint64_t count = tile.rows * tile.cols;
    std::vector<std::uint8_t> codes(count + 1);
    for (std::uint64_t i = 0; i < count; i += kBlock) {
      const std::uint64_t n = std::min(kBlock, count - i);
      float& scale = scales_[(tile.row * tile.cols + i) / kBlock];
      scale = absmax(in + i, n);
      nf4_codes(scale, in + i, n, codes.data() + i);
    }
    std::uint8_t* bytes = nibbles_.at<std::uint8_t>(tile.row * tile.cols / 2);
    for (std::uint64_t i = 0; i < count; i += 2) {
      *bytes++ = static_cast<std::uint8_t>(codes[i] << 4 | codes[i + 1]);
    }
  }

  void finish() override {
    if (format_.layout == Layout::kNf4Nested) nested_.emplace(scales_);
  }

  void values(const Tile& tile, float* out) const override {
    const std::uint64_t first = tile.row * tile.cols;
    for (std::uint64_t i = first; i < first + tile.rows * tile.cols; ++i) {
      const std::uint8_t byte = *nibbles_.at<std::uint8_t>(i / 2);
      const auto code = static_cast<std::uint8_t>(i % 2 == 0 ? byte >> 4 : byte & 15);
      const float scale = nested_ ? nested_->value(i / kBlock) : scales_[i / kBlock];
      *out++ = nf4_map()[code] * scale;
    }
  }

  std::vector<PackedPart> take() override {
    std::vector<PackedPart> parts = {nibbles_.take()};
    if (nested_) {
      PartWriter codes(name_ + ".absmax", DType::kU8, {scales_.size()});
      std::copy(nested_->codes.begin(), nested_->codes.end(), codes.at<std::uint8_t>(0));
      parts.push_back(codes.take());
      parts.push_back(floats(name_ + ".nested_absmax", nested_->absmax));
      parts.push_back(floats(name_ + ".nested_quant_map", dynamic_map()));
    } else {
      parts.push_back(floats(name_ + ".absmax", scales_));
    }
    parts.push_back(floats(name_ + ".quant_map", nf4_map()));
    const std::string state = state_text();
    PartWriter part(name_ + ".quant_state.bitsandbytes__nf4", DType::kU8, {state.size()});
    std::copy(state.begin(), state.end(), part.at<char>(0));
    parts.push_back(part.take());
    return parts;
  }

 private:
  static PackedPart floats(const std::string& name, std::span<const float> values) {
    PartWriter part(name, DType::kF32, {values.size()});
    std::copy(values.begin(), values.end(), part.at<float>(0));
    return part.take();
  }

  /// As Python's json writes it.
  std::string state_text() const {
    const std::string_view type = format_.model_type == DType::kF16    ? "float16"
                                  : format_.model_type == DType::kBF16 ? "bfloat16"
                                                                       : "float32";
    std::string text =
        fmt::format(R"({{"quant_type": "nf4", "blocksize": {}, "dtype": "{}", "shape": [{}, {}])",
                    kBlock, type, rows_, cols_);
    if (nested_) {
      text += fmt::format(R"(, "nested_blocksize": {}, "nested_dtype": "float32")",
                          NestedScales::kBlock);
      text += fmt::format(R"(, "nested_offset": {})", static_cast<double>(nested_->offset));
    }
    return text + "}";
  }

  std::string name_;
  LayoutFormat format_;
  std::uint64_t rows_, cols_;
  PartWriter nibbles_;
  std::vector<float> scales_;
  std::optional<NestedScales> nested_;
};

/// Rounding to the nearest on grids whose scales are as the layout holds them.
class GridCoder : public TileCoder {
 public:
  GridCoder(const QuantScheme& scheme, const LayoutFormat& format, std::string weight,
            std::uint64_t rows, std::uint64_t cols)
      : format_(format),
        rtn_{scheme.style, scheme.bits, scheme.symmetric},
        name_(std::move(weight)),
        width_(scheme.group == 0 ? cols : scheme.group) {
    matrix_.rows = rows;
    matrix_.cols = cols;
    matrix_.bits = scheme.bits;
    matrix_.symmetric = scheme.symmetric;
    matrix_.groups = ceil_div(cols, width_);
    matrix_.codes.resize(rows * cols);
    matrix_.scales.resize(rows * matrix_.groups);
    matrix_.zeros.resize(rows * matrix_.groups);
    for (std::uint64_t c = 0; c < cols; ++c) {
      matrix_.group_of.push_back(static_cast<std::uint32_t>(c / width_));
    }
  }

  void code(const Tile& tile, const float* in) override {
    for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r, in += tile.cols) {
      for (std::uint64_t g = 0; g < matrix_.groups; ++g) {
        const std::uint64_t col = g * width_;
        const std::uint64_t n = std::min(width_, tile.cols - col);
        RtnGrid grid = rtn_grid(rtn_, rtn_range(in + col, n));
        grid.scale = held_scale(format_, grid.scale);
        rtn_codes(rtn_, grid, in + col, n, matrix_.codes.data() + r * tile.cols + col);
        matrix_.scales[r * matrix_.groups + g] = grid.scale;
        matrix_.zeros[r * matrix_.groups + g] = static_cast<float>(grid.zero);
      }
    }
  }
  void values(const Tile& tile, float* out) const override { coded_values(matrix_, tile, out); }
  std::vector<PackedPart> take() override { return pack(format_, name_, matrix_); }

 private:
  LayoutFormat format_;
  RtnFormat rtn_;
  std::string name_;
  std::uint64_t width_;
  CodedMatrix matrix_;
};

std::unique_ptr<TileCoder> make_coder(const QuantScheme& scheme, const LayoutFormat& format,
                                      const Weight& weight) {
  const std::uint64_t rows = weight.rows();
  const std::uint64_t cols = weight.cols();
  switch (scheme.layout) {
    case Layout::kFloat8:
      return std::make_unique<Float8Coder>(weight.name, rows, cols);
    case Layout::kLlmInt8:
      return std::make_unique<LlmInt8Coder>(weight.name, rows, cols);
    case Layout::kNf4:
    case Layout::kNf4Nested:
      return std::make_unique<Nf4Coder>(weight.name, format, rows, cols);
    default:
      return std::make_unique<GridCoder>(scheme, format, weight.name, rows, cols);
  }
}

void refuse_odd_numbers(const Model& model, const Weight& weight, const Tile& tile,
                        const float* values) {
  for (std::uint64_t i = 0; i < tile.rows * tile.cols; ++i) {
    if (std::isfinite(values[i])) continue;
    throw Error(ErrorCode::kBadValue,
                fmt::format("{} has {} in row {}, column {}", weight.name, values[i],
                            tile.row + i / tile.cols, i % tile.cols),
                "finite weights, or --tensors '!NAME' to leave it as it is",
                model.file(model.tensor(weight.parts.front())).path());
  }
}

}  // namespace

QuantizedWeight quantize_rows(const QuantScheme& scheme, const LayoutFormat& format,
                              const Model& model, const Weight& weight, const Workers& workers) {
  const std::unique_ptr<TileCoder> coder = make_coder(scheme, format, weight);
  const bool whole = each_tile(weight.rows(), weight.cols(), workers,
                               [&](std::uint64_t, const Tile& tile, WorkBuffers& buffers) {
                                 buffers.first.resize(tile.rows * tile.cols);
                                 open_reader(model, weight)->values(tile, buffers.first.data());
                                 refuse_odd_numbers(model, weight, tile, buffers.first.data());
                                 coder->code(tile, buffers.first.data());
                               });
  if (!whole) return {};
  coder->finish();
  std::string digest = digest_of(weight.rows(), weight.cols(), workers,
                                 [&](const Tile& tile, float* out) { coder->values(tile, out); });
  if (digest.empty()) return {};
  return {coder->take(), std::move(digest)};
}

QuantizedWeight quantize_coded(const LayoutFormat& format, const std::string& weight,
                               CodedMatrix& matrix, const Workers& workers) {
  hold(format, matrix);
  std::string digest =
      digest_of(matrix.rows, matrix.cols, workers,
                [&](const Tile& tile, float* out) { coded_values(matrix, tile, out); });
  if (digest.empty()) return {};
  return {pack(format, weight, matrix), std::move(digest)};
}

std::string values_digest(const Model& model, const Weight& weight, const Workers& workers) {
  return digest_of(weight.rows(), weight.cols(), workers, [&](const Tile& tile, float* out) {
    open_reader(model, weight)->values(tile, out);
  });
}

}  // namespace qi
