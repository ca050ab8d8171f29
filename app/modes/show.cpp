#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "app/analysis.h"
#include "app/modes/modes.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "engine/format/qstore_facts.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/utf8.h"
#include "engine/text/width.h"

namespace qi {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kFirstValues = 16;
constexpr std::uint64_t kArrayElements = 8;
constexpr std::size_t kNamesShown = 5;

/// A fact as both forms need it: a path of names for JSON, joined by dots for CSV and the table.
struct Fact {
  std::string group;  // "stats"; empty: at the top
  std::string name;
  Field value;
  ColumnKind kind = ColumnKind::kText;
};

struct Shown {
  std::vector<Fact> facts;
  std::optional<Statistics> statistics;
  std::vector<float> first;
  std::vector<Row> parts;
};

// By its own name, or by that of one of its stored tensors.
const Weight& find_weight(const Model& model, const std::string& name) {
  if (const Weight* weight = model.find_weight(name)) return *weight;
  std::string similar;
  std::size_t count = 0;
  for (const Weight& weight : model.weights) {
    for (const Part& part : weight.parts) {
      if (model.tensor(part).name == name) return weight;
    }
    if (weight.name.find(name) == std::string::npos) continue;
    if (count++ < kNamesShown) similar += (similar.empty() ? "" : ", ") + weight.name;
  }
  if (count > kNamesShown) similar += fmt::format(" and {} more", count - kNamesShown);
  throw Error(ErrorCode::kUsage, "no weight named " + name,
              similar.empty() ? "a name that --list shows" : "perhaps " + similar, model.path);
}

void add_statistics(Shown& shown, const Model& model, const Weight& weight, Session& session) {
  Analyser analyser(session.options(), session.messages());
  WeightWork work;
  work.title = "show";
  work.work = [&](std::size_t, UnitContext& context) {
    shown.statistics = analyser.analyse(model, weight, context);
    const std::uint64_t cols = std::min(weight.cols(), kFirstValues);
    if (weight.params == 0) return;
    shown.first.resize(cols);
    open_reader(model, weight)->values({0, 1, 0, cols}, shown.first.data());
  };
  // What the headers say is shown all the same.
  work.done = [&](std::size_t, const Error* error) {
    if (error != nullptr) session.messages().error(*error);
  };
  for_each_weight({&weight}, session.options(), work);
  analyser.store();
}

std::string metadata_text(const MetaValue& value) {
  if (const auto* array = std::get_if<MetaArray>(&value)) {
    const std::vector<std::string> elements = array_elements(*array, kArrayElements);
    std::string text = fmt::format("{}", fmt::join(elements, ", "));
    if (array->count > elements.size()) text += fmt::format(", ... ({} in all)", array->count);
    return text;
  }
  return std::get<std::string>(value);
}

Field metadata_cell(const MetaValue& value) {
  if (const auto* natural = std::get_if<std::uint64_t>(&value)) return *natural;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* flag = std::get_if<bool>(&value)) return std::string(*flag ? "true" : "false");
  return metadata_text(value);
}

Shown collect(const Model& model, const Weight& weight, Session& session) {
  Shown shown;
  Row listed;
  list_row(model, weight, listed);
  for (std::size_t i = 0; i < list_columns().size(); ++i) {
    const Column& column = list_columns()[i];
    shown.facts.push_back({"", std::string(column.name), listed[i], column.kind});
  }
  const auto add = [&](std::string_view name, const std::string& text) {
    if (!text.empty()) shown.facts.push_back({"", std::string(name), text});
  };
  if (weight.act_order) add("act_order", "yes");
  if (weight.block_rows > 0) {
    add("scale_block", fmt::format("{}x{}", weight.block_rows, weight.block_cols));
  }
  add("undecodable", weight.undecodable);
  add_statistics(shown, model, weight, session);
  Row statistics;
  append_statistics(statistics, shown.statistics ? &*shown.statistics : nullptr);
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    const Column& column = stats_columns()[list_columns().size() + i];
    shown.facts.push_back({"stats", std::string(column.name), statistics[i], column.kind});
  }
  if (weight.container_bytes) {
    Row contained;
    ChainFacts chain;
    if (const auto container = container_of(model); container != nullptr && shown.statistics) {
      chain = chain_facts(*container, model, weight, &cancel_requested());
    }
    append_container(contained, weight, shown.statistics ? &*shown.statistics : nullptr, chain);
    for (std::size_t i = 0; i < contained.size(); ++i) {
      const Column& column = container_columns()[i];
      shown.facts.push_back({"stats", std::string(column.name), contained[i], column.kind});
    }
  }
  for (const Part& part : weight.parts) {
    part_row(model, weight, part, shown.parts.emplace_back());
  }
  for (const MetaEntry& entry : model.metadata.entries()) {
    shown.facts.push_back({"metadata", entry.key, metadata_cell(entry.value), ColumnKind::kText});
  }
  return shown;
}

bool has_histogram(const Shown& shown) {
  if (!shown.statistics) return false;
  const auto& bins = shown.statistics->values.bins;
  return std::any_of(bins.begin(), bins.end(), [](std::uint64_t count) { return count > 0; });
}

// ---- CSV ----

constexpr std::array kFieldColumns = {
    Column{"field", "field", ColumnKind::kLabel, 100},
    Column{"value", "value", ColumnKind::kText, 100},
};

