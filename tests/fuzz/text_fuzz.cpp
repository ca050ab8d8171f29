// Any bytes as a name: what escape() and the three writers make of it is safe to print, and what
// must come back from CSV and JSON comes back exactly. The text's first line is also a glob.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/writer.h"
#include "engine/text/escape.h"
#include "engine/text/glob.h"
#include "engine/text/utf8.h"
#include "engine/text/width.h"

namespace {

class StringOutput : public qi::Output {
 public:
  std::string text;

 protected:
  void put(std::string_view part) override { text += part; }
};

constexpr qi::Column kColumns[] = {
    {"tensor", "weight", qi::ColumnKind::kText, 100},
    {"bytes", "size", qi::ColumnKind::kBytes, 50},
};

void require(bool holds) {
  if (!holds) std::abort();
}

// Nothing a terminal would obey, and UTF-8 throughout; line breaks and tabs where allowed.
void require_safe(std::string_view text, bool line_breaks) {
  for (std::size_t at = 0; at < text.size();) {
    const qi::CodePoint point = qi::decode_utf8(text, at);
    require(point.valid);
    const bool breaks = point.code == '\n' || point.code == '\r' || point.code == '\t';
    require(breaks ? line_breaks : point.code >= 0x20 && point.code != 0x7F);
    require(point.code < 0x80 || point.code > 0x9F);
    require(point.code < 0x202A || point.code > 0x202E);
    at += point.length;
  }
}

std::string written(qi::Format format, bool terminal, int width, const std::string& name) {
  StringOutput output;
  qi::WriterStyle style;
  style.format = format;
  style.terminal = terminal;
  style.width = width;
  const auto writer = qi::make_writer(style, kColumns, output);
  writer->row(std::vector<qi::Field>{qi::Field(name), qi::Field(std::uint64_t{name.size()})});
  writer->finish();
  return output.text;
}

// A strict RFC 4180 reader.
std::vector<std::vector<std::string>> parse_csv(std::string_view text) {
  std::vector<std::vector<std::string>> rows(1);
  std::size_t at = 0;
  while (at < text.size()) {
    std::string field;
    if (text[at] == '"') {
      for (++at;; ++at) {
        require(at < text.size());
        if (text[at] != '"') {
          field += text[at];
        } else if (at + 1 < text.size() && text[at + 1] == '"') {
          field += text[at++];
        } else {
          ++at;
          break;
        }
      }
    } else {
      for (; at < text.size() && text[at] != ',' && text[at] != '\r'; ++at) {
        require(text[at] != '"' && text[at] != '\n');
        field += text[at];
      }
    }
    rows.back().push_back(field);
    require(at < text.size());
    if (text[at] == ',') {
      ++at;
      continue;
    }
    require(text.substr(at, 2) == "\r\n");
    at += 2;
    if (at < text.size()) rows.emplace_back();
  }
  return rows;
}

void check_csv(const std::string& name) {
  const std::string text = written(qi::Format::kCsv, false, 0, name);
  require_safe(text, true);
  const auto rows = parse_csv(text);
  require(rows.size() == 2 && rows[1].size() == 2);
  const std::string wanted = qi::escape_field(name, false);
  const bool guarded = rows[1][0] != wanted;
  if (guarded) require(rows[1][0] == "'" + wanted);
  require(rows[1][0].empty() ||
          std::string_view("=+-@\t\r").find(rows[1][0][0]) == std::string_view::npos);
  require(rows[1][1] == std::to_string(name.size()));
  const std::string shown = written(qi::Format::kCsv, true, 0, name);
  require(parse_csv(shown).size() == 2);
  require(std::string_view(shown).substr(15).find('\t') == std::string_view::npos);
}

void check_json(const std::string& name) {
  const std::string text = written(qi::Format::kJson, false, 0, name);
  require_safe(text, true);
  const auto row = nlohmann::json::parse(text)["rows"][0];
  require(row.contains("name_hex") != qi::is_utf8(name));
  if (qi::is_utf8(name)) {
    require(row["tensor"] == name);
  } else {
    require(row["name_hex"] == qi::hex_bytes(name));
  }
}

void check_table(const std::string& name) {
  for (const int width : {0, 1, 7, 30}) {
    require_safe(written(qi::Format::kTable, true, width, name), true);
  }
  const std::string safe = qi::escape(name);
  require_safe(safe, false);
  for (const int cells : {0, 1, 2, 5, 12}) {
    const std::string cut = qi::elide_middle(safe, cells);
    require(qi::display_width(cut) <= cells);
    require(qi::is_utf8(cut));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string name(reinterpret_cast<const char*>(data), size);
  check_csv(name);
  check_json(name);
  check_table(name);
  const std::size_t line = name.find('\n');
  if (line != std::string::npos && line < 200) {
    const std::string_view text = std::string_view(name).substr(line + 1);
    qi::glob_match(std::string_view(name).substr(0, line), text);
    require(qi::glob_match("*", text));
  }
  return 0;
}
