// Round to nearest (engine/quant/rtn.h). A row: its groups' scales as F16, their zero points (only
// of asymmetric ones) and the codes, both packed, each rounded up to bytes. One grid a matrix
// instead: that is shared, rows are codes alone.
//
// Scales are what checkpoints of these schemes store: 16 bits. Codes are those of the float32
// scale, values those of the stored one, so what is measured is what a file would give. A scale
// beyond F16 is refused.
#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/sized_coder.h"
#include "engine/quant/packed_codes.h"
#include "engine/quant/rtn.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::array kOptions = {
    GridOption{"bits", "1 to 8", "4", "bits of a code"},
    GridOption{"group-sizes", "N, row or tensor", "128", "weights of a row that share a scale"},
    GridOption{"symmetric", "", "", "no zero points"},
    GridOption{"asymmetric", "", "", "with zero points (the default; both flags: both)"},
    GridOption{"styles", "minmax,full,restricted,awq", "minmax",
               "whose rounding: GPTQ's, compressed-tensors', SmoothQuant's (symmetric), AWQ's"},
};
constexpr std::array<std::string_view, 4> kStyles = {"minmax", "full", "restricted", "awq"};
constexpr std::array<std::string_view, 2> kNoYes = {"no", "yes"};
constexpr std::uint64_t kLargestGroup = std::uint64_t{1} << 32;

struct RtnSetting {
  RtnFormat format;
  bool whole_row = false;
  bool whole_tensor = false;
  std::uint64_t group = 0;  // 0: one of the two
};

RtnSetting setting_of(const Params& params) {
  RtnSetting setting;
  ParamReader reader("rtn", params);
  const std::string_view style = reader.choice("style", kStyles);
  setting.format.style =
      static_cast<RtnStyle>(std::find(kStyles.begin(), kStyles.end(), style) - kStyles.begin());
  setting.format.symmetric = reader.choice("symmetric", kNoYes) == "yes";
  const bool restricted = setting.format.style == RtnStyle::kRestricted;
  if (restricted && !setting.format.symmetric)
    bad_value("rtn symmetric=", "no", "yes (restricted)");
  const bool absmax =
      restricted || (setting.format.style == RtnStyle::kAwq && setting.format.symmetric);
  setting.format.bits = static_cast<int>(reader.integer("bits", absmax ? 2 : 1, 8));
  const std::string_view group = reader.word("group");
  setting.whole_row = group == "row";
  setting.whole_tensor = group == "tensor";
  if (!setting.whole_row && !setting.whole_tensor) {
    setting.group = read_integer("rtn group=", group, 1, kLargestGroup);
  }
  reader.finish();
  return setting;
}

std::uint16_t stored_scale(float scale, std::uint64_t row) {
  const std::uint16_t half = float_to_f16(scale);
  if (half >= 0x7C00u) {
    throw Error(ErrorCode::kBadValue, fmt::format("a scale of {} in row {}", scale, row),
                "scales that F16 holds, up to 65504");
  }
  return half;
}

class RtnCoder : public SizedCoder {
 public:
  RtnCoder(const RtnSetting& setting, const MatrixInfo& matrix)
      : SizedCoder(matrix),
        format_(setting.format),
        group_(setting.group == 0 ? cols_ : std::min(setting.group, cols_)),
        groups_(setting.whole_tensor ? 0 : ceil_div(cols_, group_)),
        codes_(cols_),
        zeros_(groups_) {
    if (setting.whole_tensor) ranges_.assign(matrices(), {kInfinity, -kInfinity});
  }

