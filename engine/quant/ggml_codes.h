// Scalar codes of one ggml block: what is stored per weight, before scales. Plain loops.
// Internal to the block codecs; blocks are little-endian, any address; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qi::ggml {

/// Writes the codes of one block in the order of its weights: unsigned, as stored (Q4_0: 0 … 15,
/// Q8_0: the byte of the signed number, Q3_K: 0 … 7 with the high bit on top).
using UnpackBlock = void (*)(const std::byte* block, std::uint8_t* codes);

void codes_q4_0(const std::byte* block, std::uint8_t* codes);  // also IQ4_NL
void codes_q4_1(const std::byte* block, std::uint8_t* codes);
void codes_q5_0(const std::byte* block, std::uint8_t* codes);
void codes_q5_1(const std::byte* block, std::uint8_t* codes);
void codes_q8_0(const std::byte* block, std::uint8_t* codes);
void codes_q8_1(const std::byte* block, std::uint8_t* codes);
void codes_q2_k(const std::byte* block, std::uint8_t* codes);
void codes_q3_k(const std::byte* block, std::uint8_t* codes);
void codes_q4_k(const std::byte* block, std::uint8_t* codes);
void codes_q5_k(const std::byte* block, std::uint8_t* codes);
void codes_q6_k(const std::byte* block, std::uint8_t* codes);
void codes_q8_k(const std::byte* block, std::uint8_t* codes);
void codes_iq4_xs(const std::byte* block, std::uint8_t* codes);
void codes_tq1_0(const std::byte* block, std::uint8_t* codes);
void codes_tq2_0(const std::byte* block, std::uint8_t* codes);
void codes_mxfp4(const std::byte* block, std::uint8_t* codes);
void codes_nvfp4(const std::byte* block, std::uint8_t* codes);
void codes_q1_0(const std::byte* block, std::uint8_t* codes);
void codes_q2_0(const std::byte* block, std::uint8_t* codes);

}  // namespace qi::ggml
