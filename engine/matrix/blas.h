// The two matrix products of the forward pass, by OpenBLAS, each on the thread that asks. The
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

}  // namespace qi
