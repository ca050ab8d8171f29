// float32 rows to ggml blocks, every type that llama-quantize writes. Q4_0 … Q8_0, TQ1_0, TQ2_0,
// F16 and BF16 give the bytes of ggml; the others search for the least squared error by algorithms
// of their own, and give the same bytes on every machine.
// Refuses types it cannot make and rows that are not whole blocks. Stateless, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor/dtype.h"

namespace qi {

/// A type that quantize_blocks() makes: F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K … Q6_K, the
/// IQ types, TQ1_0, TQ2_0, MXFP4 and NVFP4 (without a scale of the whole tensor).
bool ggml_quantizable(DType type);

/// A type that llama-quantize refuses to make without an importance matrix, since it would be too
/// bad: IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S. quantize_blocks() itself refuses nothing here.
bool ggml_needs_importance(DType type);

/// `rows` × `cols` values, row after row, into stored_bytes(type, rows · cols) little-endian bytes.
/// `importance`: `cols` weights of the squared error of each column, or nullptr for equal ones;
/// a weight that is negative or not finite counts as 0, and types of one rounding per value (F16,
/// BF16, Q8_0, TQ1_0, TQ2_0) do not look at it.
/// Finite values give finite ones back, save that F16 and BF16 overflow to infinity as IEEE 754
/// rounds; scales stop at the largest half. In block types a NaN counts as 0 and an infinity as the
/// largest float: callers that want to refuse those look for them first.
/// Throws kBadDtype unless ggml_quantizable(), kBadShape when `cols` does not fill whole blocks.
void quantize_blocks(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
                     const float* importance, std::byte* out);

/// The same by plain loops alone, without SIMD: what tests hold quantize_blocks() against.
void quantize_blocks_plain(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
                           const float* importance, std::byte* out);

}  // namespace qi
