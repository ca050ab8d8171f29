// LLM.int8() of one row: q = rint(fp32(w · fp32(127/s))), half to even, s = max |w| of the row.
// SIMD kernels chosen at run time, a plain loop beside each that gives the same bits.
// Stateless, any thread; `in` may have any alignment and is little-endian.
//
// bitsandbytes first casts a bf16 weight to fp16; here q is taken of the weight as stored, so that
// every weight lies in the interval the pair model derives from (q, s). The cast changes q only
// where fp16 cannot hold the value (below 2^−14 or above 65504).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/codec/models.h"

namespace qi {

/// Largest bit pattern without the sign among `count` 16-bit floats; 0 for none. Infinities and
/// NaNs order above all numbers.
std::uint32_t absmax_16(const std::byte* in, std::size_t count);
/// The same for float32.
std::uint32_t absmax_32(const float* in, std::size_t count);

/// q of `count` BF16 (or F16) weights without NaN or infinity, |w| ≤ s, row.usable(), as two's
/// complement bytes. Returns Σ row.zero_bits(w) over those with q = 0. count < 2^26.
std::uint64_t quantize_bf16(const PairRow& row, const std::byte* in, std::size_t count,
                            std::int8_t* q);
std::uint64_t quantize_f16(const PairRow& row, const std::byte* in, std::size_t count,
                           std::int8_t* q);
/// q of float32 weights; `inverse` = fp32(127/s), finite.
void quantize_f32(float inverse, const float* in, std::size_t count, std::int8_t* q);

namespace plain {
std::uint32_t absmax_16(const std::byte* in, std::size_t count);
std::uint32_t absmax_32(const float* in, std::size_t count);
std::uint64_t quantize_bf16(const PairRow& row, const std::byte* in, std::size_t count,
                            std::int8_t* q);
std::uint64_t quantize_f16(const PairRow& row, const std::byte* in, std::size_t count,
                           std::int8_t* q);
void quantize_f32(float inverse, const float* in, std::size_t count, std::int8_t* q);
}  // namespace plain

}  // namespace qi
