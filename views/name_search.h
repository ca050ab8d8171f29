// Finds names as a person types: words that must all occur, `*` and `?` inside a word, `!word` to
// exclude; capital letters only matter when there is one in the pattern. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qi {

/// A parsed pattern.
class NamePattern {
 public:
  /// One word.
  struct Term {
    std::string text;                 // a word, or a glob with a star at both ends
    std::vector<std::string> pieces;  // between the stars of a glob without sets; '?' may be inside
    std::string literal;              // the longest piece without wildcards
    bool glob = false;
    bool sets = false;  // a glob with [ ] or a backslash
    bool exclude = false;
    bool found_in(std::string_view name) const;
  };

  explicit NamePattern(std::string_view text = {});
  bool empty() const { return terms_.empty(); }
  bool case_sensitive() const { return case_sensitive_; }
  const std::vector<Term>& terms() const { return terms_; }
  /// `name` in lower case unless case_sensitive().
  bool matches(std::string_view name) const;
  /// `text` as it is: lowered here where case does not matter. For a few lines, not for a model.
  bool finds(std::string_view text) const;
  /// Bytes of `name` (as shown) that plain words matched, for highlighting.
  std::vector<std::pair<std::size_t, std::size_t>> spans(std::string_view name) const;

 private:
  std::vector<Term> terms_;
  bool case_sensitive_ = false;
};

/// All names of a model in one block of memory, searched in a few milliseconds per 100,000. What
/// the words of the last patterns were found in is kept: whoever types on, or takes it back, waits
/// for the change only.
class NameSearch {
 public:
  /// Keeps copies of the names.
  template <typename Names>
  explicit NameSearch(const Names& names) {
    for (const auto& name : names) add(name);
  }
  NameSearch() = default;
  /// Some of another's names, in that order.
  NameSearch(const NameSearch& all, std::span<const std::size_t> names);
  void add(std::string_view name);
  std::size_t size() const { return ends_.size(); }
  const std::string& pattern_text() const { return text_; }
  const NamePattern& pattern() const { return pattern_; }

  void search(std::string_view text);
  bool hit(std::size_t name) const { return hits_[name] != 0; }
  std::size_t hits() const { return count_; }
  /// Whether one name matches another pattern than that of the last search.
  bool matches(const NamePattern& pattern, std::size_t name) const {
    return pattern.matches(name_at(pattern.case_sensitive() ? exact_ : lower_, name));
  }

 private:
  // Where a word, never mind its '!', first occurs in each name; kAbsent: it does not. Of a glob
  // only whether.
  using Places = std::vector<std::uint32_t>;
  static constexpr std::uint32_t kAbsent = ~std::uint32_t{0};
  struct Found {
    std::string word;
    bool case_sensitive = false;
    bool sets = false;
    Places places;
  };

  std::string_view name_at(const std::string& names, std::size_t name) const {
    const std::size_t begin = name == 0 ? 0 : ends_[name - 1];
    return std::string_view(names).substr(begin, ends_[name] - 1 - begin);
  }
  const Places& places_of(const NamePattern::Term& term, bool case_sensitive);
  void sweep(const NamePattern::Term& term, const std::string& names, Found& out) const;
  void extend(const Found& among, const NamePattern::Term& term, const std::string& names,
              Found& out) const;

  std::string exact_, lower_;      // names, each followed by a line feed
  std::vector<std::size_t> ends_;  // where each ends, its line feed counted
  std::vector<std::uint8_t> hits_;
  std::size_t count_ = 0;
  std::string text_;
  NamePattern pattern_;
  std::deque<Found> found_;  // newest last
};

}  // namespace qi