void write_csv(const Shown& shown, Table& table) {
  for (const Fact& fact : shown.facts) {
    table.row({Field(fact.group.empty() ? fact.name : fact.group + "." + fact.name), fact.value});
  }
  const std::span<const Column> columns = parts_columns();
  for (std::size_t part = 0; part < shown.parts.size(); ++part) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (std::holds_alternative<std::monostate>(shown.parts[part][i])) continue;
      table.row({Field(fmt::format("parts.{}.{}", part, columns[i].name)), shown.parts[part][i]});
    }
  }
  if (has_histogram(shown)) {
    const ValueHistogram& histogram = shown.statistics->values;
    table.row({Field(std::string("histogram.low")), Field(histogram.low)});
    table.row({Field(std::string("histogram.high")), Field(histogram.high)});
    for (std::size_t i = 0; i < histogram.bins.size(); ++i) {
      table.row({Field(fmt::format("histogram.{}", i)), Field(histogram.bins[i])});
    }
  }
  for (std::size_t i = 0; i < shown.first.size(); ++i) {
    table.row({Field(fmt::format("first.{}", i)), Field(static_cast<double>(shown.first[i]))});
  }
}

// ---- JSON ----

Json json_of(const Field& cell) {
  std::string text;
  append_json_value(text, cell);
  return Json::parse(text);
}

Json parts_json(const Shown& shown) {
  Json parts = Json::array();
  for (const Row& row : shown.parts) {
    Json part = Json::object();
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (std::holds_alternative<std::monostate>(row[i])) continue;
      part[std::string(parts_columns()[i].name)] = json_of(row[i]);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

std::string json_text(const Shown& shown) {
  Json object = Json::object();
  object["schema"] = 1;
  for (const Fact& fact : shown.facts) {
    Json& place = fact.group.empty() ? object : object[fact.group];
    // A key cannot carry bytes that are not UTF-8 beside it: it is written escaped.
    place[is_utf8(fact.name) ? fact.name : escape(fact.name)] = json_of(fact.value);
    if (const auto text = text_of(fact.value); fact.name == "tensor" && text && !is_utf8(*text)) {
      place["name_hex"] = hex_bytes(*text);
    }
  }
  object["parts"] = parts_json(shown);
  if (has_histogram(shown)) {
    const ValueHistogram& histogram = shown.statistics->values;
    object["histogram"] = {
        {"low", histogram.low}, {"high", histogram.high}, {"bins", histogram.bins}};
  }
  object["first"] = Json::array();
  for (const float value : shown.first) {
    object["first"].push_back(json_of(Field(static_cast<double>(value))));
  }
  // Escaped to ASCII: nothing in it can disturb a terminal.
  return object.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

// ---- a person's text ----

// 16 lines of 4 bins each: "-0.918 … -0.803  ████▌   1 234".
std::string histogram_text(const ValueHistogram& histogram, bool ascii) {
  constexpr std::size_t kLines = 16;
  constexpr std::size_t kMerged = 4;
  constexpr int kBarCells = 40;
  static_assert(kLines * kMerged == std::tuple_size_v<decltype(ValueHistogram::bins)>);
  std::array<std::uint64_t, kLines> counts{};
  for (std::size_t i = 0; i < histogram.bins.size(); ++i) counts[i / kMerged] += histogram.bins[i];
  const std::uint64_t most = *std::max_element(counts.begin(), counts.end());
  std::string out;
  for (std::size_t i = 0; i < kLines; ++i) {
    const double width = (histogram.high - histogram.low) / kLines;
    const double low = histogram.low + width * static_cast<double>(i);
    const int full =
        static_cast<int>(static_cast<double>(counts[i]) / static_cast<double>(most) * kBarCells);
    std::string bar;
    for (int cell = 0; cell < full; ++cell) bar += ascii ? "#" : "█";
    if (full == 0 && counts[i] > 0) bar = ascii ? "." : "▏";
    out += fmt::format("  {:>10} {:>10}  {} {}\n", human_number(low), human_number(low + width),
                       pad_right(bar, kBarCells), grouped(counts[i]));
  }
  return out;
}

std::string person_text(const Model& model, const Shown& shown, bool ascii) {
  std::string out = model_line(model, ascii) + "\n";
  std::string group;
  for (const Fact& fact : shown.facts) {
    const std::string value = human_cell(fact.value, fact.kind);
    if (value.empty()) continue;
    if (fact.group != group) out += fmt::format("\n{}\n", fact.group);
    group = fact.group;
    out += fmt::format("  {} {}\n", pad_right(escape(fact.name), 16), value);
  }
  out += "\nparts\n";
  for (const Row& row : shown.parts) {
    const auto cell = [&](std::string_view name) {
      const auto columns = parts_columns();
      const auto it = std::find_if(columns.begin(), columns.end(),
                                   [&](const Column& column) { return column.name == name; });
      return human_cell(row[static_cast<std::size_t>(it - columns.begin())], it->kind);
    };
    out += fmt::format("  {}  {} {} {}  {}  @ {} in {}\n", cell("tensor"), cell("part"),
                       cell("dtype"), cell("shape"), cell("bytes"), cell("offset"), cell("file"));
  }
  if (has_histogram(shown)) {
    out += "\nvalues: from, to, count\n" + histogram_text(shown.statistics->values, ascii);
  }
  if (!shown.first.empty()) {
    out += "\nfirst values\n ";
    for (const float value : shown.first) out += " " + human_number(static_cast<double>(value));
    out += "\n";
  }
  return out;
}

}  // namespace

void run_show(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  const Model model = session.open(Session::only_one(path, catalog));
  const Weight& weight = find_weight(model, options.show_name);
  const Shown shown = collect(model, weight, session);
  const std::vector<std::string> inputs = input_paths(path, catalog);
  if (options.csv) {
    Table table(options, kFieldColumns, inputs);
    write_csv(shown, table);
    table.finish();
    return;
  }
  const std::unique_ptr<Output> output =
      options.output.empty() ? stdout_output()
                             : file_output(options.output, output_options(options, inputs));
  output->write(options.json ? json_text(shown) : person_text(model, shown, options.ascii));
  output->finish();
}

}  // namespace qi
