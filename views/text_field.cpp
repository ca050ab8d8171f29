#include "views/text_field.h"

#include <utility>

#include "engine/text/escape.h"
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

bool TextField::handle(const Key& key) {
  switch (key.code) {
    case KeyCode::kCharacter:
      // Pasted format characters are no text a person can see.
      if (text_.size() + key.text.size() <= kMaxBytes &&
          (is_printable(key.text) || key.text == "\\")) {
        text_.insert(cursor_, key.text);
        cursor_ += key.text.size();
      }
      return true;
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
