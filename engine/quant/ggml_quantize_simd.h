// The kernels behind quantize_blocks() and the same code over plain arrays, chosen at run time for
// the machine. Internal; values are finite; any address, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor/dtype.h"

namespace qi::ggml {

/// Blocks of one type: `values` holds `blocks` of them; `importance` a weight for each value, or
/// nullptr.
using QuantizeRun = void (*)(DType type, const float* values, const float* importance,
                             std::size_t blocks, std::byte* out);

/// Q4_0 … Q8_0, TQ1_0, TQ2_0 without weights (ggml_quantize_fast.cpp); plain loops:
/// ggml_quantize_plain.h.
void quantize_simd(DType type, const float* values, std::size_t blocks, std::byte* out);

/// The bits of the largest magnitude: they order like the numbers, NaN above infinity above all.
std::uint32_t largest_bits(const float* values, std::size_t count);

/// Q2_K … Q6_K, IQ4_NL, IQ4_XS, MXFP4, NVFP4 (ggml_quantize_k.cpp).
void search_k_simd(DType type, const float* values, const float* importance, std::size_t blocks,
                   std::byte* out);
void search_k_plain(DType type, const float* values, const float* importance, std::size_t blocks,
                    std::byte* out);

/// IQ1_S … IQ3_S (ggml_quantize_grid.cpp).
void search_grid_simd(DType type, const float* values, const float* importance, std::size_t blocks,
                      std::byte* out);
void search_grid_plain(DType type, const float* values, const float* importance, std::size_t blocks,
                       std::byte* out);

}  // namespace qi::ggml
