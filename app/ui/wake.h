// How other threads wake the event loop: an eventfd that poll() watches. Any thread may signal.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "engine/io/error.h"

namespace qi {

class Wake {
 public:
  Wake() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (fd_ < 0) throw Error(ErrorCode::kIo, "cannot make an eventfd");
  }
  ~Wake() { close(fd_); }
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  int fd() const { return fd_; }
  void signal() const {
    const std::uint64_t one = 1;
    // Full means that the loop will wake anyway.
    [[maybe_unused]] const ssize_t sent = write(fd_, &one, sizeof(one));
  }
  void clear() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(fd_, &count, sizeof(count));
  }

 private:
  int fd_;
};

}  // namespace qi
