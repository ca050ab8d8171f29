// The families that need a calibration text: gptq, awq, smoothquant, spqr. Their grids, parameters
// and bytes; what they do is in engine/calibrated, and what they do to a model in eval/calibration.
//
// Bytes are those of a checkpoint of the scheme: codes of a row packed, scales (and zeros that are
// no whole numbers) in 16 bits, whole zeros packed unless symmetric, with the grids of a second
// level in 16 bits; 4 bytes an outlier and a row's offset; what orders columns.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/methods/calibrated_options.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/quant/packed_codes.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

// Options that several of them take.
constexpr GridOption kBits = {"bits", "1 to 8", "4", "bits of a code"};
constexpr GridOption kGroups = {"group-sizes", "N or row", "128", "weights that share a scale"};
constexpr GridOption kWbits = {"wbits", "1 to 8", "4", "the same as --bits, as upstream calls it"};
constexpr GridOption kGroupsize = {"groupsize", "N or row", "128",
                                   "the same as --group-sizes, as upstream calls it"};
constexpr GridOption kSymmetric = {"symmetric", "", "", "no zero points"};
constexpr GridOption kAsymmetric = {"asymmetric", "", "", "with zero points (both flags: both)"};
constexpr GridOption kPercdamp = {"percdamp", "numbers above 0", "0.01",
                                  "damping: part of the Hessian's mean diagonal"};

/// A parameter and the values it takes in a grid.
struct Axis {
  std::string key;
  std::vector<std::string> values;
};

/// Every combination, that of the last axis changing first.
std::vector<Params> combinations(const std::vector<Axis>& axes) {
  std::vector<Params> list(1);
  for (const Axis& axis : axes) {
    std::vector<Params> longer;
    for (const Params& params : list) {
      for (const std::string& value : axis.values) {
        longer.push_back(params);
        longer.back().set(axis.key, value);
      }
    }
    list = std::move(longer);
  }
  return list;
}

Axis integer_axis(std::string key, const GridOptions& given, const GridOption& option,
                  std::uint64_t low, std::uint64_t high, std::string_view word = {}) {
  Axis axis{std::move(key), grid_values(given, option)};
  for (const std::string& value : axis.values) {
    if (value != word) read_integer(fmt::format("--{}", option.name), value, low, high);
  }
  return axis;
}

Axis number_axis(std::string key, const GridOptions& given, const GridOption& option,
                 std::string_view word = {}) {
  Axis axis{std::move(key), grid_values(given, option)};
  for (std::string& value : axis.values) {
    if (value != word) {
      value = exact_number(read_positive(fmt::format("--{}", option.name), value));
    }
  }
  return axis;
}

Axis choice_axis(std::string key, const GridOptions& given, const GridOption& option,
                 std::span<const std::string_view> choices) {
  Axis axis{std::move(key), grid_values(given, option)};
  for (const std::string& value : axis.values) {
    read_choice(fmt::format("--{}", option.name), value, choices);
  }
  return axis;
}

Axis switch_axis(std::string key, const GridOptions& given, std::string_view name) {
  return {std::move(key), {grid_switch(given, name) ? "yes" : "no"}};
}

/// Of two names for one fact, that which was given.
const GridOption& given_name(const GridOptions& given, const GridOption& upstream,
                             const GridOption& own) {
  return given.contains(upstream.name) ? upstream : own;
}

Axis bits_axis(const GridOptions& given, std::uint64_t least) {
  return integer_axis("bits", given, given_name(given, kWbits, kBits), least, 8);
}

Axis group_axis(const GridOptions& given) {
  return integer_axis("group", given, given_name(given, kGroupsize, kGroups), 1,
                      kLargestColumnGroup, "row");
}

/// `unless`: what no flag at all means.
Axis symmetry_axis(const GridOptions& given, bool unless) {
  const bool symmetric = grid_switch(given, "symmetric");
  const bool asymmetric = grid_switch(given, "asymmetric");
  Axis axis{"symmetric", {}};
  if (asymmetric || (!symmetric && !unless)) axis.values.emplace_back("no");
  if (symmetric || (!asymmetric && unless)) axis.values.emplace_back("yes");
  return axis;
}

std::uint64_t group_count(std::uint64_t group, std::uint64_t cols) {
  return group == 0 ? 1 : ceil_div(cols, group);
}

std::uint64_t rows_of_one(const MatrixInfo& matrix) {
  return matrix.matrix_rows == 0 ? matrix.rows : matrix.matrix_rows;
}

