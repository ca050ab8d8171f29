// tokenizer.json of Hugging Face's tokenizers, read once from front to back without keeping it:
// kinds and sizes only. Internal to engine/format. Refuses what is not strict JSON or not shaped as
// that library writes it; what was found before the fault stays. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace qi {

struct TokenizerFile {
  std::optional<std::string> model;         // "BPE", "Unigram", "WordPiece", "WordLevel"
  std::optional<std::uint64_t> vocabulary;  // tokens of the model
  std::optional<std::uint64_t> merges;
  std::optional<std::uint64_t> added, special;  // added tokens, and how many of them are special
  std::optional<std::uint64_t> largest;         // number of a token
  std::optional<bool> byte_fallback;
  // "ByteLevel", "Sequence: Split, ByteLevel", "none"
  std::optional<std::string> normalizer, pre_tokenizer, post_processor, decoder;
  /// The caller puts in the tokens it wants to know the numbers of.
  std::map<std::string, std::optional<std::uint64_t>, std::less<>> ids;

  /// Numbers there are: from 0 to the largest one.
  std::optional<std::uint64_t> tokens() const {
    if (!largest) return {};
    return *largest + 1;
  }
};

/// `path` names the file in errors. Throws kBadJson, kBadEncoding, kBadSchema, kDuplicate, kLimit.
void read_tokenizer(std::string_view text, const std::string& path, TokenizerFile& out);

}  // namespace qi
