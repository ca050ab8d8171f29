// LLM.int8() and FP8 (engine/quant/float_codes.h).
//
// int8, a row: its scale as F32, a code for each column, then the outliers' numbers in 16 bits (F16
// where stored so, else BF16). An outlier column is one with any |w| at or above the threshold; it
// has no part in scales and its code is left out. Shared: the outlier columns' numbers, u32 each.
// fp8: codes in rows; scales as F32 of a matrix (shared), of a row (before its codes), or of blocks
// of 128 × 128 (before the codes of 128 rows; the last ones of a matrix are smaller).
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/io/checked.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/sized_coder.h"
#include "engine/quant/float_codes.h"
#include "engine/tensor/numbers.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

std::uint8_t* as_codes(std::byte* bytes) {
  return reinterpret_cast<std::uint8_t*>(bytes);
}
const std::uint8_t* as_codes(const std::byte* bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes);
}

// int8

constexpr std::array kInt8Options = {
    GridOption{"outlier-threshold", "a number above 0", "",
               "keep columns with such a weight in 16 bits"},
};

double threshold_of(const Params& params) {
  ParamReader reader("int8", params);
  const double threshold =
      reader.has("outlier-threshold") ? reader.positive("outlier-threshold") : 0;
  reader.finish();
  return threshold;
}

class Int8Coder : public SizedCoder {
 public:
  Int8Coder(double threshold, const MatrixInfo& matrix)
      : SizedCoder(matrix),
        threshold_(static_cast<float>(threshold)),
        half_(matrix.dtype == DType::kF16),
        is_outlier_(threshold == 0 ? 0 : cols_),
        rest_(threshold == 0 ? 0 : cols_) {}

  bool wants_survey() const override { return threshold_ != 0; }
  void survey(const MatrixRows& rows) override {
    refuse_non_finite(rows, cols_);
    const float* in = rows.values.data();
    for (std::uint64_t r = 0; r < rows.count; ++r, in += cols_) {
      for (std::uint64_t c = 0; c < cols_; ++c) {
        if (std::abs(in[c]) >= threshold_) is_outlier_[c] = 1;
      }
    }
  }
  void finish_survey() override {
    for (std::uint64_t c = 0; c < cols_; ++c) {
      if (is_outlier_[c] != 0) outliers_.push_back(c);
    }
  }
  std::uint64_t shared_bytes() const override { return 4 * outliers_.size(); }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<Int8Coder>(*this); }

 protected:
  std::uint64_t strip_bytes(std::uint64_t, std::uint64_t count) const override {
    return count * row_bytes();
  }
  void encode_strip(std::uint64_t, std::uint64_t count, const float* in, std::byte* out) override {
    for (std::uint64_t r = 0; r < count; ++r, in += cols_, out += row_bytes()) {
      const float* row = in;
      if (!outliers_.empty()) {
        std::uint64_t n = 0;
        for (std::uint64_t c = 0; c < cols_; ++c) {
          if (is_outlier_[c] == 0) rest_[n++] = in[c];
        }
        row = rest_.data();
        std::byte* kept = out + 4 + inliers();
        for (std::size_t i = 0; i < outliers_.size(); ++i) {
          const float value = in[outliers_[i]];
          store_u16(kept + 2 * i, half_ ? float_to_f16(value) : float_to_bf16(value));
        }
      }
      const float scale = absmax(row, inliers());
      store_number(out, scale);
      int8_codes(scale, row, inliers(), reinterpret_cast<std::int8_t*>(out + 4));
    }
  }
  void decode_strip(std::uint64_t, std::uint64_t count, const std::byte* in, float* out) override {
    for (std::uint64_t r = 0; r < count; ++r, in += row_bytes(), out += cols_) {
      const auto* codes = reinterpret_cast<const std::int8_t*>(in + 4);
      const float scale = load_number<float>(in);
      if (outliers_.empty()) {
        int8_values(scale, codes, cols_, out);
        continue;
      }
      int8_values(scale, codes, inliers(), rest_.data());
      for (std::uint64_t c = 0, n = 0; c < cols_; ++c) {
        if (is_outlier_[c] == 0) out[c] = rest_[n++];
      }
      const std::byte* kept = in + 4 + inliers();
      for (std::size_t i = 0; i < outliers_.size(); ++i) {
        const std::uint16_t word = load_u16(kept + 2 * i);
        out[outliers_[i]] = half_ ? f16_to_float(word) : bf16_to_float(word);
      }
    }
  }

 private:
  std::uint64_t inliers() const { return cols_ - outliers_.size(); }
  std::uint64_t row_bytes() const { return 4 + inliers() + 2 * outliers_.size(); }

  float threshold_;
  bool half_;
  std::vector<std::uint8_t> is_outlier_;
  std::vector<std::uint64_t> outliers_;
  std::vector<float> rest_;  // of a row, without its outliers
};

