#include <algorithm>
#include <queue>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/text/utf8.h"
#include "eval/tokenizer/token_model.h"

namespace qi {
namespace {

constexpr std::int32_t kNone = -1;

// A run of the piece that is one token so far.
struct Symbol {
  std::string_view text;        // where merges go by it
  std::int32_t token;           // kNone: its text is none (SentencePiece merges that, too)
  std::int32_t previous, next;  // neighbours' places, or kNone
  bool gone = false;            // part of its left neighbour by now
};

struct Outcome {
  double priority;  // the highest is done first
  std::int32_t token;
};

// Merges neighbours until none is left that `outcome_of(left, right)` has something for.
template <typename OutcomeOf>
void merge_all(std::vector<Symbol>& symbols, const OutcomeOf& outcome_of) {
  struct Waiting {
    double priority;
    std::int32_t left, right, end;  // places of the two, and of what comes behind them
    std::int32_t token;
    bool operator<(const Waiting& other) const {  // the queue gives the largest
      return priority != other.priority ? priority < other.priority : left > other.left;
    }
  };
  std::vector<Waiting> storage;
  storage.reserve(symbols.size());
  std::priority_queue<Waiting> queue({}, std::move(storage));
  const auto at = [&](std::int32_t place) -> Symbol& {
    return symbols[static_cast<std::size_t>(place)];
  };
  const auto consider = [&](std::int32_t left) {
    if (left == kNone || at(left).next == kNone) return;
    const std::int32_t right = at(left).next;
    if (const std::optional<Outcome> found = outcome_of(at(left), at(right))) {
      queue.push({found->priority, left, right, at(right).next, found->token});
    }
  };
  for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(symbols.size()); ++i) consider(i);
  while (!queue.empty()) {
    const Waiting top = queue.top();
    queue.pop();
    Symbol& left = at(top.left);
    if (left.gone || left.next == kNone) continue;
    Symbol& right = at(left.next);
    // Where one of the two has grown since, they may still make the same token.
    if (left.next != top.right || right.next != top.end) {
      const std::optional<Outcome> now = outcome_of(left, right);
      if (!now || now->token != top.token) continue;
    }
    left.text = {left.text.data(), left.text.size() + right.text.size()};
    left.token = top.token;
    left.next = right.next;
    right.gone = true;
    if (left.next != kNone) at(left.next).previous = top.left;
    consider(left.previous);
    consider(top.left);
  }
}

void append_symbol(std::vector<Symbol>& symbols, std::string_view text, std::int32_t token) {
  const auto place = static_cast<std::int32_t>(symbols.size());
  symbols.push_back({text, token, place - 1, kNone});
  if (place > 0) symbols[static_cast<std::size_t>(place) - 1].next = place;
}

class Bpe : public TokenModel {
 public:
  Bpe(const Vocabulary& vocabulary, Merges merges, Unknown unknown, bool whole_first)
      : vocabulary_(vocabulary),
        merges_(std::move(merges)),
        unknown_(unknown),
        whole_first_(whole_first) {}

  void tokenize(std::string_view piece, std::vector<std::int32_t>& out) const override {
    if (whole_first_) {
      if (const auto id = vocabulary_.find(piece)) return out.push_back(*id);
    }
    std::vector<Symbol> symbols = split(piece);
    merge_all(symbols, [&](const Symbol& left, const Symbol& right) -> std::optional<Outcome> {
      const auto found = merges_.find(merge_key(left.token, right.token));
      if (found == merges_.end()) return std::nullopt;
      return Outcome{-static_cast<double>(found->second.rank), found->second.id};
    });
    for (const Symbol& symbol : symbols) {
      if (!symbol.gone) out.push_back(symbol.token);
    }
  }

