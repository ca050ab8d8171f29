#include "eval/tokenizer/pattern.h"

#include <array>
#include <new>
#include <string>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace qi {
namespace {

constexpr std::size_t kMaxPatternBytes = 16384;  // real ones have some hundred
constexpr std::uint32_t kMaxGroupNesting = 64;
// Steps of one match. Runs of one class take a step each, whatever their length.
constexpr std::uint32_t kMatchLimit = 20'000'000;
constexpr std::uint32_t kHeapLimitKib = 65536;
constexpr std::size_t kStackStart = 32768;
constexpr std::size_t kStackLimit = 8 << 20;

std::string message_of(int code) {
  std::array<PCRE2_UCHAR8, 256> text{};
  pcre2_get_error_message_8(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

[[noreturn]] void refuse(std::string_view expression, std::string_view why) {
  throw Error(ErrorCode::kBadValue,
              fmt::format("pattern \"{}\": {}", expression.substr(0, 200), why),
              "a regular expression that can be matched here");
}

// Oniguruma's classes by Unicode's properties: PCRE2's \s has U+180E besides, its \w lacks marks.
std::string in_pcre2_syntax(std::string_view expression) {
  constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
  std::string out;
  bool in_class = false;
  for (std::size_t at = 0; at < expression.size(); ++at) {
    const char c = expression[at];
    const char next = at + 1 < expression.size() ? expression[at + 1] : '\0';
    if (c == '\\') {
      ++at;
      switch (next) {
        case 's':
          out += R"(\p{White_Space})";
          break;
        case 'S':
          out += R"(\P{White_Space})";
          break;
        case 'd':
          out += R"(\p{Nd})";
          break;
        case 'D':
          out += R"(\P{Nd})";
          break;
        case 'w':
          out += in_class ? std::string(kWord) : fmt::format("[{}]", kWord);
          break;
        case 'W':
          if (in_class) refuse(expression, "\\W in a class is not supported");
          out += fmt::format("[^{}]", kWord);
          break;
        case 'h':
        case 'H':
          refuse(expression, "\\h is not supported");
        default:
          out += c;
          if (at < expression.size()) out += next;
      }
      continue;
    }
    if (in_class && ((c == '[' && next != ':') || (c == '&' && next == '&'))) {
      refuse(expression, "a class in a class is not supported");
    }
    if (in_class && c == '[') {  // [:alpha:]
      const std::size_t end = expression.find(":]", at);
      if (end == std::string_view::npos) refuse(expression, "a class without an end");
      out += expression.substr(at, end + 2 - at);
      at = end + 1;
      continue;
    }
    if (c == '[') {
      in_class = true;
      // A bracket that comes first is an ordinary character.
      if (next == '^') out += c, ++at;
      if (at + 1 < expression.size() && expression[at + 1] == ']') out += expression[at++];
    } else if (c == ']') {
      in_class = false;
    }
    out += expression[at];
  }
  return out;
}

}  // namespace

void FreePcre2::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free_8(code);
}
void FreePcre2::operator()(pcre2_real_match_context_8* context) const {
  pcre2_match_context_free_8(context);
}
void FreePcre2::operator()(pcre2_real_match_data_8* data) const {
  pcre2_match_data_free_8(data);
}
void FreePcre2::operator()(pcre2_real_jit_stack_8* stack) const {
  pcre2_jit_stack_free_8(stack);
}

Pattern::Pattern(std::string_view pattern, std::uint32_t options) {
  if (pattern.size() > kMaxPatternBytes) {
    refuse(pattern,
           fmt::format("{} bytes long, at most {} are read", pattern.size(), kMaxPatternBytes));
  }
  auto* context = pcre2_compile_context_create_8(nullptr);
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_newline_8(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit_8(context, kMaxGroupNesting);
  int error = 0;
  PCRE2_SIZE where = 0;
  code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(pattern.data()), pattern.size(),
                              options | PCRE2_UTF, &error, &where, context));
  pcre2_compile_context_free_8(context);
  if (code_ == nullptr) refuse(pattern, fmt::format("{} at byte {}", message_of(error), where));
  // Where there is no JIT the interpreter matches the same.
  pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);
}

Pattern Pattern::regex(std::string_view expression) {
  return {in_pcre2_syntax(expression), PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C};
}

Pattern Pattern::literal(std::string_view text) {
  return {text, PCRE2_LITERAL};
}

PatternSearch::PatternSearch(const Pattern& pattern)
    : pattern_(pattern),
      data_(pcre2_match_data_create_8(1, nullptr)),
      stack_(pcre2_jit_stack_create_8(kStackStart, kStackLimit, nullptr)),
      context_(pcre2_match_context_create_8(nullptr)) {
  if (data_ == nullptr || context_ == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit_8(context_.get(), kMatchLimit);
  pcre2_set_heap_limit_8(context_.get(), kHeapLimitKib);
  if (stack_ != nullptr) pcre2_jit_stack_assign_8(context_.get(), nullptr, stack_.get());
}

void PatternSearch::append_all(std::string_view subject, std::uint32_t offset,
                               std::vector<Range>& matches) {
  const auto* text = reinterpret_cast<PCRE2_SPTR8>(subject.data());
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer_8(data_.get());
  std::size_t last_end = std::string_view::npos;
  for (std::size_t at = 0; at <= subject.size();) {
    // The text is known to be UTF-8 (Tokenizer::encode), and matches end between characters.
    const int result = pcre2_match_8(pattern_.code_.get(), text, subject.size(), at,
                                     PCRE2_NO_UTF_CHECK, data_.get(), context_.get());
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0) {
      throw Error(ErrorCode::kLimit,
                  fmt::format("matching the tokenizer's pattern: {}", message_of(result)),
                  "text that its pattern can cut");
    }
    const std::size_t begin = found[0];
    const std::size_t end = found[1];
    if (begin < end || begin != last_end) {
      matches.push_back(
          {offset + static_cast<std::uint32_t>(begin), offset + static_cast<std::uint32_t>(end)});
      last_end = end;
    }
    at = end;
    if (begin == end) at += end < subject.size() ? decode_utf8(subject, end).length : 1;
  }
}

}  // namespace qi
