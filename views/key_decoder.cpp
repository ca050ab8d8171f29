#include "views/key_decoder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "engine/text/utf8.h"

namespace qi {
namespace {

constexpr std::size_t kMaxSequence = 64;  // longer ones are no key of any terminal
constexpr std::string_view kPasteBegin = "\x1b[200~";
constexpr std::string_view kPasteEnd = "\x1b[201~";

struct Step {
  std::size_t length = 0;  // bytes used; 0: more are needed
  Key key;                 // kNone: dropped
};

KeyCode code_of_letter(char final) {
  switch (final) {
    case 'A':
      return KeyCode::kUp;
    case 'B':
      return KeyCode::kDown;
    case 'C':
      return KeyCode::kRight;
    case 'D':
      return KeyCode::kLeft;
    case 'F':
      return KeyCode::kEnd;
    case 'H':
      return KeyCode::kHome;
    case 'M':
      return KeyCode::kEnter;  // keypad
    case 'Z':
      return KeyCode::kBackTab;
    default:
      return KeyCode::kNone;
  }
}

Key key_of_number(int number) {
  switch (number) {
    case 1:
    case 7:
      return key(KeyCode::kHome);
    case 2:
      return key(KeyCode::kInsert);
    case 3:
      return key(KeyCode::kDelete);
    case 4:
    case 8:
      return key(KeyCode::kEnd);
    case 5:
      return key(KeyCode::kPageUp);
    case 6:
      return key(KeyCode::kPageDown);
    default:
      break;
  }
  // F1 … F12 with their historic gaps.
  constexpr std::array<int, 12> kFunctionNumbers = {11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24};
  for (std::size_t i = 0; i < kFunctionNumbers.size(); ++i) {
    if (kFunctionNumbers[i] == number) {
      return {.code = KeyCode::kFunction, .text = std::to_string(i + 1)};
    }
  }
  return {};
}

// The numbers between ';' of a control sequence, at most three, capped.
std::array<int, 3> parameters(std::string_view text) {
  std::array<int, 3> out{};
  for (int& number : out) {
    const std::size_t end = text.find(';');
    const std::string_view part = text.substr(0, end);
    std::from_chars(part.data(), part.data() + part.size(), number);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return out;
}

// CSI < button ; column ; row (M pressed, m released), counted from 1; 32 is added while moving.
Key mouse_key(std::string_view text, char final) {
  const auto [button, column, row] = parameters(text);
  Key out{.code = KeyCode::kNone, .text = {}, .x = column - 1, .y = row - 1};
  if (button == 64) out.code = KeyCode::kWheelUp;
  if (button == 65) out.code = KeyCode::kWheelDown;
  if (button == 0) out.code = final == 'M' ? KeyCode::kClick : KeyCode::kRelease;
  if (button == 32) out.code = KeyCode::kDrag;
  return out;
}

// bytes[0..1] is ESC [ .
Step control_sequence(std::string_view bytes) {
  std::size_t at = 2;
  if (at < bytes.size() && bytes[at] == '[') {  // Linux console: ESC [ [ A is F1
    if (bytes.size() < 4) return {};
    Key out;
    if (bytes[3] >= 'A' && bytes[3] <= 'E') {
      out = {.code = KeyCode::kFunction,
             .text = std::string(1, static_cast<char>('1' + bytes[3] - 'A'))};
    }
    return {4, out};
  }
  while (at < bytes.size() && bytes[at] >= 0x20 && bytes[at] <= 0x3f) ++at;
  if (at >= bytes.size()) return bytes.size() > kMaxSequence ? Step{bytes.size(), {}} : Step{};
  const char final = bytes[at];
  const std::string_view inner = bytes.substr(2, at - 2);
  if (static_cast<unsigned char>(final) < 0x40 || static_cast<unsigned char>(final) > 0x7e) {
    return {at, {}};  // broken off by something else, which is decoded next
  }
  if (!inner.empty() && inner[0] == '<') return {at + 1, mouse_key(inner.substr(1), final)};
  if (final == '~') return {at + 1, key_of_number(parameters(inner)[0])};
  return {at + 1, key(code_of_letter(final))};
}

Step escape_sequence(std::string_view bytes) {
  if (bytes.size() == 1) return {};
  if (bytes[1] == '[') return control_sequence(bytes);
  if (bytes[1] == 'O') {
    if (bytes.size() == 2) return {};
    if (bytes[2] >= 'P' && bytes[2] <= 'S') {
      return {3,
              {.code = KeyCode::kFunction,
               .text = std::string(1, static_cast<char>('1' + bytes[2] - 'P'))}};
    }
    return {3, key(code_of_letter(bytes[2]))};
  }
  if (bytes[1] == '\x1b') return {1, key(KeyCode::kEscape)};
  // Alt with a key: Esc, then the key; nothing is bound to Alt.
  return {1, key(KeyCode::kEscape)};
}

Step first_key(std::string_view bytes) {
  const auto byte = static_cast<unsigned char>(bytes[0]);
  if (byte == 0x1b) return escape_sequence(bytes);
  if (byte == '\r' || byte == '\n') return {1, key(KeyCode::kEnter)};
  if (byte == '\t') return {1, key(KeyCode::kTab)};
  if (byte == 0x7f || byte == 0x08) return {1, key(KeyCode::kBackspace)};
  if (byte >= 1 && byte <= 26) return {1, control(static_cast<char>('a' + byte - 1))};
  if (byte < 0x20) return {1, {}};
  if (byte < 0x80) return {1, character(bytes.substr(0, 1))};
  const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
  if (length > 1 && bytes.size() < length && decode_utf8(bytes, 0).valid == false) {
    bool more = true;
    for (std::size_t i = 1; i < bytes.size(); ++i) {
      more = more && (static_cast<unsigned char>(bytes[i]) & 0xc0) == 0x80;
    }
    if (more) return {};
  }
  const CodePoint point = decode_utf8(bytes, 0);
  // C1 controls are sequences of old terminals, not text.
  if (!point.valid || (point.code >= 0x80 && point.code < 0xa0)) return {point.length, {}};
  return {point.length, character(bytes.substr(0, point.length))};
}

}  // namespace

void KeyDecoder::feed(std::string_view bytes, std::vector<Key>& out) {
  buffer_ += bytes;
  std::size_t at = 0;
  while (at < buffer_.size()) {
    if (!pasting_ && std::string_view(buffer_).substr(at).starts_with(kPasteBegin)) {
      pasting_ = true;
      at += kPasteBegin.size();
    }
    if (pasting_) {
      if (!take_paste(at, out)) break;
      continue;
    }
    const Step step = first_key(std::string_view(buffer_).substr(at));
    if (step.length == 0) break;
    at += step.length;
    if (step.key.code != KeyCode::kNone) out.push_back(step.key);
  }
  buffer_.erase(0, at);
}

bool KeyDecoder::take_paste(std::size_t& at, std::vector<Key>& out) {
  const std::size_t end = buffer_.find(kPasteEnd, at);
  // The end may have come in part.
  std::size_t length = end - at;
  if (end == std::string::npos) {
    length = buffer_.size() - at;
    length -= std::min(length, kPasteEnd.size() - 1);
  }
  pasted_.append(buffer_, at, std::min(length, kMostPasted - pasted_.size()));
  at += length;
  if (end == std::string::npos) return false;
  at += kPasteEnd.size();
  pasting_ = false;
  out.push_back({.code = KeyCode::kPaste, .text = std::exchange(pasted_, {})});
  return true;
}

void KeyDecoder::flush(std::vector<Key>& out) {
  if (pasting_) {
    // The terminal did not say where it ends. Nothing of it is a key.
    pasting_ = false;
    pasted_.append(buffer_, 0, kMostPasted - pasted_.size());
    buffer_.clear();
    out.push_back({.code = KeyCode::kPaste, .text = std::exchange(pasted_, {})});
    return;
  }
  if (!buffer_.empty() && buffer_[0] == '\x1b') {
    out.push_back(key(KeyCode::kEscape));
    // Esc [ typed by hand: the second key counts too.
    if (buffer_.size() == 2) out.push_back(character(std::string_view(buffer_).substr(1)));
  }
  buffer_.clear();
}

}  // namespace qi
