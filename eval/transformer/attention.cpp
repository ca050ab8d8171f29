#include "eval/transformer/attention.h"

#include <algorithm>
#include <span>

#include "eval/transformer/kernels.h"

namespace qi {
namespace {

constexpr std::size_t kTile = 256;  // positions that share their products

}  // namespace

bool attend(const Architecture& architecture, std::size_t layer, const KvCache& cache,
            std::size_t count, const float* q, float* out, const Workers& workers) {
  const std::size_t dim = architecture.head_dim;
  const std::size_t width = architecture.heads * dim;
  const std::size_t group = architecture.heads / architecture.kv_heads;
  const std::size_t window = architecture.windows[layer];
  const auto scale = static_cast<float>(architecture.attention_scale);
  const auto cap = static_cast<float>(architecture.attention_cap);
  const std::size_t base = cache.size();
  // The first key that the query of a position sees.
  const auto first_key = [window](std::size_t position) {
    return window == 0 || position < window ? 0 : position + 1 - window;
  };
  const auto tile = [&](WorkBuffers& buffers, std::size_t head, std::size_t begin) {
    const std::size_t rows = std::min(kTile, count - begin);
    const std::size_t first = first_key(base + begin);
    const std::size_t keys = base + begin + rows - first;
    const std::size_t at = begin * width + head * dim;
    std::vector<float>& scores = buffers.first;
    scores.resize(rows * keys);
    multiply_transposed({q + at, rows, dim, width},
                        cache.keys(layer, head / group, first, keys, buffers.second), scores.data(),
                        keys);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t position = base + begin + r;
      const std::size_t from = first_key(position) - first;
      const std::span<float> row(scores.data() + r * keys, keys);
      const std::span<float> seen = row.subspan(from, position + 1 - first - from);
      float unscaled = scale;
      if (cap > 0) {
        for (float& score : seen) score *= scale;
        soft_cap(seen, cap);
        unscaled = 1;
      }
      softmax(seen, unscaled);
      std::fill(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(from), 0.0f);
      std::fill(seen.end(), row.end(), 0.0f);
    }
    multiply({scores.data(), rows, keys, keys},
             cache.values(layer, head / group, first, keys, buffers.second), out + at, width);
  };
  const std::size_t tiles = (count + kTile - 1) / kTile;
  return workers.each(tiles * architecture.heads, count * (base + count) * width,
                      [&](WorkBuffers& buffers, std::uint64_t i) {
                        tile(buffers, i % architecture.heads, i / architecture.heads * kTile);
                      });
}

}  // namespace qi
