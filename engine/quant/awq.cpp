#include "engine/quant/awq.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_parts.h"

namespace qi {
namespace {

constexpr std::uint64_t kFields = 8;  // 4-bit fields of a word
/// gemm: column 8c + k of the outputs is field kFieldOf[k] of word c.
constexpr std::array<unsigned, kFields> kFieldOf = {0, 4, 1, 5, 2, 6, 3, 7};

std::uint32_t load_word(std::span<const std::byte> raw, std::uint64_t index) {
  std::uint32_t word;
  std::memcpy(&word, raw.data() + 4 * index, sizeof(word));
  return word;
}

/// qweight [in, out/8], qzeros [G, out/8], scales [G, out].
class GemmReader : public WeightReader {
 public:
  GemmReader(const Model& opened, const Weight& awq)
      : WeightReader(opened, awq),
        words_(opened, opened.tensor(awq.parts.front())),
        scales_(opened, opened.tensor(*find_part(awq, PartRole::kScales))),
        zeros_(opened, opened.tensor(*find_part(awq, PartRole::kZeros))),
        out_(awq.shape[0]),
        group_(awq.group_size == 0 ? awq.shape[1] : awq.group_size) {}

  int code_bits() const override { return 4; }

 protected:
  void read_values(const Tile& tile, float* out) override {
    std::vector<float> scale(tile.rows);
    std::vector<std::int32_t> zero(tile.rows);
    const std::uint64_t last = tile.col + tile.cols;
    std::uint64_t loaded = ~std::uint64_t{0};
    for (std::uint64_t col = tile.col; col < last;) {
      const std::uint64_t g = col / group_;
      const std::uint64_t end = std::min({last, (g + 1) * group_, col + kRun});
      const std::uint64_t n = end - col;
      if (g != loaded) load_group(g, tile, scale, zero);
      loaded = g;
      load_words(tile.row, tile.rows, col, n);
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        float* to = out + r * tile.cols + (col - tile.col);
        const std::uint32_t* word = words_of(tile.row, r);
        const unsigned shift = shift_of(tile.row + r);
        for (std::uint64_t i = 0; i < n; ++i) {
          const auto q = static_cast<std::int32_t>((word[i] >> shift) & 15);
          to[i] = static_cast<float>(q - zero[r]) * scale[r];
        }
      }
      col = end;
    }
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    for (std::uint64_t done = 0; done < tile.cols; done += kRun) {
      const std::uint64_t n = std::min(kRun, tile.cols - done);
      load_words(tile.row, tile.rows, tile.col + done, n);
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        const std::uint32_t* word = words_of(tile.row, r);
        const unsigned shift = shift_of(tile.row + r);
        for (std::uint64_t i = 0; i < n; ++i) {
          out[r * tile.cols + done + i] = static_cast<std::uint16_t>((word[i] >> shift) & 15);
        }
      }
    }
  }

  void read_scales(const ScaleSink& sink) override {
    std::vector<float> scale(out_);
    std::vector<std::int32_t> zero(out_);
    std::vector<float> zeros;
    const std::uint64_t groups = scales_.tensor().shape[0];
    for (std::uint64_t g = 0; g < groups; ++g) {
      load_group(g, {0, out_, 0, 0}, scale, zero);
      zeros.assign(zero.begin(), zero.end());
      if (!sink({scale, zeros, false})) return;
    }
  }

 private:
  // Inputs read together, so that whole cache lines of each output row are written.
  static constexpr std::uint64_t kRun = 32;

  static unsigned shift_of(std::uint64_t row) { return 4 * kFieldOf[row % kFields]; }

  /// The words of row `row + r`, one an input, as load_words() left them.
  const std::uint32_t* words_of(std::uint64_t row, std::uint64_t r) const {
    return run_.data() + ((row + r) / kFields - row / kFields) * kRun;
  }

