// Codebooks of ggml's IQ block types, eight (or four) small numbers packed into one word each,
// the first number in the lowest byte. Constant data, any thread.
#pragma once

#include <array>
#include <cstdint>

namespace qi {

// Bytes are the magnitudes of 8 weights.
extern const std::array<std::uint64_t, 256> kIq2xxsGrid;
extern const std::array<std::uint64_t, 512> kIq2xsGrid;
extern const std::array<std::uint64_t, 1024> kIq2sGrid;
// Bytes are the magnitudes of 4 weights.
extern const std::array<std::uint32_t, 256> kIq3xxsGrid;
extern const std::array<std::uint32_t, 512> kIq3sGrid;
// Bytes are −1, 0 or 1 (two's complement) for 8 weights.
extern const std::array<std::uint64_t, 2048> kIq1sGrid;

/// Levels of IQ4_NL and IQ4_XS.
inline constexpr std::array<std::int8_t, 16> kIq4nlValues = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// E2M1 times two, as MXFP4 and NVFP4 blocks use it; code 8 is a plain 0.
inline constexpr std::array<std::int8_t, 16> kMxfp4Values = {0, 1,  2,  3,  4,  6,  8,  12,
                                                             0, -1, -2, -3, -4, -6, -8, -12};

/// Signs of 8 weights from 7 stored bits: the eighth makes the number of minus signs even.
constexpr std::uint8_t iq_signs(std::uint32_t seven) {
  std::uint32_t parity = seven;
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return static_cast<std::uint8_t>(seven | ((parity & 1) << 7));
}

}  // namespace qi
