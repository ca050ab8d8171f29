// From the bytes a terminal sends to keys: UTF-8, control characters, xterm and rxvt sequences, SGR
// mouse reports, bracketed paste as one key. Keeps an unfinished sequence until more bytes come or
// the caller's patience ends. No terminal, no clock; one thread.
#pragma once

#include <cstddef>
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
  bool pending() const { return pasting_ || !buffer_.empty(); }
  /// The unfinished one is a paste, which may take its time.
  bool pasting() const { return pasting_; }
  /// What is left was not the start of a sequence: a lone Esc is the Esc key; a paste ends.
  void flush(std::vector<Key>& out);

  static constexpr std::size_t kMostPasted = std::size_t{64} << 10;  // bytes; the rest is dropped

 private:
  /// Takes bytes from buffer_ at `at` as pasted text; false when the paste goes on after them.
  bool take_paste(std::size_t& at, std::vector<Key>& out);

  std::string buffer_;
  bool pasting_ = false;
  std::string pasted_;
};

}  // namespace qi
