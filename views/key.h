// A key press or mouse event as screens see it, whatever bytes the terminal sent. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qi {

enum class KeyCode : std::uint8_t {
  kNone,
  kCharacter,  // `text` is one character as UTF-8
  kControl,    // `text` is the lower-case letter: Ctrl-d is "d"
  kEnter,
  kEscape,
  kTab,
  kBackTab,
  kBackspace,
  kDelete,
  kInsert,
  kUp,
  kDown,
  kLeft,
  kRight,
  kHome,
  kEnd,
  kPageUp,
  kPageDown,
  kFunction,  // `text` is the number
  kWheelUp,
  kWheelDown,
  kClick,
  kDrag,  // the cursor moved with the button held
  kRelease,
  kPaste,  // `text` is what was pasted, raw; never a command
};

struct Key {
  KeyCode code = KeyCode::kNone;
  std::string text;
  int x = 0;  // mouse events: the cell
  int y = 0;
  bool operator==(const Key&) const = default;
};

inline Key character(std::string_view text) {
  return {.code = KeyCode::kCharacter, .text = std::string(text)};
}
inline Key control(char letter) {
  return {.code = KeyCode::kControl, .text = std::string(1, letter)};
}
inline Key key(KeyCode code) {
  return {.code = code, .text = {}};
}

/// "q", "Space", "Ctrl-d", "PgDn", "F1": what footer and help print and the key table is written
/// in.
std::string key_name(const Key& key);
/// The key of such a name, in whatever case where the name is a word; nothing when no terminal
/// sends a key of that name: Ctrl-h, -i, -j and -m arrive as Backspace, Tab and Enter.
std::optional<Key> key_of_name(std::string_view name);

}  // namespace qi
