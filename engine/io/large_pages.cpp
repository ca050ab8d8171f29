#include "engine/io/large_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace qi {

void prefer_large_pages(void* begin, std::size_t bytes) {
  constexpr std::uintptr_t kLarge = std::uintptr_t{1} << 21;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t first = (address + kLarge - 1) & ~(kLarge - 1);
  const std::uintptr_t last = (address + bytes) & ~(kLarge - 1);
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace qi
