// The small steps around a token model, as tokenizer.json describes them: of a text before it is
// cut (normalizer), of the cutting into pieces (pre-tokenizer), of tokens back to text (decoder).
// Each function makes the steps of one description; sequences come out flat. Refuses types it does
// not know by their name (kBadSchema), and texts that a step would blow up beyond 2 GiB (kLimit).
// Steps are immutable and may be shared between threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "eval/tokenizer/pattern.h"

namespace qi {

/// "▁", which stands for a space in SentencePiece's tokens.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

/// What GPT-2 cuts a text by, and ByteLevel where it is told to.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using TextStep = std::function<void(std::string& text)>;
/// NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence; none of null.
std::vector<TextStep> normalizer_steps(const nlohmann::json& description);

/// A text and the pieces it is cut into, in order; what lies in none of them is dropped.
struct Pieces {
  std::string text;
  std::vector<Range> ranges;
  bool begins_input = true;  // no token stands before this text
};
using PieceStep = std::function<void(Pieces& pieces)>;
/// Split, ByteLevel, Metaspace, Digits, Punctuation, WhitespaceSplit, Sequence; none of null.
std::vector<PieceStep> pre_tokenizer_steps(const nlohmann::json& description);
/// Cuts before each run of `mark`, inside pieces.
PieceStep cut_before_runs(std::string_view mark);

using TokenStep = std::function<void(std::vector<std::string>& tokens)>;
/// ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip, Sequence; none of null. What the
/// tokens are at the end is joined; without a decoder by spaces.
std::vector<TokenStep> decoder_steps(const nlohmann::json& description);

/// Throws kLimit when a text has grown too large for Range.
void check_text_size(std::size_t size_bytes);

}  // namespace qi
