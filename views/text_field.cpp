#include "views/text_field.h"

#include <utility>

#include "engine/text/escape.h"
#include "engine/text/utf8.h"
#include "engine/text/width.h"

namespace qi {

void TextField::set_text(std::string text) {
  text_ = std::move(text);
  cursor_ = text_.size();
}

std::size_t TextField::previous(std::size_t at) const {
  std::size_t begin = 0;
  while (begin < at) {
    const std::size_t after = next(begin);
    if (after >= at) break;
    begin = after;
  }
  return begin;
}

std::size_t TextField::next(std::size_t at) const {
  return at >= text_.size() ? at : at + cluster_at(text_, at).text.size();
}

// Format characters are no text a person can see.
void TextField::insert(std::string_view text) {
  if (text_.size() + text.size() > kMaxBytes) return;
  if (!is_printable(text) && text != "\\") return;
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

bool TextField::handle(const Key& key) {
  switch (key.code) {
    case KeyCode::kCharacter:
      insert(key.text);
      return true;
    case KeyCode::kPaste: {
      std::string_view rest = key.text;
      while (!rest.empty() && rest.back() <= ' ' && rest.back() >= 0) rest.remove_suffix(1);
      for (bool blank = true; !rest.empty();) {
        const CodePoint point = decode_utf8(rest, 0);
        const std::string_view one = rest.substr(0, point.length);
        rest.remove_prefix(point.length);
        // Line breaks and tabs part words; several are one space, none stands at an end.
        const bool breaks = one == "\n" || one == "\r" || one == "\t";
        if (breaks && blank) continue;
        insert(breaks ? " " : one);
        blank = breaks || one == " ";
      }
      return true;
    }
    case KeyCode::kBackspace: {
      const std::size_t begin = previous(cursor_);
      text_.erase(begin, cursor_ - begin);
      cursor_ = begin;
      return true;
    }
    case KeyCode::kDelete:
      text_.erase(cursor_, next(cursor_) - cursor_);
      return true;
    case KeyCode::kLeft:
      cursor_ = previous(cursor_);
      return true;
    case KeyCode::kRight:
      cursor_ = next(cursor_);
      return true;
    case KeyCode::kHome:
      cursor_ = 0;
      return true;
    case KeyCode::kEnd:
      cursor_ = text_.size();
      return true;
    case KeyCode::kControl:
      break;
    default:
      return false;
  }
  if (key.text == "a") {
    cursor_ = 0;
  } else if (key.text == "e") {
    cursor_ = text_.size();
  } else if (key.text == "u") {
    text_.erase(0, cursor_);
    cursor_ = 0;
  } else if (key.text == "k") {
    text_.erase(cursor_);
  } else if (key.text == "w") {
    std::size_t begin = cursor_;
    while (begin > 0 && text_[begin - 1] == ' ') --begin;
    while (begin > 0 && text_[begin - 1] != ' ') --begin;
    text_.erase(begin, cursor_ - begin);
    cursor_ = begin;
  } else {
    return false;
  }
  return true;
}

}  // namespace qi
