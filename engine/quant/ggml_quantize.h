// Numbers to ggml's block types, the way back from dequantize_blocks(). The plain types give the
// bytes ggml gives; K-, IQ- and imatrix-weighted types are searches for the least (weighted)
// squared error, by methods of our own. Refuses types it cannot write, rows that are not whole
// blocks and types that are useless without an importance matrix. Stateless, any thread; the same
// on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor/dtype.h"

namespace qi {

/// F16, BF16, Q4_0 … Q8_0, Q2_K … Q6_K, IQ1_S … IQ4_XS, TQ1_0, TQ2_0, MXFP4.
bool ggml_quantizable(DType type);

/// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS and IQ2_S: llama-quantize refuses them without an importance
/// matrix, and so does who calls this; quantize_blocks() itself does not.
bool ggml_needs_importance(DType type);

/// `values` [rows × cols] to rows of blocks, little-endian: rows · cols / block_elements ·
/// block_bytes bytes into `out`. `importance` [cols] weighs the squared error of each column, all
/// ≥ 0; null: all alike. NaN and infinite values give blocks of no meaning (callers refuse them).
/// Throws kBadDtype unless ggml_quantizable(), kBadShape where cols is no multiple of the block.
void quantize_blocks(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
                     const float* importance, std::byte* out);

}  // namespace qi
