// Reads a header front to back: bounds-checked, either byte order, through pread in growing pieces
// so that a header is read without touching payload. Refuses to pass the end of its range.
// One thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "engine/io/file.h"

namespace qi {

class Reader {
 public:
  /// Reads `file` from `begin`; positions are absolute in the file.
  explicit Reader(std::shared_ptr<const File> file, std::uint64_t begin = 0);
  /// The same over [begin, end) of the file.
  Reader(std::shared_ptr<const File> file, std::uint64_t begin, std::uint64_t end);

  void set_big_endian(bool big) { swap_ = big; }
  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return end_ - position_; }

  /// `count` bytes, valid until the next call. Throws kTruncated at position().
  std::span<const std::byte> take(std::size_t count, std::string_view what);
  void skip(std::uint64_t count, std::string_view what);

  /// A number in the file's byte order; `what` names the field in errors.
  template <typename T>
  T number(std::string_view what) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    std::array<std::byte, sizeof(T)> raw;
    std::memcpy(raw.data(), take(sizeof(T), what).data(), sizeof(T));
    if (swap_) std::reverse(raw.begin(), raw.end());
    return std::bit_cast<T>(raw);
  }

  /// Throws `code` naming the file and `offset`.
  [[noreturn]] void fail(ErrorCode code, std::uint64_t offset, std::string message,
                         std::string expected = {}) const;

 private:
  std::shared_ptr<const File> file_;
  std::uint64_t position_;
  std::uint64_t end_;
  bool swap_ = false;
  Buffer window_;
  std::uint64_t window_begin_ = 0;
  std::size_t window_size_ = 0;
  std::size_t next_window_ = 4096;
};

}  // namespace qi
