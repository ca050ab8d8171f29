// The codebooks of the IQ types as float32, one dimension after another, and the places of what a
// codebook search finds in the blocks of ggml.
// Internal to quantize_blocks(). Refuses nothing; tables are built once, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/quant/ggml_superblock.h"
#include "engine/tensor/dtype.h"

namespace qi::ggml {

/// Entry e of dimension j at [j · entries + e]. `type` is one with a codebook.
const float* grid_levels(DType type);

/// 256 values as entries of a codebook under odd multiples of a half; groups of scales, entries and
/// signs in the order of the values.
struct GridCodes {
  HalfScale d;
  std::array<std::uint8_t, 16> steps{};     // scale of a group = d · unit · (2 · step + 1)
  std::array<std::uint16_t, 64> entries{};  // IQ1: 2048 is added where the shift is −1/8
  std::array<std::uint8_t, 32> signs{};     // of 8 values each, bit set = negative
};

void put_iq2_xxs(const GridCodes& from, std::byte* block);
void put_iq2_xs(const GridCodes& from, std::byte* block);
void put_iq2_s(const GridCodes& from, std::byte* block);
void put_iq3_xxs(const GridCodes& from, std::byte* block);
void put_iq3_s(const GridCodes& from, std::byte* block);
void put_iq1_s(const GridCodes& from, std::byte* block);
void put_iq1_m(const GridCodes& from, std::byte* block);

}  // namespace qi::ggml
