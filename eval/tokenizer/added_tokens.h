// Tokens that are found in a text as they stand, before a model cuts the rest: <s>,
// <|end_of_text|>, runs of spaces. Of several at one place the longest counts, as in Hugging Face's
// tokenizers. Owns their texts. Filled once, then read-only: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/tokenizer/trie.h"

namespace qi {

struct AddedToken {
  std::string text;
  std::int32_t id = 0;
  bool special = false;       // of the model's own language: not found unless asked for
  bool normalized = false;    // looked for in the normalized text
  bool single_word = false;   // only where no letter or digit stands beside it
  bool strips_left = false;   // takes the white space before it along
  bool strips_right = false;  // and that behind it
};

/// A token, or text between tokens.
struct Segment {
  std::string_view text;
  std::optional<std::int32_t> token;
};

class AddedTokens {
 public:
  void add(AddedToken token);
  /// Special tokens are left in the text unless `parse_special`. Texts without a byte are left out.
  std::vector<Segment> split(std::string_view text, bool parse_special) const;

 private:
  std::vector<AddedToken> tokens_;
  Trie trie_;  // to places in tokens_
};

}  // namespace qi
