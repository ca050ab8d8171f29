// The Cholesky factor of a large matrix, on all workers: tiles of a fixed size, each by OpenBLAS,
// so that the result does not depend on the number of threads. Refuses nothing; tells what is not
// positive definite. Any thread.
#pragma once

#include <cstdint>

#include "engine/matrix/workers.h"

namespace qi {

/// The lower L of a = L · Lᵀ in place of a's lower triangle, [size, size], row-major. What is above
/// is neither needed nor kept. False: not positive definite, not finite, or cancelled; what `a`
/// holds then means nothing.
bool cholesky(float* a, std::uint64_t size, const Workers& workers);

}  // namespace qi
