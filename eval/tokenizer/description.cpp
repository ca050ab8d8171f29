#include "eval/tokenizer/description.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/io/error.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxComponents = 64;

[[noreturn]] void refuse_field(std::string_view key, const Json* value, std::string_view expected) {
  throw Error(ErrorCode::kBadSchema,
              value == nullptr ? fmt::format("there is no \"{}\"", key)
                               : fmt::format("\"{}\" is of type {}", key, value->type_name()),
              std::string(expected));
}

const Json* field(const Json& description, std::string_view key) {
  const auto found = description.find(std::string(key));
  return found == description.end() || found->is_null() ? nullptr : &*found;
}

void visit(const Json& description, std::string_view members, std::string_view what,
           std::size_t& count, const std::function<void(const Json&, std::string_view)>& one) {
  const std::string type = type_of(description, what);
  if (type != "Sequence") {
    if (++count > kMaxComponents) {
      throw Error(ErrorCode::kLimit, fmt::format("more than {} parts of a {}", count - 1, what),
                  fmt::format("at most {}", kMaxComponents));
    }
    return one(description, type);
  }
  const Json* list = field(description, members);
  if (list == nullptr || !list->is_array()) refuse_field(members, list, "a list");
  for (const Json& member : *list) visit(member, members, what, count, one);
}

}  // namespace

std::string type_of(const Json& description, std::string_view what) {
  if (!description.is_object()) refuse_field(what, &description, "an object with a \"type\"");
  return text_field(description, "type");
}

std::string text_field(const Json& description, std::string_view key) {
  const Json* value = field(description, key);
  if (value == nullptr || !value->is_string()) refuse_field(key, value, "a string");
  return value->get<std::string>();
}

bool flag_field(const Json& description, std::string_view key, bool otherwise) {
  const Json* value = field(description, key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) refuse_field(key, value, "true or false");
  return value->get<bool>();
}

std::uint64_t count_field(const Json& description, std::string_view key) {
  const Json* value = field(description, key);
  if (value == nullptr || !value->is_number_unsigned()) refuse_field(key, value, "a whole number");
  return value->get<std::uint64_t>();
}

Pattern pattern_field(const Json& description) {
  const Json* value = field(description, "pattern");
  if (value != nullptr && value->is_object()) {
    if (value->contains("Regex")) return Pattern::regex(text_field(*value, "Regex"));
    if (value->contains("String")) return Pattern::literal(text_field(*value, "String"));
  }
  refuse_field("pattern", value, "an object with a \"String\" or a \"Regex\"");
}

void for_each_component(const Json& description, std::string_view members, std::string_view what,
                        const std::function<void(const Json&, std::string_view)>& one) {
  std::size_t count = 0;
  if (!description.is_null()) visit(description, members, what, count, one);
}

void refuse_type(std::string_view what, std::string_view type) {
  throw Error(ErrorCode::kBadSchema, fmt::format("a {} of type \"{}\"", what, type.substr(0, 200)),
              "a type that is supported");
}

}  // namespace qi
