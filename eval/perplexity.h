// Perplexity of a text: the windows that a protocol cuts it into, and what a model makes of the
// tokens that count in each. Refuses texts that are shorter than a window and windows that are
// longer than the model's (kBadValue, kUsage). Sums are in double and in order. One thread at a
// time; the model's work is shared by its own threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/transformer/transformer.h"

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
};

/// One window of a text.
struct TextWindow {
  std::uint64_t index = 0;
  std::vector<std::int32_t> tokens;
  std::size_t scored_from = 0;  // tokens [scored_from, size) count
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

/// Mean negative log-likelihood (nats) of tokens, and exp() of it.
class NllSum {
 public:
  void add(std::span<const double> nll);
  std::uint64_t count() const { return count_; }
  double mean() const { return sum_ / static_cast<double>(count_); }
  double perplexity() const;
  /// Of the perplexity: that of the mean times exp(mean). As llama-perplexity has it.
  double standard_error() const;

 private:
  std::uint64_t count_ = 0;
  double sum_ = 0;
  double squares_ = 0;
};

/// One window's numbers: of tokens window.scored_from + i.
using OnWindow = std::function<void(const TextWindow& window, std::span<const double> nll)>;
/// After each layer of each window: how many tokens that is worth, of those of all windows that are
/// run.
using OnTokens = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Runs the plan's windows from `first` on. False: cancelled (Workers::cancel); what on_window()
/// had holds. Throws as Transformer.
bool measure_perplexity(const Transformer& transformer, const PerplexityPlan& plan,
                        std::uint64_t first, const OnWindow& on_window, const OnTokens& on_tokens);

}  // namespace qi
