// What OpenBLAS does of the arithmetic of matrices, each call on the thread that asks. The
// library is loaded when first needed: linked, it would add 4 ms, 50 MB of address space and a
// thread a core to every run of the program. Refuses (kMissing) when it cannot be loaded.
// Any thread.
#pragma once

#include <cstddef>

namespace qi {

/// A matrix of floats, row-major: `stride` numbers from one row to the next.
struct MatrixView {
  const float* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;
};

/// out = a · bᵀ: [a.rows, b.rows]; a.cols = b.cols.
void multiply_transposed(const MatrixView& a, const MatrixView& b, float* out,
                         std::size_t out_stride);
/// out = a · b: [a.rows, b.cols]; a.cols = b.rows.
void multiply(const MatrixView& a, const MatrixView& b, float* out, std::size_t out_stride);

/// out = keep · out + factor · aᵀ · b: [a.cols, b.cols]; a.rows = b.rows.
void add_transposed_product(float factor, const MatrixView& a, const MatrixView& b, float keep,
                            float* out, std::size_t out_stride);
/// out -= a · bᵀ: [a.rows, b.rows]; a.cols = b.cols.
void subtract_product_transposed(const MatrixView& a, const MatrixView& b, float* out,
                                 std::size_t out_stride);

/// The lower L of a = L · Lᵀ in place of a's lower triangle, [size, size]; above it nothing is read
/// or written. False: a is not positive definite (what it holds then means nothing). One thread:
/// for large ones see cholesky.h.
bool factor_tile(float* a, std::size_t size, std::size_t stride);
/// x = x · L⁻ᵀ: x is [rows, lower.rows], L the lower triangle of `lower`.
void divide_by_transposed(const MatrixView& lower, float* x, std::size_t rows, std::size_t stride);
/// x = x · upper⁻¹: x is [rows, upper.rows].
void divide_by_upper(const MatrixView& upper, float* x, std::size_t rows, std::size_t stride);

}  // namespace qi
