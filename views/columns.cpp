#include "views/columns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"

namespace qi {
namespace {

constexpr std::array kColumns = {
    ColumnInfo{ColumnId::kName, "weight", 24, 0, false, false, "name of the weight"},
    ColumnInfo{ColumnId::kShape, "shape", 9, 1, true, false, "rows x columns, outermost first"},
    ColumnInfo{ColumnId::kScheme, "scheme", 6, 5, false, false, "type or quantization scheme"},
    ColumnInfo{ColumnId::kBitsPerWeight, "b/w", 6, 2, true, false,
               "bits per weight as stored, scales and zero points counted"},
    ColumnInfo{ColumnId::kExponent, "h_exp", 5, 6, true, true, "entropy of the exponent, bits"},
    ColumnInfo{ColumnId::kResidual, "h_res", 5, 4, true, true,
               "entropy of the 16-bit value given its int8 version, bits"},
    ColumnInfo{ColumnId::kPlanes, "planes", 6, 8, true, true,
               "bits per weight with exponents, or quantized codes, entropy-coded"},
    ColumnInfo{ColumnId::kPair, "pair", 6, 3, true, true,
               "bits per weight of the 16-bit and the int8 version together"},
    ColumnInfo{ColumnId::kStd, "std", 9, 9, true, true, "standard deviation of the values"},
    ColumnInfo{ColumnId::kAbsMax, "absmax", 9, 10, true, true, "largest magnitude"},
    ColumnInfo{ColumnId::kZstd, "zstd", 6, 11, true, true, "bits per weight after zstd"},
    ColumnInfo{ColumnId::kRole, "role", 7, 12, false, false, "what it does in the network"},
    ColumnInfo{ColumnId::kSize, "size MiB", 8, 7, true, false, "stored bytes of all its parts"},
};

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::string fixed2(double value) {
  return std::isfinite(value) && value >= 0 ? fmt::format("{:.2f}", value) : "";
}

double bits_after(const Weight& weight, std::optional<double> ratio) {
  return ratio && *ratio > 0 ? weight.bits_per_weight() / *ratio : -1;
}

double or_none(std::optional<double> value) {
  return value ? *value : kNone;
}
double or_none(double value) {
  return value >= 0 ? value : kNone;
}

int digits(std::uint64_t number) {
  int count = 1;
  while (number >= 10) number /= 10, ++count;
  return count;
}

}  // namespace

std::span<const ColumnInfo> columns() {
  return kColumns;
}

const ColumnInfo& column(ColumnId id) {
  return kColumns[static_cast<std::size_t>(id)];
}

ColumnFit fit_columns(const Model& model, std::span<const std::string> labels) {
  ColumnFit fit;
  std::uint64_t largest = 0;
  double all = 0, exponents = 0, pairs = 0;
  for (const Weight& weight : model.weights) {
    int width = weight.shape.empty() ? 1 : static_cast<int>(weight.shape.size()) - 1;
    for (const std::uint64_t dimension : weight.shape) width += digits(dimension);
    fit.shape_width = std::max(fit.shape_width, width);
    fit.name_width = std::max(fit.name_width, static_cast<int>(weight.name.size()) - 13);
    largest = std::max(largest, weight.size_bytes);
    const auto params = static_cast<double>(weight.params);
    const DType type = weight.parts.empty() ? DType::kUnknown : model.tensor(weight.parts[0]).dtype;
    const bool plain = weight.scheme == Scheme::kNone;
    const bool fp8 = weight.scheme == Scheme::kFP8 || weight.scheme == Scheme::kFP8Block;
    all += params;
    if (fp8 || (plain && is_float(type))) exponents += params;
    if (plain && (type == DType::kF16 || type == DType::kBF16) && weight.shape.size() > 1) {
      pairs += params;
    }
  }
  for (const std::string& label : labels) {
    fit.scheme_width = std::max(fit.scheme_width, display_width(label));
  }
  fit.name_width = std::min(fit.name_width, 28);
  fit.shape_width = std::min(fit.shape_width, 17);
  fit.scheme_width = std::min(fit.scheme_width, 16);
  fit.has_exponents = exponents > all / 2;
  fit.has_pairs = pairs > all / 2;
  fit.size_in_kib = largest < std::uint64_t{4} << 20;
  return fit;
}

int leave_rank(const ColumnInfo& info, const ColumnFit& fit) {
  constexpr int kEmpty = 100;
  const bool of_pairs = info.id == ColumnId::kPair || info.id == ColumnId::kResidual;
  if (of_pairs && !fit.has_pairs) return kEmpty + info.leave;
  if (info.id == ColumnId::kExponent && !fit.has_exponents) return kEmpty + info.leave;
  // What then says how small a weight gets.
  if (info.id == ColumnId::kPlanes && !fit.has_pairs) return column(ColumnId::kPair).leave;
  return info.leave;
}

std::string column_title(ColumnId id, const ColumnFit& fit) {
  if (id == ColumnId::kSize && fit.size_in_kib) return "size KiB";
  return std::string(column(id).title);
}

std::string cell_text(ColumnId id, const Model& model, const Weight& weight,
                      const Statistics* statistics, const ColumnFit& fit) {
  if (column(id).from_statistics && statistics == nullptr) return "";
  switch (id) {
    case ColumnId::kName:
      return "";
    case ColumnId::kShape:
      return shape_text(weight.shape);
    case ColumnId::kScheme:
      return scheme_label(model, weight);
    case ColumnId::kBitsPerWeight:
      return weight.params == 0 ? "" : fixed2(weight.bits_per_weight());
    case ColumnId::kExponent:
      return fixed2(statistics->h_exponent.value_or(-1));
    case ColumnId::kResidual:
      return fixed2(statistics->h_residual.value_or(-1));
    case ColumnId::kPlanes:
      return fixed2(planes_bits(weight, *statistics));
    case ColumnId::kPair:
      return fixed2(pair_bits(weight, *statistics));
    case ColumnId::kStd:
      return statistics->std ? human_number(*statistics->std) : "";
    case ColumnId::kAbsMax:
      return statistics->absmax ? human_number(*statistics->absmax) : "";
    case ColumnId::kZstd:
      return fixed2(zstd_bits(weight, *statistics));
    case ColumnId::kRole:
      return std::string(role_name(weight.role));
    case ColumnId::kSize: {
      const double size =
          static_cast<double>(weight.size_bytes) / (fit.size_in_kib ? 1024.0 : 1048576.0);
      return size > 0 && size < 0.05 ? "<0.1" : fmt::format("{:.1f}", size);
    }
  }
  return "";
}

double sort_value(ColumnId id, const Weight& weight, const Statistics* statistics) {
  if (column(id).from_statistics && statistics == nullptr) return kNone;
  switch (id) {
    case ColumnId::kName:
    case ColumnId::kScheme:
      return kNone;
    case ColumnId::kShape:
      return static_cast<double>(weight.params);
    case ColumnId::kBitsPerWeight:
      return weight.params == 0 ? kNone : weight.bits_per_weight();
    case ColumnId::kExponent:
      return or_none(statistics->h_exponent);
    case ColumnId::kResidual:
      return or_none(statistics->h_residual);
    case ColumnId::kPlanes:
      return or_none(planes_bits(weight, *statistics));
    case ColumnId::kPair:
      return or_none(pair_bits(weight, *statistics));
    case ColumnId::kStd:
      return or_none(statistics->std);
    case ColumnId::kAbsMax:
      return or_none(statistics->absmax);
    case ColumnId::kZstd:
      return or_none(zstd_bits(weight, *statistics));
    case ColumnId::kRole:
      return static_cast<double>(weight.role);
    case ColumnId::kSize:
      return static_cast<double>(weight.size_bytes);
  }
  return kNone;
}

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
