// The alphabet of byte-level tokens (GPT-2): each byte as one printable character, so that tokens
// are texts whatever bytes they stand for. Pure functions, any thread.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace qi {

/// The characters that stand for the bytes 0 … 255, as UTF-8.
const std::array<std::string, 256>& byte_level_texts();
/// The bytes a text stands for; nothing when it has a character that is not of the alphabet.
std::optional<std::string> byte_level_bytes(std::string_view text);

}  // namespace qi
