#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/checkpoint/gguf_keys.h"
#include "engine/format/gguf_tokenizer_keys.h"
#include "engine/format/tokenizer_facts.h"

namespace qi {
namespace {

using Json = nlohmann::json;
namespace gguf = gguf_tokenizer;

/// What llama.cpp calls a way of cutting a text, by a piece of its pattern that no other has.
struct KnownCut {
  std::string_view part;
  std::string_view name;
};
constexpr std::array kCuts = {
    KnownCut{R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)", "llama-bpe"},
    KnownCut{R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)", "qwen2"},
    KnownCut{R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]+)", "tekken"},
};

std::optional<Json> read_json(const Model& model, std::string_view name) {
  const auto text = model.text_beside(name, kMaxTokenizerBytes);
  if (!text) return std::nullopt;
  Json json = Json::parse(*text, nullptr, false);
  if (!json.is_object()) {
    throw Error(ErrorCode::kBadJson, "is no JSON object", "a tokenizer's description",
                model.path_beside(name));
  }
  return json;
}

/// Of an object; null where there is none.
const Json& member(const Json& object, const char* name) {
  static const Json kNone;
  const auto it = object.is_object() ? object.find(name) : object.end();
  return it == object.end() ? kNone : *it;
}

bool is_true(const Json& object, const char* name) {
  const Json value = member(object, name);
  return value.is_boolean() && value.get<bool>();
}

/// Whether one of the components, or of those that a Sequence holds, is of a type.
bool has_type(const Json& component, std::string_view type) {
  const Json& own = member(component, "type");
  if (own.is_string() && own.get<std::string>() == type) return true;
  for (const char* list : {"normalizers", "pretokenizers", "decoders"}) {
    for (const Json& inner : member(component, list)) {
      if (has_type(inner, type)) return true;
    }
  }
  return false;
}

bool is_byte_token(std::string_view text) {
  return text.size() == 6 && text.starts_with("<0x") && text.ends_with(">");
}

class TokenizerKeys {
 public:
  TokenizerKeys(const Model& model, Json tokenizer, GgufKeys& keys, std::vector<std::string>& notes)
      : model_(model), file_(std::move(tokenizer)), keys_(keys), notes_(notes) {
    settings_ = read_json(model, "tokenizer_config.json").value_or(Json::object());
  }

  void add() {
    const Json& model = member(file_, "model");
    const Json& type = member(model, "type");
    if (!member(model, "vocab").is_object() || (type.is_string() && type != "BPE")) {
      throw Error(ErrorCode::kUsage,
                  fmt::format("a vocabulary of type {} for a GGUF",
                              type.is_string() ? type.get<std::string>() : "unknown"),
                  "BPE", model_.path_beside("tokenizer.json"));
    }
    read_tokens(model);
    if (is_true(model, "byte_fallback")) {
      add_scored(model);
    } else {
      add_byte_level(model);
    }
    add_special(model);
  }

 private:
  [[noreturn]] void fail(std::string message, std::string expected) const {
    throw Error(ErrorCode::kBadSchema, std::move(message), std::move(expected),
                model_.path_beside("tokenizer.json"));
  }

  void put(const Json& id, const std::string& text, std::int32_t type) {
    constexpr std::uint64_t kMostTokens = 10'000'000;
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kMostTokens) {
      fail(fmt::format("token \"{}\" has no number", text.substr(0, 200)),
           fmt::format("one below {}", kMostTokens));
    }
    const auto at = id.get<std::size_t>();
    if (at >= tokens_.size()) {
      tokens_.resize(at + 1);
      types_.resize(at + 1, gguf::kUnusedToken);
    }
    tokens_[at] = text;
    types_[at] = type;
    ids_[text] = static_cast<std::int32_t>(at);
  }

