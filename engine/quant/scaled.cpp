#include "engine/quant/scaled.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

enum class Codes : std::uint8_t { kInt8, kFloat8, kFields, kNibbles };

Codes kind_of(DType type) {
  if (type == DType::kI8) return Codes::kInt8;
  if (type == DType::kI32) return Codes::kFields;
  if (type == DType::kU8 || type == DType::kF4) return Codes::kNibbles;
  return Codes::kFloat8;
}

/// Both E2M1 values of a byte, low nibble first.
const std::array<std::array<float, 2>, 256>& nibble_pairs() {
  static const auto table = [] {
    std::array<std::array<float, 2>, 256> pairs{};
    for (std::size_t byte = 0; byte < 256; ++byte) {
      pairs[byte] = {f4_e2m1_to_float(static_cast<std::uint8_t>(byte & 15)),
                     f4_e2m1_to_float(static_cast<std::uint8_t>(byte >> 4))};
    }
    return pairs;
  }();
  return table;
}

std::uint32_t load_word(const std::byte* at) {
  std::uint32_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

class ScaledReader : public WeightReader {
 public:
  ScaledReader(const Model& opened, const Weight& scaled)
      : WeightReader(opened, scaled),
        codes_(opened, opened.tensor(scaled.parts.front())),
        scales_(opened, opened.tensor(*find_part(scaled, PartRole::kScales))),
        kind_(kind_of(codes_.tensor().dtype)),
        shape_(matrices(scaled.shape).value()),
        grid_(scale_grid(scaled.shape, scales_.tensor().shape, block_hint(scaled)).value()),
        row_scales_(grid_.cols),
        fields_(32u / std::max<unsigned>(1, scaled.bits)),
        words_(ceil_div<std::uint64_t>(shape_.cols, fields_)) {
    if (const Part* part = find_part(scaled, PartRole::kZeros)) {
      zeros_.emplace(opened, opened.tensor(*part));
      row_zeros_.resize(grid_.cols);
      const Shape& stored = zeros_->tensor().shape;
      packed_zeros_ = kind_ == Codes::kFields && zeros_->tensor().dtype == DType::kI32 &&
                      stored == Shape{ceil_div<std::uint64_t>(grid_.rows, fields_), grid_.cols};
    }
    if (const Part* part = find_part(scaled, PartRole::kSecondScales)) {
      second_.emplace(opened, opened.tensor(*part));
      divide_ = second_->tensor().name.ends_with("global_scale");
    }
    if (const Part* part = find_part(scaled, PartRole::kGroupIndex)) {
      read_groups(PartBytes(opened, opened.tensor(*part)));
    }
  }

  int code_bits() const override { return weight_.bits; }

  std::span<const std::byte> stored(std::uint64_t first, std::uint64_t count) override {
    if (kind_ != Codes::kInt8 && kind_ != Codes::kFloat8) return {};
    return codes_.bytes(first, count);
  }

  DType stored_row_type() const override {
    const bool one_factor = grid_.cols == 1 && !zeros_ && groups_.empty();
    return kind_ == Codes::kInt8 && one_factor ? DType::kI8 : DType::kUnknown;
  }
  StoredRows stored_rows(std::uint64_t first, std::uint64_t count) override {
    for (std::uint64_t row = factors_.size(); row < weight_.rows(); ++row) {
      load_row_scales(row);
      factors_.push_back(row_scales_.front());
    }
    return {codes_.kept_bytes(first * shape_.cols, count * shape_.cols),
            std::span(factors_).subspan(first, count)};
  }

 protected:
  void read_values(const Tile& tile, float* out) override {
    for (std::uint64_t r = 0; r < tile.rows; ++r, out += tile.cols) {
      load_row_scales(tile.row + r);
      decode_row(tile.row + r, tile.col, tile.cols, out);
      apply_scales(tile.col, tile.cols, out);
    }
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    for (std::uint64_t r = 0; r < tile.rows; ++r, out += tile.cols) {
      const std::uint64_t row = tile.row + r;
      if (kind_ == Codes::kFields) {
        each_field(row, tile.col, tile.cols, [&](std::uint64_t i, std::uint32_t field) {
          out[i] = static_cast<std::uint16_t>(field);
        });
      } else if (kind_ == Codes::kNibbles) {
        const std::uint64_t begin = tile.col / 2;
        const auto raw = codes_.bytes(row * shape_.cols / 2 + begin,
                                      ceil_div<std::uint64_t>(tile.col + tile.cols, 2) - begin);
        for (std::uint64_t i = 0; i < tile.cols; ++i) {
          const std::uint64_t e = tile.col + i;
          out[i] = (std::to_integer<std::uint16_t>(raw[e / 2 - begin]) >> (4 * (e % 2))) & 15;
        }
      } else {
        const auto raw = codes_.bytes(row * shape_.cols + tile.col, tile.cols);
        for (std::uint64_t i = 0; i < tile.cols; ++i) {
          out[i] = std::to_integer<std::uint16_t>(raw[i]);
        }
      }
    }
  }

  void read_scales(const ScaleSink& sink) override {
    // A second scale an expert makes as many first ones of a scale that all experts share.
    const bool by_expert =
        grid_.per_expert || (second_ && element_count(second_->tensor().shape) != 1);
    const std::uint64_t experts = by_expert ? shape_.experts : 1;
    for (std::uint64_t e = 0; e < experts; ++e) {
      for (std::uint64_t r = 0; r < grid_.rows; ++r) {
        load_row_scales(e * shape_.rows + std::min(r * grid_.block_rows, shape_.rows - 1));
        if (!sink({row_scales_, row_zeros_, false})) return;
      }
    }
  }

 private:
  /// weight_g_idx I32 [in]: the group of each column; all −1 means consecutive groups.
  void read_groups(PartBytes part) {
    const auto raw = part.bytes(0, 4 * shape_.cols);
    std::vector<std::uint32_t> groups(shape_.cols);
    std::memcpy(groups.data(), raw.data(), raw.size());
    if (std::all_of(groups.begin(), groups.end(), [](auto g) { return g == ~0u; })) return;
    for (std::uint64_t i = 0; i < groups.size(); ++i) {
      if (groups[i] < grid_.cols) continue;
      part.fail(ErrorCode::kBadValue, 4 * i,
                fmt::format("group {} of column {}", static_cast<std::int32_t>(groups[i]), i),
                fmt::format("0 … {}", grid_.cols - 1));
    }
    groups_ = std::move(groups);
  }

  void load_row_scales(std::uint64_t row) {
    const std::uint64_t expert = row / shape_.rows;
    const std::uint64_t scale_row = row % shape_.rows / grid_.block_rows;
    const std::uint64_t index = (grid_.per_expert ? expert * grid_.rows : 0) + scale_row;
    const std::uint64_t key = expert * grid_.rows + scale_row;
    if (loaded_ && *loaded_ == key) return;
    loaded_.reset();
    float* scales = row_scales_.data();
    if (scales_.tensor().dtype == DType::kU8) {
      const auto raw = scales_.bytes(index * grid_.cols, grid_.cols);
      to_floats(DType::kF8E8M0, raw.data(), grid_.cols, false, scales);
    } else {
      scales_.floats(index * grid_.cols, grid_.cols, scales);
    }
    if (weight_.scheme == Scheme::kLlmInt8) {
      for (float& scale : row_scales_) scale *= 1.0f / 127.0f;
    }
    if (second_) {
      float second = 0;
      const bool one = element_count(second_->tensor().shape) == 1;
      second_->floats(one ? 0 : expert, 1, &second);
      // The effective scale is rounded first, then one product a weight.
      for (float& scale : row_scales_) scale = divide_ ? scale / second : scale * second;
    }
    if (zeros_) load_row_zeros(index, scale_row);
    loaded_ = key;
  }

  void load_row_zeros(std::uint64_t index, std::uint64_t scale_row) {
    if (!packed_zeros_) {
      zeros_->floats(element_count(zeros_->tensor().shape) == 1 ? 0 : index * grid_.cols,
                     grid_.cols, row_zeros_.data());
      return;
    }
    // Packed along the rows: field j of word (w, group) is the zero point of row w·fields + j.
    const auto raw = zeros_->bytes(4 * (scale_row / fields_ * grid_.cols), 4 * grid_.cols);
    const auto shift = static_cast<unsigned>(scale_row % fields_) * weight_.bits;
    for (std::uint64_t k = 0; k < grid_.cols; ++k) {
      const std::uint32_t field = (load_word(raw.data() + 4 * k) >> shift) & mask();
      row_zeros_[k] = static_cast<float>(static_cast<std::int32_t>(field) - offset());
    }
  }

  std::uint32_t mask() const { return (1u << weight_.bits) - 1; }
  std::int32_t offset() const { return 1 << (weight_.bits - 1); }

  /// use(place in the row's piece, field) for columns [col, col + cols) of a row.
  template <typename Use>
  void each_field(std::uint64_t row, std::uint64_t col, std::uint64_t cols, const Use& use) {
    switch (weight_.bits) {
      case 4:
        return each_field_of<4>(row, col, cols, use);
      case 8:
        return each_field_of<8>(row, col, cols, use);
      default:
        return each_field_of<0>(row, col, cols, use);
    }
  }

  /// kBits known while compiling unrolls the common widths; 0: weight.bits.
  template <unsigned kBits, typename Use>
  void each_field_of(std::uint64_t row, std::uint64_t col, std::uint64_t cols, const Use& use) {
    const unsigned bits = kBits == 0 ? weight_.bits : kBits;
    const unsigned fields = 32 / bits;
    const std::uint32_t low = (1u << bits) - 1;
    const std::uint64_t begin = col / fields;
    const std::uint64_t end = ceil_div<std::uint64_t>(col + cols, fields);
    const auto raw = codes_.bytes(4 * (row * words_ + begin), 4 * (end - begin));
    std::uint64_t i = 0;
    std::uint64_t w = 0;
    const auto some = [&](unsigned skip) {
      const std::uint32_t word = load_word(raw.data() + 4 * w++);
      for (unsigned j = skip; j < fields && i < cols; ++j, ++i) use(i, (word >> (bits * j)) & low);
    };
    if (col % fields != 0) some(static_cast<unsigned>(col % fields));
    for (; i + fields <= cols; i += fields) {
      const std::uint32_t word = load_word(raw.data() + 4 * w++);
      for (unsigned j = 0; j < fields; ++j) use(i + j, (word >> (bits * j)) & low);
    }
    if (i < cols) some(0);
  }

  void decode_row(std::uint64_t row, std::uint64_t col, std::uint64_t cols, float* out) {
    switch (kind_) {
      case Codes::kInt8:
      case Codes::kFloat8:
        codes_.floats(row * shape_.cols + col, cols, out);
        return;
      case Codes::kFields:
        each_field(row, col, cols, [&](std::uint64_t i, std::uint32_t field) {
          out[i] = static_cast<float>(static_cast<std::int32_t>(field) - offset());
        });
        return;
      case Codes::kNibbles:
        decode_nibbles(row, col, cols, out);
        return;
    }
  }

  void decode_nibbles(std::uint64_t row, std::uint64_t col, std::uint64_t cols, float* out) {
    const auto& pairs = nibble_pairs();
    const std::uint64_t begin = col / 2;
    const std::uint64_t end = ceil_div<std::uint64_t>(col + cols, 2);
    const auto raw = codes_.bytes(row * (shape_.cols / 2) + begin, end - begin);
    std::uint64_t i = 0;
    std::size_t byte = 0;
    if (col % 2 != 0) out[i++] = pairs[std::to_integer<std::size_t>(raw[byte++])][1];
    for (; i + 2 <= cols; i += 2) {
      std::memcpy(out + i, pairs[std::to_integer<std::size_t>(raw[byte++])].data(), 8);
    }
    if (i < cols) out[i] = pairs[std::to_integer<std::size_t>(raw[byte])][0];
  }

  void apply_scales(std::uint64_t col, std::uint64_t cols, float* out) const {
    if (!groups_.empty()) {
      for (std::uint64_t i = 0; i < cols; ++i) {
        const std::uint32_t g = groups_[col + i];
        out[i] = (zeros_ ? out[i] - row_zeros_[g] : out[i]) * row_scales_[g];
      }
      return;
    }
    for (std::uint64_t i = 0; i < cols;) {
      const std::uint64_t g = (col + i) / grid_.block_cols;
      const std::uint64_t end = std::min(cols, (g + 1) * grid_.block_cols - col);
      const float scale = row_scales_[g];
      if (zeros_) {
        const float zero = row_zeros_[g];
        for (; i < end; ++i) out[i] = (out[i] - zero) * scale;
      } else {
        for (; i < end; ++i) out[i] *= scale;
      }
    }
  }

  PartBytes codes_;
  PartBytes scales_;
  std::optional<PartBytes> zeros_;
  std::optional<PartBytes> second_;
  Codes kind_;
  Matrices shape_;
  ScaleGrid grid_;
  std::vector<float> row_scales_;  // of the scale row last used
  std::vector<float> row_zeros_;
  std::vector<float> factors_;         // of all rows, once stored_rows() was called
  std::vector<std::uint32_t> groups_;  // empty: consecutive
  std::uint64_t fields_;               // of one I32 word
  std::uint64_t words_;                // of one row
  std::optional<std::uint64_t> loaded_;
  bool packed_zeros_ = false;
  bool divide_ = false;
};

}  // namespace

std::unique_ptr<WeightReader> open_scaled_reader(const Model& model, const Weight& weight) {
  return std::make_unique<ScaledReader>(model, weight);
}

void describe_scales(Weight& weight, const ScaleGrid& grid, const Tensor& scales) {
  weight.scale_dtype = scales.dtype == DType::kU8 ? DType::kF8E8M0 : scales.dtype;
  if (grid.kind == ScaleGrid::Kind::kGroup) weight.group_size = grid.block_cols;
  if (grid.kind == ScaleGrid::Kind::kBlock) {
    weight.block_rows = static_cast<std::uint32_t>(grid.block_rows);
    weight.block_cols = static_cast<std::uint32_t>(grid.block_cols);
  }
}

BlockHint block_hint(const Weight& weight) {
  if (weight.group_size != 0) return {0, weight.group_size};
  return {weight.block_rows, weight.block_cols};
}

}  // namespace qi
