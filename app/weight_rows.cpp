#include "app/weight_rows.h"

#include <array>

#include <fmt/format.h>

#include "engine/tensor/roles.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"

namespace qi {
namespace {

using K = ColumnKind;

constexpr std::array kList = {
    Column{"model", "model", K::kText, 85, true},
    Column{"file", "file", K::kText, 20, true},
    Column{"tensor", "weight", K::kText, 100},
    Column{"role", "role", K::kLabel, 25},
    Column{"layer", "layer", K::kInteger, 0},
    Column{"expert", "expert", K::kInteger, 0},
    Column{"dtype", "dtype", K::kLabel, 82},
    Column{"shape", "shape", K::kRight, 90},
    Column{"params", "params", K::kCount, 60},
    Column{"bytes", "size", K::kBytes, 80},
    Column{"bits_per_weight", "b/w", K::kFixed2, 75},
    Column{"scheme", "scheme", K::kLabel, 72},
    Column{"bits", "bits", K::kInteger, 35},
    Column{"group_size", "group", K::kInteger, 50},
    Column{"symmetric", "sym", K::kInteger, 28},
    Column{"scale_dtype", "scales", K::kLabel, 40},
    Column{"zero_point", "zero", K::kLabel, 30},
    Column{"parts", "parts", K::kInteger, 10, true},
    Column{"offset", "offset", K::kGrouped, 0},
    Column{"level", "level", K::kLabel, 45},
    Column{"format", "format", K::kLabel, 15, true},
};

constexpr std::array kVerify = {
    Column{"model", "model", K::kText, 60, true}, Column{"file", "file", K::kText, 90},
    Column{"tensor", "weight", K::kText, 95},     Column{"class", "class", K::kLabel, 98},
    Column{"part", "part", K::kLabel, 70},        Column{"block", "block", K::kInteger, 50},
    Column{"offset", "offset", K::kInteger, 80},  Column{"length", "length", K::kInteger, 40},
    Column{"message", "message", K::kText, 100},
};

constexpr std::array kDiff = {
    Column{"model", "model", K::kText, 0},
    Column{"file", "file", K::kText, 0},
    Column{"tensor", "weight", K::kText, 100},
    Column{"other_file", "other file", K::kText, 0},
    Column{"other_tensor", "in B", K::kText, 20},
    Column{"status", "status", K::kLabel, 95},
    Column{"shape_a", "shape A", K::kRight, 60},
    Column{"shape_b", "shape B", K::kRight, 40},
    Column{"dtype_a", "A", K::kLabel, 70},
    Column{"dtype_b", "B", K::kLabel, 69},
    Column{"mse", "mse", K::kReal, 30},
    Column{"rmse", "rmse", K::kReal, 45},
    Column{"max_abs_error", "max |e|", K::kReal, 75},
    Column{"relative_error", "rel err", K::kReal, 80},
    Column{"snr_db", "SNR dB", K::kFixed2, 85},
    Column{"cosine", "cosine", K::kReal, 50},
};

// How long each statistic stays in a person's table; those not named here leave with 22.
int statistic_keep(std::string_view name) {
  struct Keep {
    std::string_view name;
    int keep;
  };
  constexpr std::array kKeeps = {
      Keep{"h_symbol", 68},   Keep{"h_exponent", 66}, Keep{"ratio_planes", 64},
      Keep{"ratio_pair", 62}, Keep{"h_residual", 61}, Keep{"ratio_zstd", 58},
      Keep{"std", 56},        Keep{"min", 54},        Keep{"max", 53},
      Keep{"h_int8", 50},     Keep{"zeros", 48},      Keep{"nan", 47},
      Keep{"ratio_lz4", 46},  Keep{"mean", 44},       Keep{"h_bytes", 42},
      Keep{"h_mantissa", 40}, Keep{"absmax", 38},
  };
  for (const Keep& keep : kKeeps) {
    if (keep.name == name) return keep.keep;
  }
  return 22;
}

std::vector<Column> make_parts_columns() {
  std::vector<Column> columns(kList.begin(), kList.end());
  columns.push_back({"weight", "of weight", K::kText, 0});
  columns.push_back({"part", "part", K::kLabel, 65});
  return columns;
}

constexpr std::array kContainer = {
    Column{"h_given_next", "h_given_next", K::kFixed2, 65},
    Column{"bits_spent", "bits_spent", K::kFixed2, 67},
    Column{"h_given_lowest", "h_given_lowest", K::kFixed2, 64},
    Column{"bits_zstd", "bits_zstd", K::kFixed2, 61},
    Column{"bits_huffman", "bits_huffman", K::kFixed2, 61},
    Column{"bits_planes", "bits_planes", K::kFixed2, 62},
    Column{"bits_chain", "bits_chain", K::kFixed2, 63},
    Column{"bits_grids", "bits_grids", K::kFixed2, 60},
};

std::vector<Column> make_stats_columns() {
  std::vector<Column> columns(kList.begin(), kList.end());
  // Statistics need the room that facts from headers take in --list.
  for (Column& column : columns) {
    if (column.name == "shape") {
      column.keep = 63;
    } else if (column.name == "bits_per_weight") {
      column.keep = 52;
    } else if (column.name != "tensor" && column.name != "dtype" && column.name != "model") {
      column.keep = 0;
    }
  }
  for (const StatColumn& stat : stat_columns()) {
    const bool fixed = stat.name.starts_with("h_") || stat.name.starts_with("ratio_");
    const K kind = stat.kind == StatColumn::Kind::kCount ? K::kInteger
                   : fixed                               ? K::kFixed2
                                                         : K::kReal;
    columns.push_back({stat.name, stat.name, kind, statistic_keep(stat.name)});
  }
  return columns;
}

// Text that outlives the row.
Field word(std::string_view text) {
  return text.empty() ? Field() : Field(text);
}

Field number(std::int64_t value) {
  return value < 0 ? Field() : Field(value);
}

// Containers only.
Field level_name(const Model& model, const Weight& weight) {
  return model.levels.empty() ? Field() : word(model.levels[weight.level].name);
}

// What rows of weights and of their stored tensors begin with.
struct Subject {
  const std::string& name;
  NameFacts facts;
  const Shape& shape;
  std::optional<std::uint64_t> params;  // nothing: more than 64 bits hold
  std::uint64_t size_bytes;
};

void begin_row(Row& row, const Model& model, const Tensor& stored, const Subject& subject,
               Scheme scheme) {
  row.clear();
  row.reserve(stats_columns().size());
  row.emplace_back(std::string_view(model.name));
  row.emplace_back(file_name(model.file(stored).path()));
  row.emplace_back(std::string_view(subject.name));
  row.push_back(word(role_name(subject.facts.role)));
  row.push_back(number(subject.facts.layer));
  row.push_back(number(subject.facts.expert));
  row.push_back(word(dtype_name(stored)));
  row.emplace_back(shape_text(subject.shape));
  const std::uint64_t params = subject.params.value_or(0);
  row.push_back(field_if(subject.params.has_value(), params));
  row.emplace_back(subject.size_bytes);
  row.push_back(params == 0 ? Field()
                            : Field(8.0 * static_cast<double>(subject.size_bytes) /
                                    static_cast<double>(params)));
  row.push_back(word(scheme_name(scheme)));
}

}  // namespace

std::span<const Column> list_columns() {
  return kList;
}
std::span<const Column> parts_columns() {
  static const std::vector<Column> columns = make_parts_columns();
  return columns;
}
std::span<const Column> stats_columns(bool container) {
  static const std::vector<Column> columns = make_stats_columns();
  static const std::vector<Column> with_container = [] {
    std::vector<Column> all = columns;
    all.insert(all.end(), kContainer.begin(), kContainer.end());
    return all;
  }();
  return container ? with_container : columns;
}
std::span<const Column> container_columns() {
  return kContainer;
}
std::span<const Column> verify_columns() {
  return kVerify;
}
std::span<const Column> diff_columns() {
  return kDiff;
}

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // all of it where there is none
}

