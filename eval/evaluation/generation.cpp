#include "eval/evaluation/generation.h"

#include <algorithm>
#include <bit>

namespace qi {

PromptRunner::PromptRunner(const Transformer& transformer, KvType kv)
    : transformer_(transformer), kv_(kv) {}

bool PromptRunner::run(std::span<const std::int32_t> tokens, std::size_t from,
                       std::vector<float>& states) {
  if (!cache_ || tokens.size() > cache_->room()) {
    cache_.emplace(transformer_.architecture(), std::bit_ceil(tokens.size()), kv_, KvLayers::kAll);
    cached_.clear();
  }
  const auto differ =
      std::mismatch(cached_.begin(), cached_.end(), tokens.begin(), tokens.end()).first;
  const auto common = static_cast<std::size_t>(differ - cached_.begin());
  const std::size_t kept = std::min(common, from);
  cache_->truncate(kept);
  cached_.resize(kept);
  if (!transformer_.run(tokens.subspan(kept), *cache_, states)) return false;
  cached_.assign(tokens.begin(), tokens.end());
  const std::size_t before = (from - kept) * transformer_.architecture().hidden;
  states.erase(states.begin(), states.begin() + static_cast<std::ptrdiff_t>(before));
  return true;
}

std::optional<Generated> generate(PromptRunner& runner, const Tokenizer& tokenizer,
                                  std::vector<std::int32_t> prompt, const GenerationLimits& limits,
                                  const std::function<void()>& after_token) {
  const std::size_t begin = prompt.size();
  std::vector<float> states;
  std::vector<std::int32_t> likeliest;
  Generated out;
  while (out.tokens < limits.tokens) {
    if (!runner.run(prompt, prompt.size() - 1, states)) return std::nullopt;
    if (!likeliest_tokens(runner.transformer(), states, likeliest)) return std::nullopt;
    const std::int32_t token = likeliest.front();
    // The embedding may have rows that are no token's.
    if (token == tokenizer.eos() || token >= tokenizer.size()) break;
    prompt.push_back(token);
    ++out.tokens;
    if (after_token) after_token();
    out.text = tokenizer.decode(std::span(prompt).subspan(begin));
    for (const std::string_view stop : limits.stops) {
      const std::size_t at = out.text.find(stop);
      if (at == std::string::npos) continue;
      out.text.resize(at);
      return out;
    }
  }
  return out;
}

}  // namespace qi
