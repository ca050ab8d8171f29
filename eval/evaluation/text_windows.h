// The windows that a protocol cuts a text into, and which of their tokens count. Refuses texts that
// are shorter than a window (kBadValue), windows that are longer than the model's and strides that
// cannot be (kUsage). Immutable once made, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "eval/transformer/kv_cache.h"
#include "eval/transformer/row_dots.h"

namespace qi {

enum class Protocol : std::uint8_t {
  /// Windows of `context` tokens every `stride` (by default they do not overlap), each alone from
  /// position 0; all tokens count that no window before had, but for the first of the text. What
  /// does not fill a window is left out. (The research protocol; with a stride, that of Hugging
  /// Face's guide to perplexity of fixed-length models.)
  kHuggingFace,
  /// llama-perplexity's: windows of `context` tokens, the first one replaced by BOS, the second
  /// half counts: tokens context/2 + 1 … context − 1. At least two windows.
  kLlamaCpp,
};
std::string_view protocol_name(Protocol protocol);  // "hf", "llama.cpp"

/// How it is measured; 0 is "as the protocol has it".
struct PerplexityOptions {
  Protocol protocol = Protocol::kHuggingFace;
  std::uint64_t context = 0;        // tokens a window; 2048 or 512, or the model's limit
  std::uint64_t stride = 0;         // kHuggingFace: at most `context`
  std::uint64_t limit = 0;          // windows at most
  std::optional<std::int32_t> bos;  // begins the text; nothing: no token does
  KvType kv = KvType::kF32;
  Activations activations = Activations::kF32;
};

/// One window of a text.
struct TextWindow {
  std::uint64_t index = 0;
  std::vector<std::int32_t> tokens;
  std::size_t scored_from = 0;  // tokens [scored_from, size) count

  std::span<const std::int32_t> targets() const { return std::span(tokens).subspan(scored_from); }
};

class PerplexityPlan {
 public:
  /// `tokens` without BOS. Throws kUsage for a context or stride that cannot be, kBadValue when the
  /// text is too short.
  PerplexityPlan(std::vector<std::int32_t> tokens, const PerplexityOptions& options,
                 std::uint64_t model_context);

  std::uint64_t windows() const { return windows_; }
  /// With every default filled in.
  const PerplexityOptions& options() const { return options_; }
  TextWindow window(std::uint64_t index) const;
  /// Tokens that count, in all windows.
  std::uint64_t scored() const;

 private:
  std::size_t scored_from(std::uint64_t window) const;

  std::vector<std::int32_t> stream_;  // with BOS
  PerplexityOptions options_;
  std::uint64_t windows_ = 0;
};

}  // namespace qi
