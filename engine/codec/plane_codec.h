// The plane codec: numbers whose upper bits (the exponent, or a whole small number) are worth
// entropy coding and whose lower bits are not. One table for a tensor, blocks that decode alone.
// Never makes a block larger than its bytes + 1; refuses corrupt tables and blocks (kCorrupt)
// without a checksum's help. An encoder belongs to one thread; tables and decoding: any thread.
//
// Table: flags u8 (1: alias layout, 2: symbols are consecutive, 4: signed, 8: nibbles, 16: escape),
//   element bytes u8, shift u8, n u8 (symbols, the escape among them), base u16, then the first
//   symbol u8 if consecutive, else all but the escape u8 each, then n frequencies u16.
// Block of `count` elements: mode u8;
//   0, raw: the elements;
//   1, constant: one element;
//   2, coded: low mode u8, 0 u16, words u32, escapes u32 (counts), the raw bits of ⌊heads/64⌋
//     groups and then 64 states u32, words u16, escaped codes (u8, or u16 of more than 8 bits),
//     the last heads mod 64 heads as they are, and the bytes below the heads: low mode 0 all of
//     them, 1 those of one element, which all have. States after the last group are 2^16.
// A head is an element's upper 16 bits, or its one byte, or with nibbles a half of it: of every 64
// bytes (fewer at the end) the low halves, then the high ones. How heads are split and grouped:
// plane_kernels.h; how they are coded: rans_table.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/codec/plane_kernels.h"
#include "engine/tensor/dtype.h"

namespace qi {

/// Elements of a block, but for the last one of a tensor.
inline constexpr std::size_t kPlaneBlock = std::size_t{1} << 18;

/// What kind of number a plane holds; decides where it may be split.
struct PlaneKind {
  std::uint8_t element_bytes = 1;
  bool has_sign = false;
  bool nibbles = false;
  /// Splits to choose from: every shift from `first_shift` (the coarse, fast one) to `last_shift`.
  std::uint8_t first_shift = 0;
  std::uint8_t last_shift = 0;

  std::uint8_t head_bytes() const { return element_bytes == 1 ? 1 : 2; }
  std::uint8_t finest_shift() const { return first_shift < last_shift ? first_shift : last_shift; }
};
/// BF16, F16, F32, F64 and the FP8 types by their exponents; everything else as bytes.
PlaneKind plane_kind(DType type);
/// Two 4-bit numbers a byte.
PlaneKind nibble_kind();

enum class PlaneEffort : std::uint8_t {
  kFast,   // exponents alone, a table that decodes in registers where that costs little
  kRatio,  // mantissa bits coded, too, where it makes the tensor smaller
};

/// How often each code occurs, at the finest split of a kind.
class PlaneHistogram {
 public:
  explicit PlaneHistogram(const PlaneKind& kind);
  void add(const std::byte* values, std::size_t count);
  /// One in sixteen of a large tensor, in runs that spread over all of it.
  void add_sample(const std::byte* values, std::size_t count);

  const PlaneKind& kind() const { return kind_; }
  /// Counts of the codes of a coarser split.
  std::vector<std::uint64_t> counts(unsigned shift) const;

 private:
  PlaneKind kind_;
  std::vector<std::uint64_t> counts_;
};

class PlaneTable {
 public:
  /// The smallest split and table for these counts. What the counts miss can still be coded.
  static PlaneTable choose(const PlaneHistogram& histogram, PlaneEffort effort);
  /// Throws kCorrupt. `bytes` must be a whole table and no more.
  static PlaneTable parse(std::span<const std::byte> bytes);
  std::vector<std::byte> serialise() const;

  PlaneTable(const PlaneKind& kind, const PlaneSplit& split, const RansTable& table);

  const PlaneSplit& split() const { return split_; }
  const RansTable& rans() const { return rans_; }
  unsigned element_bytes() const { return element_bytes_; }
  bool nibbles() const { return nibbles_; }

 private:
  PlaneSplit split_;
  std::uint8_t element_bytes_ = 1;
  bool nibbles_ = false;
  RansTable rans_;
};

/// Encodes blocks; keeps its buffers from one to the next.
class PlaneEncoder {
 public:
  explicit PlaneEncoder(CodecPath path = best_codec_path());
  /// Bytes of the block, valid until the next call.
  std::span<const std::byte> encode(const PlaneTable& table, const std::byte* values,
                                    std::size_t count);

 private:
  std::size_t encode_heads(const PlaneTable& table, const std::byte* heads, std::size_t count,
                           std::byte* out);

  const PlaneKernels& kernels_;
  std::vector<std::byte> out_;
  std::vector<std::byte> words_;
  std::vector<std::byte> escapes_;
  std::vector<std::byte> heads_;
};

/// Decodes blocks. Throws kCorrupt where the block is not one of `count` elements.
class PlaneDecoder {
 public:
  explicit PlaneDecoder(CodecPath path = best_codec_path());
  void decode(const PlaneTable& table, std::span<const std::byte> block, std::size_t count,
              std::byte* out);

 private:
  const PlaneKernels& kernels_;
  std::vector<std::byte> heads_;
};

}  // namespace qi
