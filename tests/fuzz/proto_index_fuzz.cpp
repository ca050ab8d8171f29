// Any bytes as tensor_index.tsv: rows whose names are unique text, or refused with qi::Error.
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "engine/format/prototype.h"
#include "engine/text/utf8.h"

namespace {
void check(bool holds) {
  if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    std::set<std::pair<std::string, bool>> seen;
    for (const qi::PrototypeRow& row : qi::parse_prototype_index(text, "index")) {
      check(!row.name.empty() && qi::is_utf8(row.name));
      check(text.substr(row.row_offset, row.name.size()) == row.name);
      check(seen.emplace(row.name, row.quant).second);
    }
  } catch (const qi::Error& error) {
    check(qi::exit_status(error.code) == 2);
    check(error.offset.has_value() && *error.offset <= size);
  }
  return 0;
}