/// " g128", or " row".
std::string group_word(std::uint64_t group) {
  return group == 0 ? " row" : fmt::format(" g{}", group);
}

template <typename Options, Options (*kRead)(const Params&)>
std::string always_fits(const Params& params, const MatrixInfo&) {
  kRead(params);
  return {};
}

// gptq

constexpr std::array kGptqOptions = {
    kBits,
    kGroups,
    kWbits,
    kGroupsize,
    kSymmetric,
    GridOption{"asymmetric", "", "", "with zero points (both flags: both; neither: symmetric)"},
    GridOption{"styles", "minmax,full", "minmax", "whose grids: GPTQ's, compressed-tensors'"},
    GridOption{"act-order", "", "", "columns with the largest activations first (desc_act)"},
    GridOption{"static-groups", "", "", "grids fitted before the first column is coded"},
    GridOption{"mse", "", "", "grids shrunk to the least error"},
    kPercdamp,
    GridOption{"true-sequential", "yes,no", "yes",
               "inputs of each matrix of a block after those before it were coded"},
};

std::vector<Params> expand_gptq(const GridOptions& given) {
  const auto option = [](std::size_t k) -> const GridOption& { return kGptqOptions[k]; };
  std::vector<Params> list;
  for (Params& params : combinations({
           bits_axis(given, 1),
           group_axis(given),
           choice_axis("style", given, option(6), kGptqStyles),
           symmetry_axis(given, true),
           switch_axis("act_order", given, "act-order"),
           switch_axis("static_groups", given, "static-groups"),
           switch_axis("mse", given, "mse"),
           number_axis("percdamp", given, kPercdamp),
           choice_axis("true_sequential", given, option(11), kNoOrYes),
       })) {
    if (*params.get("group") == "row") params.set("static_groups", "no");  // the row's is one
    gptq_options(params);
    add_once(list, std::move(params));
  }
  return list;
}

std::optional<std::uint64_t> predict_gptq(const Params& params, const MatrixInfo& matrix) {
  const GptqOptions options = gptq_options(params);
  const std::uint64_t groups = group_count(options.group, matrix.cols);
  const std::uint64_t zeros = options.symmetric ? 0 : packed_bytes(options.bits, groups);
  const bool listed = options.act_order && groups > 1 && !options.static_groups;
  return matrix.rows * (packed_bytes(options.bits, matrix.cols) + 2 * groups + zeros) +
         (listed ? matrix.rows / rows_of_one(matrix) * 4 * matrix.cols : 0);
}

std::string label_gptq(const Params& params) {
  const GptqOptions options = gptq_options(params);
  std::string text = fmt::format("gptq {}{} {}", options.bits, group_word(options.group),
                                 options.symmetric ? "sym" : "asym");
  if (options.style == RtnStyle::kFull) text += " full";
  if (options.act_order) text += " act-order";
  if (options.static_groups) text += " static";
  if (options.mse) text += " mse";
  if (options.percdamp != 0.01) text += fmt::format(" damp {}", exact_number(options.percdamp));
  if (*params.get("true_sequential") == "no") text += " not sequential";
  return text;
}

// awq

constexpr std::array kAwqGrid = {
    kBits,
    kGroups,
    kWbits,
    kGroupsize,
    kSymmetric,
    GridOption{"asymmetric", "", "", "with zero points (the default; both flags: both)"},
    GridOption{"duo_scaling", "yes,no", "yes", "scales look at the weights, too"},
    GridOption{"apply_clip", "yes,no", "yes", "clip the largest weights of each group"},
    GridOption{"n_grid", "1 to 1000", "20", "scales tried"},
};

std::vector<Params> expand_awq(const GridOptions& given) {
  return combinations({
      bits_axis(given, 2),
      group_axis(given),
      symmetry_axis(given, false),
      choice_axis("duo_scaling", given, kAwqGrid[6], kNoOrYes),
      choice_axis("apply_clip", given, kAwqGrid[7], kNoOrYes),
      integer_axis("n_grid", given, kAwqGrid[8], 1, 1000),
  });
}

// The scales of columns go into what comes before: they cost nothing.
std::optional<std::uint64_t> predict_awq(const Params& params, const MatrixInfo& matrix) {
  const AwqOptions options = awq_options(params);
  const std::uint64_t groups = group_count(options.group, matrix.cols);
  const std::uint64_t zeros = options.zero_point ? packed_bytes(options.bits, groups) : 0;
  return matrix.rows * (packed_bytes(options.bits, matrix.cols) + 2 * groups + zeros);
}

