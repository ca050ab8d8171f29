#include "engine/matrix/cholesky.h"

#include <algorithm>
#include <cmath>

#include "engine/matrix/blas.h"

namespace qi {
namespace {

constexpr std::uint64_t kTile = 256;

}  // namespace

// Right-looking: a column of tiles is finished, then what it does to all tiles to its right is
// taken off them.
bool cholesky(float* a, std::uint64_t size, const Workers& workers) {
  const std::uint64_t tiles = (size + kTile - 1) / kTile;
  const auto width = [&](std::uint64_t t) { return std::min(kTile, size - t * kTile); };
  const auto tile = [&](std::uint64_t i, std::uint64_t j) { return a + (i * size + j) * kTile; };
  const auto view = [&](std::uint64_t i, std::uint64_t j) {
    return MatrixView{tile(i, j), width(i), width(j), size};
  };
  for (std::uint64_t k = 0; k < tiles; ++k) {
    if (!factor_tile(tile(k, k), width(k), size)) return false;
    const std::uint64_t left = tiles - k - 1;  // tiles below, and to the right
    const std::uint64_t work = left * kTile * kTile * kTile;
    const bool divided = workers.each(left, work, [&](WorkBuffers&, std::uint64_t t) {
      divide_by_transposed(view(k, k), tile(k + 1 + t, k), width(k + 1 + t), size);
    });
    // The t-th tile of the triangle, counted row after row.
    const bool taken =
        workers.each(left * (left + 1) / 2, left * work / 2, [&](WorkBuffers&, std::uint64_t t) {
          auto row =
              static_cast<std::uint64_t>((std::sqrt(8.0 * static_cast<double>(t) + 1) - 1) / 2);
          while (row * (row + 1) / 2 > t) --row;
          while ((row + 1) * (row + 2) / 2 <= t) ++row;
          const std::uint64_t i = k + 1 + row, j = k + 1 + t - row * (row + 1) / 2;
          subtract_product_transposed(view(i, k), view(j, k), tile(i, j), size);
        });
    if (!divided || !taken) return false;
  }
  for (std::uint64_t i = 0; i < size; ++i) {
    if (!std::isfinite(a[i * size + i])) return false;
  }
  return true;
}

}  // namespace qi
