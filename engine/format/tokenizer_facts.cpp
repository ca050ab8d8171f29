#include "engine/format/tokenizer_facts.h"

#include <algorithm>
#include <array>
#include <map>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf_tokenizer_keys.h"
#include "engine/format/gguf_values.h"
#include "engine/format/hf_directory.h"
#include "engine/format/json_document.h"
#include "engine/format/tokenizer_json.h"
#include "engine/io/error.h"
#include "engine/io/file.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTokenizer = "tokenizer";
constexpr std::string_view kGeneration = "generation";
constexpr std::uint64_t kMaxTokenText = 4096;  // shown of one token

struct Facts {
  std::vector<TokenizerFact> list;

  void add(std::string_view key, std::string_view type, std::string value,
           std::string_view source = kTokenizer) {
    list.push_back({std::string(source), std::string(key), std::string(type), std::move(value)});
  }
  void fault(std::string_view file, const Error& error, std::string_view source = kTokenizer) {
    std::string text = error.message;
    if (error.offset) text += fmt::format(" (byte {})", *error.offset);
    if (!error.expected.empty()) text += ": " + error.expected;
    text += fmt::format(" [{}]", class_word(error.code));
    list.push_back({std::string(source), std::string(file), "fault", std::move(text), true});
  }
};

std::string json_type(const Json& value) {
  return value.is_boolean() ? "bool" : std::string(value.type_name());
}

std::string json_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// --- a folder

class Folder {
 public:
  Folder(const Model& model, Facts& facts) : model_(model), facts_(facts) {}

  void read() {
    config_ = object("tokenizer_config.json");
    special_ = object("special_tokens_map.json");
    for (const auto& [key, name] : kSpecial) want(key);
    const bool has_tokenizer = read_tokenizer_json();
    describe(has_tokenizer);
    chat_templates();
    if (facts_.list.empty()) facts_.add("tokenizer.json", "file", "there is none");
    if (const auto generation = object("generation_config.json", kGeneration)) {
      for (const auto& [key, value] : generation->items()) {
        facts_.add(key, json_type(value), json_text(value), kGeneration);
      }
    }
  }

 private:
  struct Special {
    std::string_view key, name;
  };
  static constexpr std::array<Special, 7> kSpecial = {{{"bos_token", "bos"},
                                                       {"eos_token", "eos"},
                                                       {"pad_token", "pad"},
                                                       {"unk_token", "unk"},
                                                       {"sep_token", "sep"},
                                                       {"cls_token", "cls"},
                                                       {"mask_token", "mask"}}};

  // Runs one part; what it throws becomes a fact about `file`.
  template <typename Part>
  void guarded(std::string_view file, std::string_view source, Part part) {
    try {
      part();
    } catch (const Error& error) {
      facts_.fault(file, error, source);
    } catch (const std::bad_alloc&) {
      facts_.fault(file, Error(ErrorCode::kMemory, "out of memory"), source);
    }
  }

  std::optional<Json> object(std::string_view name, std::string_view source = kTokenizer) {
    std::optional<Json> out;
    guarded(name, source, [&] {
      const auto text = model_.text_beside(name, kMaxConfigBytes);
      if (!text) return;
      const std::string path = model_.path_beside(name);
      std::vector<std::string> odd;
      Json value = parse_json(*text, path, odd);
      if (!value.is_object()) {
        throw Error(ErrorCode::kBadSchema, fmt::format("it is of type {}", value.type_name()),
                    "a JSON object", path, 0);
      }
      out = std::move(value);
    });
    return out;
  }

  // A token is a string, or an object with its text.
  static std::optional<std::string> token_of(const std::optional<Json>& object,
                                             std::string_view key) {
    if (!object) return {};
    const auto it = object->find(std::string(key));
    if (it == object->end()) return {};
    if (it->is_string()) return it->get<std::string>();
    if (!it->is_object()) return {};
    const auto content = it->find("content");
    if (content == it->end() || !content->is_string()) return {};
    return content->get<std::string>();
  }