std::string label_awq(const Params& params) {
  const AwqOptions options = awq_options(params);
  std::string text = fmt::format("awq {}{}{}", options.bits, group_word(options.group),
                                 options.zero_point ? "" : " sym");
  if (!options.duo_scaling) text += " not duo";
  if (!options.clip) text += " not clipped";
  if (options.grid != 20) text += fmt::format(" of {}", options.grid);
  return text;
}

// smoothquant

constexpr std::array kSmoothOptions = {
    GridOption{"alpha", "numbers up to 1", "0.5", "how much of the difficulty weights take over"},
    GridOption{"smoothing", "absmax,range", "absmax",
               "what scales go by: SmoothQuant's largest |x|, llm-compressor's max - min"},
    GridOption{"styles", "restricted,full", "restricted",
               "whose grids of weights: SmoothQuant's, compressed-tensors'"},
};

std::vector<Params> expand_smoothquant(const GridOptions& given) {
  std::vector<Params> list;
  for (Params& params : combinations({
           number_axis("alpha", given, kSmoothOptions[0]),
           choice_axis("smoothing", given, kSmoothOptions[1], kSmoothings),
           choice_axis("style", given, kSmoothOptions[2], kSmoothGrids),
       })) {
    smoothquant_options(params);
    add_once(list, std::move(params));
  }
  return list;
}

std::optional<std::uint64_t> predict_smoothquant(const Params& params, const MatrixInfo& matrix) {
  smoothquant_options(params);
  return matrix.rows * (matrix.cols + 2);
}

std::string label_smoothquant(const Params& params) {
  const SmoothOptions options = smoothquant_options(params);
  return fmt::format("smoothquant {}{}{}", exact_number(options.alpha),
                     options.style == SmoothStyle::kRange ? " range" : "",
                     options.grid == RtnStyle::kFull ? " full" : "");
}

// spqr

constexpr std::array kSpqrOptions = {
    GridOption{"wbits", "1 to 8", "4", "bits of a code"},
    GridOption{"groupsize", "N or row", "16", "columns that share a scale"},
    GridOption{"perchannel", "", "", "a grid for each row: always so, as in the published runs"},
    kSymmetric,
    kAsymmetric,
    GridOption{"qq_scale_bits", "1 to 8 or none", "3", "bits of a scale on its own grid"},
    GridOption{"qq_zero_bits", "1 to 8 or none", "3", "bits of a zero on its own grid"},
    GridOption{"qq_groupsize", "N", "16", "rows that share the grid of their scales"},
    GridOption{"qq_zero_sym", "", "", "symmetric grids of zeros"},
    GridOption{"round_zero", "", "", "zeros are whole numbers"},
    GridOption{"outlier_threshold", "numbers above 0 or inf", "0.2",
               "weights with more error are kept: less, more of them"},
    GridOption{"simplified_outliers", "", "", "no leave-one-out"},
    GridOption{"permutation_order", "identity,act_order,spearman", "act_order",
               "which columns come first"},
    GridOption{"percdamp", "numbers above 0", "1", "damping"},
    GridOption{"true-sequential", "yes,no", "no", "as gptq's"},
};

std::vector<Params> expand_spqr(const GridOptions& given) {
  const auto bits_or_none = [&](std::string key, std::size_t k) {
    return integer_axis(std::move(key), given, kSpqrOptions[k], 1, 8, "none");
  };
  return combinations({
      integer_axis("bits", given, kSpqrOptions[0], 1, 8),
      integer_axis("group", given, kSpqrOptions[1], 1, kLargestColumnGroup, "row"),
      symmetry_axis(given, false),
      bits_or_none("qq_scale_bits", 5),
      bits_or_none("qq_zero_bits", 6),
      integer_axis("qq_groupsize", given, kSpqrOptions[7], 1, kLargestColumnGroup),
      switch_axis("qq_zero_sym", given, "qq_zero_sym"),
      switch_axis("round_zero", given, "round_zero"),
      number_axis("outlier_threshold", given, kSpqrOptions[10], "inf"),
      switch_axis("simplified_outliers", given, "simplified_outliers"),
      choice_axis("permutation_order", given, kSpqrOptions[12], kColumnOrders),
      number_axis("percdamp", given, kSpqrOptions[13]),
      choice_axis("true_sequential", given, kSpqrOptions[14], kNoOrYes),
  });
}

