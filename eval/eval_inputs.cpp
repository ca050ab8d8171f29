#include "eval/eval_inputs.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "engine/io/xxh3.h"
#include "eval/content_hash.h"
#include "eval/verify.h"

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

const Tokenizer& EvalInputs::tokenizer(std::uint64_t vocab) {
  if (tokenizer_ == nullptr) {
    tokenizer_ = request_.tokenizer_path.empty() ? load_tokenizer(model_)
                                                 : load_tokenizer_at(request_.tokenizer_path);
  }
  if (static_cast<std::uint64_t>(tokenizer_->size()) > vocab) {
    throw Error(ErrorCode::kInconsistent,
                fmt::format("the tokenizer has {} tokens", tokenizer_->size()),
                fmt::format("at most {}, the rows of the embedding", vocab), model_.path);
  }
  return *tokenizer_;
}

const EvalText& EvalInputs::text() {
  if (text_ != nullptr) return *text_;
  // Of the weights as stored: those that are evaluated may take long to be made.
  const Transformer transformer(model_, open_reader, {request_.threads});
  const std::string& path = request_.text_path;
  const std::string text = read_named_file(path, "a text");
  const Tokenizer& with = tokenizer(transformer.vocab());
  PerplexityOptions options = request_.perplexity;
  if (request_.automatic_bos && with.add_bos()) options.bos = with.bos();
  of_text(path, [&] {
    std::vector<std::int32_t> tokens = with.encode(text);
    const std::string_view bytes(reinterpret_cast<const char*>(tokens.data()),
                                 tokens.size() * sizeof(tokens[0]));
    text_ = std::make_unique<EvalText>(
        EvalText{file_name_of(path), hex_digest(text, 16), hex_digest(bytes, 32),
                 PerplexityPlan(std::move(tokens), options, transformer.architecture().context)});
  });
  return *text_;
}

bool EvalInputs::hash_model(ResultsStore& store) {
  if (!model_hash_.empty()) return true;
  std::string all = description_of(model_);
  for (const Weight& weight : model_.weights) {
    AnalysisKey key = analysis_key(model_, weight, true);
    key.version = kContentHashVersion;
    std::optional<std::string> hash = store.known_hashes({&key, 1}).front();
    if (!hash) {
      hash = content_hash(model_, weight, request_.cancel);
      if (hash->empty()) return false;
      check_files_unchanged(model_, weight);
      store.keep_hash(key, *hash);
    }
    all += fmt::format("{} {}\n", weight.name, *hash);
  }
  model_hash_ = hex_digest(all, 32);
  return true;
}

}  // namespace qi
