#include "eval/calibration/calibration_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/io/error.h"
#include "engine/io/file.h"
#include "engine/io/xxh3.h"
#include "eval/tokenizer/tokenizer.h"
#include "eval/transformer/weights.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxCalibrationBytes = std::uint64_t{1} << 30;
constexpr std::uint64_t kUsualLength = 2048;

void add_ids(const nlohmann::json& value, std::vector<std::int32_t>& out) {
  for (const nlohmann::json& entry : value) {
    if (!entry.is_number_integer() || entry.get<std::int64_t>() != entry.get<std::int32_t>()) {
      throw Error(ErrorCode::kBadSchema,
                  fmt::format("{} is no token id", entry.dump(-1, ' ', true).substr(0, 40)),
                  "an array of whole numbers, or of arrays of them");
    }
    out.push_back(entry.get<std::int32_t>());
  }
}

std::vector<std::int32_t> parse_ids(const std::string& text) {
  const nlohmann::json all = nlohmann::json::parse(text, nullptr, false);
  if (!all.is_array()) {
    throw Error(ErrorCode::kBadSchema, "it is no array of token ids",
                "an array of whole numbers, or of arrays of them");
  }
  std::vector<std::int32_t> ids;
  const bool nested = !all.empty() && all.front().is_array();
  if (!nested) add_ids(all, ids);
  for (std::size_t i = 0; nested && i < all.size(); ++i) {
    if (!all[i].is_array()) add_ids({all[i].dump()}, ids);  // throws
    add_ids(all[i], ids);
  }
  return ids;
}

std::string digest_of(const CalibrationText& text) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(
      text.tokens.data(), text.tokens.size() * sizeof(text.tokens[0]), text.length);
  return fmt::format("{:016x}", hash.high64);
}

}  // namespace

bool is_token_file(std::string_view path) {
  return path.ends_with(".json");
}

CalibrationText cut_calibration(std::vector<std::int32_t> tokens, const CalibrationOptions& options,
                                std::uint64_t vocab, std::uint64_t context) {
  for (const std::int32_t id : tokens) {
    if (id < 0 || (vocab > 0 && static_cast<std::uint64_t>(id) >= vocab)) {
      throw Error(ErrorCode::kBadValue, fmt::format("token id {}", id),
                  fmt::format("less than {}, the size of the vocabulary", vocab));
    }
  }
  if (context > 0 && options.length > context) {
    throw Error(ErrorCode::kUsage, fmt::format("--max_sequence_length {}", options.length),
                fmt::format("at most {}, the positions that the model was made for", context));
  }
  CalibrationText text;
  const std::uint64_t usual = context > 0 ? std::min(kUsualLength, context) : kUsualLength;
  text.length =
      options.length > 0 ? options.length : std::clamp<std::uint64_t>(tokens.size(), 1, usual);
  const std::uint64_t fit = tokens.size() / text.length;
  if (fit == 0) {
    throw Error(ErrorCode::kBadValue, fmt::format("a calibration text of {} tokens", tokens.size()),
                fmt::format("at least {}, one sequence", text.length));
  }
  text.samples = std::min(fit, options.samples);
  if (text.samples < options.samples) {
    text.warning = fmt::format("it gives {} sequences of {} tokens, {} were asked for",
                               text.samples, text.length, options.samples);
  }
  text.tokens.reserve(text.samples * text.length);
  for (std::uint64_t i = 0; i < text.samples; ++i) {
    const auto from =
        tokens.begin() + static_cast<std::ptrdiff_t>(i * tokens.size() / text.samples);
    text.tokens.insert(text.tokens.end(), from, from + static_cast<std::ptrdiff_t>(text.length));
  }
  text.digest = digest_of(text);
  return text;
}

CalibrationText read_calibration(const std::string& path, const CalibrationOptions& options,
                                 const Model& model, const std::string& tokenizer_path) {
  const Architecture architecture = read_architecture(model);
  const Weight* embedding = find_by_gguf_name(model, "token_embd.weight");
  const std::uint64_t vocab = embedding != nullptr ? embedding->rows() : architecture.vocab;
  const std::optional<std::string> text = read_text_file(path, kMaxCalibrationBytes, File::open);
  if (!text) throw Error(ErrorCode::kIo, "no such file", "a calibration text", path);
  std::unique_ptr<Tokenizer> tokenizer;  // what is wrong with it is no fault of the text
  if (!is_token_file(path)) {
    tokenizer = tokenizer_path.empty() ? load_tokenizer(model) : load_tokenizer_at(tokenizer_path);
  }
  try {
    std::vector<std::int32_t> tokens;
    if (tokenizer == nullptr) {
      tokens = parse_ids(*text);
    } else {
      tokens = tokenizer->encode(*text);
      if (tokenizer->add_bos() && tokenizer->bos()) {
        tokens.insert(tokens.begin(), *tokenizer->bos());
      }
    }
    return cut_calibration(std::move(tokens), options, vocab, architecture.context);
  } catch (const Error& error) {
    if (!error.file.empty() || error.code == ErrorCode::kUsage) throw;
    throw Error(error.code, error.message, error.expected, path, error.offset);
  }
}

}  // namespace qi
