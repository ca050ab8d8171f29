// What the kernel says of this process (Linux). Header only, any thread.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

extern "C" [[gnu::weak]] void __asan_init();

namespace qi::test {

/// Whether AddressSanitizer watches the code under test: freed memory then stays with the process.
inline bool sanitized() {
  return __asan_init != nullptr;
}

/// Bytes that read() and pread() gave this process so far.
inline std::uint64_t bytes_read() {
  std::ifstream io("/proc/self/io");
  std::string key;
  std::uint64_t value = 0;
  while (io >> key >> value) {
    if (key == "rchar:") return value;
  }
  return 0;
}

}  // namespace qi::test
