// Grouped-query attention, causal, over everything before or over a sliding window: softmax(q·kᵀ)·v
// in tiles of positions, so that no more than a tile's scores are ever held by a thread.
// Any thread; the work is shared by `workers`.
#pragma once

#include <cstddef>

#include "engine/matrix/workers.h"
#include "eval/transformer/kv_cache.h"

namespace qi {

/// q: [count, heads · head_dim], rotated, of positions cache.size() + i, whose keys and values are
/// stored already. `out`, of the same shape, may be q. False: cancelled.
bool attend(const Architecture& architecture, std::size_t layer, const KvCache& cache,
            std::size_t count, const float* q, float* out, const Workers& workers);

}  // namespace qi
