#include "engine/io/reader.h"

#include <utility>

#include <fmt/format.h>

namespace qi {
namespace {
constexpr std::size_t kMaxWindow = 1 << 20;
}

Reader::Reader(std::shared_ptr<const File> file, std::uint64_t begin)
    : Reader(std::move(file), begin, UINT64_MAX) {}

Reader::Reader(std::shared_ptr<const File> file, std::uint64_t begin, std::uint64_t end)
    : file_(std::move(file)),
      position_(begin),
      // A range that lies outside the file is an empty one: the first take() says so.
      end_(std::max(begin, std::min(end, file_->size()))) {}

std::span<const std::byte> Reader::take(std::size_t count, std::string_view what) {
  if (count > remaining()) {
    fail(ErrorCode::kTruncated, position_, fmt::format("file ends inside {}", what),
         fmt::format("{} bytes, {} left", count, remaining()));
  }
  const bool inside = position_ >= window_begin_ && position_ - window_begin_ <= window_size_ &&
                      count <= window_size_ - (position_ - window_begin_);
  if (!inside) {
    // The window doubles: small headers cost one small read, long ones few large ones.
    const std::size_t size = static_cast<std::size_t>(
        std::min<std::uint64_t>(std::max(count, next_window_), remaining()));
    next_window_ = std::min(next_window_ * 4, kMaxWindow);
    if (window_.size() < size) window_.resize(size);
    file_->read_at(position_, {window_.data(), size});
    window_begin_ = position_;
    window_size_ = size;
  }
  const std::byte* data = window_.data() + (position_ - window_begin_);
  position_ += count;
  return {data, count};
}

void Reader::skip(std::uint64_t count, std::string_view what) {
  if (count > remaining()) {
    fail(ErrorCode::kTruncated, position_, fmt::format("file ends inside {}", what),
         fmt::format("{} bytes, {} left", count, remaining()));
  }
  position_ += count;
}

void Reader::fail(ErrorCode code, std::uint64_t offset, std::string message,
                  std::string expected) const {
  throw Error(code, std::move(message), std::move(expected), file_->path(), offset);
}

}  // namespace qi
