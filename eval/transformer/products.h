// Products of matrices with the states of several positions, y = W x + b: many positions by
// OpenBLAS over rows that are decoded some at a time, few with the rows as they are stored
// (row_dots.h). The same numbers for any number of threads. Refuses what reading weights refuses.
// An input belongs to one thread at a time; products() shares its work itself.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "engine/matrix/workers.h"
#include "eval/transformer/weights.h"

namespace qi {

/// x that matrices are multiplied with, [count, cols], in 8 bits for those that want it so.
class ProductInput {
 public:
  explicit ProductInput(Activations activations) : activations_(activations) {}

  /// `x` must outlive the products.
  ProductInput& set(const float* x, std::size_t count, std::size_t cols);
  std::size_t count() const { return count_; }
  /// For multiply_rows(), which has products of integers for few positions alone: many are rounded
  /// to what 8 bits hold, which gives the same numbers.
  DotVectors vectors(const Matrix& matrix);

 private:
  struct Form {
    bool made = false;
    Q8Vectors q8;
    std::vector<float> rounded;
  };
  Activations activations_;
  const float* x_ = nullptr;
  std::size_t count_ = 0;
  std::size_t cols_ = 0;
  std::array<Form, 2> forms_;  // in blocks of 32, and of 256
};

struct Product {
  const Linear* linear;
  float* out;  // [positions, linear's rows]
};
/// Of one input with several matrices, whose pieces are handed out together. False: cancelled.
bool products(std::initializer_list<Product> list, ProductInput& input, const Workers& workers);

/// x · Wᵀ + b for rows [first, first + n) of W; out: [positions, n] with `stride` numbers from one
/// position to the next.
void multiply_rows(const Linear& linear, std::uint64_t first, std::uint64_t n, const DotVectors& x,
                   std::vector<float>& buffer, float* out, std::size_t stride);
/// Rows that are multiplied at a time: at most `most`, and fewer of a wide matrix.
std::uint64_t rows_of_block(const Matrix& matrix, std::uint64_t most);

/// x[i] += y[i].
void add_numbers(std::span<float> x, const float* y);

}  // namespace qi
