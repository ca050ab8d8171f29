#include "engine/methods/calibrated_options.h"

#include <fmt/format.h>

#include "engine/methods/grid.h"

namespace qi {
namespace {

std::uint64_t read_group(std::string_view family, ParamReader& reader) {
  const std::string_view group = reader.word("group");
  if (group == "row") return 0;
  return read_integer(fmt::format("{} group=", family), group, 1, kLargestColumnGroup);
}

bool read_yes(ParamReader& reader, std::string_view key) {
  return reader.choice(key, kNoOrYes) == "yes";
}

/// The calibration's own parameters belong to no family.
void finish_calibrated(ParamReader& reader) {
  for (const std::string_view key : {"calibration", "model"}) {
    if (reader.has(key)) reader.word(key);
  }
  reader.finish();
}

}  // namespace

GptqOptions gptq_options(const Params& params) {
  ParamReader reader("gptq", params);
  GptqOptions options;
  options.bits = static_cast<int>(reader.integer("bits", 1, 8));
  options.group = read_group("gptq", reader);
  options.symmetric = read_yes(reader, "symmetric");
  options.act_order = read_yes(reader, "act_order");
  options.static_groups = read_yes(reader, "static_groups");
  options.mse = read_yes(reader, "mse");
  if (reader.choice("style", kGptqStyles) == "full") options.style = RtnStyle::kFull;
  options.percdamp = reader.positive("percdamp");
  read_yes(reader, "true_sequential");  // of the model
  finish_calibrated(reader);
  if (options.mse && options.style == RtnStyle::kFull) {
    bad_value("gptq mse=", "yes", "no (full grids)");
  }
  return options;
}

AwqOptions awq_options(const Params& params) {
  ParamReader reader("awq", params);
  AwqOptions options;
  options.bits = static_cast<int>(reader.integer("bits", 2, 8));
  options.group = read_group("awq", reader);
  options.zero_point = !read_yes(reader, "symmetric");
  options.duo_scaling = read_yes(reader, "duo_scaling");
  options.clip = read_yes(reader, "apply_clip");
  options.grid = static_cast<int>(reader.integer("n_grid", 1, 1000));
  finish_calibrated(reader);
  return options;
}

SmoothOptions smoothquant_options(const Params& params) {
  ParamReader reader("smoothquant", params);
  SmoothOptions options;
  options.alpha = reader.positive("alpha");
  if (options.alpha > 1) bad_value("smoothquant alpha=", *params.get("alpha"), "up to 1");
  if (reader.choice("smoothing", kSmoothings) == "range") options.style = SmoothStyle::kRange;
  if (reader.choice("style", kSmoothGrids) == "full") options.grid = RtnStyle::kFull;
  finish_calibrated(reader);
  return options;
}

SpqrOptions spqr_options(const Params& params) {
  ParamReader reader("spqr", params);
  const auto bits_or_none = [&](std::string_view key) -> std::optional<int> {
    if (params.get(key) == "none") {
      reader.word(key);
      return std::nullopt;
    }
    return static_cast<int>(reader.integer(key, 1, 8));
  };
  SpqrOptions options;
  options.bits = static_cast<int>(reader.integer("bits", 1, 8));
  options.group = read_group("spqr", reader);
  options.symmetric = read_yes(reader, "symmetric");
  options.scale_bits = bits_or_none("qq_scale_bits");
  options.zero_bits = bits_or_none("qq_zero_bits");
  options.second_group = reader.integer("qq_groupsize", 1, kLargestColumnGroup);
  options.zero_symmetric = read_yes(reader, "qq_zero_sym");
  options.round_zero = read_yes(reader, "round_zero");
  if (params.get("outlier_threshold") == "inf") {
    reader.word("outlier_threshold");
  } else {
    options.outlier_threshold = reader.positive("outlier_threshold");
  }
  options.simplified_outliers = read_yes(reader, "simplified_outliers");
  const std::string_view order = reader.choice("permutation_order", kColumnOrders);
  options.order = order == "identity"    ? ColumnOrder::kNatural
                  : order == "act_order" ? ColumnOrder::kActivity
                                         : ColumnOrder::kSpearman;
  options.percdamp = reader.positive("percdamp");
  read_yes(reader, "true_sequential");  // of the model
  finish_calibrated(reader);
  return options;
}

}  // namespace qi
