// Every ggml block type: stored blocks to float32 values or scalar codes, and byte order.
// Bit-exact with ggml's own dequantization (no fused multiply-add), the same on every machine.
// Refuses types it cannot decode (ggml_decodable); any bytes of a decodable type have values.
// Stateless, any thread; blocks may start at any address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/tensor/dtype.h"

namespace qi {

/// A ggml block type whose values can be read, the interleaved Q4_0 types included. False for
/// plain numbers, removed types without a known layout (Q4_2, IQ4_NL_4_4, …) and unknown ones.
bool ggml_decodable(DType type);

/// Values of whole blocks: `elements` (a multiple of the block size) numbers into `out`.
/// `blocks` are little-endian (swap_blocks() first where the file is not). Not for the
/// interleaved types, whose blocks do not hold consecutive weights (deinterleave()).
/// Throws kBadDtype unless decodable and not interleaved.
void dequantize_blocks(DType type, const std::byte* blocks, std::uint64_t elements, float* out);

/// The same by plain loops alone, without SIMD: what tests hold dequantize_blocks() against.
void dequantize_blocks_plain(DType type, const std::byte* blocks, std::uint64_t elements,
                             float* out);

/// Bits of the scalar code stored per weight: 4 for Q4_0 and Q4_K, 8 for Q8_0, 2 for TQ1_0, …;
/// 0 where a code stands for several weights (IQ1, IQ2, IQ3) and for all other types.
int ggml_code_bits(DType type);

/// The stored codes of whole blocks, unsigned as stored. Needs ggml_code_bits() > 0; conditions
/// and error as dequantize_blocks().
void unpack_codes(DType type, const std::byte* blocks, std::uint64_t elements, std::uint16_t* out);

/// How many rows an interleaved type mixes: 4, 4, 8 for Q4_0_4_4, Q4_0_4_8, Q4_0_8_8; else 0.
std::uint32_t interleaved_rows(DType type);

/// Undoes the interleaving of one group of blocks: `group` holds one block (18 bytes) of each of
/// interleaved_rows() rows; the blocks come out as ordinary Q4_0 blocks, row after row.
/// Needs interleaved_rows() > 0. `group` is little-endian.
void deinterleave(DType type, const std::byte* group, std::byte* out);

/// Values of a whole interleaved tensor of rows × cols; rows must be a multiple of
/// interleaved_rows(), cols of 32. Throws kBadShape otherwise, kBadDtype for other types.
void dequantize_interleaved(DType type, const std::byte* blocks, std::uint64_t rows,
                            std::uint64_t cols, float* out);

/// Turns the multi-byte fields of `bytes` bytes of whole blocks from big-endian to little-endian
/// or back, in place (interleaved types: whole groups of rows). Fields are those of the formulas:
/// halves, Q5's 32 high bits, the words of IQ2_XXS, IQ3_XXS and IQ1_M. Plain numbers are swapped
/// by their size. Types that are not decodable stay as they are.
void swap_blocks(DType type, std::byte* blocks, std::uint64_t bytes);

}  // namespace qi
