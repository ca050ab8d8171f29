// Numbers in the byte streams of the codecs: little-endian, any alignment. Bounds are the caller's.
// Pure functions, any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qi {

static_assert(std::endian::native == std::endian::little, "streams are read as they stand");

inline std::uint8_t load_u8(const std::byte* in) {
  return std::to_integer<std::uint8_t>(*in);
}
template <typename T>
T load_number(const std::byte* in) {
  T value;
  std::memcpy(&value, in, sizeof(T));
  return value;
}
inline std::uint16_t load_u16(const std::byte* in) {
  return load_number<std::uint16_t>(in);
}
inline std::uint32_t load_u32(const std::byte* in) {
  return load_number<std::uint32_t>(in);
}
template <typename T>
void store_number(std::byte* out, T value) {
  std::memcpy(out, &value, sizeof(T));
}
inline void store_u16(std::byte* out, std::uint16_t value) {
  store_number(out, value);
}
inline void store_u32(std::byte* out, std::uint32_t value) {
  store_number(out, value);
}

}  // namespace qi
