#include "eval/tokenizer/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/hf_directory.h"
#include "engine/format/json_document.h"
#include "engine/format/open.h"
#include "engine/format/tokenizer_facts.h"
#include "engine/io/error.h"
#include "eval/tokenizer/pipeline.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTokenizerFile = "tokenizer.json";

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

/// A file's object; null when there is no such file.
Json object_in(const std::string& path, const FileOpener& open) {
  const auto text = read_text_file(path, kMaxConfigBytes, open);
  if (!text) return Json();
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
std::optional<std::int32_t> configured(const Json& config, std::string_view key) {
  const auto found = config.find(std::string(key));
  if (found == config.end()) return std::nullopt;
  const Json& value = found->is_array() && !found->empty() ? found->front() : *found;
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto id = value.get<std::uint64_t>();
  if (id > std::numeric_limits<std::int32_t>::max()) return std::nullopt;
  return static_cast<std::int32_t>(id);
}

class TokenizerFolder {
 public:
  /// `path` ends with a slash; `model_config` is config.json's object.
  TokenizerFolder(std::string path, FileOpener open, const Json& model_config)
      : path_(std::move(path)), open_(std::move(open)), model_config_(model_config) {}

  std::string file() const { return path_ + std::string(kTokenizerFile); }

  /// Nothing when it has no tokenizer.json.
  std::optional<TokenizerParts> read() {
    const auto text = read_text_file(file(), kMaxTokenizerBytes, open_);
    if (!text) return std::nullopt;
    parts_ = in_file(file(), [&] { return read_tokenizer_json(*text, file()); });
    config_ = object_in(path_ + "tokenizer_config.json", open_);
    special_ = object_in(path_ + "special_tokens_map.json", open_);
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
                  "a token of tokenizer.json", path_ + std::string(file));
    }
    if (id) return;
    const auto number = configured(model_config_, fmt::format("{}_id", key));
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

  std::string path_;
  FileOpener open_;
  const Json& model_config_;
  TokenizerParts parts_;
  Json config_, special_;
};

std::unique_ptr<Tokenizer> tokenizer_of_folders(std::span<TokenizerFolder> folders) {
  for (TokenizerFolder& folder : folders) {
    std::optional<TokenizerParts> parts = folder.read();
    if (!parts) continue;
    return in_file(folder.file(), [&] { return make_pipeline(*std::move(parts)); });
  }
  throw Error(ErrorCode::kMissing, "there is no such file", "the tokenizer beside the weights",
              folders.front().file());
}

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
  const std::string beside = first.path_beside("");
  std::vector<TokenizerFolder> folders;
  folders.emplace_back(beside, first.open_beside, *first.config);
  if (first.container != Container::kQstore) {
    folders.emplace_back(beside + "../", first.open_beside, *first.config);
  }
  return tokenizer_of_folders(folders);
}

std::unique_ptr<Tokenizer> load_tokenizer_at(const std::string& path) {
  std::error_code ignored;
  const bool is_json = path.ends_with(kTokenizerFile);
  if (!is_json && !std::filesystem::is_directory(path, ignored)) {
    const Catalog catalog = find_models(path);
    if (catalog.models.empty()) {
      throw Error(ErrorCode::kUsage, "it has no tokenizer", "a folder, a tokenizer.json or a GGUF",
                  path);
    }
    return load_tokenizer(open_model(catalog.models.front()));
  }
  const Json nothing = Json::object();
  std::string folder = is_json ? path.substr(0, path.size() - kTokenizerFile.size()) : path + "/";
  TokenizerFolder only(std::move(folder), &File::open, nothing);
  return tokenizer_of_folders({&only, 1});
}

}  // namespace qi
