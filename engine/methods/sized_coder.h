// The common part of coders whose bytes follow from the shape: quantizers and fixed rates. Holds
// strips against their sizes (kCorrupt) and refuses NaN and infinity (kBadValue, naming row and
// column). A coder belongs to one thread.
#pragma once

#include "engine/methods/method.h"

namespace qi {

/// Throws kBadValue for the first NaN or infinity of these rows; `method` names who refuses.
void refuse_non_finite(const MatrixRows& rows, std::uint64_t cols);

class SizedCoder : public MethodCoder {
 public:
  explicit SizedCoder(const MatrixInfo& matrix)
      : rows_(matrix.rows),
        cols_(matrix.cols),
        matrix_rows_(matrix.matrix_rows == 0 ? matrix.rows : matrix.matrix_rows) {}

  void encode(const MatrixRows& rows, std::vector<std::byte>& out) final;
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) final;
  /// Of the whole matrix, shared ones included; after the survey if one is wanted.
  std::uint64_t total_bytes() const { return strip_bytes(0, rows_) + shared_bytes(); }

 protected:
  /// Bytes of `count` rows from row `first`, a strip.
  virtual std::uint64_t strip_bytes(std::uint64_t first, std::uint64_t count) const = 0;
  /// in: [count × cols], finite; out: strip_bytes(), what it holds is of no account.
  virtual void encode_strip(std::uint64_t first, std::uint64_t count, const float* in,
                            std::byte* out) = 0;
  virtual void decode_strip(std::uint64_t first, std::uint64_t count, const std::byte* in,
                            float* out) = 0;

  std::uint64_t matrices() const { return rows_ / matrix_rows_; }
  /// Which matrix of the stack a row is of.
  std::uint64_t matrix_of(std::uint64_t row) const { return row / matrix_rows_; }

  const std::uint64_t rows_;
  const std::uint64_t cols_;
  const std::uint64_t matrix_rows_;
};

}  // namespace qi