  void want(std::string_view key) {
    std::optional<std::string> token = token_of(config_, key);
    if (!token) token = token_of(special_, key);
    if (token) found_.ids.try_emplace(std::move(*token), std::nullopt);
  }

  bool read_tokenizer_json() {
    bool there = false;
    guarded("tokenizer.json", kTokenizer, [&] {
      const auto text = model_.text_beside("tokenizer.json", kMaxTokenizerBytes);
      if (!text) return;
      there = true;
      read_tokenizer(*text, model_.path_beside("tokenizer.json"), found_);
    });
    return there;
  }

  void from_config(std::string_view key) {
    if (!config_) return;
    const auto it = config_->find(std::string(key));
    if (it == config_->end() || it->is_null()) return;
    facts_.add(key, json_type(*it), json_text(*it));
  }

  void describe(bool has_tokenizer) {
    from_config("tokenizer_class");
    if (has_tokenizer) {
      const auto text = [&](std::string_view key, const std::optional<std::string>& value) {
        if (value) facts_.add(key, "string", *value);
      };
      const auto number = [&](std::string_view key, std::optional<std::uint64_t> value) {
        if (value) facts_.add(key, "number", std::to_string(*value));
      };
      text("model", found_.model);
      number("tokens", found_.tokens());
      number("tokens of the model", found_.vocabulary);
      number("added tokens", found_.added);
      number("special tokens", found_.special);
      number("merges", found_.merges);
      text("normalizer", found_.normalizer);
      text("pre-tokenizer", found_.pre_tokenizer);
      text("post-processor", found_.post_processor);
      text("decoder", found_.decoder);
      if (found_.byte_fallback) {
        facts_.add("byte_fallback", "bool", *found_.byte_fallback ? "true" : "false");
      }
    }
    for (const auto& [key, name] : kSpecial) {
      std::optional<std::string> token = token_of(config_, key);
      if (!token) token = token_of(special_, key);
      if (!token) continue;
      const auto id = found_.ids.find(*token);
      const bool known = id != found_.ids.end() && id->second;
      facts_.add(name, "token", known ? fmt::format("{} = {}", *id->second, *token) : *token);
    }
    for (const std::string_view key :
         {"add_bos_token", "add_eos_token", "model_max_length", "padding_side", "legacy"}) {
      from_config(key);
    }
    if (!has_tokenizer) {
      for (const std::string_view name : {"tokenizer.model", "vocab.json", "merges.txt"}) {
        guarded(name, kTokenizer, [&] {
          try {
            const auto file = model_.open_beside(model_.path_beside(name), ErrorCode::kMissing);
            facts_.add(name, "file", fmt::format("{} bytes, not read", file->size()));
          } catch (const Error& error) {
            if (error.code != ErrorCode::kMissing) throw;
          }
        });
      }
    }
  }

  void chat_templates() {
    if (config_) add_templates(*config_);
    if (const auto file = object("chat_template.json")) add_templates(*file);
    guarded("chat_template.jinja", kTokenizer, [&] {
      if (auto text = model_.text_beside("chat_template.jinja", kMaxConfigBytes)) {
        facts_.add("chat_template.jinja", "jinja", std::move(*text));
      }
    });
  }

  // One text, or a list of texts with names.
  void add_templates(const Json& object) {
    const auto it = object.find("chat_template");
    if (it == object.end()) return;
    if (it->is_string()) facts_.add("chat_template", "jinja", it->get<std::string>());
    if (!it->is_array()) return;
    for (const Json& one : *it) {
      if (!one.is_object()) continue;
      const auto name = one.find("name");
      const auto text = one.find("template");
      if (text == one.end() || !text->is_string()) continue;
      const bool named = name != one.end() && name->is_string();
      facts_.add(named ? "chat_template." + name->get<std::string>() : "chat_template", "jinja",
                 text->get<std::string>());
    }
  }

  const Model& model_;
  Facts& facts_;
  std::optional<Json> config_, special_;
  TokenizerFile found_;
};

// --- GGUF keys

