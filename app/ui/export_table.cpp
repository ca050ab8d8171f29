#include "app/ui/export_table.h"

#include <charconv>
#include <vector>

#include "app/output.h"
#include "app/writer.h"

namespace qi {
namespace {

Field number_of(const std::string& text) {
  if (text.empty()) return {};
  const char* end = text.data() + text.size();
  std::uint64_t natural = 0;
  if (const auto [stop, bad] = std::from_chars(text.data(), end, natural);
      bad == std::errc() && stop == end) {
    return natural;
  }
  double real = 0;
  if (const auto [stop, bad] = std::from_chars(text.data(), end, real);
      bad == std::errc() && stop == end) {
    return real;
  }
  return text;
}

}  // namespace

void export_table(const TextTable& table, const std::string& path, const OutputOptions& options) {
  WriterStyle style;
  if (path.ends_with(".csv")) {
    style.format = Format::kCsv;
  } else if (path.ends_with(".json")) {
    style.format = Format::kJson;
  } else {
    throw Error(ErrorCode::kUsage, "the ending says neither CSV nor JSON",
                "a name that ends in .csv or .json", path);
  }
  std::vector<Column> columns;
  for (const std::string& name : table.columns) columns.push_back({name, name});
  const std::unique_ptr<Output> output = file_output(path, options);
  try {
    const std::unique_ptr<Writer> writer = make_writer(style, columns, *output);
    Row cells;
    for (const std::vector<std::string>& row : table.rows) {
      cells.clear();
      for (std::size_t i = 0; i < row.size(); ++i) {
        cells.push_back(table.numeric[i] ? number_of(row[i]) : field_if(!row[i].empty(), row[i]));
      }
      writer->row(cells);
    }
    writer->finish();
    output->finish();
  } catch (const OutputFailed& failed) {
    throw failed.error;
  }
}

}  // namespace qi
