#include "views/weight_facts.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/weight_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

std::string base_name(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

const Tensor* first_tensor(const Model& model, const Weight& weight) {
  return weight.parts.empty() ? nullptr : &model.tensor(weight.parts[0]);
}

std::string count_text(double value) {
  return grouped(static_cast<std::uint64_t>(value));
}

double part_bits(const Model& model, const Weight& weight, PartRole a, PartRole b) {
  if (weight.params == 0) return 0;
  double bytes = 0;
  for (const Part& part : weight.parts) {
    if (part.role == a || part.role == b) {
      bytes += static_cast<double>(model.tensor(part).size_bytes);
    }
  }
  return 8 * bytes / static_cast<double>(weight.params);
}

// "order-0 0.09": bits a weight that the numbers themselves need, where that is less than stored.
std::string coded_note(double stored, const NumberHistogram& counted, const Weight& weight) {
  if (!counted.entropy_bits || weight.params == 0) return "";
  const double coded = *counted.entropy_bits * static_cast<double>(counted.count) /
                       static_cast<double>(weight.params);
  return coded < stored ? fmt::format("order-0 {:.3f}", coded) : "";
}

// "model.layers.#.mlp": the layer's number is the first component that reads like it.
std::string without_layer(const Weight& weight) {
  const std::string number = std::to_string(weight.layer);
  std::size_t begin = 0;
  while (begin <= weight.name.size()) {
    const std::size_t end = std::min(weight.name.find('.', begin), weight.name.size());
    if (std::string_view(weight.name).substr(begin, end - begin) == number) {
      return weight.name.substr(0, begin) + "#" + weight.name.substr(end);
    }
    begin = end + 1;
  }
  return weight.name;
}

class FactsTable {
 public:
  FactsTable() {
    table_.name = "weight";
    table_.columns = {"fact", "value", "unit"};
    table_.numeric = {false, false, false};
  }
  void add(std::string fact, std::string value, std::string unit = "") {
    table_.rows.push_back({std::move(fact), std::move(value), std::move(unit)});
  }
  void add(std::string fact, double value, std::string unit) {
    add(std::move(fact), exact_number(value), std::move(unit));
  }
  void histogram(const std::string& what, const NumberHistogram& counted) {
    if (counted.count == 0) return;
    add(what, std::to_string(counted.count), "numbers");
    add(what + ", least", counted.low, "");
    add(what + ", greatest", counted.high, "");
    if (counted.distinct) add(what + ", different", std::to_string(*counted.distinct), "numbers");
    if (counted.entropy_bits) add(what + ", order-0", *counted.entropy_bits, "bits each");
  }
  TextTable take() { return std::move(table_); }

 private:
  TextTable table_;
};

}  // namespace

std::string place_text(const Model& model, const Weight& weight) {
  const Tensor* first = first_tensor(model, weight);
  if (first == nullptr || first->file >= model.files.size()) return "";
  return fmt::format("{} @ {}", escape(base_name(model.file(*first).path())),
                     grouped(first->offset));
}

std::vector<std::string> fact_lines(const Model& model, const Weight& weight, int room, int most,
                                    const Glyphs& glyphs) {
  std::string role(role_name(weight.role));
  if (weight.layer >= 0) role += fmt::format(" of layer {}", weight.layer);
  if (weight.expert >= 0) role += fmt::format(", expert {}", weight.expert);
  std::string size = human_bytes(weight.size_bytes);
  if (weight.parts.size() > 1) size += fmt::format(" in {} tensors", weight.parts.size());
  const std::string dot = fmt::format(" {} ", glyphs.dot);
  std::vector<std::string> lines(1);
  const std::string level =
      model.levels.empty() ? "" : fmt::format("level {}", escape(model.levels[weight.level].name));
  for (const std::string& fact : {shape_text(weight.shape), counted(weight.params, "param"), role,
                                  scheme_sentence(model, weight), size, level}) {
    if (fact.empty()) continue;
    std::string& line = lines.back();
    const bool fits = display_width(line) + display_width(dot) + display_width(fact) <= room;
    const bool last = static_cast<int>(lines.size()) == most;
    if (line.empty()) {
      line = fact;
    } else if (fits || last) {
      line += dot + fact;
    } else {
      lines.push_back(fact);
    }
  }
  return lines;
}

