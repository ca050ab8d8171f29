#include "engine/quant/packed_codes.h"

#include <algorithm>
#include <cstring>

namespace qi {
namespace {

// Eight codes fill `bits` whole bytes.
template <int kBits>
void pack(const std::uint8_t* codes, std::uint64_t count, std::byte* out) {
  for (std::uint64_t i = 0; i < count; i += 8) {
    const std::uint64_t n = std::min<std::uint64_t>(8, count - i);
    std::uint64_t word = 0;
    if (n == 8) {
      for (unsigned k = 0; k < 8; ++k) word |= std::uint64_t{codes[i + k]} << (k * kBits);
    } else {
      for (unsigned k = 0; k < n; ++k) word |= std::uint64_t{codes[i + k]} << (k * kBits);
    }
    std::memcpy(out, &word, n == 8 ? kBits : (n * kBits + 7) / 8);
    out += kBits;
  }
}

template <int kBits>
void unpack(const std::byte* in, std::uint64_t count, std::uint8_t* codes) {
  constexpr std::uint64_t kMask = (1u << kBits) - 1;
  for (std::uint64_t i = 0; i < count; i += 8) {
    const std::uint64_t n = std::min<std::uint64_t>(8, count - i);
    std::uint64_t word = 0;
    std::memcpy(&word, in, n == 8 ? kBits : (n * kBits + 7) / 8);
    if (n == 8) {
      for (unsigned k = 0; k < 8; ++k) {
        codes[i + k] = static_cast<std::uint8_t>(word >> (k * kBits) & kMask);
      }
    } else {
      for (unsigned k = 0; k < n; ++k) {
        codes[i + k] = static_cast<std::uint8_t>(word >> (k * kBits) & kMask);
      }
    }
    in += kBits;
  }
}

}  // namespace

void pack_codes(int bits, const std::uint8_t* codes, std::uint64_t count, std::byte* out) {
  constexpr decltype(&pack<1>) kPack[] = {pack<1>, pack<2>, pack<3>, pack<4>,
                                          pack<5>, pack<6>, pack<7>, pack<8>};
  kPack[bits - 1](codes, count, out);
}

void unpack_codes(int bits, const std::byte* in, std::uint64_t count, std::uint8_t* codes) {
  constexpr decltype(&unpack<1>) kUnpack[] = {unpack<1>, unpack<2>, unpack<3>, unpack<4>,
                                              unpack<5>, unpack<6>, unpack<7>, unpack<8>};
  kUnpack[bits - 1](in, count, codes);
}

}  // namespace qi
