// Any bytes as JSON: the document and the cursor either accept or throw qi::Error, and they accept
// exactly what a second parser accepts (apart from our own limits). A tokenizer is JSON too.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/format/json.h"
#include "engine/format/json_document.h"
#include "engine/format/tokenizer_json.h"

namespace {

enum class Verdict { kAccepted, kRefused, kLimit };

Verdict document_verdict(std::string_view text) {
  std::vector<std::string> odd;
  try {
    qi::parse_json(text, "fuzz", odd);
    return Verdict::kAccepted;
  } catch (const qi::Error& error) {
    return error.code == qi::ErrorCode::kLimit ? Verdict::kLimit : Verdict::kRefused;
  }
}

Verdict cursor_verdict(std::string_view text) {
  try {
    qi::JsonCursor cursor(text, "fuzz");
    cursor.skip();
    cursor.end();
    return Verdict::kAccepted;
  } catch (const qi::Error& error) {
    if (error.offset && *error.offset > text.size()) std::abort();
    const bool ours =
        error.code == qi::ErrorCode::kLimit || error.code == qi::ErrorCode::kDuplicate;
    return ours ? Verdict::kLimit : Verdict::kRefused;
  }
}

void read_as_tokenizer(std::string_view text) {
  qi::TokenizerFile found;
  found.ids.try_emplace("<s>");
  try {
    qi::read_tokenizer(text, "fuzz", found);
  } catch (const qi::Error& error) {
    if (error.offset && *error.offset > text.size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_as_tokenizer(text);
  const Verdict document = document_verdict(text);
  const Verdict cursor = cursor_verdict(text);
  if (cursor != Verdict::kLimit && document != Verdict::kLimit && cursor != document) std::abort();
  if (document == Verdict::kLimit || text.starts_with("\xef\xbb\xbf")) return 0;
  // nlohmann::json refuses numbers beyond a double as well: those we take as odd fields.
  std::vector<std::string> odd;
  const bool accepted = document == Verdict::kAccepted;
  if (accepted) qi::parse_json(text, "fuzz", odd);
  if (odd.empty() && nlohmann::json::accept(text) != accepted) std::abort();
  return 0;
}
