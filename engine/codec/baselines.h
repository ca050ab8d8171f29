// General-purpose compressors as yardsticks: how many bytes they would make of a block.
// Each call is one-shot and independent; any thread.
#pragma once

#include <cstddef>
#include <span>

namespace qi {

/// The level of every ratio_zstd.
inline constexpr int kBaselineZstdLevel = 3;

/// Bytes of one zstd frame of `block`. Throws kMemory when the compressor cannot allocate.
std::size_t zstd_size(std::span<const std::byte> block, int level = kBaselineZstdLevel);
/// Bytes of one LZ4 block (fast mode) of `block`, at most LZ4_MAX_INPUT_SIZE bytes.
std::size_t lz4_size(std::span<const std::byte> block);

}  // namespace qi
