#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/json.h"
#include "engine/format/json_document.h"
#include "engine/io/error.h"
#include "eval/tokenizer/description.h"
#include "eval/tokenizer/pipeline.h"

namespace qi {
namespace {

using Json = nlohmann::json;
using Kind = JsonCursor::Kind;

// The file is walked once for where its parts stand; each part is then read by itself, small ones
// as documents, vocabulary and merges by a cursor that keeps nothing.
class TokenizerJson {
 public:
  TokenizerJson(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  TokenizerParts read() {
    const Members file = members_of(text_, "tokenizer.json");
    const auto model = file.find("model");
    if (model == file.end()) {
      throw Error(ErrorCode::kBadSchema, "there is no \"model\"", "a tokenizer", path_, 0);
    }
    parts_.normalizer = normalizer_steps(document(file, "normalizer"));
    parts_.pre_tokenizer = pre_tokenizer_steps(document(file, "pre_tokenizer"));
    parts_.decoder = decoder_steps(document(file, "decoder"));
    read_model(members_of(model->second, "model"));
    read_added(document(file, "added_tokens"));
    read_template(document(file, "post_processor"));
    return std::move(parts_);
  }

 private:
  using Members = std::map<std::string, std::string_view, std::less<>>;

  JsonCursor cursor(std::string_view part) const {
    return {part, path_, static_cast<std::uint64_t>(part.data() - text_.data())};
  }

  static void expect(JsonCursor& in, Kind kind, std::string_view what) {
    if (in.kind() == kind) return;
    in.fail(ErrorCode::kBadSchema, in.position(),
            fmt::format("{} is {}", what, kind_text(in.kind())), std::string(kind_text(kind)));
  }

  /// The text of each member of an object, checked in full.
  Members members_of(std::string_view object, std::string_view what) const {
    const auto base = static_cast<std::uint64_t>(object.data() - text_.data());
    JsonCursor in = cursor(object);
    expect(in, Kind::kObject, what);
    Members members;
    in.begin_object();
    while (in.next_key()) {
      in.require_unique();
      std::string key(in.key());
      const std::uint64_t begin = in.position() - base;
      in.skip();
      members.emplace(std::move(key), object.substr(begin, in.position() - base - begin));
    }
    in.end();
    return members;
  }

  /// null when there is none.
  Json document(const Members& members, std::string_view name) const {
    const auto found = members.find(name);
    std::vector<std::string> odd;
    return found == members.end() ? Json() : parse_json(found->second, path_, odd);
  }

  void read_model(const Members& model) {
    Json fields = Json::object();
    for (const auto& [key, text] : model) {
      if (key != "vocab" && key != "merges") fields[key] = document(model, key);
    }
    const auto vocab = model.find("vocab");
    if (vocab == model.end()) {
      throw Error(ErrorCode::kBadSchema, "model has no \"vocab\"", "its tokens");
    }
    // Files of the library's first versions do not say which it is.
    const bool told = fields.contains("type");
    const std::string type = told || !model.contains("merges") ? type_of(fields, "model") : "BPE";
    if (type == "BPE") {
      read_bpe(fields, vocab->second, model);
    } else if (type == "Unigram") {
      read_unigram(fields, vocab->second);
    } else {
      refuse_type("model", type);
    }
  }

  void read_bpe(const Json& fields, std::string_view vocab, const Members& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (fields.contains(key) && fields[key].is_string() && fields[key] != "") {
        refuse_type("model", fmt::format("BPE with {}", key));
      }
    }
    std::vector<std::pair<std::string, std::uint64_t>> tokens;
    JsonCursor in = cursor(vocab);
    expect(in, Kind::kObject, "vocab");
    in.begin_object();
    while (in.next_key()) {
      std::string token(in.key());
      tokens.emplace_back(std::move(token),
                          in.unsigned_number("a token's number", ErrorCode::kBadSchema));
    }
    parts_.vocabulary = std::make_unique<const Vocabulary>(std::move(tokens));

    Unknown unknown;
    unknown.byte_fallback = flag_field(fields, "byte_fallback", false);
    unknown.fuse = flag_field(fields, "fuse_unk", false);
    if (fields.contains("unk_token") && !fields["unk_token"].is_null()) {
      const std::string token = text_field(fields, "unk_token");
      unknown.id = parts_.vocabulary->find(token);
      if (!unknown.id) {
        throw Error(ErrorCode::kInconsistent,
                    fmt::format("unk_token is \"{}\"", token.substr(0, 200)),
                    "a token of the vocabulary");
      }
    }
    const auto merges = model.find("merges");
    parts_.model =
        make_bpe(*parts_.vocabulary, merges == model.end() ? Merges() : read_merges(merges->second),
                 unknown, flag_field(fields, "ignore_merges", false));
    parts_.merges_text = true;
  }

