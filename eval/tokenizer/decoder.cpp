#include <algorithm>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "eval/tokenizer/byte_level.h"
#include "eval/tokenizer/description.h"
#include "eval/tokenizer/steps.h"
#include "eval/tokenizer/vocabulary.h"

namespace qi {
namespace {

using Json = nlohmann::json;
using Tokens = std::vector<std::string>;

void from_byte_level(Tokens& tokens) {
  for (std::string& token : tokens) {
    if (auto bytes = byte_level_bytes(token)) token = std::move(*bytes);
  }
}

void from_bytes(Tokens& tokens) {
  for (std::string& token : tokens) {
    if (const auto byte = byte_of_token(token)) token.assign(1, *byte);
  }
}

void fuse(Tokens& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens.assign(1, std::move(all));
}

std::string replaced(const std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t next = 0; (next = text.find(from, at)) != std::string::npos;
       at = next + from.size()) {
    out.append(text, at, next - at);
    out += to;
    check_text_size(out.size());
  }
  return out.append(text, at);
}

TokenStep replace_in_tokens(const Json& description) {
  const auto pattern = description.find("pattern");
  if (pattern == description.end() || !pattern->is_object() || !pattern->contains("String")) {
    refuse_type("decoder", "Replace without a \"String\"");
  }
  std::string from = text_field(*pattern, "String");
  if (from.empty()) refuse_type("decoder", "Replace of nothing");
  return [from = std::move(from), to = text_field(description, "content")](Tokens& tokens) {
    for (std::string& token : tokens) token = replaced(token, from, to);
  };
}

// The space that was put before the text goes, and with it any that the first token has.
TokenStep metaspace(const Json& description) {
  const std::string mark = text_field(description, "replacement");
  if (mark.empty()) refuse_type("decoder", "Metaspace without a mark");
  const bool prepended = flag_field(description, "add_prefix_space", true) &&
                         !(description.contains("prepend_scheme") &&
                           text_field(description, "prepend_scheme") == "never");
  return [mark, prepended](Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replaced(tokens[i], mark, i == 0 && prepended ? "" : " ");
    }
  };
}

// Takes `content` off each token, at most so many times at its start and its end.
TokenStep strip(const Json& description) {
  const std::string content = text_field(description, "content");
  const std::uint64_t start = count_field(description, "start");
  const std::uint64_t stop = count_field(description, "stop");
  if (content.empty()) refuse_type("decoder", "Strip of nothing");
  return [=](Tokens& tokens) {
    for (std::string& token : tokens) {
      std::string_view left = token;
      for (std::uint64_t i = 0; i < start && left.starts_with(content); ++i) {
        left.remove_prefix(content.size());
      }
      for (std::uint64_t i = 0; i < stop && left.ends_with(content); ++i) {
        left.remove_suffix(content.size());
      }
      token = std::string(left);
    }
  };
}

void join_by_spaces(Tokens& tokens) {
  for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, " ");
}

}  // namespace

std::vector<TokenStep> decoder_steps(const Json& description) {
  if (description.is_null()) return {join_by_spaces};
  std::vector<TokenStep> steps;
  for_each_component(description, "decoders", "decoder",
                     [&](const Json& component, std::string_view type) {
                       if (type == "ByteLevel") {
                         steps.emplace_back(from_byte_level);
                       } else if (type == "Metaspace") {
                         steps.push_back(metaspace(component));
                       } else if (type == "Replace") {
                         steps.push_back(replace_in_tokens(component));
                       } else if (type == "ByteFallback") {
                         steps.emplace_back(from_bytes);
                       } else if (type == "Fuse") {
                         steps.emplace_back(fuse);
                       } else if (type == "Strip") {
                         steps.push_back(strip(component));
                       } else {
                         refuse_type("decoder", type);
                       }
                     });
  return steps;
}

}  // namespace qi
