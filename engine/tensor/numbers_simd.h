// SIMD kernels behind numbers.h, chosen at run time for the machine; numbers.cpp has their plain
// loops. Native byte order, any alignment. Stateless, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qi::simd {

/// count × binary16 → float32, as f16_to_float().
void f16_to_floats(const std::byte* in, std::size_t count, float* out);
/// count × bfloat16 → float32, as bf16_to_float().
void bf16_to_floats(const std::byte* in, std::size_t count, float* out);
/// count × float32 → binary16, as float_to_f16().
void floats_to_f16(const float* in, std::size_t count, std::byte* out);
/// count × float32 → bfloat16, as float_to_bf16().
void floats_to_bf16(const float* in, std::size_t count, std::byte* out);
/// count signed or unsigned bytes → float32.
void i8_to_floats(const std::byte* in, std::size_t count, float* out);
void u8_to_floats(const std::byte* in, std::size_t count, float* out);

}  // namespace qi::simd