std::vector<Fact> moment_facts(const Statistics& statistics, const Glyphs& glyphs) {
  std::vector<Fact> out;
  const auto add = [&](std::string label, std::optional<double> value, bool is_count) {
    if (!value) return;
    out.push_back({std::move(label),
                   is_count ? count_text(*value) : with_minus(human_number(*value), glyphs)});
  };
  add("min", statistics.min, false);
  add("max", statistics.max, false);
  add("mean", statistics.mean, false);
  add("std", statistics.std, false);
  add("zeros", statistics.zeros, true);
  add("nan", statistics.nan, true);
  add("inf", statistics.inf, true);
  return out;
}

std::vector<Fact> all_facts(const Statistics& statistics, const Glyphs& glyphs) {
  std::vector<Fact> out;
  for (const StatColumn& column : stat_columns()) {
    const std::optional<double> value = statistics.*(column.value);
    if (!value) continue;
    out.push_back({std::string(column.name), column.kind == StatColumn::Kind::kCount
                                                 ? count_text(*value)
                                                 : with_minus(human_number(*value), glyphs)});
  }
  return out;
}

bool has_exponent(const Model& model, const Weight& weight) {
  const Tensor* first = first_tensor(model, weight);
  const bool plain = weight.scheme == Scheme::kNone || weight.scheme == Scheme::kQstore;
  return plain && first != nullptr && is_float(first->dtype);
}

std::string stored_text(const StoredPart& part) {
  std::string out = fmt::format("{}{}, {} in {}", part.method, part.on_base ? " on the base" : "",
                                human_bytes(part.stored_bytes), counted(part.blocks, "block"));
  if (part.damaged > 0) {
    out += fmt::format(", {} damaged: {}", grouped(part.damaged),
                       part.damaged == 1 ? fmt::format("block {}", *part.first_damaged)
                                         : fmt::format("the first {}", *part.first_damaged));
  } else {
    out += ", checksums right";
  }
  if (part.raw_blocks > 0) out += fmt::format(", {} raw", grouped(part.raw_blocks));
  if (part.escapes > 0) out += fmt::format(", {}", counted(part.escapes, "escape"));
  return out;
}

double scale_bits(const Model& model, const Weight& weight) {
  return part_bits(model, weight, PartRole::kScales, PartRole::kSecondScales);
}

double zero_bits(const Model& model, const Weight& weight) {
  return part_bits(model, weight, PartRole::kZeros, PartRole::kZeros);
}

std::vector<BitsBar> waterfall(const Model& model, const Weight& weight,
                               const Statistics& statistics, const WeightDetails* details,
                               std::span<const StoredPart> stored) {
  std::vector<BitsBar> out;
  const auto add = [&](std::string label, double bits, Ink ink, std::string note = "") {
    if (bits >= 0 && std::isfinite(bits)) {
      out.push_back({std::move(label), bits, ink, std::move(note)});
    }
  };
  const auto entropy = [](std::optional<double> value) { return value.value_or(-1); };
  const bool exponent = has_exponent(model, weight);
  const auto add_container = [&] {
    if (!weight.container_bytes || weight.params == 0) return;
    const std::uint64_t damaged = std::accumulate(
        stored.begin(), stored.end(), std::uint64_t{0},
        [](std::uint64_t sum, const StoredPart& part) { return sum + part.damaged; });
    const bool residual = weight.scheme == Scheme::kQstore;
    add("QStore layer",
        8 * static_cast<double>(*weight.container_bytes) / static_cast<double>(weight.params),
        damaged > 0 ? Ink::kWarning : Ink::kAccent,
        residual ? "spent here on the 16-bit version" : "spent here");
  };
  add("stored raw", weight.bits_per_weight(), Ink::kAccent);
  add("zstd -3", zstd_bits(weight, statistics), Ink::kThird);
  if (exponent) {
    add("number, order-0", entropy(statistics.h_symbol), Ink::kSecond);
    add("exponent coded", planes_bits(weight, statistics), Ink::kSecond,
        statistics.h_exponent ? fmt::format("exponent {:.2f}, the rest raw", *statistics.h_exponent)
                              : "");
    add("int8 and 16-bit", pair_bits(weight, statistics), Ink::kSecond, "both in one, coded");
    add("int8, order-0", entropy(statistics.h_int8), Ink::kSecond, "LLM.int8() of each row");
    add("16-bit given it", entropy(statistics.h_residual), Ink::kSecond, "what int8 leaves open");
    add_container();
    return out;
  }
  add("codes coded", planes_bits(weight, statistics), Ink::kSecond,
      weight.scheme == Scheme::kNone ? "" : "scales and the rest raw");
  add("codes, order-0", entropy(statistics.h_symbol), Ink::kSecond);
  const bool with_notes = details != nullptr && details->scales;
  const double scales = scale_bits(model, weight);
  const double zeros = zero_bits(model, weight);
  if (scales > 0) {
    add("scales", scales, Ink::kThird,
        with_notes ? coded_note(scales, details->scales->scales, weight) : "");
  }
  if (zeros > 0) {
    add("zero points", zeros, Ink::kThird,
        with_notes ? coded_note(zeros, details->scales->zeros, weight) : "");
  }
  add_container();
  return out;
}