  // Each "left right", or ["left", "right"]; of a pair given twice the last one counts.
  Merges read_merges(std::string_view text) const {
    Merges merges;
    JsonCursor in = cursor(text);
    expect(in, Kind::kArray, "merges");
    in.begin_array();
    for (std::uint32_t rank = 0; in.next_element(); ++rank) {
      const std::uint64_t at = in.position();
      std::vector<std::string> pair;
      if (in.kind() == Kind::kArray) {
        in.begin_array();
        while (pair.size() < 3 && in.next_element()) {
          expect(in, Kind::kString, "half of a merge");
          pair.emplace_back(in.string());
        }
      } else {
        expect(in, Kind::kString, "a merge");
        const std::string_view both = in.string();
        const std::size_t space = both.find(' ', 1);
        if (space != std::string_view::npos) {
          pair = {std::string(both.substr(0, space)), std::string(both.substr(space + 1))};
        }
      }
      if (pair.size() != 2) {
        in.fail(ErrorCode::kBadSchema, at, fmt::format("merge {} is not a pair", rank),
                "two tokens");
      }
      add_merge(*parts_.vocabulary, pair[0], pair[1], rank, merges);
    }
    return merges;
  }

  // [["token", score], …] in the order of their numbers.
  void read_unigram(const Json& fields, std::string_view vocab) {
    std::vector<std::pair<std::string, std::uint64_t>> tokens;
    std::vector<double> scores;
    JsonCursor in = cursor(vocab);
    expect(in, Kind::kArray, "vocab");
    in.begin_array();
    while (in.next_element()) {
      const std::uint64_t at = in.position();
      expect(in, Kind::kArray, "a token of vocab");
      in.begin_array();
      double score = std::numeric_limits<double>::quiet_NaN();
      for (int i = 0; in.next_element(); ++i) {
        expect(in, i == 0 ? Kind::kString : Kind::kNumber, "a token of vocab");
        if (i == 0) {
          tokens.emplace_back(in.string(), tokens.size());
        } else {
          const std::string_view number = in.number();
          std::from_chars(number.data(), number.data() + number.size(), score);
        }
      }
      if (tokens.size() != scores.size() + 1 || !std::isfinite(score)) {
        in.fail(ErrorCode::kBadSchema, at, fmt::format("token {} of vocab", scores.size()),
                "a text and a finite score");
      }
      scores.push_back(score);
    }
    parts_.vocabulary = std::make_unique<const Vocabulary>(std::move(tokens));
    Unknown unknown;
    unknown.byte_fallback = flag_field(fields, "byte_fallback", false);
    unknown.fuse = true;
    if (fields.contains("unk_id") && !fields["unk_id"].is_null()) {
      const std::uint64_t id = count_field(fields, "unk_id");
      if (id >= scores.size()) {
        throw Error(ErrorCode::kBadValue, fmt::format("unk_id is {}", id),
                    fmt::format("a number below {}", scores.size()));
      }
      unknown.id = static_cast<std::int32_t>(id);
    }
    parts_.model = make_unigram(*parts_.vocabulary, std::move(scores), unknown);
  }

  void read_added(const Json& list) {
    if (list.is_null()) return;
    if (!list.is_array()) {
      throw Error(ErrorCode::kBadSchema,
                  fmt::format("\"added_tokens\" is of type {}", list.type_name()), "a list");
    }
    for (const Json& from : list) {
      if (!from.is_object()) {
        throw Error(ErrorCode::kBadSchema,
                    fmt::format("an added token is of type {}", from.type_name()), "an object");
      }
      AddedToken token;
      token.text = text_field(from, "content");
      const std::uint64_t id = count_field(from, "id");
      token.id = id > std::numeric_limits<std::int32_t>::max()
                     ? std::numeric_limits<std::int32_t>::max()
                     : static_cast<std::int32_t>(id);
      token.special = flag_field(from, "special", false);
      token.normalized = flag_field(from, "normalized", !token.special);
      token.single_word = flag_field(from, "single_word", false);
      token.strips_left = flag_field(from, "lstrip", false);
      token.strips_right = flag_field(from, "rstrip", false);
      parts_.added.push_back(std::move(token));
    }
  }

  // What a template puts before a text begins it, what it puts behind ends it.
  void read_template(const Json& processor) {
    for_each_component(processor, "processors", "post_processor",
                       [&](const Json& component, std::string_view type) {
                         if (type != "TemplateProcessing") return;
                         if (!component.contains("single") || !component["single"].is_array()) {
                           return;
                         }
                         bool before = true;
                         for (const Json& piece : component["single"]) {
                           if (!piece.is_object()) continue;
                           if (piece.contains("Sequence")) before = false;
                           if (!piece.contains("SpecialToken")) continue;
                           auto& token = before ? parts_.bos : parts_.eos;
                           if (!token) token = id_in_template(component, piece["SpecialToken"]);
                           parts_.add_bos = parts_.add_bos || before;
                         }
                       });
  }

  std::int32_t id_in_template(const Json& component, const Json& token) const {
    const std::string name = token.is_object() ? text_field(token, "id") : "";
    if (const auto known = component.find("special_tokens");
        known != component.end() && known->is_object() && known->contains(name)) {
      const Json& entry = (*known)[name];
      const auto ids = entry.find("ids");
      if (entry.is_object() && ids != entry.end() && ids->is_array() && ids->size() == 1 &&
          ids->front().is_number_unsigned() &&
          ids->front().get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max()) {
        return ids->front().get<std::int32_t>();
      }
    }
    throw Error(
        ErrorCode::kBadSchema,
        fmt::format("post_processor does not say which token \"{}\" is", name.substr(0, 200)),
        "its number in special_tokens");
  }

  std::string_view text_;
  const std::string& path_;
  TokenizerParts parts_;
};

}  // namespace

TokenizerParts read_tokenizer_json(std::string_view text, const std::string& path) {
  return TokenizerJson(text, path).read();
}

}  // namespace qi
