#include <cstdlib>
#include <memory>
#include <new>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <utf8proc.h>

#include "engine/io/error.h"
#include "eval/tokenizer/description.h"
#include "eval/tokenizer/steps.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxTextBytes = std::size_t{1} << 31;

bool is_ascii(std::string_view text) {
  unsigned all = 0;
  for (const char c : text) all |= static_cast<unsigned char>(c);
  return all < 0x80;
}

TextStep unicode_form(int options) {
  return [options](std::string& text) {
    if (is_ascii(text)) return;  // is its own form
    utf8proc_uint8_t* made = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &made,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(made, &std::free);
    if (size == UTF8PROC_ERROR_NOMEM) throw std::bad_alloc();
    if (size < 0) {
      throw Error(ErrorCode::kBadEncoding,
                  fmt::format("normalizing the text: {}", utf8proc_errmsg(size)), "UTF-8");
    }
    text.assign(reinterpret_cast<const char*>(made), static_cast<std::size_t>(size));
  };
}

TextStep prepend(std::string added) {
  return [added = std::move(added)](std::string& text) {
    if (!text.empty()) text.insert(0, added);
  };
}

TextStep replace_in_text(const Json& description) {
  const auto pattern = std::make_shared<const Pattern>(pattern_field(description));
  return [pattern, content = text_field(description, "content")](std::string& text) {
    std::vector<Range> matches;
    PatternSearch(*pattern).append_all(text, 0, matches);
    std::string out;
    std::size_t at = 0;
    for (const Range& match : matches) {
      out.append(text, at, match.begin - at);
      out += content;
      at = match.end;
      check_text_size(out.size());
    }
    text = out.append(text, at);
  };
}

}  // namespace

void check_text_size(std::size_t size_bytes) {
  if (size_bytes <= kMaxTextBytes) return;
  throw Error(ErrorCode::kLimit, fmt::format("text that becomes {} bytes to cut", size_bytes),
              fmt::format("at most {}", kMaxTextBytes));
}

std::vector<TextStep> normalizer_steps(const Json& description) {
  std::vector<TextStep> steps;
  for_each_component(description, "normalizers", "normalizer",
                     [&](const Json& component, std::string_view type) {
                       if (type == "NFC") {
                         steps.push_back(unicode_form(UTF8PROC_COMPOSE));
                       } else if (type == "NFD") {
                         steps.push_back(unicode_form(UTF8PROC_DECOMPOSE));
                       } else if (type == "NFKC") {
                         steps.push_back(unicode_form(UTF8PROC_COMPOSE | UTF8PROC_COMPAT));
                       } else if (type == "NFKD") {
                         steps.push_back(unicode_form(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT));
                       } else if (type == "Prepend") {
                         steps.push_back(prepend(text_field(component, "prepend")));
                       } else if (type == "Replace") {
                         steps.push_back(replace_in_text(component));
                       } else {
                         refuse_type("normalizer", type);
                       }
                     });
  return steps;
}

}  // namespace qi