TextTable facts_table(const Model& model, const Weight& weight, const Statistics* statistics,
                      const WeightDetails* details, std::span<const StoredPart> stored) {
  FactsTable table;
  table.add("name", escape(weight.name));
  table.add("shape", shape_text(weight.shape));
  table.add("params", std::to_string(weight.params));
  table.add("role", std::string(role_name(weight.role)));
  if (weight.layer >= 0) table.add("layer", std::to_string(weight.layer));
  if (weight.expert >= 0) table.add("expert", std::to_string(weight.expert));
  table.add("scheme", scheme_sentence(model, weight));
  table.add("size", std::to_string(weight.size_bytes), "bytes");
  table.add("stored", weight.bits_per_weight(), "bits/weight");
  for (const Part& part : weight.parts) {
    const Tensor& tensor = model.tensor(part);
    table.add("tensor", escape(tensor.name));
    table.add("tensor, dtype", escape(dtype_name(tensor)));
    table.add("tensor, offset", std::to_string(tensor.offset), "bytes");
    table.add("tensor, size", std::to_string(tensor.size_bytes), "bytes");
  }
  if (!model.levels.empty()) table.add("level", escape(model.levels[weight.level].name));
  for (const StoredPart& part : stored) {
    table.add("tensor stored", escape(part.tensor));
    table.add("tensor stored, method", std::string(part.method));
    table.add("tensor stored, size", std::to_string(part.stored_bytes), "bytes");
    table.add("tensor stored, blocks", std::to_string(part.blocks));
    table.add("tensor stored, raw blocks", std::to_string(part.raw_blocks));
    table.add("tensor stored, escapes", std::to_string(part.escapes), "elements");
    table.add("tensor stored, damaged blocks", std::to_string(part.damaged));
  }
  if (statistics != nullptr) {
    for (const StatColumn& column : stat_columns()) {
      const std::optional<double> value = statistics->*(column.value);
      if (value) table.add(std::string(column.name), *value, std::string(column.unit));
    }
    for (const BitsBar& bar : waterfall(model, weight, *statistics, details, stored)) {
      table.add(bar.label, bar.bits, "bits/weight");
    }
  }
  if (details == nullptr) return table.take();
  if (details->scales) {
    table.histogram("scales", details->scales->scales);
    table.histogram(details->scales->added ? "minima" : "zero points", details->scales->zeros);
  }
  if (details->errors) {
    const RowErrors& errors = *details->errors;
    table.add("error against", escape(errors.reference));
    table.add("error, rms", errors.rms, "value");
    table.add("error, worst row", std::to_string(errors.worst_row));
    table.add("error, rms of the worst row", errors.worst_rms, "value");
  }
  for (const Outlier& one : details->outliers) {
    table.add(fmt::format("outlier [{}, {}]", one.row, one.col), exact_number(one.value),
              fmt::format("value, {:.1f} sigma", one.sigmas));
  }
  return table.take();
}

std::size_t neighbour(const Model& model, std::size_t weight, int step) {
  const Weight& from = model.weights[weight];
  if (from.layer < 0) return weight;
  const std::string name = without_layer(from);
  std::size_t found = weight;
  bool same_name = false;
  for (std::size_t i = 0; i < model.weights.size(); ++i) {
    const Weight& other = model.weights[i];
    const int distance = (other.layer - from.layer) * step;
    if (other.layer < 0 || distance <= 0 || other.role != from.role ||
        other.expert != from.expert) {
      continue;
    }
    const int best = found == weight ? 0 : std::abs(model.weights[found].layer - from.layer);
    const bool nearer = best == 0 || distance < best;
    // Names are compared only where that can matter: there may be 100,000 weights.
    if (same_name && !nearer) continue;
    const bool same = without_layer(other) == name;
    if (same == same_name ? nearer : same) {
      found = i;
      same_name = same;
    }
  }
  return found;
}

}  // namespace qi
