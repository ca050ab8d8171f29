// Large tables are filled once, from end to end: a page fault for every 2 MiB of them costs a tenth
// of one for every 4 KiB. Any thread.
#pragma once

#include <cstddef>
#include <vector>

namespace qi {

/// Asks for large pages where [begin, begin + bytes) holds whole ones. Memory that is not touched
/// stays free; where the system has no large pages, nothing changes.
void prefer_large_pages(void* begin, std::size_t bytes);

/// values.reserve(count), in large pages.
template <typename T>
void reserve_large(std::vector<T>& values, std::size_t count) {
  values.reserve(count);
  prefer_large_pages(values.data(), values.capacity() * sizeof(T));
}

}  // namespace qi
