// From the bytes a terminal sends to keys: UTF-8, control characters, xterm and rxvt sequences, SGR
// mouse reports. Keeps an unfinished sequence until more bytes come or the caller's patience ends.
// No terminal, no clock; one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "views/key.h"

namespace qi {

class KeyDecoder {
 public:
  /// Appends the keys that `bytes` complete to `out`. Unknown sequences are dropped whole.
  void feed(std::string_view bytes, std::vector<Key>& out);
  /// True while a sequence is unfinished: call flush() when nothing followed for a moment.
  bool pending() const { return !buffer_.empty(); }
  /// What is left was not the start of a sequence: a lone Esc is the Esc key.
  void flush(std::vector<Key>& out);

 private:
  std::string buffer_;
};

}  // namespace qi
