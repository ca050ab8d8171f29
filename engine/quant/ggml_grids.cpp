#include "engine/quant/ggml_grids.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "engine/quant/iq_tables.h"

namespace qi::ggml {
namespace {

template <typename Words>
std::vector<float> spread(const Words& words) {
  constexpr std::size_t kWidth = sizeof(words[0]);
  std::vector<float> levels(kWidth * words.size());
  for (std::size_t e = 0; e < words.size(); ++e) {
    for (std::size_t j = 0; j < kWidth; ++j) {
      levels[j * words.size() + e] = static_cast<std::int8_t>((words[e] >> (8 * j)) & 0xFF);
    }
  }
  return levels;
}

// Two nibbles a byte.
void put_steps(const GridCodes& from, std::size_t bytes, std::byte* to) {
  for (std::size_t i = 0; i < bytes; ++i) {
    put_u8(to + i, from.steps[2 * i] | static_cast<unsigned>(from.steps[2 * i + 1]) << 4);
  }
}

// Seven of the eight signs of each of four runs of values, and a step above them.
std::uint32_t signs_and_step(const GridCodes& from, std::size_t group) {
  std::uint32_t word = static_cast<std::uint32_t>(from.steps[group]) << 28;
  for (std::size_t k = 0; k < 4; ++k) {
    word |= static_cast<std::uint32_t>(from.signs[4 * group + k] & 127) << (7 * k);
  }
  return word;
}

constexpr std::uint16_t kIndexBits = 2047;  // of an entry of IQ1

bool shifted_down(std::uint16_t entry) {
  return entry > kIndexBits;
}

}  // namespace

const float* grid_levels(DType type) {
  static const std::vector<float> iq2_xxs = spread(kIq2xxsGrid);
  static const std::vector<float> iq2_xs = spread(kIq2xsGrid);
  static const std::vector<float> iq2_s = spread(kIq2sGrid);
  static const std::vector<float> iq3_xxs = spread(kIq3xxsGrid);
  static const std::vector<float> iq3_s = spread(kIq3sGrid);
  static const std::vector<float> iq1 = spread(kIq1sGrid);
  switch (type) {
    case DType::kIQ2XXS:
      return iq2_xxs.data();
    case DType::kIQ2XS:
      return iq2_xs.data();
    case DType::kIQ2S:
      return iq2_s.data();
    case DType::kIQ3XXS:
      return iq3_xxs.data();
    case DType::kIQ3S:
      return iq3_s.data();
    default:
      assert(type == DType::kIQ1S || type == DType::kIQ1M);
      return iq1.data();
  }
}

void put_iq2_xxs(const GridCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  for (std::size_t g = 0; g < 8; ++g) {
    std::byte* group = block + 2 + 8 * g;
    for (std::size_t k = 0; k < 4; ++k) put_u8(group + k, from.entries[4 * g + k]);
    put_u32(group + 4, signs_and_step(from, g));
  }
}

void put_iq2_xs(const GridCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  for (std::size_t v = 0; v < 32; ++v) {
    put_u16(block + 2 + 2 * v, from.entries[v] | static_cast<unsigned>(from.signs[v] & 127) << 9);
  }
  put_steps(from, 8, block + 66);
}

void put_iq2_s(const GridCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  for (std::size_t g = 0; g < 8; ++g) {
    unsigned high = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const unsigned entry = from.entries[4 * g + k];
      put_u8(block + 2 + 4 * g + k, entry & 255);
      put_u8(block + 34 + 4 * g + k, from.signs[4 * g + k]);
      high |= (entry >> 8) << (2 * k);
    }
    put_u8(block + 66 + g, high);
  }
  put_steps(from, 8, block + 74);
}

void put_iq3_xxs(const GridCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  for (std::size_t v = 0; v < 64; ++v) put_u8(block + 2 + v, from.entries[v]);
  for (std::size_t g = 0; g < 8; ++g) put_u32(block + 66 + 4 * g, signs_and_step(from, g));
}

void put_iq3_s(const GridCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  for (std::size_t g = 0; g < 8; ++g) {
    unsigned high = 0;
    for (std::size_t k = 0; k < 8; ++k) {
      const unsigned entry = from.entries[8 * g + k];
      put_u8(block + 2 + 8 * g + k, entry & 255);
      high |= (entry >> 8) << k;
    }
    put_u8(block + 66 + g, high);
  }
  for (std::size_t i = 0; i < 32; ++i) put_u8(block + 74 + i, from.signs[i]);
  put_steps(from, 4, block + 106);
}

void put_iq1_s(const GridCodes& from, std::byte* block) {
  put_u16(block, from.d.bits);
  for (std::size_t g = 0; g < 8; ++g) {
    unsigned word = static_cast<unsigned>(from.steps[g]) << 12;
    if (shifted_down(from.entries[4 * g])) word |= 0x8000u;
    for (std::size_t k = 0; k < 4; ++k) {
      const unsigned entry = from.entries[4 * g + k] & kIndexBits;
      put_u8(block + 2 + 4 * g + k, entry & 255);
      word |= (entry >> 8) << (3 * k);
    }
    put_u16(block + 34 + 2 * g, word);
  }
}

void put_iq1_m(const GridCodes& from, std::byte* block) {
  for (std::size_t v = 0; v < 32; v += 2) {
    unsigned high = 0;
    for (std::size_t k = 0; k < 2; ++k) {
      const unsigned entry = from.entries[v + k] & kIndexBits;
      put_u8(block + v + k, entry & 255);
      high |= ((entry >> 8) | (shifted_down(from.entries[v + k]) ? 8u : 0u)) << (4 * k);
    }
    put_u8(block + 32 + v / 2, high);
  }
  // Four steps of 3 bits in each of four words, the half of the block spread over their tops.
  for (std::size_t i = 0; i < 4; ++i) {
    unsigned word = ((from.d.bits >> (4 * i)) & 15u) << 12;
    for (std::size_t k = 0; k < 4; ++k) {
      word |= static_cast<unsigned>(from.steps[4 * i + k]) << (3 * k);
    }
    put_u16(block + 48 + 2 * i, word);
  }
}

}  // namespace qi::ggml
