#include "engine/format/json_document.h"

#include <charconv>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/json.h"

namespace qi {
namespace {

class DocumentBuilder {
 public:
  DocumentBuilder(std::string_view text, const std::string& file, std::vector<std::string>& odd)
      : cursor_(text, file), odd_(odd) {}

  nlohmann::json build() {
    nlohmann::json document = value("");
    cursor_.end();
    return document;
  }

 private:
  // Recursion is bounded: the cursor refuses more than kMaxJsonDepth levels.
  nlohmann::json value(std::string_view name) {
    const std::uint64_t where = cursor_.position();
    if (++values_ > kMaxJsonValues) {
      cursor_.fail(ErrorCode::kLimit, where, "too many values in JSON",
                   fmt::format("at most {}", kMaxJsonValues));
    }
    switch (cursor_.kind()) {
      case JsonCursor::Kind::kObject:
        return object();
      case JsonCursor::Kind::kArray: {
        nlohmann::json array = nlohmann::json::array();
        cursor_.begin_array();
        while (cursor_.next_element()) array.push_back(value(name));
        return array;
      }
      case JsonCursor::Kind::kString:
        return std::string(cursor_.string());
      case JsonCursor::Kind::kNumber:
        return number(name);
      case JsonCursor::Kind::kBool:
        return cursor_.boolean();
      case JsonCursor::Kind::kNull:
        cursor_.null();
    }
    return nullptr;
  }

  nlohmann::json object() {
    nlohmann::json members = nlohmann::json::object();
    cursor_.begin_object();
    while (cursor_.next_key()) {
      const std::string name(cursor_.key());
      if (members.contains(name)) remember(name);
      members[name] = value(name);
    }
    return members;
  }

  nlohmann::json number(std::string_view name) {
    const std::string_view text = cursor_.number();
    const char* end = text.data() + text.size();
    const auto whole = [&](auto integer) -> nlohmann::json {
      const auto result = std::from_chars(text.data(), end, integer);
      if (result.ec == std::errc() && result.ptr == end) return integer;
      return nullptr;
    };
    nlohmann::json parsed = text[0] == '-' ? whole(std::int64_t{}) : whole(std::uint64_t{});
    if (!parsed.is_null()) return parsed;
    double real = 0;
    const auto result = std::from_chars(text.data(), end, real);
    const bool integer = text.find_first_of(".eE") == std::string_view::npos;
    if (integer || result.ec != std::errc() || !std::isfinite(real)) {
      remember(name);
      return nullptr;
    }
    return real;
  }

  void remember(std::string_view name) {
    constexpr std::size_t kEnough = 16;
    if (odd_.size() < kEnough) odd_.emplace_back(name.substr(0, 200));
  }

  JsonCursor cursor_;
  std::vector<std::string>& odd_;
  std::size_t values_ = 0;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& file,
                          std::vector<std::string>& odd) {
  return DocumentBuilder(text, file, odd).build();
}

}  // namespace qi
