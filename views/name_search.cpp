#include "views/name_search.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "engine/text/glob.h"

namespace qi {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool contains(std::string_view hay, std::string_view needle) {
  return memmem(hay.data(), hay.size(), needle.data(), needle.size()) != nullptr;
}

std::string longest_literal(std::string_view glob) {
  // A set or an escape makes the pieces ambiguous; then the first test is skipped.
  if (glob.find_first_of("[]\\") != std::string_view::npos) return {};
  std::string_view best;
  while (!glob.empty()) {
    const std::size_t end = glob.find_first_of("*?");
    const std::string_view piece = glob.substr(0, end);
    if (piece.size() > best.size()) best = piece;
    if (end == std::string_view::npos) break;
    glob.remove_prefix(end + 1);
  }
  return std::string(best);
}

}  // namespace

NamePattern::NamePattern(std::string_view text) {
  case_sensitive_ =
      std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    Term term;
    term.exclude = !word.empty() && word[0] == '!';
    if (term.exclude) word.remove_prefix(1);
    if (word.empty()) continue;
    term.glob = word.find_first_of("*?[") != std::string_view::npos;
    term.text = term.glob ? fmt::format("*{}*", word) : std::string(word);
    term.literal = term.glob ? longest_literal(word) : std::string(word);
    terms_.push_back(std::move(term));
  }
}

bool NamePattern::matches(std::string_view name) const {
  for (const Term& term : terms_) {
    const bool found = contains(name, term.literal) && (!term.glob || glob_match(term.text, name));
    if (found == term.exclude) return false;
  }
  return true;
}

std::vector<std::pair<std::size_t, std::size_t>> NamePattern::spans(std::string_view name) const {
  std::vector<std::pair<std::size_t, std::size_t>> out;
  const std::string hay = case_sensitive_ ? std::string(name) : lowered(name);
  for (const Term& term : terms_) {
    if (term.exclude || term.literal.empty()) continue;
    const std::size_t at = hay.find(term.literal);
    if (at != std::string::npos) out.emplace_back(at, term.literal.size());
  }
  return out;
}

bool NamePattern::narrows(std::string_view shorter, std::string_view longer) {
  if (longer.substr(0, shorter.size()) != shorter) return false;
  if (longer.find_first_of("[]\\") != std::string_view::npos) return false;
  const std::size_t word = shorter.find_last_of(' ') + 1;  // npos + 1 is 0
  const std::string_view last = shorter.substr(word);
  // "!q" excludes more than "!qk" does, and a lone "!" turns the next letters round.
  return last.empty() || last[0] != '!';
}

void NameSearch::add(std::string_view name) {
  exact_ += name;
  for (const char c : name) lower_ += lower(c);
  ends_.push_back(exact_.size());
  ++count_;
}

void NameSearch::search(std::string_view text) {
  const bool among_hits = NamePattern::narrows(text_, text);
  text_ = text;
  pattern_ = NamePattern(text);
  const std::string_view names = pattern_.case_sensitive() ? exact_ : lower_;
  count_ = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ends_.size(); ++i) {
    const std::size_t end = ends_[i];
    if (!among_hits || hits_[i] != 0) {
      hits_[i] = pattern_.matches(names.substr(begin, end - begin)) ? 1 : 0;
    }
    count_ += hits_[i];
    begin = end;
  }
}

}  // namespace qi
