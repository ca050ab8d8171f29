// float32 values of one ggml block by plain loops, one multiplication per step as the formats say:
// the reference that the SIMD kernels are held against, and the only code for the rarer types.
// Internal to the block codecs; blocks are little-endian, any address; any thread.
#pragma once

#include <cstddef>

namespace qi::ggml {

using DequantizeBlock = void (*)(const std::byte* block, float* out);

void plain_q4_0(const std::byte* block, float* out);
void plain_q4_1(const std::byte* block, float* out);
void plain_q5_0(const std::byte* block, float* out);
void plain_q5_1(const std::byte* block, float* out);
void plain_q8_0(const std::byte* block, float* out);
void plain_q8_1(const std::byte* block, float* out);
void plain_q2_k(const std::byte* block, float* out);
void plain_q3_k(const std::byte* block, float* out);
void plain_q4_k(const std::byte* block, float* out);
void plain_q5_k(const std::byte* block, float* out);
void plain_q6_k(const std::byte* block, float* out);
void plain_q8_k(const std::byte* block, float* out);
void plain_iq4_nl(const std::byte* block, float* out);
void plain_iq4_xs(const std::byte* block, float* out);
void plain_tq1_0(const std::byte* block, float* out);
void plain_tq2_0(const std::byte* block, float* out);
void plain_mxfp4(const std::byte* block, float* out);
void plain_nvfp4(const std::byte* block, float* out);
void plain_q1_0(const std::byte* block, float* out);
void plain_q2_0(const std::byte* block, float* out);

// Codebook types (ggml_iq.cpp).
void plain_iq2_xxs(const std::byte* block, float* out);
void plain_iq2_xs(const std::byte* block, float* out);
void plain_iq2_s(const std::byte* block, float* out);
void plain_iq3_xxs(const std::byte* block, float* out);
void plain_iq3_s(const std::byte* block, float* out);
void plain_iq1_s(const std::byte* block, float* out);
void plain_iq1_m(const std::byte* block, float* out);

}  // namespace qi::ggml
