// The project's own decoder of zfp's fixed-rate float32 blocks, 1 to 4 dimensions: every run of 4^d
// numbers of a row is a block of the same number of bits, so any rows of a stream are found and
// decoded alone. Written from the published algorithm (Lindstrom 2014, and zfp's documentation of
// its block floats, negabinary bit planes, group tests and lifted transform); the same bits as
// libzfp. Refuses streams that do not hold the rows (kCorrupt). An object belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace qi {

class ZfpBlocks {
 public:
  /// dims: 1 to 4; block_bits: what each block takes, 9 to 32 · 4^dims; cols: numbers of a row,
  /// whose last block may be used in part.
  ZfpBlocks(int dims, std::uint64_t block_bits, std::uint64_t cols);
  ~ZfpBlocks();

  std::uint64_t row_bits() const { return row_blocks_ * block_bits_; }
  /// Rows [first, first + count) of the stream that begins with row 0, as count · cols floats.
  void decode(std::span<const std::byte> coded, std::uint64_t first, std::uint64_t count,
              float* out);

 private:
  struct Batch;
  void decode_batch(std::span<const std::byte> coded, std::uint64_t block, std::uint64_t blocks,
                    float* out);

  int dims_;
  std::uint64_t block_bits_;
  std::uint64_t cols_;
  std::uint64_t row_blocks_;
  std::unique_ptr<Batch> batch_;
};

}  // namespace qi
