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

// Words whose finds are kept: one filter as typed, letter by letter.
constexpr std::size_t kKept = 24;

bool contains(std::string_view hay, std::string_view needle) {
  return memmem(hay.data(), hay.size(), needle.data(), needle.size()) != nullptr;
}

// The byte after the first place where `piece` ('?' is any byte) occurs; npos when it does not.
std::size_t end_of_piece(std::string_view name, std::string_view piece) {
  if (piece.find('?') == std::string_view::npos) {
    const std::size_t at = name.find(piece);
    return at == std::string_view::npos ? at : at + piece.size();
  }
  const std::size_t solid = piece.find_first_not_of('?');
  for (std::size_t at = 0; at + piece.size() <= name.size(); ++at) {
    if (solid != std::string_view::npos) {
      const std::size_t next = name.find(piece[solid], at + solid);
      if (next == std::string_view::npos) break;
      at = next - solid;
      if (at + piece.size() > name.size()) break;
    }
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
    term.sets = word.find_first_of("[]\\") != std::string_view::npos;
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

bool NamePattern::matches(std::string_view name) const {
  return std::all_of(terms_.begin(), terms_.end(),
                     [&](const Term& term) { return term.found_in(name) != term.exclude; });
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

void NameSearch::add(std::string_view name) {
  exact_ += name;
  exact_ += '\n';
  for (const char c : name) lower_ += lower(c);
  lower_ += '\n';
  ends_.push_back(exact_.size());
  hits_.push_back(1);
  ++count_;
}

NameSearch::NameSearch(const NameSearch& all, std::span<const std::size_t> names)
    : hits_(names.size(), 1), count_(names.size()) {
  std::size_t bytes = 0;
  for (const std::size_t name : names) bytes += all.name_at(all.exact_, name).size() + 1;
  exact_.reserve(bytes);
  lower_.reserve(bytes);
  ends_.reserve(names.size());
  for (const std::size_t name : names) {
    (exact_ += all.name_at(all.exact_, name)) += '\n';
    (lower_ += all.name_at(all.lower_, name)) += '\n';
    ends_.push_back(exact_.size());
  }
}

void NameSearch::search(std::string_view text) {
  text_ = text;
  pattern_ = NamePattern(text);
  hits_.assign(size(), 1);
  for (const NamePattern::Term& term : pattern_.terms()) {
    const Places& places = places_of(term, pattern_.case_sensitive());
    for (std::size_t i = 0; i < size(); ++i) {
      hits_[i] &= static_cast<std::uint8_t>((places[i] == kAbsent) == term.exclude);
    }
  }
  count_ = static_cast<std::size_t>(std::count(hits_.begin(), hits_.end(), std::uint8_t{1}));
}

const NameSearch::Places& NameSearch::places_of(const NamePattern::Term& term,
                                                bool case_sensitive) {
  // As typed: without the stars that a glob was given.
  const std::string word = term.glob ? term.text.substr(1, term.text.size() - 2) : term.text;
  // What a longer word is found in, what it begins with is found in too: the longest such one.
  const Found* among = nullptr;
  for (const Found& one : found_) {
    if (one.case_sensitive != case_sensitive) continue;
    if (one.word == word) return one.places;
    if (one.sets || term.sets || !word.starts_with(one.word)) continue;
    if (among == nullptr || one.word.size() > among->word.size()) among = &one;
  }
  Found fresh{word, case_sensitive, term.sets, Places(size(), kAbsent)};
  const std::string& names = case_sensitive ? exact_ : lower_;
  if (among != nullptr) {
    extend(*among, term, names, fresh);
  } else {
    sweep(term, names, fresh);
  }
  if (found_.size() == kKept) found_.pop_front();
  return found_.emplace_back(std::move(fresh)).places;
}

// Among the names that the beginning of the word was found in.
void NameSearch::extend(const Found& among, const NamePattern::Term& term, const std::string& names,
                        Found& out) const {
  for (std::size_t i = 0; i < size(); ++i) {
    const std::uint32_t begun = among.places[i];
    if (begun == kAbsent) continue;
    const std::string_view name = name_at(names, i);
    if (term.glob) {
      if (term.found_in(name)) out.places[i] = 0;
      continue;
    }
    // Mostly it goes on where the beginning first is; before that it cannot be.
    const std::size_t at =
        name.substr(begun).starts_with(term.text) ? begun : name.find(term.text, begun);
    if (at != std::string_view::npos) out.places[i] = static_cast<std::uint32_t>(at);
  }
}

// One search through all names for the next one that can match: those in between cannot.
void NameSearch::sweep(const NamePattern::Term& term, const std::string& names, Found& out) const {
  const std::string& literal = term.literal;
  // A line feed in a word could be one between two names.
  const bool together = !literal.empty() && literal.find('\n') == std::string::npos;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    std::size_t at = begin;
    if (together) {
      const void* found =
          memmem(names.data() + begin, names.size() - begin, literal.data(), literal.size());
      if (found == nullptr) return;
      at = static_cast<std::size_t>(static_cast<const char*>(found) - names.data());
      while (ends_[i] <= at) ++i;
    }
    const std::string_view name = name_at(names, i);
    begin = ends_[i];
    if (together && !term.glob) {
      out.places[i] = static_cast<std::uint32_t>(at - (ends_[i] - 1 - name.size()));
    } else if (term.found_in(name)) {
      out.places[i] = 0;
    }
  }
}

}  // namespace qi
