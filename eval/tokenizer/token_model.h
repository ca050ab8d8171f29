// What turns one piece of prepared text into tokens: merges by rank (BPE), merges by score
// (SentencePiece's BPE), or the likeliest cut (Unigram). Owns tables that refer to a vocabulary,
// which must outlive it. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "eval/tokenizer/vocabulary.h"

namespace qi {

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the tokens of `piece`, UTF-8. Takes time n log n at most.
  virtual void tokenize(std::string_view piece, std::vector<std::int32_t>& out) const = 0;
};

/// What a character becomes that no token covers.
struct Unknown {
  bool byte_fallback = false;      // tokens of its bytes, where all of them are there,
  std::optional<std::int32_t> id;  // else this one; without it the character is dropped
  bool fuse = false;               // neighbours become one such token
};

struct Merge {
  std::uint32_t rank;  // the lowest is done first
  std::int32_t id;     // what the two become
};
using Merges = std::unordered_map<std::uint64_t, Merge>;  // by merge_key()
inline std::uint64_t merge_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}
/// Throws kInconsistent when one of the two, or what they become, is no token.
void add_merge(const Vocabulary& vocabulary, std::string_view left, std::string_view right,
               std::uint32_t rank, Merges& merges);

/// Byte pair encoding: of all neighbours that have a merge the one of lowest rank is done, leftmost
/// first, until none is left (Sennrich et al. 2016, as Hugging Face's tokenizers do it).
/// `whole_first`: a piece that is a token is that token, whatever the merges give.
std::unique_ptr<TokenModel> make_bpe(const Vocabulary& vocabulary, Merges merges, Unknown unknown,
                                     bool whole_first);

/// SentencePiece's byte pair encoding: of all neighbours that make a token together the one of
/// highest score is done, leftmost first.
std::unique_ptr<TokenModel> make_scored_bpe(const Vocabulary& vocabulary, std::vector<float> scores,
                                            Unknown unknown);

/// The cut whose tokens' scores have the highest sum (Kudo 2018, as SentencePiece and Hugging
/// Face's tokenizers search it). Characters that no token covers count 10 below the lowest score.
std::unique_ptr<TokenModel> make_unigram(const Vocabulary& vocabulary, std::vector<double> scores,
                                         Unknown unknown);

}  // namespace qi
