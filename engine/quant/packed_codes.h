// Codes of 1 to 8 bits, packed without gaps, lowest bits first, rounded up to whole bytes.
// Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qi {

/// Bytes of `count` codes.
constexpr std::uint64_t packed_bytes(int bits, std::uint64_t count) {
  const std::uint64_t b = static_cast<std::uint64_t>(bits);
  return count / 8 * b + (count % 8 * b + 7) / 8;
}

/// Every code < 2^bits.
void pack_codes(int bits, const std::uint8_t* codes, std::uint64_t count, std::byte* out);
void unpack_codes(int bits, const std::byte* in, std::uint64_t count, std::uint8_t* codes);

}  // namespace qi