std::vector<Params> expand_int8(const GridOptions& given) {
  std::vector<Params> list;
  if (given.find(kInt8Options[0].name) == given.end()) return {Params()};
  for (const std::string& text : grid_values(given, kInt8Options[0])) {
    Params params;
    if (text != "off") {
      params.set("outlier-threshold", exact_number(read_positive("--outlier-threshold", text)));
    }
    add_once(list, std::move(params));
  }
  return list;
}

std::string unfit_int8(const Params& params, const MatrixInfo&) {
  threshold_of(params);
  return {};
}
std::unique_ptr<MethodCoder> make_int8(const Params& params, const MatrixInfo& matrix) {
  return std::make_unique<Int8Coder>(threshold_of(params), matrix);
}
std::optional<std::uint64_t> predict_int8(const Params& params, const MatrixInfo& matrix) {
  if (threshold_of(params) != 0) return std::nullopt;
  return Int8Coder(0, matrix).total_bytes();
}
std::string label_int8(const Params& params) {
  return threshold_of(params) == 0
             ? "int8"
             : fmt::format("int8 outliers {}", *params.get("outlier-threshold"));
}

// fp8

constexpr std::array kFp8Options = {
    GridOption{"formats", "e4m3,e5m2", "e4m3", "exponent and mantissa bits"},
    GridOption{"scales", "tensor,channel,block128", "channel", "what has a scale of its own"},
};
constexpr std::array<std::string_view, 2> kFormats = {"e4m3", "e5m2"};
constexpr std::array<std::string_view, 3> kScales = {"tensor", "channel", "block128"};

struct Fp8Setting {
  DType type = DType::kF8E4M3;
  std::string_view scales;
};

Fp8Setting fp8_setting(const Params& params) {
  ParamReader reader("fp8", params);
  Fp8Setting setting;
  if (reader.choice("format", kFormats) == "e5m2") setting.type = DType::kF8E5M2;
  setting.scales = reader.choice("scales", kScales);
  reader.finish();
  return setting;
}

class Fp8Coder : public SizedCoder {
 public:
  Fp8Coder(const Fp8Setting& setting, const MatrixInfo& matrix)
      : SizedCoder(matrix), type_(setting.type) {
    if (setting.scales == "tensor") most_.assign(matrices(), 0.0f);
    if (setting.scales == "channel") block_rows_ = 1, block_cols_ = cols_;
    if (setting.scales == "block128") block_rows_ = block_cols_ = 128;
  }

