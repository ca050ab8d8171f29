#include <algorithm>
#include <limits>
#include <utility>

#include "engine/text/utf8.h"
#include "eval/tokenizer/token_model.h"
#include "eval/tokenizer/trie.h"

namespace qi {
namespace {

constexpr double kUnknownPenalty = 10;

class Unigram : public TokenModel {
 public:
  Unigram(const Vocabulary& vocabulary, std::vector<double> scores, Unknown unknown)
      : vocabulary_(vocabulary), scores_(std::move(scores)), unknown_(unknown) {
    double lowest = std::numeric_limits<double>::infinity();
    for (const double score : scores_) lowest = std::min(lowest, score);
    unknown_score_ = lowest - kUnknownPenalty;
    for (std::int32_t id = 0; id < vocabulary_.size(); ++id) trie_.add(vocabulary_.text(id), id);
  }

  void tokenize(std::string_view piece, std::vector<std::int32_t>& out) const override {
    const std::vector<Node> best = search(piece);
    // From the end back; unknown characters side by side are one.
    struct Cut {
      std::string_view text;
      std::int32_t token;
    };
    std::vector<Cut> cuts;
    for (std::size_t end = piece.size(); end > 0; end = best[end].begin) {
      const std::size_t begin = best[end].begin;
      const std::string_view text = piece.substr(begin, end - begin);
      if (unknown_.fuse && best[end].token == kUnknown && !cuts.empty() &&
          cuts.back().token == kUnknown) {
        cuts.back().text = {text.data(), text.size() + cuts.back().text.size()};
      } else {
        cuts.push_back({text, best[end].token});
      }
    }
    for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
      if (cut->token != kUnknown) {
        out.push_back(cut->token);
      } else if (!(unknown_.byte_fallback && vocabulary_.append_bytes(cut->text, out)) &&
                 unknown_.id) {
        out.push_back(*unknown_.id);
      }
    }
  }

 private:
  static constexpr std::int32_t kUnknown = -1;

  // The best way to this place: its score, and its last token.
  struct Node {
    double score = 0;
    std::size_t begin = kNowhere;
    std::int32_t token = kUnknown;
  };
  static constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

  std::vector<Node> search(std::string_view piece) const {
    std::vector<Node> best(piece.size() + 1);
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t character = decode_utf8(piece, at).length;
      const auto offer = [&](std::size_t length, std::int32_t token, double score) {
        Node& node = best[at + length];
        const double sum = score + best[at].score;
        if (node.begin == kNowhere || sum > node.score) node = {sum, at, token};
      };
      bool covered = false;
      trie_.walk(piece, at, [&](std::size_t length, std::int32_t token) {
        offer(length, token, scores_[static_cast<std::size_t>(token)]);
        covered = covered || length == character;
      });
      if (!covered) offer(character, kUnknown, unknown_score_);
      at += character;
    }
    return best;
  }

  const Vocabulary& vocabulary_;
  std::vector<double> scores_;
  Unknown unknown_;
  double unknown_score_ = 0;
  Trie trie_;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(const Vocabulary& vocabulary, std::vector<double> scores,
                                         Unknown unknown) {
  return std::make_unique<Unigram>(vocabulary, std::move(scores), unknown);
}

}  // namespace qi
