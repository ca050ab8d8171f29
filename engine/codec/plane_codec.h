// The plane codec: numbers whose upper bits (the exponent, or a whole small number) are worth
// entropy coding and whose lower bits are not. One table for a tensor, blocks that decode alone.
// Never makes a block larger than its bytes + 1; refuses corrupt tables and blocks (kCorrupt)
// without a checksum's help. An encoder belongs to one thread; tables and decoding: any thread.
//
// Table: flags u8 (1: alias layout, 2: symbols are consecutive, 4: signed, 8: nibbles, 16: escape,
//   32: direct layout, 64: rows have classes, 128: columns, too), element bytes u8, shift u8, n u8
//   (symbols, the escape among them), base u16, the classes (plane_classes.h) if there are any,
//   then the first symbol u8 if consecutive, else all but the escape u8 each, then n frequencies
//   u16 of each table.
// Block of `count` elements: mode u8;
//   0, raw: the elements;
//   1, constant: one element;
//   3, short: a body of plane_short.h, then the bytes below the heads; 4: the same, but the bytes
//     below are those of one element, which all have;
//   2, coded: low mode u8, 0 u16, words u32, escapes u32 (counts), the classes of the block's rows
//     if they have any, the raw bits of ⌊heads/64⌋ groups but for their last 128 bytes (or as many
//     as there are), 64 states u32, words u16, escaped codes (u8, or u16 of more than 8 bits), the
//     last heads mod 64 heads as they are, and the bytes below the heads: low mode 0 all of them, 1
//     those of one element, which all have. The states after the last group are 2^16 + 16 bits:
//     these are the raw bits' missing bytes, lane by lane, then zeros.
// A head is an element's upper 16 bits, or its one byte, or with nibbles a half of it: of every 64
// bytes (fewer at the end) the low halves, then the high ones. How heads are split and grouped:
// plane_kernels.h; how they are coded: rans_table.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/codec/plane_classes.h"
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
  /// What classes go by: a float's mantissa bits in its head, or int8 numbers; else there are none.
  std::uint8_t mantissa_bits = 0;
  bool is_int8 = false;

  bool can_have_classes() const { return mantissa_bits != 0 || is_int8; }
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

/// Rows of a matrix to choose a table from: all of them, or whole ones that stand for all.
struct PlaneRows {
  const std::byte* values;
  std::size_t rows;
  std::size_t cols;
  std::uint64_t all_rows;
};

class ClassHeads;

class PlaneTable {
 public:
  /// The smallest split and table for these counts. What the counts miss can still be coded.
  static PlaneTable choose(const PlaneHistogram& histogram, PlaneEffort effort);
  /// The smallest of those for one table, classes of rows, and classes of rows and columns, table
  /// and classes included. `bytes` becomes what all rows will take.
  static PlaneTable choose_for_rows(const PlaneKind& kind, const PlaneRows& rows, double& bytes);
  /// Throws kCorrupt. `bytes` must be a whole table and no more.
  static PlaneTable parse(std::span<const std::byte> bytes);
  std::vector<std::byte> serialise() const;
  /// Where in a serialised table, which may be broken, its symbols and frequencies begin: what
  /// tables of several tensors may have in common. At most bytes.size().
  static std::size_t symbols_at(std::span<const std::byte> bytes);

  PlaneTable(const PlaneKind& kind, const PlaneSplit& split, const RansTable& table);
  /// Tables of one set of symbols, classes->tables() of them, in the direct layout.
  PlaneTable(const PlaneKind& kind, const PlaneSplit& split, std::span<const RansTable> tables,
             PlaneClasses classes);

  const PlaneSplit& split() const { return split_; }
  /// The only table, or that of class 0.
  const RansTable& rans() const { return tables_.front(); }
  std::span<const RansTable> tables() const { return tables_; }
  const PlaneClasses* classes() const { return classes_ ? &*classes_ : nullptr; }
  unsigned element_bytes() const { return element_bytes_; }
  bool nibbles() const { return nibbles_; }

  /// Of all tables, one after the other.
  const std::uint32_t* slots() const;
  const RansTable::Encode* encode() const;
  /// The same table with columns' classes, if it has any, that take fewest bits for these rows.
  PlaneTable with_closer_columns(const PlaneKind& kind, const PlaneRows& rows) const;
  /// Class of a row of heads, for encoders: by its scale, then (`closely`) of those near it the one
  /// that takes fewest bits.
  std::int8_t class_of_row(const std::byte* heads, std::size_t count, bool closely) const;

 private:
  PlaneClasses closer_columns(const ClassHeads& heads, const PlaneRows& rows) const;
  float bits_of(unsigned head, int c) const;
  float bits_of_row(const std::byte* heads, std::size_t count, std::int8_t row) const;

  PlaneSplit split_;
  std::uint8_t element_bytes_ = 1;
  bool nibbles_ = false;
  std::vector<RansTable> tables_;
  std::optional<PlaneClasses> classes_;
  std::vector<float> column_factors_;
  std::vector<float> symbol_bits_;    // with classes: [table][symbol], for encoders
  std::vector<std::uint32_t> slots_;  // with classes; kSlotsAround more at both ends
  std::vector<RansTable::Encode> encode_;
};

/// The runs of a block: one, or one a row.
class RowRuns {
 public:
  /// Classes of the rows of `heads` heads, to be set before of(); none without classes.
  std::span<std::int8_t> rows(const PlaneTable& table, std::size_t heads);
  /// Classes of all heads, once those of the rows are set; none without. Valid until the next call.
  std::span<const std::int8_t> classes(const PlaneTable& table, std::size_t heads);
  /// Valid until the next call.
  std::span<const PlaneRun> of(const PlaneTable& table, std::size_t groups);

 private:
  std::vector<std::int8_t> rows_;
  std::vector<std::int8_t> classes_;
  std::vector<PlaneRun> runs_;
};

/// Encodes blocks; keeps its buffers from one to the next.
class PlaneEncoder {
 public:
  explicit PlaneEncoder(CodecPath path = best_codec_path());
  /// Bytes of the block, valid until the next call.
  std::span<const std::byte> encode(const PlaneTable& table, const std::byte* values,
                                    std::size_t count);

 private:
  std::span<const std::int8_t> rows_of(const PlaneTable& table, const std::byte* heads,
                                       std::size_t count);
  std::size_t encode_heads(const PlaneTable& table, const std::byte* heads, std::size_t count,
                           std::byte* out);

  const PlaneKernels& kernels_;
  std::vector<std::byte> out_;
  std::vector<std::byte> words_;
  std::vector<std::byte> escapes_;
  std::vector<std::byte> heads_;
  RowRuns runs_;
};

/// Decodes blocks. Throws kCorrupt where the block is not one of `count` elements.
class PlaneDecoder {
 public:
  explicit PlaneDecoder(CodecPath path = best_codec_path());
  void decode(const PlaneTable& table, std::span<const std::byte> block, std::size_t count,
              std::byte* out);

 private:
  void decode_short_block(const PlaneTable& table, std::span<const std::byte> block,
                          std::size_t count, std::byte* out);

  const PlaneKernels& kernels_;
  std::vector<std::byte> heads_;
  RowRuns runs_;
};

/// Of an encoded block, undecoded: whether it holds its elements as they were, and how many codes
/// stand apart. False and 0 where it is too short to say.
bool plane_block_is_raw(std::span<const std::byte> block);
std::uint64_t plane_block_escapes(std::span<const std::byte> block);

}  // namespace qi
