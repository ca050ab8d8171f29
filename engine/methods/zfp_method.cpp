// zfp (engine/codec/zfp_codec.h): fixed rates in strips of rows, the other modes a whole weight at
// a time.
#include <array>

#include <fmt/format.h>

#include "engine/codec/zfp_codec.h"
#include "engine/io/error.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/sized_coder.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

constexpr std::array kZfpOptions = {
    GridOption{"rates", "bits a weight", "4,8,16", "fixed rate"},
    GridOption{"precisions", "1 to 32 (64 with f64)", "", "bit planes"},
    GridOption{"tolerances", "numbers above 0", "", "largest absolute error"},
    GridOption{"reversible", "", "", "every float32 comes back"},
    GridOption{"dims", "1 to 4", "2", "dimensions of a block, 4 wide in each"},
    GridOption{"layout", "field,block", "field", "the matrix as one array, or blocks of a row"},
    GridOption{"promote", "f32,f64", "f32", "what numbers are widened to"},
};
constexpr std::array<std::string_view, 4> kModes = {"rate", "precision", "tolerance", "reversible"};
constexpr std::array<std::string_view, 2> kLayouts = {"field", "block"};
constexpr std::array<std::string_view, 2> kPromotes = {"f32", "f64"};

constexpr int kMostPlanes = 64;  // of float64

/// What zfp takes instead of the setting's value, for people; empty: it takes that.
std::string refusal(const ZfpSetting& setting) {
  const std::string kind =
      fmt::format("{}-D blocks of {}", setting.dims, setting.as_double ? "float64" : "float32");
  if (setting.mode == ZfpMode::kRate) {
    const auto [low, high] = zfp_rates(setting);
    if (setting.value >= low && setting.value <= high) return {};
    return fmt::format("{} to {} bits ({})", low, high, kind);
  }
  const int planes = setting.as_double ? kMostPlanes : 32;
  if (setting.mode != ZfpMode::kPrecision || setting.value <= planes) return {};
  return fmt::format("1 to {} bit planes ({})", planes, kind);
}

ZfpSetting zfp_setting_of(const Params& params) {
  ZfpSetting setting;
  ParamReader reader("zfp", params);
  setting.dims = static_cast<int>(reader.integer("dims", 1, 4));
  setting.by_block = reader.choice("layout", kLayouts) == "block";
  // float32 goes without saying.
  if (reader.has("promote")) {
    setting.as_double = reader.choice("promote", std::span(kPromotes).subspan<1>()) == "f64";
  }
  const std::string_view mode = reader.choice("mode", kModes);
  while (kModes[static_cast<std::size_t>(setting.mode)] != mode) {
    setting.mode = static_cast<ZfpMode>(static_cast<int>(setting.mode) + 1);
  }
  if (setting.mode != ZfpMode::kReversible) {
    setting.value = reader.positive(mode);
    if (setting.mode == ZfpMode::kPrecision) {
      read_integer(fmt::format("zfp {}=", mode), *params.get(mode), 1, kMostPlanes);
    }
  }
  reader.finish();
  return setting;
}

class ZfpCoder : public MethodCoder {
 public:
  ZfpCoder(const ZfpSetting& setting, const MatrixInfo& matrix)
      : setting_(setting), matrix_(matrix), codec_(setting, matrix.cols) {}

  std::uint64_t strip_rows() const override { return codec_.strip_rows(); }
  void encode(const MatrixRows& rows, std::vector<std::byte>& out) override {
    // Blocks that have no exponent in common are stored bit by bit in this mode alone.
    if (setting_.mode != ZfpMode::kReversible) refuse_non_finite(rows, matrix_.cols);
    codec_.encode(rows.count, rows.values.data(), out);
  }
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) override {
    codec_.decode(coded, rows.count, rows.values.data());
  }
  std::unique_ptr<MethodCoder> clone() const override {
    return std::make_unique<ZfpCoder>(setting_, matrix_);
  }

 private:
  ZfpSetting setting_;
  MatrixInfo matrix_;
  ZfpCodec codec_;
};