void list_row(const Model& model, const Weight& weight, Row& row) {
  const Tensor& codes = model.tensor(weight.parts.front());
  begin_row(row, model, codes,
            {weight.name,
             {weight.role, weight.layer, weight.expert},
             weight.shape,
             weight.params,
             weight.size_bytes},
            weight.scheme);
  row.push_back(field_if(weight.bits > 0, std::uint64_t{weight.bits}));
  // Of a block, the numbers of one row that share its scale.
  const std::uint64_t group = weight.group_size > 0 ? weight.group_size : weight.block_cols;
  row.push_back(field_if(group > 0, group));
  row.push_back(
      field_if(weight.symmetric.has_value(), std::uint64_t{weight.symmetric.value_or(0)}));
  row.push_back(weight.scale_dtype == DType::kUnknown ? Field()
                                                      : word(info(weight.scale_dtype).name));
  row.push_back(word(zero_point_name(weight.zero_point)));
  row.emplace_back(std::uint64_t{weight.parts.size()});
  row.emplace_back(codes.offset);
  row.push_back(level_name(model, weight));
  row.push_back(word(weight.format));
}

void part_row(const Model& model, const Weight& weight, const Part& part, Row& row) {
  const Tensor& tensor = model.tensor(part);
  begin_row(row, model, tensor,
            {tensor.name, name_facts(tensor.name), tensor.shape, element_count(tensor.shape),
             tensor.size_bytes},
            weight.scheme);
  row.resize(kList.size());  // what only a whole weight has
  row[kList.size() - 3] = tensor.offset;
  row[kList.size() - 2] = level_name(model, weight);
  row.emplace_back(std::string_view(weight.name));
  row.push_back(word(part_word(part.role)));
}

