// SIMD kernels behind dequantize_blocks(), chosen at run time for the machine; ggml_plain.h has the
// plain loops they equal bit for bit. Internal to the block codecs; any address, any thread.
#pragma once

#include <cstddef>

#include "engine/tensor/dtype.h"

namespace qi::ggml {

/// Whether there is a kernel for the type.
bool has_kernel(DType type);

/// Values of `blocks` little-endian blocks. Needs has_kernel().
void dequantize_simd(DType type, const std::byte* in, std::size_t blocks, float* out);

}  // namespace qi::ggml
