// The lossless codecs (engine/codec) as coders of a matrix of plain numbers, coding and decoding
// the bytes as stored. Refuse corrupt strips (kCorrupt). A coder belongs to one thread.
//
// A strip is blocks of about kPlaneBlock numbers: some rows, or a row cut where it is longer. Each
// follows its number of bytes, u32, but for store. planes and pair share their tables.
#pragma once

#include "engine/methods/method.h"

namespace qi {

/// Bytes of a row as stored.
std::uint64_t stored_row_bytes(const MatrixInfo& matrix);

std::unique_ptr<MethodCoder> make_store_coder(const MatrixInfo& matrix);
std::unique_ptr<MethodCoder> make_lz4_coder(const MatrixInfo& matrix);
std::unique_ptr<MethodCoder> make_zstd_coder(const MatrixInfo& matrix, int level);
std::unique_ptr<MethodCoder> make_huffman_coder(const MatrixInfo& matrix);
std::unique_ptr<MethodCoder> make_planes_coder(const MatrixInfo& matrix);
/// Both versions of a BF16 or F16 matrix: LLM.int8() by planes and what is missing to the numbers.
/// Rows that hold a NaN or an infinity have a low version of zeros.
std::unique_ptr<MethodCoder> make_pair_coder(const MatrixInfo& matrix);

}  // namespace qi