/// Key and value of what the modes that were asked for vary.
struct Mode {
  std::string_view name;
  std::string value;
};

std::vector<Mode> modes(const GridOptions& given) {
  std::vector<Mode> list;
  for (std::size_t i = 0; i < 3; ++i) {
    if (given.find(kZfpOptions[i].name) == given.end()) continue;
    for (const std::string& text : grid_values(given, kZfpOptions[i])) {
      const double value = read_positive(fmt::format("--{}", kZfpOptions[i].name), text);
      list.push_back({kModes[i], exact_number(value)});
    }
  }
  if (grid_switch(given, "reversible")) list.push_back({kModes[3], {}});
  if (list.empty()) {
    for (const std::string& rate : grid_values(given, kZfpOptions[0])) {
      list.push_back({kModes[0], rate});
    }
  }
  return list;
}

std::vector<Params> zfp_expand(const GridOptions& given) {
  std::vector<Params> list;
  for (const Mode& mode : modes(given)) {
    // What some combinations cannot take is an error of their rows, what none can is one of the
    // grid.
    std::string refused;
    bool usable = false;
    for (const std::string& dims : grid_values(given, kZfpOptions[4])) {
      read_integer("--dims", dims, 1, 4);
      for (const std::string& layout : grid_values(given, kZfpOptions[5])) {
        read_choice("--layout", layout, kLayouts);
        for (const std::string& promote : grid_values(given, kZfpOptions[6])) {
          Params params;
          params.set("dims", dims);
          params.set("layout", layout);
          params.set("mode", mode.name);
          if (!mode.value.empty()) params.set(mode.name, mode.value);
          if (read_choice("--promote", promote, kPromotes) == "f64") params.set("promote", "f64");
          std::string reason = refusal(zfp_setting_of(params));
          usable = usable || reason.empty();
          if (refused.empty()) refused = std::move(reason);
          add_once(list, std::move(params));
        }
      }
    }
    if (!usable) bad_value(fmt::format("--{}s", mode.name), mode.value, refused);
  }
  return list;
}

std::string zfp_unfit(const Params& params, const MatrixInfo&) {
  const ZfpSetting setting = zfp_setting_of(params);
  const std::string takes = refusal(setting);
  if (takes.empty()) return {};
  const std::string_view mode = *params.get("mode");
  return fmt::format("a {} of {}: zfp takes {}", mode, *params.get(mode), takes);
}

std::unique_ptr<MethodCoder> zfp_make(const Params& params, const MatrixInfo& matrix) {
  const std::string reason = zfp_unfit(params, matrix);
  if (!reason.empty()) throw Error(ErrorCode::kBadShape, reason);
  return std::make_unique<ZfpCoder>(zfp_setting_of(params), matrix);
}

std::optional<std::uint64_t> zfp_predict(const Params& params, const MatrixInfo& matrix) {
  return ZfpCodec(zfp_setting_of(params), matrix.cols).strip_bytes(matrix.rows);
}

std::string zfp_label(const Params& params) {
  const ZfpSetting setting = zfp_setting_of(params);
  const std::string_view mode = *params.get("mode");
  return fmt::format("zfp {}D{} {}{}{}{}", setting.dims, setting.by_block ? " block" : "", mode,
                     setting.mode == ZfpMode::kReversible ? "" : " ", params.get(mode).value_or(""),
                     setting.as_double ? " f64" : "");
}

}  // namespace

MethodFamily zfp_family() {
  return {"zfp",       "libzfp: blocks of 4 numbers a dimension, transformed and cut",
          kZfpOptions, 1,
          zfp_expand,  zfp_unfit,
          zfp_make,    zfp_predict,
          zfp_label};
}

}  // namespace qi
