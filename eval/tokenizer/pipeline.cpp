#include "eval/tokenizer/pipeline.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/format/json.h"
#include "engine/io/error.h"
#include "engine/text/utf8.h"

namespace qi {
namespace {

constexpr std::size_t kMaxInputBytes = std::size_t{1} << 30;
constexpr std::int64_t kMaxAddedBeyond = 65536;  // numbers of added tokens above the vocabulary

/// Words repeat, so their tokens are kept: as places in what is written already.
class WordCache {
 public:
  explicit WordCache(std::vector<std::int32_t>& out) : out_(out) {}

  /// Appends the tokens of a word met before; false when it is a new one.
  bool append(std::string_view word) {
    const auto found = places_.find(word);
    if (found == places_.end()) return false;
    const Place place = found->second;
    for (std::size_t i = 0; i < place.count; ++i) out_.push_back(out_[place.begin + i]);
    return true;
  }
  /// The word's tokens are all those from `begin` on.
  void keep(std::string_view word, std::size_t begin) {
    if (word.size() > kLongest || places_.size() >= kMost) return;
    places_.emplace(word, Place{begin, out_.size() - begin});
  }

 private:
  static constexpr std::size_t kLongest = 64;  // bytes; longer ones are rare
  static constexpr std::size_t kMost = 200'000;
  struct Place {
    std::size_t begin, count;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  std::vector<std::int32_t>& out_;
  std::unordered_map<std::string, Place, Hash, std::equal_to<>> places_;
};

// Whether words that begin with the mark can be cut off each other: no merge reaches across.
bool words_are_apart(const Vocabulary& vocabulary) {
  if (!vocabulary.find(kSpaceMark)) return false;
  for (std::int32_t id = 0; id < vocabulary.size(); ++id) {
    std::string_view text = vocabulary.text(id);
    while (text.starts_with(kSpaceMark)) text.remove_prefix(kSpaceMark.size());
    if (text.find(kSpaceMark) != std::string_view::npos) return false;
  }
  return true;
}

class Pipeline : public Tokenizer {
 public:
  explicit Pipeline(TokenizerParts parts)
      : parts_(std::move(parts)), size_(parts_.vocabulary->size()) {
    for (AddedToken& token : parts_.added) add(std::move(token));
    bos_ = parts_.bos;
    eos_ = parts_.eos;
    for (const auto& id : {bos_, eos_}) {
      if (id) text_of(*id);
    }
    add_bos_ = parts_.add_bos && bos_.has_value();
    // Long texts then have words to remember, and need no memory for all of their letters at once.
    if (parts_.merges_text && words_are_apart(*parts_.vocabulary)) {
      parts_.pre_tokenizer.push_back(cut_before_runs(kSpaceMark));
    }
  }

  std::int32_t size() const override { return size_; }

  std::vector<std::int32_t> encode(std::string_view text, bool parse_special) const override {
    if (text.size() > kMaxInputBytes) {
      throw Error(ErrorCode::kLimit, fmt::format("text of {} bytes", text.size()),
                  fmt::format("at most {}", kMaxInputBytes));
    }
    if (const std::size_t bad = find_invalid_utf8(text); bad != std::string_view::npos) {
      throw Error(ErrorCode::kBadEncoding,
                  fmt::format("byte 0x{:02x} of the text is not UTF-8",
                              static_cast<unsigned char>(text[bad])),
                  "UTF-8 text", {}, bad);
    }
    std::vector<std::int32_t> out;
    WordCache cache(out);
    for (const Segment& outer : plain_.split(text, parse_special)) {
      if (outer.token) {
        out.push_back(*outer.token);
        continue;
      }
      const std::string normal = normalized(outer.text);
      for (const Segment& inner : normalized_.split(normal, parse_special)) {
        if (inner.token) {
          out.push_back(*inner.token);
          continue;
        }
        const bool begins = outer.text.data() == text.data() && inner.text.data() == normal.data();
        append_text(inner.text, begins, cache, out);
      }
    }
    return out;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const std::int32_t id : ids) tokens.push_back(text_of(id));
    for (const TokenStep& step : parts_.decoder) step(tokens);
    std::string text;
    for (const std::string& token : tokens) text += token;
    return text;
  }

 private:
  void add(AddedToken token) {
    const std::int32_t own = parts_.vocabulary->size();
    if (token.id < 0 || token.id >= own + kMaxAddedBeyond) {
      throw Error(ErrorCode::kBadValue,
                  fmt::format("added token \"{}\" has the number {}", token.text, token.id),
                  fmt::format("a number below {}", own + kMaxAddedBeyond));
    }
    const auto known = parts_.vocabulary->find(token.text);
    const std::string* other = find_text(token.id);
    if ((known && *known != token.id) || (other != nullptr && *other != token.text)) {
      throw Error(ErrorCode::kInconsistent,
                  fmt::format("added token \"{}\" has the number {}", token.text, token.id),
                  known ? fmt::format("{}, as in the vocabulary", *known)
                        : fmt::format("another one than that of \"{}\"", *other));
    }
    if (other == nullptr) beyond_.emplace(token.id, token.text);
    size_ = std::max(size_, token.id + 1);
    if (!is_utf8(token.text)) return;  // as GGUF may have it: would only be found inside characters
    if (token.normalized) {
      token.text = normalized(token.text);
      normalized_.add(std::move(token));
    } else {
      plain_.add(std::move(token));
    }
  }

  /// nullptr when no token has the number.
  const std::string* find_text(std::int32_t id) const {
    if (id >= 0 && id < parts_.vocabulary->size()) {
      const std::string& text = parts_.vocabulary->text(id);
      if (!text.empty()) return &text;
    }
    const auto found = beyond_.find(id);
    return found == beyond_.end() ? nullptr : &found->second;
  }

  const std::string& text_of(std::int32_t id) const {
    if (const std::string* text = find_text(id)) return *text;
    throw Error(ErrorCode::kBadValue, fmt::format("{} is not the number of a token", id),
                fmt::format("one of {} tokens", size_));
  }

  std::string normalized(std::string_view text) const {
    std::string out(text);
    for (const TextStep& step : parts_.normalizer) step(out);
    check_text_size(out.size());
    return out;
  }

  void append_text(std::string_view text, bool begins_input, WordCache& cache,
                   std::vector<std::int32_t>& out) const {
    Pieces pieces;
    pieces.text = text;
    pieces.ranges.push_back({0, static_cast<std::uint32_t>(text.size())});
    pieces.begins_input = begins_input;
    for (const PieceStep& step : parts_.pre_tokenizer) step(pieces);
    for (const Range& range : pieces.ranges) {
      const std::string_view word(pieces.text.data() + range.begin, range.end - range.begin);
      if (cache.append(word)) continue;
      const std::size_t begin = out.size();
      parts_.model->tokenize(word, out);
      cache.keep(word, begin);
    }
  }

  TokenizerParts parts_;
  AddedTokens plain_, normalized_;  // looked for in the text as given, and as normalized
  std::unordered_map<std::int32_t, std::string> beyond_;  // tokens the vocabulary does not have
  std::int32_t size_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline(TokenizerParts parts) {
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace qi