void append_statistics(Row& row, const Statistics* statistics) {
  for (const StatColumn& stat : stat_columns()) {
    if (statistics == nullptr || !(statistics->*stat.value)) {
      row.emplace_back();
    } else if (stat.kind == StatColumn::Kind::kCount) {
      row.emplace_back(static_cast<std::uint64_t>(*(statistics->*stat.value)));
    } else {
      row.emplace_back(*(statistics->*stat.value));
    }
  }
}

void append_container(Row& row, const Weight& weight, const Statistics* statistics,
                      const ChainFacts& chain) {
  const auto put = [&](const std::optional<double>& value) {
    row.push_back(field_if(value.has_value(), value.value_or(0)));
  };
  const bool pair = weight.scheme == Scheme::kQstore && weight.container_bytes;
  put(pair && statistics != nullptr ? statistics->h_residual : chain.given_next);
  const bool known = weight.container_bytes && weight.params != 0;
  row.push_back(field_if(known, known ? 8.0 * static_cast<double>(*weight.container_bytes) /
                                            static_cast<double>(weight.params)
                                      : 0.0));
  put(chain.given_lowest);
  put(chain.by_zstd);
  put(chain.by_huffman);
  put(chain.by_planes);
  put(chain.by_chain);
  put(chain.grids);
}

std::string_view part_word(PartRole role) {
  switch (role) {
    case PartRole::kCodes:
      return "codes";
    case PartRole::kScales:
      return "scales";
    case PartRole::kZeros:
      return "zeros";
    case PartRole::kGroupIndex:
      return "group_index";
    case PartRole::kShape:
      return "shape";
    case PartRole::kSecondScales:
      return "second_scales";
    case PartRole::kCodebook:
      return "codebook";
    case PartRole::kSecondCodebook:
      return "second_codebook";
    case PartRole::kState:
      return "state";
    case PartRole::kOutliers:
      return "outliers";
    case PartRole::kRowOffsets:
      return "row_offsets";
    case PartRole::kPermutation:
      return "permutation";
    case PartRole::kLowLevel:
      return "low_level";
    case PartRole::kOther:
      break;
  }
  return "other";
}

std::string model_line(const Model& model, bool ascii) {
  const std::string_view dot = ascii ? ", " : " · ";
  std::string line = escape(model.name) + "  ";
  line += fmt::format("{} weights{}{} params{}{}", model.weights.size(), dot,
                      human_count(model.params()), dot, human_bytes(model.size_bytes()));
  if (model.params() > 0) line += fmt::format("{}{:.2f} b/w", dot, model.bits_per_weight());
  line += fmt::format("{}{}", dot, container_name(model.container));
  if (!model.architecture.empty()) line += fmt::format("{}{}", dot, escape(model.architecture));
  if (model.kind != ModelKind::kModel) line += fmt::format("{}{}", dot, kind_name(model.kind));
  if (model.adapter_rank) line += fmt::format("{}rank {}", dot, *model.adapter_rank);
  if (!model.base_model.empty()) line += fmt::format("{}base {}", dot, escape(model.base_model));
  return line;
}

}  // namespace qi