  /// Words of outputs [row, row + rows) for inputs [col, col + n), turned to [word][input].
  void load_words(std::uint64_t row, std::uint64_t rows, std::uint64_t col, std::uint64_t n) {
    const std::uint64_t begin = row / kFields;
    const std::uint64_t count = ceil_div(row + rows, kFields) - begin;
    run_.resize(count * kRun);
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto raw = words_.bytes(4 * ((col + i) * (out_ / kFields) + begin), 4 * count);
      for (std::uint64_t c = 0; c < count; ++c) run_[c * kRun + i] = load_word(raw, c);
    }
  }

  void load_group(std::uint64_t g, const Tile& tile, std::vector<float>& scale,
                  std::vector<std::int32_t>& zero) {
    scales_.floats(g * out_ + tile.row, tile.rows, scale.data());
    const std::uint64_t begin = tile.row / kFields;
    const std::uint64_t end = ceil_div(tile.row + tile.rows, kFields);
    const auto raw = zeros_.bytes(4 * (g * (out_ / kFields) + begin), 4 * (end - begin));
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      const std::uint64_t o = tile.row + r;
      zero[r] = static_cast<std::int32_t>(load_word(raw, o / kFields - begin) >>
                                          (4 * kFieldOf[o % kFields])) &
                15;
    }
  }

  PartBytes words_;
  PartBytes scales_;
  PartBytes zeros_;
  std::uint64_t out_;
  std::uint64_t group_;
  std::vector<std::uint32_t> run_;
};

/// qweight [out, in/8], qzeros [out, zw], scales [out, 8·zw]: rows of their own, natural order.
class GemvReader : public WeightReader {
 public:
  GemvReader(const Model& opened, const Weight& awq)
      : WeightReader(opened, awq),
        words_(opened, opened.tensor(awq.parts.front())),
        scales_(opened, opened.tensor(*find_part(awq, PartRole::kScales))),
        zeros_(opened, opened.tensor(*find_part(awq, PartRole::kZeros))),
        group_(awq.group_size == 0 ? awq.shape[1] : awq.group_size),
        groups_(ceil_div(awq.shape[1], group_)),
        row_scales_(groups_),
        row_zeros_(groups_) {}

  int code_bits() const override { return 4; }

 protected:
  void read_values(const Tile& tile, float* out) override {
    codes_.resize(tile.cols);
    for (std::uint64_t r = 0; r < tile.rows; ++r, out += tile.cols) {
      const std::uint64_t row = tile.row + r;
      load_row(row);
      unpack(row, tile.col, tile.cols, codes_.data());
      for (std::uint64_t i = 0; i < tile.cols; ++i) {
        const std::uint64_t g = (tile.col + i) / group_;
        out[i] = static_cast<float>(static_cast<std::int32_t>(codes_[i]) - row_zeros_[g]) *
                 row_scales_[g];
      }
    }
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      unpack(tile.row + r, tile.col, tile.cols, out + r * tile.cols);
    }
  }

  void read_scales(const ScaleSink& sink) override {
    std::vector<float> zeros;
    for (std::uint64_t row = 0; row < weight_.shape[0]; ++row) {
      load_row(row);
      zeros.assign(row_zeros_.begin(), row_zeros_.end());
      if (!sink({row_scales_, zeros, false})) return;
    }
  }

 private:
  void load_row(std::uint64_t row) {
    scales_.floats(row * scales_.tensor().shape[1], groups_, row_scales_.data());
    const std::uint64_t zero_words = zeros_.tensor().shape[1];
    const auto raw = zeros_.bytes(4 * row * zero_words, 4 * zero_words);
    for (std::uint64_t g = 0; g < groups_; ++g) {
      row_zeros_[g] =
          static_cast<std::int32_t>(load_word(raw, g / kFields) >> (4 * (g % kFields))) & 15;
    }
  }

  void unpack(std::uint64_t row, std::uint64_t col, std::uint64_t cols, std::uint16_t* out) {
    const std::uint64_t begin = col / kFields;
    const std::uint64_t end = ceil_div(col + cols, kFields);
    const std::uint64_t row_words = weight_.shape[1] / kFields;
    const auto raw = words_.bytes(4 * (row * row_words + begin), 4 * (end - begin));
    for (std::uint64_t i = 0; i < cols; ++i) {
      const std::uint64_t e = col + i;
      out[i] = (load_word(raw, e / kFields - begin) >> (4 * (e % kFields))) & 15;
    }
  }

  PartBytes words_;
  PartBytes scales_;
  PartBytes zeros_;
  std::uint64_t group_;
  std::uint64_t groups_;
  std::vector<float> row_scales_;
  std::vector<std::int32_t> row_zeros_;
  std::vector<std::uint16_t> codes_;
};

