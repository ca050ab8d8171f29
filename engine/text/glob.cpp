#include "engine/text/glob.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace qi {
namespace {

// A byte that is not UTF-8 is a character of its own, different from every code point.
CodePoint character(std::string_view text, std::size_t at) {
  CodePoint point = decode_utf8(text, at);
  if (!point.valid) point.code += 0x110000;
  return point;
}

// One pattern element that takes one character.
struct Element {
  std::size_t length = 0;  // bytes of the pattern
  bool matches = false;
};

// `[…]` starting at `at`; length 0 when it is not closed.
Element match_set(std::string_view pattern, std::size_t at, char32_t code) {
  std::size_t i = at + 1;
  const bool negated = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  bool found = false;
  for (bool first = true; i < pattern.size(); first = false) {
    if (pattern[i] == ']' && !first) return {i + 1 - at, found != negated};
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const CodePoint low = character(pattern, i);
    CodePoint high = low;
    i += low.length;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      high = character(pattern, i + 1);
      i += 1 + high.length;
    }
    found = found || (low.code <= code && code <= high.code);
  }
  return {};
}

Element match_one(std::string_view pattern, std::size_t at, char32_t code) {
  if (pattern[at] == '?') return {1, true};
  if (pattern[at] == '[') {
    const Element set = match_set(pattern, at, code);
    if (set.length > 0) return set;
  }
  const std::size_t skip = pattern[at] == '\\' && at + 1 < pattern.size() ? 1 : 0;
  const CodePoint literal = character(pattern, at + skip);
  return {skip + literal.length, literal.code == code};
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;  // pattern position after the last star seen
  std::size_t star_text = 0;                  // where its run ends so far
  while (t < text.size()) {
    const CodePoint point = character(text, t);
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_text = t;
      continue;
    }
    if (p < pattern.size()) {
      const Element element = match_one(pattern, p, point.code);
      if (element.matches) {
        p += element.length;
        t += point.length;
        continue;
      }
    }
    if (star == std::string_view::npos) return false;
    // The last star takes one character more; earlier stars never need to change.
    star_text += character(text, star_text).length;
    p = star;
    t = star_text;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

NameFilter::NameFilter(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    if (pattern.starts_with('!')) {
      exclude_.push_back(pattern.substr(1));
    } else {
      include_.push_back(pattern);
    }
  }
}

bool NameFilter::matches(std::string_view name) const {
  const auto hits = [&](const std::string& pattern) { return glob_match(pattern, name); };
  if (std::any_of(exclude_.begin(), exclude_.end(), hits)) return false;
  return include_.empty() || std::any_of(include_.begin(), include_.end(), hits);
}

}  // namespace qi
