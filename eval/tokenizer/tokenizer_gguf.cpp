#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf_tokenizer_keys.h"
#include "engine/format/gguf_values.h"
#include "engine/format/tokenizer_facts.h"
#include "engine/io/error.h"
#include "engine/io/reader.h"
#include "eval/tokenizer/pipeline.h"

namespace qi {
namespace {

using Json = nlohmann::json;
namespace gguf = gguf_tokenizer;

constexpr std::string_view kLlama3 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// What a name in tokenizer.ggml.pre stands for: the patterns a text is cut by, one after the other.
struct PreTokenizer {
  std::string_view name;
  std::array<std::string_view, 4> patterns;
  bool whole_first = false;  // a piece that is a token is not merged
  bool add_bos = false;      // where the file does not say
};
constexpr PreTokenizer kPreTokenizers[] = {
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
    {"gpt-2", {kGpt2Pattern}},
    {"mpt", {kGpt2Pattern}},
    {"olmo", {kGpt2Pattern}},
    {"phi-2", {kGpt2Pattern}},
    {"smollm", {R"(\p{N})", kGpt2Pattern}},
    {"starcoder", {R"(\p{N})", kGpt2Pattern}},
    {"refact", {R"(\p{N})", kGpt2Pattern}},
    {"command-r", {R"(\p{N})", kGpt2Pattern}},
    {"llama3", {kLlama3}, true, true},
    {"llama-v3", {kLlama3}, true, true},
    {"llama-bpe", {kLlama3}, true, true},
    {"falcon3", {kLlama3}, true, true},
    {"dbrx", {kLlama3}},
    {"smaug-bpe", {kLlama3}},
    {"qwen2", {kQwen2}},
    {"stablelm2", {kQwen2}},
    {"deepseek-r1-qwen", {kQwen2}},
    {"tekken", {kTekken}, true, true},
};

const PreTokenizer& pre_tokenizer_of(std::string_view name) {
  const auto* found = std::find_if(std::begin(kPreTokenizers), std::end(kPreTokenizers),
                                   [&](const PreTokenizer& one) { return one.name == name; });
  if (found != std::end(kPreTokenizers)) return *found;
  std::string known;
  for (const PreTokenizer& one : kPreTokenizers) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", one.name);
  }
  throw Error(ErrorCode::kBadSchema,
              fmt::format("tokenizer.ggml.pre is \"{}\"", name.substr(0, 200)), "one of " + known);
}

// In the words of tokenizer.json.
Json described(const PreTokenizer& pre) {
  Json steps = Json::array();
  for (const std::string_view pattern : pre.patterns) {
    if (pattern.empty()) continue;
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}});
  }
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

