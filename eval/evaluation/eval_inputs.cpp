#include "eval/evaluation/eval_inputs.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "engine/io/xxh3.h"
#include "eval/check/verify.h"
#include "eval/results/content_hash.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxNamedFileBytes = std::uint64_t{1} << 30;

/// `act`, with the text's file in errors that name none.
template <typename F>
auto of_text(const std::string& path, F&& act) {
  try {
    return act();
  } catch (const Error& error) {
    if (!error.file.empty() || error.code == ErrorCode::kUsage) throw;
    throw Error(error.code, error.message, error.expected, path, error.offset);
  }
}

/// What the model says of itself; the weights' contents are not in it.
std::string description_of(const Model& model) {
  std::string all = model.config->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (const MetaEntry& entry : model.metadata.entries()) {
    const auto add = [&](const auto& value) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, MetaArray>) {
        all += fmt::format("{}={}\n", entry.key, value);
      }
    };
    std::visit(add, entry.value);
  }
  return all;
}

}  // namespace

std::string hex_digest(std::string_view bytes, std::size_t digits) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64).substr(0, digits);
}

std::string file_name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string read_named_file(const std::string& path, std::string_view what) {
  std::optional<std::string> text = read_text_file(path, kMaxNamedFileBytes, File::open);
  if (!text) throw Error(ErrorCode::kIo, "no such file", std::string(what), path);
  if (text->empty()) {
    throw Error(ErrorCode::kBadValue, "the text is empty", std::string(what), path);
  }
  return *std::move(text);
}

EvalInputs::EvalInputs(const Model& model, EvaluationRequest request)
    : model_(model), request_(std::move(request)) {}

std::unique_ptr<Tokenizer> EvalInputs::load() const {
  if (!request_.tokenizer_path.empty()) return load_tokenizer_at(request_.tokenizer_path);
  try {
    return load_tokenizer(model_);
  } catch (const Error& error) {
    if (error.code != ErrorCode::kMissing || request_.base == nullptr) throw;
    return load_tokenizer(*request_.base);
  }
}

void EvalInputs::check_base_tokens(const std::string& text,
                                   std::span<const std::int32_t> tokens) const {
  if (request_.base == nullptr || !request_.tokenizer_path.empty()) return;
  std::unique_ptr<Tokenizer> base;
  try {
    base = load_tokenizer(*request_.base);
  } catch (const Error& error) {
    if (error.code == ErrorCode::kMissing) return;
    throw;
  }
  const std::vector<std::int32_t> of_base = base->encode(text);
  if (std::equal(tokens.begin(), tokens.end(), of_base.begin(), of_base.end())) return;
  throw Error(ErrorCode::kInconsistent, "the base's tokenizer makes other tokens of the text",
              "the same as the model's, or --tokenizer PATH for both", request_.base->path);
}

const Transformer& EvalInputs::stored() {
  if (!stored_) stored_.emplace(model_, open_reader, Workers{request_.threads, request_.cancel});
  return *stored_;
}

const Tokenizer& EvalInputs::tokenizer() {
  if (tokenizer_ != nullptr) return *tokenizer_;
  std::unique_ptr<Tokenizer> loaded = load();
  if (static_cast<std::uint64_t>(loaded->size()) > stored().vocab()) {
    throw Error(
        ErrorCode::kInconsistent, fmt::format("the tokenizer has {} tokens", loaded->size()),
        fmt::format("at most {}, the rows of the embedding", stored().vocab()), model_.path);
  }
  tokenizer_ = std::move(loaded);
  return *tokenizer_;
}

const EvalText& EvalInputs::text() {
  if (text_ != nullptr) return *text_;
  const std::uint64_t model_context = stored().architecture().context;
  const std::string& path = request_.text_path;
  const std::string text = read_named_file(path, "a text");
  const Tokenizer& with = tokenizer();
  PerplexityOptions options = request_.perplexity;
  if (request_.automatic_bos && with.add_bos()) options.bos = with.bos();
  of_text(path, [&] {
    std::vector<std::int32_t> tokens = with.encode(text);
    check_base_tokens(text, tokens);
    const std::string_view bytes(reinterpret_cast<const char*>(tokens.data()),
                                 tokens.size() * sizeof(tokens[0]));
    text_ = std::make_unique<EvalText>(
        EvalText{file_name_of(path), hex_digest(text, 16), hex_digest(bytes, 32),
                 PerplexityPlan(std::move(tokens), options, model_context)});
  });
  return *text_;
}

std::string EvalInputs::known_hash() const {
  const auto known = hashes_.find(&model_);
  return known == hashes_.end() ? "" : known->second;
}

std::optional<std::string> EvalInputs::hash_of(const Model& model, ResultsStore& store) {
  std::string& known = hashes_[&model];
  if (!known.empty()) return known;
  std::string all = description_of(model);
  for (const Weight& weight : model.weights) {
    AnalysisKey key = analysis_key(model, weight, true);
    key.version = kContentHashVersion;
    std::optional<std::string> hash = store.known_hashes({&key, 1}).front();
    if (!hash) {
      hash = content_hash(model, weight, request_.cancel);
      if (hash->empty()) return std::nullopt;
      check_files_unchanged(model, weight);
      store.keep_hash(key, *hash);
    }
    all += fmt::format("{} {}\n", weight.name, *hash);
  }
  known = hex_digest(all, 32);
  return known;
}

}  // namespace qi
