// Decoding and encoding of UTF-8, strict as the Unicode standard (no overlong forms, no surrogates,
// nothing above U+10FFFF). Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qi {

// Variation selectors: the character before is text, or a picture two cells wide.
inline constexpr char32_t kTextStyle = 0xFE0E;
inline constexpr char32_t kEmojiStyle = 0xFE0F;

/// One step through a text. When the bytes at the position are not UTF-8, `valid` is false, `code`
/// is that one byte and `length` is 1.
struct CodePoint {
  char32_t code = 0;
  std::uint8_t length = 1;  // bytes
  bool valid = true;
};

/// The code point that starts at `position` < text.size().
CodePoint decode_utf8(std::string_view text, std::size_t position);

/// Appends `code` (at most 0x10FFFF) as UTF-8.
void append_utf8(std::string& out, char32_t code);

bool is_utf8(std::string_view text);

}  // namespace qi