  bool wants_survey() const override { return !ranges_.empty(); }
  void survey(const MatrixRows& rows) override {
    refuse_non_finite(rows, cols_);
    for (std::uint64_t r = 0; r < rows.count; ++r) {
      const RtnRange found = rtn_range(rows.values.data() + r * cols_, cols_);
      RtnRange& range = ranges_[matrix_of(rows.first + r)];
      range = {std::min(range.low, found.low), std::max(range.high, found.high)};
    }
  }
  void finish_survey() override {
    for (std::uint64_t m = 0; m < ranges_.size(); ++m) {
      grids_.push_back(rtn_grid(format_, ranges_[m]));
      stored_.push_back(stored_scale(grids_.back().scale, m * matrix_rows_));
    }
  }
  std::uint64_t shared_bytes() const override {
    return ranges_.empty() ? 0 : 2 * ranges_.size() + zero_bytes(ranges_.size());
  }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<RtnCoder>(*this); }

 protected:
  std::uint64_t strip_bytes(std::uint64_t, std::uint64_t count) const override {
    return count * row_bytes();
  }
  void encode_strip(std::uint64_t first, std::uint64_t count, const float* in,
                    std::byte* out) override {
    for (std::uint64_t r = 0; r < count; ++r, in += cols_, out += row_bytes()) {
      if (groups_ == 0) {
        rtn_codes(format_, grids_[matrix_of(first + r)], in, cols_, codes_.data());
      }
      for (std::uint64_t g = 0; g < groups_; ++g) {
        const std::uint64_t begin = g * group_, size = std::min(group_, cols_ - begin);
        const RtnGrid grid = rtn_grid(format_, rtn_range(in + begin, size));
        rtn_codes(format_, grid, in + begin, size, codes_.data() + begin);
        store_u16(out + 2 * g, stored_scale(grid.scale, first + r));
        zeros_[g] = static_cast<std::uint8_t>(grid.zero);
      }
      if (!format_.symmetric) {
        pack_codes(format_.bits, zeros_.data(), groups_, out + 2 * groups_);
      }
      pack_codes(format_.bits, codes_.data(), cols_, out + head_bytes());
    }
  }
  void decode_strip(std::uint64_t first, std::uint64_t count, const std::byte* in,
                    float* out) override {
    const int middle = 1 << (format_.bits - 1);
    for (std::uint64_t r = 0; r < count; ++r, out += cols_, in += row_bytes()) {
      unpack_codes(format_.bits, in + head_bytes(), cols_, codes_.data());
      if (groups_ == 0) {
        const std::uint64_t m = matrix_of(first + r);
        rtn_values({f16_to_float(stored_[m]), grids_[m].zero}, codes_.data(), cols_, out);
      }
      if (!format_.symmetric) {
        unpack_codes(format_.bits, in + 2 * groups_, groups_, zeros_.data());
      }
      for (std::uint64_t g = 0; g < groups_; ++g) {
        const std::uint64_t begin = g * group_, size = std::min(group_, cols_ - begin);
        const int zero = format_.symmetric ? middle : zeros_[g];
        rtn_values({f16_to_float(load_u16(in + 2 * g)), zero}, codes_.data() + begin, size,
                   out + begin);
      }
    }
  }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  std::uint64_t zero_bytes(std::uint64_t grids) const {
    return format_.symmetric ? 0 : packed_bytes(format_.bits, grids);
  }
  std::uint64_t head_bytes() const { return 2 * groups_ + zero_bytes(groups_); }
  std::uint64_t row_bytes() const { return head_bytes() + packed_bytes(format_.bits, cols_); }

  RtnFormat format_;
  std::uint64_t group_;
  std::uint64_t groups_;  // of a row; 0: one grid a matrix
  std::vector<RtnRange> ranges_;
  std::vector<RtnGrid> grids_;
  std::vector<std::uint16_t> stored_;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint8_t> zeros_;
};

std::vector<Params> expand(const GridOptions& given) {
  const bool symmetric = grid_switch(given, "symmetric");
  const bool asymmetric = grid_switch(given, "asymmetric") || !symmetric;
  std::vector<Params> list;
  for (const std::string& bits : grid_values(given, kOptions[0])) {
    read_integer("--bits", bits, 1, 8);
    for (const std::string& group : grid_values(given, kOptions[1])) {
      if (group != "row" && group != "tensor") {
        read_integer("--group-sizes", group, 1, kLargestGroup);
      }
      for (const std::string& style : grid_values(given, kOptions[4])) {
        read_choice("--styles", style, kStyles);
        for (const bool is_symmetric : {false, true}) {
          // restricted is symmetric, whatever was asked of the others
          if (style == "restricted" ? !is_symmetric : !(is_symmetric ? symmetric : asymmetric)) {
            continue;
          }
          Params params;
          params.set("bits", bits);
          params.set("group", group);
          params.set("style", style);
          params.set("symmetric", is_symmetric ? "yes" : "no");
          setting_of(params);
          add_once(list, std::move(params));
        }
      }
    }
  }
  return list;
}

std::string unfit(const Params& params, const MatrixInfo&) {
  setting_of(params);
  return {};
}

std::unique_ptr<MethodCoder> make(const Params& params, const MatrixInfo& matrix) {
  return std::make_unique<RtnCoder>(setting_of(params), matrix);
}

std::optional<std::uint64_t> predict(const Params& params, const MatrixInfo& matrix) {
  return RtnCoder(setting_of(params), matrix).total_bytes();
}

std::string label(const Params& params) {
  const RtnSetting setting = setting_of(params);
  return fmt::format(
      "rtn {} {}{} {}{}", setting.format.bits, setting.group == 0 ? "" : "g", *params.get("group"),
      setting.format.symmetric ? "sym" : "asym",
      setting.format.style == RtnStyle::kMinmax ? "" : fmt::format(" {}", *params.get("style")));
}

}  // namespace

MethodFamily rtn_family() {
  return {"rtn",    "round to nearest, a scale for each group of a row",
          kOptions, 1,
          expand,   unfit,
          make,     predict,
          label};
}

}  // namespace qi
