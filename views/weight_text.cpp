#include "views/weight_text.h"

#include <cmath>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

double bits_after(const Weight& weight, std::optional<double> ratio) {
  return ratio && *ratio > 0 ? weight.bits_per_weight() / *ratio : -1;
}

}  // namespace

std::string shown_name(std::string_view name, int level) {
  constexpr std::string_view kSuffix = ".weight";
  if (level >= 1 && name.size() > kSuffix.size() && name.ends_with(kSuffix)) {
    name.remove_suffix(kSuffix.size());
  }
  if (level >= 2 && name.starts_with("model.")) name.remove_prefix(6);
  if (level >= 3 && name.starts_with("layers.")) name.remove_prefix(7);
  if (level >= 3 && name.starts_with("blk.")) name.remove_prefix(4);
  return escape(name);
}

std::string scheme_label(const Model& model, const Weight& weight) {
  if (weight.scheme == Scheme::kNone || weight.scheme == Scheme::kGgml) {
    return weight.parts.empty() ? "" : escape(dtype_name(model.tensor(weight.parts[0])));
  }
  std::string out(weight.scheme == Scheme::kCompressedTensors ? "ct" : scheme_name(weight.scheme));
  if (weight.scheme == Scheme::kGptq || weight.scheme == Scheme::kAwq ||
      weight.scheme == Scheme::kCompressedTensors) {
    out += fmt::format(" {}b", weight.bits);
  }
  if (weight.group_size > 0) out += fmt::format(" g{}", weight.group_size);
  // The blocks say by themselves that it is the scheme of blocks.
  if (weight.scheme == Scheme::kFP8Block && weight.block_rows > 0) {
    out = fmt::format("fp8 {}x{}", weight.block_rows, weight.block_cols);
  }
  return out;
}

std::string scheme_sentence(const Model& model, const Weight& weight) {
  std::string out;
  if (weight.scheme == Scheme::kNone || weight.scheme == Scheme::kGgml) {
    out = scheme_label(model, weight);
  } else {
    out = scheme_name(weight.scheme);
    if (!weight.format.empty()) out += fmt::format(" {}", escape(weight.format));
    if (weight.bits > 0) out += fmt::format(", {}-bit", weight.bits);
  }
  if (weight.group_size > 0) out += fmt::format(", groups of {}", weight.group_size);
  if (weight.block_rows > 0) {
    out += fmt::format(", blocks of {}x{}", weight.block_rows, weight.block_cols);
  }
  if (weight.symmetric) out += *weight.symmetric ? ", symmetric" : ", asymmetric";
  if (weight.act_order) out += ", act-order";
  if (weight.scale_dtype != DType::kUnknown) {
    out += fmt::format(", scales {}", info(weight.scale_dtype).name);
  }
  return out;
}

double planes_bits(const Weight& weight, const Statistics& statistics) {
  return bits_after(weight, statistics.ratio_planes);
}

double pair_bits(const Weight& weight, const Statistics& statistics) {
  if (!statistics.ratio_pair || *statistics.ratio_pair <= 0 || weight.cols() == 0) return -1;
  // ratio_pair = (16-bit values + int8 values + one float scale a row) ÷ bytes of both layers.
  const double stored = 16.0 + 8.0 + 32.0 / static_cast<double>(weight.cols());
  return stored / *statistics.ratio_pair;
}

double zstd_bits(const Weight& weight, const Statistics& statistics) {
  return bits_after(weight, statistics.ratio_zstd);
}

double lz4_bits(const Weight& weight, const Statistics& statistics) {
  return bits_after(weight, statistics.ratio_lz4);
}

std::string compact_bytes(std::uint64_t size_bytes) {
  constexpr std::string_view kUnits = "KMGTPE";
  if (size_bytes < 1000) return fmt::format("{}B", size_bytes);
  double value = static_cast<double>(size_bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 99.95 ? fmt::format("{:.1f}{}", value, kUnits[unit])
                       : fmt::format("{:.0f}{}", value, kUnits[unit]);
}

}  // namespace qi