  void read_tokens(const Json& model) {
    for (const auto& [text, id] : member(model, "vocab").items()) {
      put(id, text,
          is_byte_token(text) && is_true(model, "byte_fallback") ? gguf::kByteToken
                                                                 : gguf::kNormalToken);
    }
    const Json& unknown = member(model, "unk_token");
    for (const Json& added : member(file_, "added_tokens")) {
      const Json& content = member(added, "content");
      if (!content.is_string()) fail("an added token has no content", "a text");
      const bool is_unknown = unknown == content;
      put(member(added, "id"), content.get<std::string>(),
          is_unknown                  ? gguf::kUnknownToken
          : is_true(added, "special") ? gguf::kControlToken
                                      : gguf::kUserToken);
    }
    // Embeddings may have rows to spare.
    std::size_t rows = 0;
    for (const Weight& weight : model_.weights) {
      if (weight.role == Role::kEmbed && weight.shape.size() == 2) {
        rows = static_cast<std::size_t>(weight.rows());
      }
    }
    if (rows > tokens_.size()) {
      tokens_.resize(rows);
      types_.resize(rows, gguf::kUnusedToken);
    }
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (types_[i] == gguf::kUnusedToken) tokens_[i] = fmt::format("[PAD{}]", i);
    }
  }

  /// "left right" of each merge, in the order of their ranks.
  std::vector<std::pair<std::string, std::string>> merges(const Json& model) const {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const Json& merge : member(model, "merges")) {
      if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        pairs.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
        continue;
      }
      const std::string both = merge.is_string() ? merge.get<std::string>() : "";
      const std::size_t space = both.find(' ', 1);
      if (space == std::string::npos) {
        fail(fmt::format("merge {} is not a pair", pairs.size()), "two tokens");
      }
      pairs.emplace_back(both.substr(0, space), both.substr(space + 1));
    }
    return pairs;
  }

  /// SentencePiece's own kind: of two neighbours the pair with the best score is merged, so a token
  /// scores by the first merge that makes it. Where numbers rise with these ranks, as SentencePiece
  /// gives them out, scores are counted down by number, as its own are.
  void add_scored(const Json& model) {
    std::vector<std::optional<std::int32_t>> ranks(tokens_.size());
    std::int32_t rank = 0;
    std::int32_t last = -1;
    bool rising = true;
    for (const auto& [left, right] : merges(model)) {
      const auto made = ids_.find(left + right);
      if (made == ids_.end()) fail("a merge makes no token", "a token of the vocabulary");
      auto& first = ranks[static_cast<std::size_t>(made->second)];
      if (!first) {
        first = rank;
        rising = rising && made->second > last;
        last = made->second;
      }
      ++rank;
    }
    std::vector<float> scores(tokens_.size());
    std::int32_t normal = 0;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (types_[i] != gguf::kNormalToken) continue;
      scores[i] = -static_cast<float>(rising ? normal : ranks[i].value_or(rank));
      ++normal;
    }
    keys_.text(gguf::kModel, "llama");
    keys_.text(gguf::kPre, "default");
    keys_.texts(gguf::kTokens, tokens_);
    keys_.floats(gguf::kScores, scores);
    keys_.numbers(gguf::kTokenTypes, types_);
    const Json& normalizer = member(file_, "normalizer");
    const Json& pre = member(file_, "pre_tokenizer");
    const bool prefix = has_type(normalizer, "Prepend") ||
                        (has_type(pre, "Metaspace") && member(pre, "prepend_scheme") != "never");
    keys_.boolean(gguf::kAddSpacePrefix, prefix);
  }

  void add_byte_level(const Json& model) {
    const std::optional<std::string_view> cut = known_cut();
    if (!cut) {
      notes_.push_back(
          "llama.cpp has no name for this tokenizer's way of cutting texts: "
          "tokenizer.ggml.pre is \"default\", tokens may differ");
    }
    std::vector<std::string> pairs;
    for (const auto& [left, right] : merges(model)) pairs.push_back(left + " " + right);
    keys_.text(gguf::kModel, "gpt2");
    keys_.text(gguf::kPre, cut.value_or("default"));
    keys_.texts(gguf::kTokens, tokens_);
    keys_.numbers(gguf::kTokenTypes, types_);
    keys_.texts(gguf::kMerges, pairs);
  }

  std::optional<std::string_view> known_cut() const {
    const Json& pre = member(file_, "pre_tokenizer");
    std::string patterns;
    Json steps = member(pre, "pretokenizers");
    if (!steps.is_array()) steps = Json::array({pre});
    bool plain = false;
    for (const Json& step : steps) {
      const Json& regex = member(member(step, "pattern"), "Regex");
      if (regex.is_string()) patterns += regex.get<std::string>();
      // ByteLevel's own pattern is GPT-2's, unless it is told to leave it.
      plain = plain || (member(step, "type") == "ByteLevel" && member(step, "use_regex") != false);
    }
    for (const KnownCut& known : kCuts) {
      if (patterns.find(known.part) != std::string::npos) return known.name;
    }
    if (plain && patterns.empty()) return "gpt-2";
    return std::nullopt;
  }

  /// The number of a special token: as config.json has it, else by its text in tokenizer_config.
  std::optional<std::int32_t> special(const char* number, const char* text) const {
    Json id = member(*model_.config, number);
    if (id.is_array() && !id.empty()) id = id.front();
    if (id.is_number_unsigned() && id.get<std::uint64_t>() < tokens_.size()) {
      return id.get<std::int32_t>();
    }
    Json token = member(settings_, text);
    if (token.is_object()) token = member(token, "content");
    const auto found = token.is_string() ? ids_.find(token.get<std::string>()) : ids_.end();
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }

  void add_special(const Json& model) {
    const auto add = [&](std::string_view key, std::optional<std::int32_t> id) {
      if (id) keys_.u32(key, static_cast<std::uint64_t>(*id));
    };
    const auto bos = special("bos_token_id", "bos_token");
    add(gguf::kBos, bos);
    add(gguf::kEos, special("eos_token_id", "eos_token"));
    const Json& unknown = member(model, "unk_token");
    if (unknown.is_string() && ids_.contains(unknown.get<std::string>())) {
      add(gguf::kUnknown, ids_.at(unknown.get<std::string>()));
    }
    add(gguf::kPadding, special("pad_token_id", "pad_token"));
    const Json& add_bos = member(settings_, "add_bos_token");
    keys_.boolean(gguf::kAddBos,
                  add_bos.is_boolean() ? add_bos.get<bool>() : bos && begins_with(*bos));
    keys_.boolean(gguf::kAddEos, is_true(settings_, "add_eos_token"));
    Json chat = member(settings_, "chat_template");
    if (const auto own = model_.text_beside("chat_template.jinja", kMaxTokenizerBytes)) chat = *own;
    if (chat.is_string()) keys_.text(gguf::kChatTemplate, chat.get<std::string>());
  }

  /// Whether the template of a text begins with that token.
  bool begins_with(std::int32_t id) const {
    const Json& processor = member(file_, "post_processor");
    Json steps = member(processor, "processors");
    if (!steps.is_array()) steps = Json::array({processor});
    for (const Json& step : steps) {
      const Json& single = member(step, "single");
      if (!single.is_array() || single.empty()) continue;
      const Json& name = member(member(single.front(), "SpecialToken"), "id");
      if (name.is_string() && ids_.contains(name.get<std::string>())) {
        return ids_.at(name.get<std::string>()) == id;
      }
    }
    return false;
  }

  const Model& model_;
  Json file_;
  Json settings_;
  GgufKeys& keys_;
  std::vector<std::string>& notes_;
  std::vector<std::string> tokens_;
  std::vector<std::int32_t> types_;
  std::map<std::string, std::int32_t, std::less<>> ids_;
};

}  // namespace

void add_tokenizer_keys(const Model& model, GgufKeys& keys, std::vector<std::string>& notes) {
  std::optional<Json> tokenizer = read_json(model, "tokenizer.json");
  if (!tokenizer) {
    notes.push_back("no tokenizer.json beside the model: the GGUF has no vocabulary");
    return;
  }
  TokenizerKeys(model, std::move(*tokenizer), keys, notes).add();
}

}  // namespace qi
