// MXFP4, NVFP4 and NF4 (engine/quant/float_codes.h).
//
// mxfp4 and nvfp4, a row: a scale byte for each block of 32 or 16 (the last may be shorter), then
// the codes, low nibble first. nvfp4 shares an F32 for each matrix.
// nf4 as bitsandbytes: blocks run on over the ends of rows, high nibble first; a strip ends with a
// block and holds its scales as F32, then the codes. Nested: all scales are shared, quantized once
// more. Maps are part of the format and counted nowhere.
#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/io/checked.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/sized_coder.h"
#include "engine/quant/float_codes.h"
#include "engine/quant/packed_codes.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

class Fp4Coder : public SizedCoder {
 public:
  Fp4Coder(bool nv, const MatrixInfo& matrix)
      : SizedCoder(matrix),
        block_(nv ? kNvfp4Block : kMxfp4Block),
        blocks_(ceil_div(cols_, block_)),
        most_(nv ? matrices() : 0),
        codes_(cols_) {}

  bool wants_survey() const override { return !most_.empty(); }
  void survey(const MatrixRows& rows) override {
    refuse_non_finite(rows, cols_);
    for (std::uint64_t r = 0; r < rows.count; ++r) {
      float& most = most_[matrix_of(rows.first + r)];
      most = std::max(most, absmax(rows.values.data() + r * cols_, cols_));
    }
  }
  std::uint64_t shared_bytes() const override { return 4 * most_.size(); }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<Fp4Coder>(*this); }

 protected:
  std::uint64_t strip_bytes(std::uint64_t, std::uint64_t count) const override {
    return count * row_bytes();
  }
  void encode_strip(std::uint64_t first, std::uint64_t count, const float* in,
                    std::byte* out) override {
    for (std::uint64_t r = 0; r < count; ++r, in += cols_, out += row_bytes()) {
      const float unit = unit_of(first + r);
      for (std::uint64_t b = 0; b < blocks_; ++b) {
        const std::uint64_t begin = b * block_, size = std::min(block_, cols_ - begin);
        const float most = absmax(in + begin, size);
        const std::uint8_t scale = most_.empty() ? mxfp4_scale(most) : nvfp4_scale(unit, most);
        out[b] = std::byte{scale};
        fp4_codes(value_of(scale, unit), in + begin, size, codes_.data() + begin);
      }
      pack_codes(4, codes_.data(), cols_, out + blocks_);
    }
  }
  void decode_strip(std::uint64_t first, std::uint64_t count, const std::byte* in,
                    float* out) override {
    for (std::uint64_t r = 0; r < count; ++r, in += row_bytes(), out += cols_) {
      const float unit = unit_of(first + r);
      unpack_codes(4, in + blocks_, cols_, codes_.data());
      for (std::uint64_t b = 0; b < blocks_; ++b) {
        const std::uint64_t begin = b * block_, size = std::min(block_, cols_ - begin);
        fp4_values(value_of(load_u8(in + b), unit), codes_.data() + begin, size, out + begin);
      }
    }
  }

 private:
  std::uint64_t row_bytes() const { return blocks_ + packed_bytes(4, cols_); }
  float unit_of(std::uint64_t row) const {
    return most_.empty() ? 1 : nvfp4_tensor_scale(most_[matrix_of(row)]);
  }
  float value_of(std::uint8_t scale, float unit) const {
    return most_.empty() ? f8_e8m0_to_float(scale) : f8_e4m3_to_float(scale) * unit;
  }

  std::uint64_t block_;
  std::uint64_t blocks_;     // of a row
  std::vector<float> most_;  // of each matrix; none: MXFP4
  std::vector<std::uint8_t> codes_;
};

template <bool kNv>
struct Fp4Family {
  static constexpr std::string_view kName = kNv ? "nvfp4" : "mxfp4";

  static std::vector<Params> expand(const GridOptions&) { return {Params()}; }
  static std::string unfit(const Params& params, const MatrixInfo&) {
    ParamReader(kName, params).finish();
    return {};
  }
  static std::unique_ptr<MethodCoder> make(const Params& params, const MatrixInfo& matrix) {
    unfit(params, matrix);
    return std::make_unique<Fp4Coder>(kNv, matrix);
  }
  static std::optional<std::uint64_t> predict(const Params& params, const MatrixInfo& matrix) {
    unfit(params, matrix);
    return Fp4Coder(kNv, matrix).total_bytes();
  }
  static std::string label(const Params&) { return std::string(kName); }
};

constexpr std::array kNf4Options = {
    GridOption{"block-sizes", "even, up to 65536", "64", "weights that share a scale"},
    GridOption{"nested", "", "", "quantize the scales, too"},
};
constexpr std::array<std::string_view, 2> kNoYes = {"no", "yes"};
constexpr std::uint64_t kLargestBlock = 65536;

struct Nf4Setting {
  std::uint64_t block = 64;
  bool nested = false;
};

std::uint64_t read_block(std::string_view what, std::string_view text) {
  const std::uint64_t block = read_integer(what, text, 2, kLargestBlock);
  if (block % 2 != 0) bad_value(what, text, "an even number");  // two codes a byte
  return block;
}

Nf4Setting nf4_setting(const Params& params) {
  Nf4Setting setting;
  ParamReader reader("nf4", params);
  setting.block = read_block("nf4 block=", reader.word("block"));
  setting.nested = reader.choice("nested", kNoYes) == "yes";
  reader.finish();
  return setting;
}

