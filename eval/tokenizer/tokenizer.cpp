#include "eval/tokenizer/tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/hf_directory.h"
#include "engine/format/json.h"
#include "engine/format/tokenizer_facts.h"
#include "engine/io/error.h"
#include "eval/tokenizer/pipeline.h"

namespace qi {
namespace {

using Json = nlohmann::json;

/// Runs one part of loading; an error that names no file is one of `path`.
template <typename Part>
auto in_file(const std::string& path, const Part& part) {
  try {
    return part();
  } catch (Error& error) {
    if (error.file.empty()) error.file = path;
    throw;
  }
}

/// An object beside the weights; null when there is no such file.
Json object_beside(const Model& model, std::string_view name) {
  const auto text = model.text_beside(name, kMaxConfigBytes);
  if (!text) return Json();
  const std::string path = model.path_beside(name);
  std::vector<std::string> odd;
  Json value = parse_json(*text, path, odd);
  if (value.is_object()) return value;
  throw Error(ErrorCode::kBadSchema, fmt::format("it is of type {}", value.type_name()),
              "a JSON object", path, 0);
}

/// A token is named by its text, or by an object with it.
std::optional<std::string> token_text(const Json& object, std::string_view key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(std::string(key));
  if (found == object.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_object() || !found->contains("content")) return std::nullopt;
  const Json& content = (*found)["content"];
  return content.is_string() ? std::optional(content.get<std::string>()) : std::nullopt;
}

/// The number config.json gives, or the first of a list.
std::optional<std::int32_t> configured(const Model& model, std::string_view key) {
  const auto found = model.config->find(std::string(key));
  if (found == model.config->end()) return std::nullopt;
  const Json& value = found->is_array() && !found->empty() ? found->front() : *found;
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto id = value.get<std::uint64_t>();
  if (id > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(id);
}

class Folder {
 public:
  explicit Folder(const Model& model) : model_(model) {}

  TokenizerParts read() {
    const std::string path = model_.path_beside("tokenizer.json");
    const auto text = model_.text_beside("tokenizer.json", kMaxTokenizerBytes);
    if (!text) {
      throw Error(ErrorCode::kMissing, "there is no such file", "the tokenizer beside the weights",
                  path);
    }
    parts_ = in_file(path, [&] { return read_tokenizer_json(*text, path); });
    config_ = object_beside(model_, "tokenizer_config.json");
    special_ = object_beside(model_, "special_tokens_map.json");
    settle("bos_token", parts_.bos);
    settle("eos_token", parts_.eos);
    if (config_.is_object() && config_.contains("add_bos_token") &&
        config_["add_bos_token"].is_boolean()) {
      parts_.add_bos = config_["add_bos_token"].get<bool>();
    }
    return std::move(parts_);
  }

 private:
  // What the files say by name counts before the template of tokenizer.json, and that before the
  // numbers in config.json.
  void settle(std::string_view key, std::optional<std::int32_t>& id) const {
    std::string_view file = "tokenizer_config.json";
    auto text = token_text(config_, key);
    if (!text) {
      file = "special_tokens_map.json";
      text = token_text(special_, key);
    }
    if (text) {
      id = find(*text);
      if (id) return;
      throw Error(ErrorCode::kInconsistent, fmt::format("{} is \"{}\"", key, text->substr(0, 200)),
                  "a token of tokenizer.json", model_.path_beside(file));
    }
    if (id) return;
    const auto number = configured(model_, fmt::format("{}_id", key));
    if (number && has(*number)) id = number;
  }

  bool has(std::int32_t id) const {
    const auto is_it = [&](const AddedToken& token) { return token.id == id; };
    return id < parts_.vocabulary->size() ||
           std::any_of(parts_.added.begin(), parts_.added.end(), is_it);
  }

  std::optional<std::int32_t> find(std::string_view text) const {
    for (const AddedToken& token : parts_.added) {
      if (token.text == text) return token.id;
    }
    return parts_.vocabulary->find(text);
  }

  const Model& model_;
  TokenizerParts parts_;
  Json config_, special_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const Model& model) {
  const Model& first = model.first_level();
  if (first.files.empty()) {
    throw Error(ErrorCode::kMissing, "a model without files has no tokenizer", {}, model.path);
  }
  if (first.container == Container::kGguf) {
    return in_file(first.files.front()->path(),
                   [&] { return make_pipeline(read_gguf_tokenizer(first.metadata)); });
  }
  return in_file(first.path_beside("tokenizer.json"),
                 [&] { return make_pipeline(Folder(first).read()); });
}

}  // namespace qi
