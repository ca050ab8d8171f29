// What the files beside a model, or the keys of a GGUF, say about its tokenizer and how to generate
// with it: kind, sizes, special tokens with their numbers, chat template as text. Nothing is
// tokenized, nothing executed. Whatever is wrong with these files becomes a fact of its own: they
// never keep a model from being opened. Takes as long as reading tokenizer.json does (tens of
// milliseconds): not for the UI's thread. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

inline constexpr std::uint64_t kMaxTokenizerBytes = 100'000'000;

struct TokenizerFact {
  std::string source;  // "tokenizer", "generation"
  std::string key;     // all raw
  std::string type;    // "number", "string", "bool", "file", "jinja" …
  std::string value;
  bool fault = false;  // `value` says what is wrong with the file `key`
};

/// Safetensors and prototype models: from tokenizer.json, tokenizer_config.json,
/// special_tokens_map.json, generation_config.json and chat_template.* in the folder of the model's
/// first file. GGUF: from its keys. Of a container: those of its first level.
std::vector<TokenizerFact> tokenizer_facts(const Model& model);

}  // namespace qi
