// Finds names as a person types: words that must all occur, `*` and `?` inside a word, `!word` to
// exclude; capital letters only matter when there is one in the pattern. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qi {

/// A parsed pattern.
class NamePattern {
 public:
  explicit NamePattern(std::string_view text = {});
  bool empty() const { return terms_.empty(); }
  bool case_sensitive() const { return case_sensitive_; }
  /// `name` in lower case unless case_sensitive().
  bool matches(std::string_view name) const { return matches_but(name, terms_.size()); }
  /// `text` as it is: lowered here where case does not matter. For a few lines, not for a model.
  bool finds(std::string_view text) const;
  /// matches() without the word of index `known`, which was found before.
  bool matches_but(std::string_view name, std::size_t known) const;
  /// A text that every match contains; empty when there is none. `known`: the index of the word
  /// that is nothing but this text, else the number of words.
  std::string_view literal(std::size_t& known) const;
  /// Bytes of `name` (as shown) that plain words matched, for highlighting.
  std::vector<std::pair<std::size_t, std::size_t>> spans(std::string_view name) const;
  /// True when whatever `longer` matches is sure to match `shorter` too: a search can go on among
  /// the names found so far.
  static bool narrows(std::string_view shorter, std::string_view longer);

 private:
  struct Term {
    std::string text;                 // a word, or a glob with a star at both ends
    std::vector<std::string> pieces;  // between the stars of a glob without sets; '?' may be inside
    std::string literal;              // the longest piece without wildcards
    bool glob = false;
    bool exclude = false;
    bool found_in(std::string_view name) const;
  };
  std::vector<Term> terms_;
  bool case_sensitive_ = false;
};

/// All names of a model in one block of memory, searched in a few milliseconds per 100,000.
class NameSearch {
 public:
  /// Keeps copies of the names.
  template <typename Names>
  explicit NameSearch(const Names& names) {
    for (const auto& name : names) add(name);
    hits_.assign(size(), 1);
  }
  std::size_t size() const { return ends_.size(); }
  const std::string& pattern_text() const { return text_; }
  const NamePattern& pattern() const { return pattern_; }

  void search(std::string_view text);
  bool hit(std::size_t name) const { return hits_[name] != 0; }
  std::size_t hits() const { return count_; }

 private:
  void add(std::string_view name);

  std::string exact_, lower_;      // names, each followed by a line feed
  std::vector<std::size_t> ends_;  // where each ends, its line feed counted
  std::vector<std::uint8_t> hits_;
  std::size_t count_ = 0;
  std::string text_;
  NamePattern pattern_;
};

}  // namespace qi
