// The pair codec: a matrix kept as LLM.int8() (q and a scale a row) and as bf16 or fp16. The q
// layer is a plane of bytes (plane_codec.h) and decodes alone; this is the residual layer, which
// adds what q leaves open. Exact whatever the numbers are, never larger than the high version + 1
// byte a block; refuses corrupt blocks (kCorrupt) without a checksum's help. An encoder or decoder
// belongs to one thread.
//
// Block of rows × cols weights: mode u8; 0, raw: the weights; 1, coded:
//   0 u8, 0 u16, bytes u32, zero bits u32, escapes u32 (counts); a bit a row, lowest first, set:
//   stored; 64 × v u32; the digits' bytes; the zero bits; escapes (place in the block u32, weight
//   u16), rising; the stored rows' weights.
// Digits: pair_kernels.h. A row whose scale is not usable, or whose escapes and zeros leave nothing
// to gain (PairRow::row_bits()), is stored. Rows count as filled up to 64 with K = 1.
// Zero bits, lowest first, of the weights with q = 0: t zeros and a one for the exponent
// zero_exponent() − t, t < 16, else 16 zeros and the exponent itself; then mantissa and sign.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/codec/pair_digits.h"

namespace qi {

/// Rows of a block: as many as come near kPlaneBlock weights, one at least.
std::size_t pair_block_rows(std::size_t cols);

/// Where a block's bytes went.
struct PairCost {
  std::uint64_t digit_bytes = 0;
  std::uint64_t zero_bits = 0;
  std::uint64_t escapes = 0;  // weights that are not where q says
  std::uint64_t stored_rows = 0;
};

/// A block's shape and its low version: q[rows][cols], scales[rows].
struct PairBlock {
  const std::int8_t* q;
  const float* scales;
  std::size_t rows;
  std::size_t cols;  // rows·cols < 2^32

  std::size_t weights() const { return rows * cols; }
};

class PairEncoder {
 public:
  explicit PairEncoder(const PairFormat& format, CodecPath path = best_codec_path());
  /// The residual layer's block for the weights `high`; valid until the next call.
  std::span<const std::byte> encode(const PairBlock& low, const std::byte* high);
  /// Of the last block.
  const PairCost& cost() const { return cost_; }

 private:
  void plan_row(const PairBlock& low, const std::byte* high, std::size_t row);
  void put_zero(const PairRow& row, std::uint32_t word);
  void put_bits(std::uint64_t value, unsigned count);
  std::span<const std::byte> raw_block(const std::byte* high, std::size_t bytes);

  struct Escape {
    std::uint32_t place;
    std::uint16_t word;
  };

  const PairFormat& format_;
  const PairKernels& kernels_;
  int refills_;
  PairCost cost_;
  PairEntries entries_{};
  std::array<std::uint32_t, kPairLanes> bound_{};
  std::size_t groups_ = 0;  // planned so far
  std::vector<std::uint32_t> radix_digit_;
  std::vector<std::uint8_t> refill_masks_;
  std::vector<std::uint64_t> zeros_;
  std::vector<std::uint64_t> missed_;
  std::vector<std::byte> zero_bytes_;
  std::uint64_t zero_bits_ = 0;
  std::vector<Escape> escapes_;
  std::vector<bool> stored_;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> out_;
};

class PairDecoder {
 public:
  explicit PairDecoder(const PairFormat& format, CodecPath path = best_codec_path());
  /// Rebuilds the high version from its low one and the block.
  void decode(const PairBlock& low, std::span<const std::byte> block, std::byte* high);

 private:
  std::uint16_t take_zero(const PairRow& row, std::uint64_t& bit) const;
  void fill_zeros(const PairRow& row, std::size_t groups, std::size_t count, std::byte* out);

  const PairFormat& format_;
  const PairKernels& kernels_;
  int refills_;
  PairEntries entries_{};
  PairDigits digits_;
  std::vector<std::uint64_t> zeros_;
  std::vector<std::byte> zero_bytes_;
  std::uint64_t zero_bits_ = 0;
  std::uint64_t zero_at_ = 0;
};

/// As plane_block_is_raw() and plane_block_escapes(), of the residual layer.
bool pair_block_is_raw(std::span<const std::byte> block);
std::uint64_t pair_block_escapes(std::span<const std::byte> block);

}  // namespace qi
