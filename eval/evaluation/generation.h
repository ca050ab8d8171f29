// A model that goes on where a text stops. What prompts have in common with the one before them is
// computed once: the keys and values of the tokens last run are kept. Greedy. Refuses what
// Transformer refuses. One thread at a time; the work is shared by the transformer's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/tokenizer/tokenizer.h"
#include "eval/transformer/transformer.h"

namespace qi {

class PromptRunner {
 public:
  /// `transformer` must outlive it.
  PromptRunner(const Transformer& transformer, KvType kv);

  const Transformer& transformer() const { return transformer_; }
  /// `states` gets those of `tokens` from number `from` on: [tokens.size() − from, hidden]. False:
  /// cancelled.
  bool run(std::span<const std::int32_t> tokens, std::size_t from, std::vector<float>& states);

 private:
  const Transformer& transformer_;
  KvType kv_;
  std::optional<KvCache> cache_;      // with room for the longest prompt so far
  std::vector<std::int32_t> cached_;  // the tokens whose keys and values are there
};

struct GenerationLimits {
  std::size_t tokens = 256;
  std::span<const std::string_view> stops;  // texts that end the answer and are not of it
};

struct Generated {
  std::string text;
  std::size_t tokens = 0;
};

/// The likeliest token after `prompt`, and after that, and so on, until a stop, the token that ends
/// texts or the limit. `after_token` may be empty. Nothing: cancelled.
std::optional<Generated> generate(PromptRunner& runner, const Tokenizer& tokenizer,
                                  std::vector<std::int32_t> prompt, const GenerationLimits& limits,
                                  const std::function<void()>& after_token = {});

}  // namespace qi
