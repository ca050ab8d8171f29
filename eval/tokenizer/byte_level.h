// The alphabet of byte-level tokens (GPT-2): each byte as one printable character, so that tokens
// are texts whatever bytes they stand for. Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qi {

/// The character that stands for a byte, as UTF-8.
const std::string& byte_level_text(char byte);
/// The bytes a text stands for; nothing when it has a character that is not of the alphabet.
std::optional<std::string> byte_level_bytes(std::string_view text);

}  // namespace qi
