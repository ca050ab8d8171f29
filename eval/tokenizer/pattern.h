// Regular expressions as tokenizers write them (Oniguruma's syntax, which PCRE2 nearly shares),
// over UTF-8 by Unicode's properties. Refuses what the two read differently, and a pattern or a
// text on which matching would take more than bounded time and memory. A Pattern is immutable, any
// thread; a search is one thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;
struct pcre2_real_jit_stack_8;

namespace qi {

/// Bytes [begin, end) of a text.
struct Range {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool operator==(const Range&) const = default;
};

struct FreePcre2 {
  void operator()(pcre2_real_code_8* code) const;
  void operator()(pcre2_real_match_context_8* context) const;
  void operator()(pcre2_real_match_data_8* data) const;
  void operator()(pcre2_real_jit_stack_8* stack) const;
};

class Pattern {
 public:
  /// Throws kBadValue saying where the expression is wrong or not supported.
  static Pattern regex(std::string_view expression);
  /// Matches the text itself.
  static Pattern literal(std::string_view text);

 private:
  friend class PatternSearch;
  Pattern(std::string_view pattern, std::uint32_t options);
  std::unique_ptr<pcre2_real_code_8, FreePcre2> code_;
};

class PatternSearch {
 public:
  explicit PatternSearch(const Pattern& pattern);

  /// Appends all matches in `subject` (UTF-8) from left to right, `offset` added; none overlap, and
  /// an empty one never stands where another ended. Throws kLimit when a match takes too long.
  void append_all(std::string_view subject, std::uint32_t offset, std::vector<Range>& matches);

 private:
  const Pattern& pattern_;
  std::unique_ptr<pcre2_real_match_data_8, FreePcre2> data_;
  std::unique_ptr<pcre2_real_jit_stack_8, FreePcre2> stack_;
  std::unique_ptr<pcre2_real_match_context_8, FreePcre2> context_;
};

}  // namespace qi
