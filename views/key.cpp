#include "views/key.h"

#include <algorithm>

#include "engine/text/escape.h"
#include "engine/text/utf8.h"

namespace qi {

std::string key_name(const Key& key) {
  switch (key.code) {
    case KeyCode::kNone:
      return "";
    case KeyCode::kCharacter:
      return key.text == " " ? "Space" : key.text;
    case KeyCode::kControl:
      return "Ctrl-" + key.text;
    case KeyCode::kEnter:
      return "Enter";
    case KeyCode::kEscape:
      return "Esc";
    case KeyCode::kTab:
      return "Tab";
    case KeyCode::kBackTab:
      return "Shift-Tab";
    case KeyCode::kBackspace:
      return "Backspace";
    case KeyCode::kDelete:
      return "Del";
    case KeyCode::kInsert:
      return "Ins";
    case KeyCode::kUp:
      return "Up";
    case KeyCode::kDown:
      return "Down";
    case KeyCode::kLeft:
      return "Left";
    case KeyCode::kRight:
      return "Right";
    case KeyCode::kHome:
      return "Home";
    case KeyCode::kEnd:
      return "End";
    case KeyCode::kPageUp:
      return "PgUp";
    case KeyCode::kPageDown:
      return "PgDn";
    case KeyCode::kFunction:
      return "F" + key.text;
    case KeyCode::kWheelUp:
      return "WheelUp";
    case KeyCode::kWheelDown:
      return "WheelDown";
    case KeyCode::kClick:
      return "Click";
    case KeyCode::kDrag:
      return "Drag";
    case KeyCode::kRelease:
      return "Release";
    case KeyCode::kPaste:
      return "Paste";
  }
  return "";
}

std::optional<Key> key_of_name(std::string_view name) {
  if (name.empty()) return {};
  const CodePoint first = decode_utf8(name, 0);
  if (first.length == name.size()) {
    if (!first.valid || name == " " || !is_safe(first.code)) return {};
    return character(name);
  }
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto same = [&](std::string_view word) {
    return std::equal(word.begin(), word.end(), name.begin(), name.end(),
                      [&](char a, char b) { return lower(a) == lower(b); });
  };
  if (same("Space")) return character(" ");
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    if (std::string_view("hijm").find(letter) != std::string_view::npos) continue;
    if (same(key_name(control(letter)))) return control(letter);
  }
  for (int number = 1; number <= 12; ++number) {
    const Key function{.code = KeyCode::kFunction, .text = std::to_string(number)};
    if (same(key_name(function))) return function;
  }
  for (int code = static_cast<int>(KeyCode::kEnter); code <= static_cast<int>(KeyCode::kPageDown);
       ++code) {
    const Key named = key(static_cast<KeyCode>(code));
    if (same(key_name(named))) return named;
  }
  return {};
}

}  // namespace qi