std::string unfit_spqr(const Params& params, const MatrixInfo& matrix) {
  const SpqrOptions options = spqr_options(params);
  const std::uint64_t rows = rows_of_one(matrix);
  const bool fits = rows % options.second_group == 0;
  if ((!options.scale_bits && !options.zero_bits) || fits) return {};
  return fmt::format("{} rows are no multiple of {}", rows, options.second_group);
}

std::optional<std::uint64_t> predict_spqr(const Params& params, const MatrixInfo& matrix) {
  const SpqrOptions options = spqr_options(params);
  if (std::isfinite(options.outlier_threshold)) return std::nullopt;
  return calibrated_bytes({"spqr", params}, matrix, 0);
}

std::string label_spqr(const Params& params) {
  const SpqrOptions options = spqr_options(params);
  const auto level = [&](std::string_view key) { return *params.get(key); };
  std::string text = fmt::format("spqr {}{}", options.bits, group_word(options.group));
  if (options.symmetric) text += " sym";
  text += fmt::format(" qq {}/{}", level("qq_scale_bits"), level("qq_zero_bits"));
  if (options.second_group != 16) text += fmt::format("/{}", options.second_group);
  if (options.zero_symmetric) text += " zero-sym";
  if (options.round_zero) text += " whole zeros";
  text += fmt::format(" {}", level("outlier_threshold"));
  if (options.simplified_outliers) text += " simplified";
  text += fmt::format(" {}", level("permutation_order"));
  if (options.percdamp != 1) text += fmt::format(" damp {}", exact_number(options.percdamp));
  if (*params.get("true_sequential") == "yes") text += " sequential";
  return text;
}

std::uint64_t spqr_bytes(const SpqrOptions& options, const MatrixInfo& matrix,
                         std::uint64_t outliers) {
  const std::uint64_t rows = rows_of_one(matrix), matrices = matrix.rows / rows;
  const std::uint64_t groups = group_count(options.group, matrix.cols);
  const auto level = [&](const std::optional<int>& bits) {
    return !bits ? 2 * rows * groups
                 : packed_bytes(*bits, rows * groups) + 4 * (rows / options.second_group * groups);
  };
  std::uint64_t zeros = level(options.zero_bits);
  if (!options.zero_bits && options.symmetric)
    zeros = 0;
  else if (options.round_zero && options.zero_bits.value_or(8) >= options.bits) {
    zeros = rows * packed_bytes(options.bits, groups);
  }
  std::uint64_t bytes = rows * packed_bytes(options.bits, matrix.cols);
  bytes += level(options.scale_bits) + zeros;
  if (std::isfinite(options.outlier_threshold)) bytes += 4 * (rows + 1);
  if (options.order != ColumnOrder::kNatural) {
    bytes += (matrix.cols > 65536 ? 4 : 2) * matrix.cols;
  }
  return matrices * bytes + 4 * outliers;
}

}  // namespace

std::uint64_t calibrated_bytes(const MethodConfig& config, const MatrixInfo& matrix,
                               std::uint64_t outliers) {
  if (config.family == "spqr") return spqr_bytes(spqr_options(config.params), matrix, outliers);
  return *find_family(config.family)->predict(config.params, matrix);
}

MethodFamily gptq_family() {
  MethodFamily family{"gptq",       "each column rounded, its error handed on to the rest",
                      kGptqOptions, 1,
                      expand_gptq,  always_fits<GptqOptions, gptq_options>,
                      nullptr,      predict_gptq,
                      label_gptq};
  family.calibrated = true;
  return family;
}
MethodFamily awq_family() {
  MethodFamily family{"awq",      "columns of large activations scaled up before rounding",
                      kAwqGrid,   1,
                      expand_awq, always_fits<AwqOptions, awq_options>,
                      nullptr,    predict_awq,
                      label_awq};
  family.calibrated = true;
  return family;
}
MethodFamily smoothquant_family() {
  MethodFamily family{"smoothquant",
                      "int8, activations smoothed into the weights",
                      kSmoothOptions,
                      1,
                      expand_smoothquant,
                      always_fits<SmoothOptions, smoothquant_options>,
                      nullptr,
                      predict_smoothquant,
                      label_smoothquant};
  family.calibrated = true;
  return family;
}
MethodFamily spqr_family() {
  MethodFamily family{"spqr",       "gptq with coded scales, and outliers kept",
                      kSpqrOptions, 1,
                      expand_spqr,  unfit_spqr,
                      nullptr,      predict_spqr,
                      label_spqr};
  family.calibrated = true;
  return family;
}

}  // namespace qi
