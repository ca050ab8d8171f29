// Text to token numbers and back, exactly as the tokenizer that belongs to a model does it: from
// tokenizer.json beside the weights or the keys of a GGUF. Owns its tables; reads nothing after it
// is loaded. Refuses kinds it does not know by their name, and text that is not UTF-8.
// Immutable once loaded: any thread may call it, several at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Tokens of UTF-8 text, without any that begin or end a text. Special tokens (<s>,
  /// <|end_of_text|>) written in the text are recognised when `parse_special`, else they are text
  /// like any other; added tokens that are not special are always recognised. Throws kBadEncoding
  /// with the offset of the first byte that is not UTF-8, kLimit for text above 1 GiB.
  virtual std::vector<std::int32_t> encode(std::string_view text,
                                           bool parse_special = false) const = 0;

  /// Text of tokens, special ones included. Bytes of a character that the tokens cut are given as
  /// they are. Throws kBadValue for a number that is no token's.
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;

  /// Tokens there are, added ones included: one above the largest number.
  virtual std::int32_t size() const = 0;

  /// What begins and ends a text; nothing where the model has no such token.
  std::optional<std::int32_t> bos() const { return bos_; }
  std::optional<std::int32_t> eos() const { return eos_; }
  /// Whether a text is meant to begin with bos(), which is then there.
  bool add_bos() const { return add_bos_; }

 protected:
  std::optional<std::int32_t> bos_, eos_;
  bool add_bos_ = false;
};

/// The tokenizer of a model: of a GGUF its keys tokenizer.ggml.*, of all others tokenizer.json (and
/// tokenizer_config.json, special_tokens_map.json) beside the weights, on the disk or in the
/// container. Errors name the file: kMissing when there is none, kBadSchema, kBadValue,
/// kDuplicate, kInconsistent for what contradicts itself or is of no kind known here.
/// A folder on the disk without one has that of the folder around it (a model's variants often lie
/// in sub-folders of its own).
std::unique_ptr<Tokenizer> load_tokenizer(const Model& model);
/// That of a folder, of a tokenizer.json or of a GGUF, which `path` names. Throws the same.
std::unique_ptr<Tokenizer> load_tokenizer_at(const std::string& path);

}  // namespace qi