bool is_gemm(const Tensor& words, const Tensor& zeros, const Tensor& scales) {
  return checked_mul(words.shape[1], kFields) == scales.shape[1] &&
         zeros.shape == Shape{scales.shape[0], words.shape[1]};
}

bool is_gemv(const Tensor& words, const Tensor& zeros, const Tensor& scales) {
  return words.shape[0] == scales.shape[0] && words.shape[0] == zeros.shape[0] &&
         checked_mul(zeros.shape[1], kFields) == scales.shape[1];
}

/// The group size: the config's when it fits, else from the shapes; 0: one group; nothing: no fit.
std::optional<std::uint64_t> group_size(const QuantConfig& config, std::uint64_t in,
                                        std::uint64_t groups) {
  const std::uint64_t named = config.method == "awq" ? config.group_size : 0;
  if (named != 0 && ceil_div(in, named) == groups) return named;
  if (groups == 1) return 0;
  return block_size(in, groups, 0);
}

}  // namespace

bool build_awq(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& words = grouping.tensor(codes);
  const auto scales_index = grouping.find(module, ".scales");
  const auto zeros_index = grouping.find(module, ".qzeros");
  if (!scales_index || !zeros_index || words.shape.size() != 2) return false;
  const Tensor& scales = grouping.tensor(*scales_index);
  const Tensor& zeros = grouping.tensor(*zeros_index);
  const QuantConfig& config = grouping.config();
  if (scales.shape.size() != 2 || zeros.shape.size() != 2 || !matrices(scales.shape) ||
      !matrices(zeros.shape) || !matrices(words.shape) || !is_scale(scales)) {
    return false;
  }
  Weight weight = start_weight(Scheme::kAwq, std::string(module) + ".weight", {}, codes);
  if (words.dtype == DType::kI16) {
    // gemv_fast: [out/4, in] 16-bit words, interleaved for one kernel.
    weight.shape = {words.shape[0] * 4, words.shape[1]};
    weight.format = "gemv_fast";
    weight.undecodable = "gemv_fast: interleaved for a GPU kernel, not decoded";
  } else if (words.dtype != DType::kI32 || zeros.dtype != DType::kI32) {
    return false;
  } else if (is_gemm(words, zeros, scales) && config.version != "gemv") {
    weight.shape = {scales.shape[1], words.shape[0]};
    weight.format = "gemm";
    const auto size = group_size(config, words.shape[0], scales.shape[0]);
    if (!size) return false;
    weight.group_size = *size;
  } else if (is_gemv(words, zeros, scales) && checked_mul(words.shape[1], kFields)) {
    weight.shape = {words.shape[0], words.shape[1] * kFields};
    weight.format = "gemv";
    // The scales are padded, so only the config knows the group; 128 is what others assume.
    weight.group_size = config.group_size != 0 ? config.group_size : 128;
    if (ceil_div(weight.shape[1], weight.group_size) > scales.shape[1]) return false;
  } else {
    return false;
  }
  if (!element_count(weight.shape)) return false;
  if (config.method == "awq" && config.version == "marlin") {
    weight.format = "marlin";
    weight.undecodable = "marlin: tiles permuted for a GPU kernel, not decoded";
  }
  weight.bits = 4;
  if (config.method == "awq" && config.bits != 0 && config.bits != 4 && !config.per_module) {
    grouping.warn(fmt::format("4 bits by its shapes, {} by {}", config.bits, config.source), codes);
  }
  weight.parts.push_back({*zeros_index, PartRole::kZeros});
  weight.parts.push_back({*scales_index, PartRole::kScales});
  weight.scale_dtype = scales.dtype;
  weight.zero_point = ZeroPoint::kInt;
  weight.symmetric = config.method == "awq" ? config.symmetric.value_or(false) : false;
  grouping.add(std::move(weight));
  return true;
}

std::unique_ptr<WeightReader> open_awq_reader(const Model& model, const Weight& weight) {
  if (weight.format == "gemv") return std::make_unique<GemvReader>(model, weight);
  return std::make_unique<GemmReader>(model, weight);
}

}  // namespace qi
