#include "engine/methods/params.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {

namespace {

void check_word(std::string_view word, std::string_view what) {
  if (word.empty() || word.find_first_of(";=") != std::string_view::npos) {
    throw Error(ErrorCode::kUsage, fmt::format("'{}' is no {} of a parameter", word, what));
  }
}

}  // namespace

Params Params::parse(std::string_view text) {
  Params params;
  std::string_view left = text;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find(';'), left.size());
    const std::string_view pair = left.substr(0, end);
    const std::size_t equals = std::min(pair.find('='), pair.size() - 1);
    params.set(pair.substr(0, equals), pair.substr(equals + 1));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  if (params.text() != text) {
    throw Error(ErrorCode::kUsage, fmt::format("'{}' is not a sorted list of parameters", text));
  }
  return params;
}

void Params::set(std::string_view key, std::string_view value) {
  check_word(key, "name");
  check_word(value, "value");
  values_.insert_or_assign(std::string(key), std::string(value));
}

std::optional<std::string_view> Params::get(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::string Params::text() const {
  std::string text;
  for (const auto& [key, value] : values_) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ";", key, value);
  }
  return text;
}

}  // namespace qi