class Nf4Coder : public SizedCoder {
 public:
  Nf4Coder(const Nf4Setting& setting, const MatrixInfo& matrix)
      : SizedCoder(matrix),
        block_(setting.block),
        nested_(setting.nested),
        scales_(setting.nested ? ceil_div(rows_ * cols_, block_) : 0),
        codes_(block_) {}

  // The fewest rows that end with a block.
  std::uint64_t strip_rows() const override { return block_ / std::gcd(block_, cols_); }
  bool wants_survey() const override { return nested_; }
  void survey(const MatrixRows& rows) override {
    refuse_non_finite(rows, cols_);
    // Blocks that these rows begin or end are not theirs alone.
    const std::uint64_t begin = rows.first * cols_, end = begin + rows.count * cols_;
    for (std::uint64_t at = begin; at < end;) {
      const std::uint64_t stop = std::min(end, (at / block_ + 1) * block_);
      float& scale = scales_[at / block_];
      scale = std::max(scale, absmax(rows.values.data() + (at - begin), stop - at));
      at = stop;
    }
  }
  void finish_survey() override {
    const NestedScales second(scales_);
    for (std::uint64_t b = 0; b < scales_.size(); ++b) second_.push_back(second.value(b));
  }
  std::uint64_t shared_bytes() const override {
    return nested_ ? NestedScales::bytes(scales_.size()) : 0;
  }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<Nf4Coder>(*this); }

 protected:
  std::uint64_t strip_bytes(std::uint64_t, std::uint64_t count) const override {
    return head_bytes(count) + packed_bytes(4, count * cols_);
  }
  void encode_strip(std::uint64_t first, std::uint64_t count, const float* in,
                    std::byte* out) override {
    std::byte* packed = out + head_bytes(count);
    each_block(count, [&](std::uint64_t b, std::uint64_t size) {
      const float* values = in + b * block_;
      const float scale = nested_ ? scales_[first * cols_ / block_ + b] : absmax(values, size);
      if (!nested_) store_number(out + 4 * b, scale);
      nf4_codes(scale, values, size, codes_.data());
      for (std::uint64_t i = 0; i < size; i += 2) {
        const unsigned low = i + 1 < size ? codes_[i + 1] : 0u;
        packed[(b * block_ + i) / 2] = static_cast<std::byte>(codes_[i] << 4 | low);
      }
    });
  }
  void decode_strip(std::uint64_t first, std::uint64_t count, const std::byte* in,
                    float* out) override {
    const std::byte* packed = in + head_bytes(count);
    each_block(count, [&](std::uint64_t b, std::uint64_t size) {
      const float scale =
          nested_ ? second_[first * cols_ / block_ + b] : load_number<float>(in + 4 * b);
      for (std::uint64_t i = 0; i < size; ++i) {
        const unsigned byte = load_u8(packed + (b * block_ + i) / 2);
        codes_[i] = static_cast<std::uint8_t>(i % 2 == 0 ? byte >> 4 : byte & 15);
      }
      nf4_values(scale, codes_.data(), size, out + b * block_);
    });
  }

 private:
  std::uint64_t head_bytes(std::uint64_t count) const {
    return nested_ ? 0 : 4 * ceil_div(count * cols_, block_);
  }
  /// use(number, weights) of a strip of `count` rows.
  template <typename Use>
  void each_block(std::uint64_t count, Use&& use) const {
    const std::uint64_t numbers = count * cols_;
    for (std::uint64_t b = 0; b * block_ < numbers; ++b) {
      use(b, std::min(block_, numbers - b * block_));
    }
  }

  std::uint64_t block_;
  bool nested_;
  std::vector<float> scales_;  // nested only: of all blocks
  std::vector<float> second_;  // the same as they come back
  std::vector<std::uint8_t> codes_;
};

std::vector<Params> expand_nf4(const GridOptions& given) {
  std::vector<Params> list;
  for (const std::string& block : grid_values(given, kNf4Options[0])) {
    read_block("--block-sizes", block);
    Params params;
    params.set("block", block);
    params.set("nested", grid_switch(given, "nested") ? "yes" : "no");
    add_once(list, std::move(params));
  }
  return list;
}

std::string unfit_nf4(const Params& params, const MatrixInfo&) {
  nf4_setting(params);
  return {};
}
std::unique_ptr<MethodCoder> make_nf4(const Params& params, const MatrixInfo& matrix) {
  return std::make_unique<Nf4Coder>(nf4_setting(params), matrix);
}
std::optional<std::uint64_t> predict_nf4(const Params& params, const MatrixInfo& matrix) {
  return Nf4Coder(nf4_setting(params), matrix).total_bytes();
}
std::string label_nf4(const Params& params) {
  const Nf4Setting setting = nf4_setting(params);
  return fmt::format("nf4 b{}{}", setting.block, setting.nested ? " nested" : "");
}

}  // namespace

MethodFamily mxfp4_family() {
  using Family = Fp4Family<false>;
  return {Family::kName,
          "4-bit floats, a power of two for each 32",
          {},
          1,
          Family::expand,
          Family::unfit,
          Family::make,
          Family::predict,
          Family::label};
}
MethodFamily nvfp4_family() {
  using Family = Fp4Family<true>;
  return {Family::kName,
          "4-bit floats, an 8-bit float for each 16",
          {},
          1,
          Family::expand,
          Family::unfit,
          Family::make,
          Family::predict,
          Family::label};
}
MethodFamily nf4_family() {
  return {"nf4",       "bitsandbytes: quantiles of a normal distribution",
          kNf4Options, 1,
          expand_nf4,  unfit_nf4,
          make_nf4,    predict_nf4,
          label_nf4};
}

}  // namespace qi
