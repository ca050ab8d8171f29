// The keys under which a GGUF file keeps its tokenizer, and how tokens are numbered there: one
// table for what writes them, what reads them and what lists them. Source: the GGUF specification
// of ggml and the converters of llama.cpp. Constants alone; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace qi::gguf_tokenizer {

inline constexpr std::string_view kModel = "tokenizer.ggml.model";
inline constexpr std::string_view kPre = "tokenizer.ggml.pre";
inline constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
inline constexpr std::string_view kScores = "tokenizer.ggml.scores";
inline constexpr std::string_view kTokenTypes = "tokenizer.ggml.token_type";
inline constexpr std::string_view kMerges = "tokenizer.ggml.merges";
inline constexpr std::string_view kBos = "tokenizer.ggml.bos_token_id";
inline constexpr std::string_view kEos = "tokenizer.ggml.eos_token_id";
inline constexpr std::string_view kUnknown = "tokenizer.ggml.unknown_token_id";
inline constexpr std::string_view kPadding = "tokenizer.ggml.padding_token_id";
inline constexpr std::string_view kAddBos = "tokenizer.ggml.add_bos_token";
inline constexpr std::string_view kAddEos = "tokenizer.ggml.add_eos_token";
inline constexpr std::string_view kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";
inline constexpr std::string_view kChatTemplate = "tokenizer.chat_template";

/// What kTokenTypes has for each token.
enum TokenType : std::int32_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,
  kUserToken = 4,
  kUnusedToken = 5,
  kByteToken = 6,
};

/// For a token that there is not, as old converters write −1.
inline constexpr std::uint64_t kNoToken = 0xffffffff;

}  // namespace qi::gguf_tokenizer
