#include "app/writer.h"

#include <fmt/format.h>

namespace qi {

std::unique_ptr<Writer> make_writer(const WriterStyle& style, std::span<const Column> columns,
                                    Output& output) {
  switch (style.format) {
    case Format::kCsv:
      return make_csv_writer(style, columns, output);
    case Format::kJson:
      return make_json_writer(style, columns, output);
    case Format::kTable:
      break;
  }
  return make_table_writer(style, columns, output);
}

std::string hex_bytes(std::string_view text) {
  std::string out;
  for (const char c : text) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return out;
}

}  // namespace qi
