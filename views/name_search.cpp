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

// The byte after the first place where `piece` ('?' is any byte) occurs; npos when it does not.
std::size_t end_of_piece(std::string_view name, std::string_view piece) {
  if (piece.find('?') == std::string_view::npos) {
    const std::size_t at = name.find(piece);
    return at == std::string_view::npos ? at : at + piece.size();
  }
  for (std::size_t at = 0; at + piece.size() <= name.size(); ++at) {
    std::size_t i = 0;
    while (i < piece.size() && (piece[i] == '?' || piece[i] == name[at + i])) ++i;
    if (i == piece.size()) return at + i;
  }
  return std::string_view::npos;
}

std::vector<std::string> pieces_of(std::string_view glob) {
  std::vector<std::string> out;
  if (glob.find_first_of("[]\\") != std::string_view::npos) return out;
  while (!glob.empty()) {
    const std::size_t end = std::min(glob.find('*'), glob.size());
    if (end > 0) out.emplace_back(glob.substr(0, end));
    glob.remove_prefix(std::min(end + 1, glob.size()));
  }
  return out;
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
    if (term.glob) term.pieces = pieces_of(word);
    terms_.push_back(std::move(term));
  }
}

bool NamePattern::Term::found_in(std::string_view name) const {
  if (!glob) return contains(name, text);
  if (pieces.empty()) return contains(name, literal) && glob_match(text, name);
  // Stars at both ends: each piece in turn, as far left as it goes.
  for (const std::string& piece : pieces) {
    const std::size_t end = end_of_piece(name, piece);
    if (end == std::string_view::npos) return false;
    name.remove_prefix(end);
  }
  return true;
}

bool NamePattern::finds(std::string_view text) const {
  return case_sensitive_ ? matches(text) : matches(lowered(text));
}

bool NamePattern::matches_but(std::string_view name, std::size_t known) const {
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    if (i != known && terms_[i].found_in(name) == terms_[i].exclude) return false;
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

std::string_view NamePattern::literal(std::size_t& known) const {
  std::string_view best;
  known = terms_.size();
  for (std::size_t i = 0; i < terms_.size(); ++i) {
    if (terms_[i].exclude || terms_[i].literal.size() <= best.size()) continue;
    best = terms_[i].literal;
    // A line feed in a word could be one between two names.
    const bool plain = !terms_[i].glob && best.find('\n') == std::string_view::npos;
    known = plain ? i : terms_.size();
  }
  return best;
}

void NameSearch::add(std::string_view name) {
  exact_ += name;
  exact_ += '\n';
  for (const char c : name) lower_ += lower(c);
  lower_ += '\n';
  ends_.push_back(exact_.size());
  ++count_;
}

void NameSearch::search(std::string_view text) {
  const bool among_hits = NamePattern::narrows(text_, text);
  text_ = text;
  pattern_ = NamePattern(text);
  if (!among_hits || pattern_.empty()) std::fill(hits_.begin(), hits_.end(), std::uint8_t{1});
  count_ = pattern_.empty() ? size() : 0;
  if (pattern_.empty()) return;
  const std::string_view names = pattern_.case_sensitive() ? exact_ : lower_;
  std::size_t known = 0;
  const std::string_view literal = pattern_.literal(known);
  // One search through all names for the next one that can match: those in between cannot.
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ends_.size();) {
    if (!literal.empty()) {
      const void* found =
          memmem(names.data() + begin, names.size() - begin, literal.data(), literal.size());
      const std::size_t at =
          found == nullptr
              ? names.size()
              : static_cast<std::size_t>(static_cast<const char*>(found) - names.data());
      for (; i < ends_.size() && ends_[i] <= at; ++i) hits_[i] = 0;
      if (i == ends_.size()) break;
      begin = i == 0 ? 0 : ends_[i - 1];
    }
    const std::size_t end = ends_[i];
    if (hits_[i] != 0) {
      hits_[i] = pattern_.matches_but(names.substr(begin, end - 1 - begin), known) ? 1 : 0;
      count_ += hits_[i];
    }
    begin = end;
    ++i;
  }
}

}  // namespace qi
