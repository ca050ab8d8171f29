#include "engine/format/tokenizer_json.h"

#include <algorithm>
#include <limits>

#include "engine/format/json.h"

namespace qi {
namespace {

using Kind = JsonCursor::Kind;

constexpr int kMaxNesting = 8;              // of sequences in sequences
constexpr std::size_t kMaxDescribed = 200;  // bytes of such a description

class TokenizerWalk {
 public:
  TokenizerWalk(std::string_view text, const std::string& path, TokenizerFile& out)
      : in_(text, path), out_(out) {}

  void run() {
    expect(Kind::kObject, "tokenizer.json");
    in_.begin_object();
    bool has_model = false;
    while (in_.next_key()) {
      in_.require_unique();
      const std::string_view key = in_.key();
      if (key == "added_tokens") {
        added_tokens();
      } else if (key == "normalizer") {
        out_.normalizer = component(0);
      } else if (key == "pre_tokenizer") {
        out_.pre_tokenizer = component(0);
      } else if (key == "post_processor") {
        out_.post_processor = component(0);
      } else if (key == "decoder") {
        out_.decoder = component(0);
      } else if (key == "model") {
        has_model = true;
        model();
      } else {
        in_.skip();
      }
    }
    in_.end();
    if (!has_model) in_.fail(ErrorCode::kBadSchema, 0, "there is no \"model\"", "a tokenizer");
  }

 private:
  void expect(Kind kind, std::string_view what) {
    if (in_.kind() == kind) return;
    in_.fail(ErrorCode::kBadSchema, in_.position(),
             std::string(what) + " is " + std::string(kind_text(in_.kind())),
             std::string(kind_text(kind)));
  }

  void found(std::string_view token, std::uint64_t id) {
    out_.largest = std::max(out_.largest.value_or(0), std::min(id, kLargestId));
    const auto it = out_.ids.find(token);
    if (it != out_.ids.end()) it->second = id;
  }

  void added_tokens() {
    if (in_.kind() == Kind::kNull) return in_.skip();
    expect(Kind::kArray, "added_tokens");
    out_.added = out_.special = 0;
    in_.begin_array();
    while (in_.next_element()) {
      expect(Kind::kObject, "an added token");
      std::string content;
      std::optional<std::uint64_t> id;
      in_.begin_object();
      while (in_.next_key()) {
        if (in_.key() == "id") {
          id = in_.unsigned_number("an added token's id", ErrorCode::kBadSchema);
        } else if (in_.key() == "content" && in_.kind() == Kind::kString) {
          content = in_.string();
        } else if (in_.key() == "special" && in_.kind() == Kind::kBool) {
          if (in_.boolean()) ++*out_.special;
        } else {
          in_.skip();
        }
      }
      ++*out_.added;
      if (id) found(content, *id);
    }
  }

  /// "ByteLevel", or "Sequence: Split, ByteLevel" for one that is made of others.
  std::string component(int depth) {
    if (in_.kind() != Kind::kObject) {
      const bool none = in_.kind() == Kind::kNull;
      in_.skip();
      return none ? "none" : "unknown";
    }
    std::string type = "unknown";
    std::string inner;
    in_.begin_object();
    while (in_.next_key()) {
      const std::string_view key = in_.key();
      if (key == "type" && in_.kind() == Kind::kString) {
        type = in_.string().substr(0, kMaxDescribed);
      } else if (depth < kMaxNesting && in_.kind() == Kind::kArray &&
                 (key == "normalizers" || key == "pretokenizers" || key == "processors" ||
                  key == "decoders")) {
        in_.begin_array();
        while (in_.next_element()) {
          const std::string one = component(depth + 1);
          if (inner.size() < kMaxDescribed) inner += (inner.empty() ? "" : ", ") + one;
        }
      } else {
        in_.skip();
      }
    }
    return inner.empty() ? type : type + ": " + inner;
  }

  void model() {
    expect(Kind::kObject, "model");
    in_.begin_object();
    while (in_.next_key()) {
      const std::string_view key = in_.key();
      if (key == "type" && in_.kind() == Kind::kString) {
        out_.model = in_.string().substr(0, kMaxDescribed);
      } else if (key == "vocab") {
        vocabulary();
      } else if (key == "merges" && in_.kind() == Kind::kArray) {
        out_.merges = 0;
        in_.begin_array();
        while (in_.next_element()) {
          in_.skip();
          ++*out_.merges;
        }
      } else if (key == "byte_fallback" && in_.kind() == Kind::kBool) {
        out_.byte_fallback = in_.boolean();
      } else {
        in_.skip();
      }
    }
    // Files of the library's first versions do not say which it is.
    if (!out_.model && out_.merges) out_.model = "BPE";
  }

  // {"token": number, …}, or with Unigram [["token", score], …] in the order of their numbers.
  void vocabulary() {
    out_.vocabulary = 0;
    if (in_.kind() == Kind::kArray) {
      in_.begin_array();
      while (in_.next_element()) {
        expect(Kind::kArray, "a token of vocab");
        in_.begin_array();
        for (std::size_t i = 0; in_.next_element(); ++i) {
          if (i == 0) {
            expect(Kind::kString, "a token of vocab");
            found(in_.string(), *out_.vocabulary);
          } else {
            in_.skip();
          }
        }
        ++*out_.vocabulary;
      }
      return;
    }
    expect(Kind::kObject, "vocab");
    in_.begin_object();
    std::string token;
    while (in_.next_key()) {
      token = in_.key();
      found(token, in_.unsigned_number("a token's number", ErrorCode::kBadSchema));
      ++*out_.vocabulary;
    }
  }

  static constexpr std::uint64_t kLargestId = std::numeric_limits<std::uint64_t>::max() - 1;

  JsonCursor in_;
  TokenizerFile& out_;
};

}  // namespace

void read_tokenizer(std::string_view text, const std::string& path, TokenizerFile& out) {
  TokenizerWalk(text, path, out).run();
}

}  // namespace qi
