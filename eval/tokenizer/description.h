// Fields of the small objects in tokenizer.json that describe one component each. Throws kBadSchema
// naming component and field. Internal to this room; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "eval/tokenizer/pattern.h"

namespace qi {

/// Its "type". Throws when it is not an object with one; `what` is "normalizer", "decoder" …
std::string type_of(const nlohmann::json& description, std::string_view what);
std::string text_field(const nlohmann::json& description, std::string_view key);
/// `otherwise` when the field is absent or null.
bool flag_field(const nlohmann::json& description, std::string_view key, bool otherwise);
std::uint64_t count_field(const nlohmann::json& description, std::string_view key);
/// {"String": "…"} or {"Regex": "…"}.
Pattern pattern_field(const nlohmann::json& description);

/// Calls `one` for the description, or for each of those that it is a Sequence of in its field
/// `members`; for none when it is null. Throws kLimit beyond 64 of them.
void for_each_component(
    const nlohmann::json& description, std::string_view members, std::string_view what,
    const std::function<void(const nlohmann::json& component, std::string_view type)>& one);

[[noreturn]] void refuse_type(std::string_view what, std::string_view type);

}  // namespace qi
