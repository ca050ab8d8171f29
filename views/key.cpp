#include "views/key.h"

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
  }
  return "";
}

}  // namespace qi