  // Blocks end with their matrix.
  std::uint64_t strip_rows() const override {
    if (block_rows_ < 2) return 1;
    return rows_ == matrix_rows_ || matrix_rows_ % block_rows_ == 0 ? block_rows_ : matrix_rows_;
  }
  bool wants_survey() const override { return !most_.empty(); }
  void survey(const MatrixRows& rows) override {
    refuse_non_finite(rows, cols_);
    for (std::uint64_t r = 0; r < rows.count; ++r) {
      float& most = most_[matrix_of(rows.first + r)];
      most = std::max(most, absmax(rows.values.data() + r * cols_, cols_));
    }
  }
  std::uint64_t shared_bytes() const override { return 4 * most_.size(); }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<Fp8Coder>(*this); }

 protected:
  std::uint64_t strip_bytes(std::uint64_t first, std::uint64_t count) const override {
    std::uint64_t bytes = 0;
    each_band(first, count, [&](std::uint64_t, std::uint64_t rows) {
      bytes += 4 * scales_of_band() + rows * cols_;
    });
    return bytes;
  }
  void encode_strip(std::uint64_t first, std::uint64_t count, const float* in,
                    std::byte* out) override {
    each_band(first, count, [&](std::uint64_t row, std::uint64_t rows) {
      std::byte* codes = out + 4 * scales_of_band();
      each_block([&](std::uint64_t b, std::uint64_t col, std::uint64_t width) {
        float most = 0;
        if (scales_of_band() == 0) {
          most = most_[matrix_of(row)];
        } else {
          for (std::uint64_t r = 0; r < rows; ++r) {
            most = std::max(most, absmax(in + r * cols_ + col, width));
          }
        }
        const float scale = fp8_scale(type_, most);
        if (scales_of_band() != 0) store_number(out + 4 * b, scale);
        for (std::uint64_t r = 0; r < rows; ++r) {
          fp8_codes(type_, scale, in + r * cols_ + col, width, as_codes(codes + r * cols_ + col));
        }
      });
      in += rows * cols_;
      out = codes + rows * cols_;
    });
  }
  void decode_strip(std::uint64_t first, std::uint64_t count, const std::byte* in,
                    float* out) override {
    each_band(first, count, [&](std::uint64_t row, std::uint64_t rows) {
      const std::byte* codes = in + 4 * scales_of_band();
      each_block([&](std::uint64_t b, std::uint64_t col, std::uint64_t width) {
        const float scale = scales_of_band() == 0 ? fp8_scale(type_, most_[matrix_of(row)])
                                                  : load_number<float>(in + 4 * b);
        for (std::uint64_t r = 0; r < rows; ++r) {
          fp8_values(type_, scale, as_codes(codes + r * cols_ + col), width, out + r * cols_ + col);
        }
      });
      in = codes + rows * cols_;
      out += rows * cols_;
    });
  }

 private:
  std::uint64_t scales_of_band() const {
    return block_cols_ == 0 ? 0 : ceil_div(cols_, block_cols_);
  }
  /// use(first row, rows) of what shares its scales; single rows where the matrix has one.
  template <typename Use>
  void each_band(std::uint64_t first, std::uint64_t count, Use&& use) const {
    for (std::uint64_t row = first; row < first + count;) {
      const std::uint64_t left = matrix_rows_ - row % matrix_rows_;
      const std::uint64_t rows =
          std::min({std::max<std::uint64_t>(1, block_rows_), left, first + count - row});
      use(row, rows);
      row += rows;
    }
  }
  /// use(number, first column, columns)
  template <typename Use>
  void each_block(Use&& use) const {
    const std::uint64_t width = block_cols_ == 0 ? cols_ : block_cols_;
    for (std::uint64_t b = 0; b * width < cols_; ++b) {
      use(b, b * width, std::min(width, cols_ - b * width));
    }
  }

  DType type_;
  std::uint64_t block_rows_ = 0;  // 0: a scale for each matrix
  std::uint64_t block_cols_ = 0;
  std::vector<float> most_;
};

std::vector<Params> expand_fp8(const GridOptions& given) {
  std::vector<Params> list;
  for (const std::string& format : grid_values(given, kFp8Options[0])) {
    for (const std::string& scales : grid_values(given, kFp8Options[1])) {
      Params params;
      params.set("format", read_choice("--formats", format, kFormats));
      params.set("scales", read_choice("--scales", scales, kScales));
      add_once(list, std::move(params));
    }
  }
  return list;
}

std::string unfit_fp8(const Params& params, const MatrixInfo&) {
  fp8_setting(params);
  return {};
}
std::unique_ptr<MethodCoder> make_fp8(const Params& params, const MatrixInfo& matrix) {
  return std::make_unique<Fp8Coder>(fp8_setting(params), matrix);
}
std::optional<std::uint64_t> predict_fp8(const Params& params, const MatrixInfo& matrix) {
  return Fp8Coder(fp8_setting(params), matrix).total_bytes();
}
std::string label_fp8(const Params& params) {
  fp8_setting(params);
  return fmt::format("fp8 {} {}", *params.get("format"), *params.get("scales"));
}

}  // namespace

MethodFamily int8_family() {
  return {"int8",       "LLM.int8(): a scale for each row",
          kInt8Options, 1,
          expand_int8,  unfit_int8,
          make_int8,    predict_int8,
          label_int8};
}
MethodFamily fp8_family() {
  return {"fp8",       "8-bit floats with scales",
          kFp8Options, 1,
          expand_fp8,  unfit_fp8,
          make_fp8,    predict_fp8,
          label_fp8};
}

}  // namespace qi