void read_gguf(const Model& model, Facts& facts) {
  const Metadata& keys = model.metadata;
  const auto array = [&](std::string_view key) -> const MetaArray* {
    const MetaEntry* entry = keys.find(key);
    return entry == nullptr ? nullptr : std::get_if<MetaArray>(&entry->value);
  };
  if (const auto text = keys.text(gguf_tokenizer::kModel)) {
    facts.add("model", "string", std::string(*text));
  }
  if (const auto text = keys.text(gguf_tokenizer::kPre)) {
    facts.add("pre-tokenizer", "string", std::string(*text));
  }
  const MetaArray* tokens = array(gguf_tokenizer::kTokens);
  if (tokens != nullptr) facts.add("tokens", "number", std::to_string(tokens->count));
  if (const MetaArray* merges = array(gguf_tokenizer::kMerges)) {
    facts.add("merges", "number", std::to_string(merges->count));
  }

  struct Special {
    std::string_view key, name;
    std::uint64_t id = 0;
  };
  std::vector<Special> specials;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kSpecial = {
      {{"bos", "bos"},
       {"eos", "eos"},
       {"eot", "eot"},
       {"eom", "eom"},
       {"padding", "pad"},
       {"unknown", "unk"},
       {"separator", "sep"},
       {"seperator", "sep"},  // as older writers spell it
       {"cls", "cls"},
       {"mask", "mask"}}};
  for (const auto& [key, name] : kSpecial) {
    const auto id = keys.unsigned_number(fmt::format("tokenizer.ggml.{}_token_id", key));
    // Converters write −1 for a token that there is not.
    if (id && *id == gguf_tokenizer::kNoToken) facts.add(name, "token", "none");
    if (id && *id != gguf_tokenizer::kNoToken) specials.push_back({key, name, *id});
  }
  // Their texts in one walk over the tokens.
  std::map<std::uint64_t, std::string> texts;
  for (const Special& one : specials) texts.try_emplace(one.id);
  bool readable = tokens != nullptr && tokens->element_type == kGgufString;
  try {
    ArrayPlace place;
    for (auto& [id, text] : texts) {
      if (!readable || id >= tokens->count) break;
      skip_elements(*tokens, place, id - place.index);
      text = array_elements(*tokens, place, 1, kMaxTokenText).front();
    }
  } catch (const Error& error) {
    readable = false;
    facts.fault(gguf_tokenizer::kTokens, error);
  }
  for (const Special& one : specials) {
    if (tokens != nullptr && one.id >= tokens->count) {
      facts.fault(one.name, Error(ErrorCode::kBadValue, fmt::format("token {}", one.id),
                                  fmt::format("a number below {}", tokens->count)));
    } else {
      facts.add(one.name, "token",
                readable ? fmt::format("{} = {}", one.id, texts[one.id]) : std::to_string(one.id));
    }
  }
  for (const std::string_view key :
       {gguf_tokenizer::kAddBos, gguf_tokenizer::kAddEos, gguf_tokenizer::kAddSpacePrefix}) {
    const MetaEntry* entry = keys.find(key);
    const bool* flag = entry == nullptr ? nullptr : std::get_if<bool>(&entry->value);
    if (flag == nullptr) continue;
    facts.add(key.substr(key.rfind('.') + 1), "bool", *flag ? "true" : "false");
  }
  for (const MetaEntry& entry : keys.entries()) {
    constexpr std::string_view kTemplate = gguf_tokenizer::kChatTemplate;
    const auto* text = std::get_if<std::string>(&entry.value);
    if (text == nullptr || !entry.key.starts_with(kTemplate)) continue;
    facts.add(std::string_view(entry.key).substr(kTemplate.find('.') + 1), "jinja", *text);
  }
  if (facts.list.empty()) facts.add("tokenizer.ggml", "keys", "there are none");
}

}  // namespace

std::vector<TokenizerFact> tokenizer_facts(const Model& model) {
  Facts facts;
  const Model& first = model.first_level();
  if (first.container == Container::kGguf) {
    read_gguf(first, facts);
  } else if (!first.files.empty()) {
    Folder(first, facts).read();
  }
  return std::move(facts.list);
}

}  // namespace qi