 private:
  // Characters, or the bytes of those that are no tokens. An unknown one waits for its end, as in
  // the reference: bytes that come meanwhile stand before it.
  std::vector<Symbol> split(std::string_view piece) const {
    std::vector<Symbol> symbols;
    symbols.reserve(piece.size());
    std::vector<std::int32_t> bytes;
    bool waiting = false;
    const auto flush = [&] {
      if (waiting) append_symbol(symbols, {}, *unknown_.id);
      waiting = false;
    };
    for (std::size_t at = 0; at < piece.size();) {
      const std::string_view character = piece.substr(at, decode_utf8(piece, at).length);
      at += character.size();
      bytes.clear();
      if (const auto id = vocabulary_.find(character)) {
        flush();
        append_symbol(symbols, {}, *id);
      } else if (unknown_.byte_fallback && vocabulary_.append_bytes(character, bytes)) {
        for (const std::int32_t byte : bytes) append_symbol(symbols, {}, byte);
      } else if (unknown_.id) {
        if (!unknown_.fuse) flush();
        waiting = true;
      }
    }
    flush();
    return symbols;
  }

  const Vocabulary& vocabulary_;
  Merges merges_;
  Unknown unknown_;
  bool whole_first_;
};

class ScoredBpe : public TokenModel {
 public:
  ScoredBpe(const Vocabulary& vocabulary, std::vector<float> scores, Unknown unknown)
      : vocabulary_(vocabulary), scores_(std::move(scores)), unknown_(unknown) {
    for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
      longest_ = std::max(longest_, vocabulary_.text(id).size());
    }
  }

  void tokenize(std::string_view piece, std::vector<std::int32_t>& out) const override {
    std::vector<Symbol> symbols;
    symbols.reserve(piece.size());
    for (std::size_t at = 0; at < piece.size();) {
      const std::string_view character = piece.substr(at, decode_utf8(piece, at).length);
      append_symbol(symbols, character, vocabulary_.find(character).value_or(kNone));
      at += character.size();
    }
    merge_all(symbols, [&](const Symbol& left, const Symbol& right) -> std::optional<Outcome> {
      const std::size_t size = left.text.size() + right.text.size();
      if (size > longest_) return std::nullopt;
      const auto id = vocabulary_.find({left.text.data(), size});
      if (!id) return std::nullopt;
      return Outcome{scores_[static_cast<std::size_t>(*id)], *id};
    });
    bool fused = false;
    for (const Symbol& symbol : symbols) {
      if (symbol.gone) continue;
      const bool known = symbol.token != kNone;
      if (known) {
        out.push_back(symbol.token);
      } else if (!(unknown_.byte_fallback && vocabulary_.append_bytes(symbol.text, out)) &&
                 unknown_.id && !(unknown_.fuse && fused)) {
        out.push_back(*unknown_.id);
      }
      fused = !known;
    }
  }

 private:
  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  Unknown unknown_;
  std::size_t longest_ = 0;
};

}  // namespace

void add_merge(const Vocabulary& vocabulary, std::string_view left, std::string_view right,
               std::uint32_t rank, Merges& merges) {
  const auto id_of = [&](std::string_view token) {
    if (const auto id = vocabulary.find(token)) return *id;
    throw Error(ErrorCode::kInconsistent,
                fmt::format("merge {} needs a token \"{}\"", rank, token.substr(0, 200)),
                "tokens of the vocabulary");
  };
  const std::string both = fmt::format("{}{}", left, right);
  merges.insert_or_assign(merge_key(id_of(left), id_of(right)), Merge{rank, id_of(both)});
}

std::unique_ptr<TokenModel> make_bpe(const Vocabulary& vocabulary, Merges merges, Unknown unknown,
                                     bool whole_first) {
  return std::make_unique<Bpe>(vocabulary, std::move(merges), unknown, whole_first);
}

std::unique_ptr<TokenModel> make_scored_bpe(const Vocabulary& vocabulary, std::vector<float> scores,
                                            Unknown unknown) {
  return std::make_unique<ScoredBpe>(vocabulary, std::move(scores), unknown);
}

}  // namespace qi
