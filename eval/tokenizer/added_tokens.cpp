#include "eval/tokenizer/added_tokens.h"

#include <utility>

#include <utf8proc.h>

#include "engine/text/utf8.h"

namespace qi {
namespace {

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x85 ||
         (category(code) >= UTF8PROC_CATEGORY_ZS && category(code) <= UTF8PROC_CATEGORY_ZP);
}

bool is_word(char32_t code) {
  const utf8proc_category_t its = category(code);
  return (its >= UTF8PROC_CATEGORY_LU && its <= UTF8PROC_CATEGORY_ND) ||
         its == UTF8PROC_CATEGORY_PC;
}

// The character that ends before `end` > 0.
CodePoint before(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return decode_utf8(text, at);
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_word(before(text, begin).code)) &&
         (end == text.size() || !is_word(decode_utf8(text, end).code));
}

std::size_t spaces_left(std::string_view text, std::size_t begin, std::size_t limit) {
  while (begin > limit) {
    const CodePoint point = before(text, begin);
    if (!is_space(point.code)) break;
    begin -= point.length;
  }
  return begin;
}

std::size_t spaces_right(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    const CodePoint point = decode_utf8(text, end);
    if (!is_space(point.code)) break;
    end += point.length;
  }
  return end;
}

}  // namespace

void AddedTokens::add(AddedToken token) {
  trie_.add(token.text, static_cast<std::int32_t>(tokens_.size()));
  tokens_.push_back(std::move(token));
}

std::vector<Segment> AddedTokens::split(std::string_view text, bool parse_special) const {
  std::vector<Segment> segments;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const AddedToken* token = nullptr;
    std::size_t length = 0;
    trie_.walk(text, at, [&](std::size_t longer, std::int32_t place) {
      token = &tokens_[static_cast<std::size_t>(place)];
      length = longer;
    });
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + length;
    at = end;
    if (token->special && !parse_special) continue;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->strips_left) begin = spaces_left(text, begin, done);
    if (token->strips_right) end = spaces_right(text, end);
    if (done < begin) segments.push_back({text.substr(done, begin - done), std::nullopt});
    segments.push_back({text.substr(begin, end - begin), token->id});
    done = end;  // what stood in the white space it took is found all the same, as in the reference
  }
  if (done < text.size()) segments.push_back({text.substr(done), std::nullopt});
  return segments;
}

}  // namespace qi