Json replacement(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

class GgufTokenizer {
 public:
  explicit GgufTokenizer(const Metadata& keys) : keys_(keys) {}

  TokenizerParts read() {
    parts_.vocabulary = std::make_unique<const Vocabulary>(texts(gguf::kTokens));
    const std::string_view model = keys_.text(gguf::kModel).value_or("");
    parts_.bos = token(gguf::kBos);
    parts_.eos = token(gguf::kEos);
    if (model == "gpt2") {
      read_gpt2();
    } else if (model == "llama") {
      read_llama();
    } else {
      throw Error(ErrorCode::kBadSchema,
                  fmt::format("tokenizer.ggml.model is \"{}\"", model.substr(0, 200)),
                  "gpt2 or llama");
    }
    parts_.add_bos = flag(gguf::kAddBos, parts_.add_bos);
    parts_.merges_text = true;
    read_types();
    return std::move(parts_);
  }

 private:
  void read_gpt2() {
    const PreTokenizer& pre = pre_tokenizer_of(keys_.text(gguf::kPre).value_or("default"));
    Merges merges;
    std::uint32_t rank = 0;
    for (const std::string_view merge : texts(gguf::kMerges)) {
      const std::size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos) {
        throw Error(ErrorCode::kBadSchema, fmt::format("merge {} is not a pair", rank),
                    "two tokens with a space between them");
      }
      add_merge(*parts_.vocabulary, merge.substr(0, space), merge.substr(space + 1), rank++,
                merges);
    }
    parts_.model = make_bpe(*parts_.vocabulary, std::move(merges), {}, pre.whole_first);
    parts_.pre_tokenizer = pre_tokenizer_steps(described(pre));
    parts_.decoder = decoder_steps({{"type", "ByteLevel"}});
    parts_.add_bos = pre.add_bos;
  }

  void read_llama() {
    Unknown unknown;
    unknown.byte_fallback = true;
    unknown.id = token(gguf::kUnknown);
    auto scores = numbers<float>(gguf::kScores, kGgufF32);
    if (std::any_of(scores.begin(), scores.end(), [](float score) { return std::isnan(score); })) {
      throw Error(ErrorCode::kBadValue, "tokenizer.ggml.scores has a score that is no number",
                  "numbers");
    }
    parts_.model = make_scored_bpe(*parts_.vocabulary, std::move(scores), unknown);
    Json normalizers = Json::array();
    Json decoders = Json::array({replacement(kSpaceMark, " "), {{"type", "ByteFallback"}}});
    if (flag(gguf::kAddSpacePrefix, true)) {
      normalizers.push_back(Json({{"type", "Prepend"}, {"prepend", kSpaceMark}}));
      decoders.push_back(Json({{"type", "Fuse"}}));
      decoders.push_back(Json({{"type", "Strip"}, {"content", " "}, {"start", 1U}, {"stop", 0U}}));
    }
    normalizers.push_back(replacement(" ", kSpaceMark));
    parts_.normalizer = normalizer_steps({{"type", "Sequence"}, {"normalizers", normalizers}});
    parts_.decoder = decoder_steps({{"type", "Sequence"}, {"decoders", decoders}});
    parts_.add_bos = true;
  }

  // Tokens that are found in a text as they stand.
  void read_types() {
    if (keys_.find(gguf::kTokenTypes) == nullptr) return;
    const auto types = numbers<std::int32_t>(gguf::kTokenTypes, kGgufI32);
    for (std::int32_t id = 0; id < parts_.vocabulary->size(); ++id) {
      const std::int32_t type = types[static_cast<std::size_t>(id)];
      const std::string& text = parts_.vocabulary->text(id);
      const bool as_it_stands =
          type == gguf::kUnknownToken || type == gguf::kControlToken || type == gguf::kUserToken;
      if (!as_it_stands) continue;
      // Of equal texts one is found, as in the vocabulary.
      if (parts_.vocabulary->find(text) != id) continue;
      AddedToken token;
      token.text = text;
      token.id = id;
      token.special = type != gguf::kUserToken;
      parts_.added.push_back(std::move(token));
    }
  }

  const MetaArray& array(std::string_view key, std::uint32_t element_type) const {
    const MetaEntry* entry = keys_.find(key);
    const auto* found = entry == nullptr ? nullptr : std::get_if<MetaArray>(&entry->value);
    if (found == nullptr || found->element_type != element_type) {
      throw Error(ErrorCode::kBadSchema,
                  entry == nullptr ? fmt::format("there is no {}", key)
                                   : fmt::format("{} is of type {}", key, entry->type),
                  fmt::format("array[{}]", meta_type_name(element_type)));
    }
    if (found->size_bytes > kMaxTokenizerBytes) {
      throw Error(ErrorCode::kLimit, fmt::format("{} has {} bytes", key, found->size_bytes),
                  fmt::format("at most {}", kMaxTokenizerBytes));
    }
    return *found;
  }

  std::vector<std::string> texts(std::string_view key) const {
    const MetaArray& from = array(key, kGgufString);
    return array_elements(from, from.count);
  }

  /// One for each token.
  template <typename T>
  std::vector<T> numbers(std::string_view key, std::uint32_t element_type) const {
    const MetaArray& from = array(key, element_type);
    const auto wanted = static_cast<std::uint64_t>(parts_.vocabulary->size());
    if (from.count != wanted) {
      throw Error(ErrorCode::kInconsistent, fmt::format("{} has {} elements", key, from.count),
                  fmt::format("{}, as there are tokens", wanted));
    }
    Reader in(from.file, from.offset, from.offset + from.size_bytes);
    in.set_big_endian(from.big_endian);
    std::vector<T> out;
    for (std::uint64_t i = 0; i < wanted; ++i) out.push_back(in.number<T>(key));
    return out;
  }

  std::optional<std::int32_t> token(std::string_view key) const {
    const auto id = keys_.unsigned_number(key);
    if (!id || *id == gguf::kNoToken) return std::nullopt;
    if (*id >= static_cast<std::uint64_t>(parts_.vocabulary->size())) {
      throw Error(ErrorCode::kBadValue, fmt::format("{} is {}", key, *id),
                  fmt::format("a number below {}", parts_.vocabulary->size()));
    }
    return static_cast<std::int32_t>(*id);
  }

  bool flag(std::string_view key, bool otherwise) const {
    const MetaEntry* entry = keys_.find(key);
    const bool* value = entry == nullptr ? nullptr : std::get_if<bool>(&entry->value);
    return value == nullptr ? otherwise : *value;
  }

  const Metadata& keys_;
  TokenizerParts parts_;
};

}  // namespace

TokenizerParts read_gguf_tokenizer(const Metadata& keys) {
  return GgufTokenizer(keys).read();
}

}  // namespace qi
