// A file that lives in memory and has a path, for tests and fuzz targets that open thousands of
// inputs. Header only, Linux (memfd), one thread.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

namespace qi::test {

class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("input", MFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("memfd_create failed");
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  /// Makes `bytes` the whole content and returns a path that opens it.
  std::string set(std::string_view bytes) {
    if (ftruncate(fd_, 0) != 0) throw std::runtime_error("ftruncate failed");
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t written =
          pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) throw std::runtime_error("pwrite failed");
      done += static_cast<std::size_t>(written);
    }
    return path();
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace qi::test
