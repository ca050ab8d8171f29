// A tokenizer put together from parts, as both tokenizer.json and GGUF keys describe it: added
// tokens are found, the rest normalized, cut into pieces, and each piece given to the token model.
// Owns everything; immutable. Any thread: what a call needs is its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/tokenizer/added_tokens.h"
#include "eval/tokenizer/steps.h"
#include "eval/tokenizer/token_model.h"
#include "eval/tokenizer/tokenizer.h"
#include "eval/tokenizer/vocabulary.h"

namespace qi {

struct TokenizerParts {
  std::unique_ptr<const Vocabulary> vocabulary;
  std::unique_ptr<const TokenModel> model;  // refers to the vocabulary
  bool merges_text = false;                 // a token's text is that of the tokens it is made of
  std::vector<AddedToken> added;
  std::vector<TextStep> normalizer;
  std::vector<PieceStep> pre_tokenizer;
  std::vector<TokenStep> decoder;
  std::optional<std::int32_t> bos, eos;
  bool add_bos = false;
};

/// Throws kBadValue for bos, eos or an added token beyond any vocabulary, kInconsistent for an
/// added token whose number is another token's.
std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts);

/// The file tokenizer.json; `path` names it in errors. bos, eos and add_bos are those of its
/// post-processor, where it has one that adds them.
TokenizerParts read_tokenizer_json(std::string_view text, const std::string& path);
/// The keys tokenizer.ggml.* of a GGUF.
TokenizerParts read_gguf_tokenizer(const Metadata& keys);

}  // namespace qi
