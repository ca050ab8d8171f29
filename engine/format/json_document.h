// A whole JSON text as a document, for configurations and what else is small and of any shape,
// built with the strict cursor. Refuses what the cursor does, and texts of more values than such
// files have. Recursion is bounded by kMaxJsonDepth. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace qi {

/// Values a document may have; a cursor has no such limit because it keeps nothing.
inline constexpr std::size_t kMaxJsonValues = 1'000'000;

/// The whole text as a document of at most kMaxJsonValues values. Of a repeated key the last one
/// counts and the key is added to `odd`; so is the key of a number that fits neither 64-bit
/// integers nor a finite double, whose value becomes null. Throws kBadJson, kBadEncoding, kLimit.
nlohmann::json parse_json(std::string_view text, const std::string& file,
                          std::vector<std::string>& odd);

}  // namespace qi
