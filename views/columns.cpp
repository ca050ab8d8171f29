#include "views/columns.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"

namespace qi {
namespace {

using Id = ColumnId;
using Form = ColumnForm;

// A column asked for leaves after most of those that stand there anyway.
constexpr int kAsked = 3;

double natural(std::int32_t number) {
  return number < 0 ? kNoNumber : number;
}

std::string file_of(const Model& model, const Weight& weight) {
  if (weight.parts.empty()) return "";
  const Tensor& tensor = model.tensor(weight.parts[0]);
  if (tensor.file >= model.files.size()) return "";
  const std::string& path = model.files[tensor.file]->path();
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string offset_of(const Model& model, const Weight& weight) {
  return weight.parts.empty() ? "" : std::to_string(model.tensor(weight.parts[0]).offset);
}

// What is known from the headers.
constexpr ColumnInfo fact(Id id, std::string_view name, std::string_view exported,
                          std::string_view title, int width, int leave, Form form,
                          double (*number)(const Weight&),
                          std::string (*text)(const Model&, const Weight&),
                          std::string_view meaning) {
  return {id,     name,  exported,        title,
          width,  leave, id < Id::kLayer, form != Form::kText && form != Form::kBar,
          false,  form,  nullptr,         nullptr,
          number, text,  meaning};
}
// One field of the statistics.
constexpr ColumnInfo measured(Id id, std::string_view name, std::string_view exported, int width,
                              int leave, Form form, std::optional<double> Statistics::*stat,
                              std::string_view meaning) {
  return {id,   name, exported, name,    width,   leave,   id < Id::kLayer, true,
          true, form, stat,     nullptr, nullptr, nullptr, meaning};
}
// Bits per weight after coding.
constexpr ColumnInfo coded(Id id, std::string_view name, std::string_view exported, int leave,
                           double (*bits)(const Weight&, const Statistics&),
                           std::string_view meaning) {
  return {id,   name,        exported, name, 6,       leave,   id < Id::kLayer, true,
          true, Form::kBits, nullptr,  bits, nullptr, nullptr, meaning};
}

double params_of(const Weight& weight) {
  return static_cast<double>(weight.params);
}
double spent_of(const Weight& weight) {
  if (!weight.container_bytes || weight.params == 0) return kNoNumber;
  return 8 * static_cast<double>(*weight.container_bytes) / static_cast<double>(weight.params);
}
double bits_of(const Weight& weight) {
  return weight.params == 0 ? kNoNumber : weight.bits_per_weight();
}

constexpr std::array kColumns = {
    fact(Id::kName, "weight", "weight", "weight", 24, 0, Form::kText, nullptr, nullptr,
         "name of the weight"),
    fact(
        Id::kShape, "shape", "shape", "shape", 9, 1, Form::kCount, params_of,
        [](const Model&, const Weight& weight) { return shape_text(weight.shape); },
        "rows x columns, outermost first; sorts by their product"),
    fact(Id::kScheme, "scheme", "scheme", "scheme", 6, 5, Form::kText, nullptr, scheme_label,
         "type or quantization scheme"),
    fact(Id::kBitsPerWeight, "b/w", "bits_per_weight", "b/w", 6, 2, Form::kBits, bits_of, nullptr,
         "bits per weight as stored, scales and zero points counted"),
    fact(Id::kBar, "bar", "", "b/w", 10, 8, Form::kBar, bits_of, nullptr,
         "bits per weight as a bar: full what is left with exponents, or quantized codes, "
         "entropy-coded; light what that saves"),
    measured(Id::kExponent, "h_exp", "h_exponent", 5, 6, Form::kBits, &Statistics::h_exponent,
             "entropy of the exponent, bits"),
    measured(Id::kResidual, "h_res", "h_residual", 5, 4, Form::kBits, &Statistics::h_residual,
             "entropy of the 16-bit value given its int8 version, bits"),
    coded(Id::kPlanes, "planes", "planes_bits", 9, planes_bits,
          "bits per weight with exponents, or quantized codes, entropy-coded"),
    coded(Id::kPair, "pair", "pair_bits", 3, pair_bits,
          "bits per weight of the 16-bit and the int8 version together"),
    measured(Id::kStd, "std", "std", 9, 10, Form::kReal, &Statistics::std,
             "standard deviation of the values"),
    measured(Id::kAbsMax, "absmax", "absmax", 9, 11, Form::kReal, &Statistics::absmax,
             "largest magnitude"),
    coded(Id::kZstd, "zstd", "zstd_bits", 12, zstd_bits, "bits per weight after zstd"),
    fact(
        Id::kRole, "role", "role", "role", 7, 13, Form::kText,
        [](const Weight& weight) { return static_cast<double>(weight.role); },
        [](const Model&, const Weight& weight) { return std::string(role_name(weight.role)); },
        "what it does in the network"),
    fact(
        Id::kSize, "size", "size_bytes", "size MiB", 8, 7, Form::kSize,
        [](const Weight& weight) { return static_cast<double>(weight.size_bytes); }, nullptr,
        "stored bytes of all its parts"),
    fact(
        Id::kLevel, "level", "level", "level", 8, 3, Form::kText, nullptr,
        [](const Model& model, const Weight& weight) {
          return model.levels.empty() ? "" : model.levels[weight.level].name;
        },
        "the precision level of a container that it belongs to"),
    fact(Id::kSpent, "spent", "bits_spent", "spent", 6, 3, Form::kBits, spent_of, nullptr,
         "bits per weight that its own blocks take in the container"),

    fact(
        Id::kLayer, "layer", "layer", "layer", 5, kAsked, Form::kCount,
        [](const Weight& weight) { return natural(weight.layer); }, nullptr, "number of its layer"),
    fact(
        Id::kExpert, "expert", "expert", "expert", 6, kAsked, Form::kCount,
        [](const Weight& weight) { return natural(weight.expert); }, nullptr,
        "number of its expert, where each is stored by itself"),
    fact(
        Id::kType, "type", "dtype", "type", 6, kAsked, Form::kText, nullptr,
        [](const Model& model, const Weight& weight) {
          return weight.parts.empty() ? "" : std::string(dtype_name(model.tensor(weight.parts[0])));
        },
        "type of the stored numbers or codes"),
    fact(
        Id::kGroup, "group", "group_size", "group", 6, kAsked, Form::kCount,
        [](const Weight& weight) {
          const std::uint64_t size = weight.group_size > 0 ? weight.group_size : weight.block_cols;
          return size > 0 ? static_cast<double>(size) : kNoNumber;
        },
        nullptr, "weights of a row that share a scale"),
    fact(Id::kParams, "params", "params", "params", 13, kAsked, Form::kCount, params_of, nullptr,
         "how many weights: the product of the shape"),
    measured(Id::kMin, "min", "min", 9, kAsked, Form::kReal, &Statistics::min,
             "smallest finite value"),
    measured(Id::kMax, "max", "max", 9, kAsked, Form::kReal, &Statistics::max,
             "largest finite value"),
    measured(Id::kMean, "mean", "mean", 10, kAsked, Form::kReal, &Statistics::mean,
             "mean of the finite values"),
    measured(Id::kZeros, "zeros", "zeros", 9, kAsked, Form::kCount, &Statistics::zeros,
             "how many values are zero"),
    measured(Id::kNan, "nan", "nan", 6, kAsked, Form::kCount, &Statistics::nan,
             "how many values are not a number"),
    measured(Id::kInf, "inf", "inf", 6, kAsked, Form::kCount, &Statistics::inf,
             "how many values are infinite"),
    measured(Id::kSubnormal, "subnormal", "subnormal", 9, kAsked, Form::kCount,
             &Statistics::subnormal, "how many values are non-zero with exponent field 0"),
    measured(Id::kSymbol, "h_symbol", "h_symbol", 8, kAsked, Form::kBits, &Statistics::h_symbol,
             "entropy of the stored symbols: numbers, or the codes of a quantized weight, bits"),
    measured(Id::kSign, "h_sign", "h_sign", 6, kAsked, Form::kBits, &Statistics::h_sign,
             "entropy of the sign, bits"),
    measured(Id::kMantissa, "h_man", "h_mantissa", 5, kAsked, Form::kBits, &Statistics::h_mantissa,
             "entropy of the mantissa (of its top 8 bits where it is wider), bits"),
    measured(Id::kBytes, "h_bytes", "h_bytes", 7, kAsked, Form::kBits, &Statistics::h_bytes,
             "entropy of the stored bytes, bits per weight"),
    measured(Id::kInt8, "h_int8", "h_int8", 6, kAsked, Form::kBits, &Statistics::h_int8,
             "entropy of the int8 version, bits"),
    coded(Id::kLz4, "lz4", "lz4_bits", kAsked, lz4_bits, "bits per weight after LZ4"),
    fact(Id::kOffset, "offset", "offset", "offset", 15, kAsked, Form::kCount, nullptr, offset_of,
         "where its numbers or codes begin in their file, bytes"),
    fact(Id::kFile, "file", "file", "file", 16, kAsked, Form::kText, nullptr, file_of,
         "the file that holds its numbers or codes"),
};

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

std::optional<ColumnId> column_named(std::string_view name) {
  for (const ColumnInfo& info : kColumns) {
    if (name == info.name) return info.id;
  }
  for (const ColumnInfo& info : kColumns) {
    if (!name.empty() && (name == info.title || name == info.exported)) return info.id;
  }
  return {};
}

ColumnFit fit_columns(const Model& model, std::span<const std::string> labels) {
  ColumnFit fit;
  std::uint64_t largest = 0;
  double all = 0, exponents = 0, pairs = 0, wide = 0;
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
    if (weight.bits_per_weight() > 20) wide += params;
  }
  for (const std::string& label : labels) {
    fit.scheme_width = std::max(fit.scheme_width, display_width(label));
  }
  fit.name_width = std::min(fit.name_width, 28);
  fit.shape_width = std::min(fit.shape_width, 17);
  fit.scheme_width = std::min(fit.scheme_width, 16);
  fit.has_exponents = exponents > all / 2;
  fit.has_pairs = pairs > all / 2;
  // A few vectors in float32 must not make every bar short.
  fit.bar_bits = wide > all / 2 ? 32 : 16;
  fit.has_levels = !model.levels.empty();
  fit.size_in_kib = largest < std::uint64_t{4} << 20;
  return fit;
}

bool applies(const ColumnInfo& info, const ColumnFit& fit) {
  return fit.has_levels || (info.id != Id::kLevel && info.id != Id::kSpent);
}

int leave_rank(const ColumnInfo& info, const ColumnFit& fit) {
  constexpr int kEmpty = 100;
  const bool of_pairs = info.id == Id::kPair || info.id == Id::kResidual;
  if (of_pairs && !fit.has_pairs) return kEmpty + info.leave;
  if (info.id == Id::kExponent && !fit.has_exponents) return kEmpty + info.leave;
  // What then says how small a weight gets.
  if (info.id == Id::kPlanes && !fit.has_pairs) return column(Id::kPair).leave;
  return info.leave;
}

int wanted_width(const ColumnInfo& info, const ColumnFit& fit) {
  switch (info.id) {
    case Id::kName:
      return fit.name_width;
    case Id::kShape:
      return fit.shape_width;
    case Id::kScheme:
      return fit.scheme_width;
    default:
      return info.width;
  }
}

std::string column_title(ColumnId id, const ColumnFit& fit) {
  if (id == Id::kSize && fit.size_in_kib) return "size KiB";
  if (id == Id::kBar) return fmt::format("of {} bits", fit.bar_bits);
  return std::string(column(id).title);
}

double sort_value(ColumnId id, const Weight& weight, const Statistics* statistics) {
  const ColumnInfo& info = column(id);
  if (info.from_statistics) {
    if (statistics == nullptr) return kNoNumber;
    const double value = info.coded != nullptr ? info.coded(weight, *statistics)
                                               : (statistics->*info.stat).value_or(kNoNumber);
    return info.form == Form::kBits && value < 0 ? kNoNumber : value;
  }
  return info.number != nullptr ? info.number(weight) : kNoNumber;
}

std::string number_text(ColumnId id, double value, const ColumnFit& fit) {
  if (std::isnan(value)) return "";
  switch (column(id).form) {
    case Form::kText:
      return "";
    case Form::kBits:
    case Form::kBar:
      return std::isfinite(value) ? fmt::format("{:.2f}", value) : "";
    case Form::kReal:
      return human_number(value);
    case Form::kCount:
      // Counts of statistics are below 2^53; parameters of a hostile file need not be.
      return value >= 0 && value < 1e15 ? grouped(static_cast<std::uint64_t>(value))
                                        : human_number(value);
    case Form::kSize: {
      const double size = value / (fit.size_in_kib ? 1024.0 : 1048576.0);
      return size > 0 && size < 0.05 ? "<0.1" : fmt::format("{:.1f}", size);
    }
  }
  return "";
}

std::string cell_text(ColumnId id, const Model& model, const Weight& weight,
                      const Statistics* statistics, const ColumnFit& fit) {
  const ColumnInfo& info = column(id);
  if (id == Id::kScheme) return scheme_label(model, weight);  // printable already
  if (id == Id::kOffset)
    return weight.parts.empty() ? "" : grouped(model.tensor(weight.parts[0]).offset);
  if (info.text != nullptr) return escape(info.text(model, weight));
  return number_text(id, sort_value(id, weight, statistics), fit);
}

std::string export_text(ColumnId id, const Model& model, const Weight& weight,
                        const Statistics* statistics) {
  if (id == Id::kName) return weight.name;
  if (id == Id::kSize) return std::to_string(weight.size_bytes);
  if (id == Id::kParams) return std::to_string(weight.params);
  const ColumnInfo& info = column(id);
  if (info.text != nullptr) return info.text(model, weight);
  const double value = sort_value(id, weight, statistics);
  return std::isnan(value) ? "" : exact_number(value);
}

}  // namespace qi
