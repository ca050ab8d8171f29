// One line of text being typed: every printable key is text. State only; screens draw it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "views/key.h"

namespace qi {

class TextField {
 public:
  const std::string& text() const { return text_; }
  /// Bytes before the cursor; always at the edge of a character.
  std::size_t cursor() const { return cursor_; }
  void set_text(std::string text);

  /// Typing, a paste (line breaks as spaces, nothing else that cannot be seen), Backspace, Del,
  /// Left, Right, Home, End, Ctrl-a/e/u/k/w. False: not a key of a field. A text of kMaxBytes takes
  /// no more.
  bool handle(const Key& key);

  static constexpr std::size_t kMaxBytes = 1024;

 private:
  void insert(std::string_view text);
  std::size_t previous(std::size_t at) const;
  std::size_t next(std::size_t at) const;

  std::string text_;
  std::size_t cursor_ = 0;
};

}  // namespace qi
