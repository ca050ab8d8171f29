// The one table of number types that files store: safetensors' words and ggml's ids.
// Constant data, any thread. Unknown is a value (DType::kUnknown), never an error.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace qi {

enum class DType : std::uint8_t {
  kUnknown,
  // plain numbers
  kBool,
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kU64,
  kI64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kC64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kF6E2M3,
  kF6E3M2,
  kF4,
  // ggml block types
  kQ4_0,
  kQ4_1,
  kQ4_2,
  kQ4_3,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ8_1,
  kQ2K,
  kQ3K,
  kQ4K,
  kQ5K,
  kQ6K,
  kQ8K,
  kIQ2XXS,
  kIQ2XS,
  kIQ3XXS,
  kIQ1S,
  kIQ4NL,
  kIQ3S,
  kIQ2S,
  kIQ4XS,
  kIQ1M,
  kQ4_0_4_4,
  kQ4_0_4_8,
  kQ4_0_8_8,
  kTQ1_0,
  kTQ2_0,
  kIQ4NL_4_4,
  kIQ4NL_4_8,
  kIQ4NL_8_8,
  kZfpFork,  // ggml id 38 in the llama.cpp ZFP fork
  kMXFP4,
  kNVFP4,
  kQ1_0,
  kQ2_0,
};

enum class NumberKind : std::uint8_t { kNone, kBool, kUnsigned, kSigned, kFloat, kComplex, kBlock };

struct DTypeInfo {
  DType type;
  std::string_view name;         // as printed in the dtype column
  int ggml_id;                   // −1: not a ggml type
  std::uint16_t block_elements;  // elements of the smallest unit that fills whole bytes
  std::uint16_t block_bytes;     // its bytes; 0: not known (removed types)
  NumberKind kind;
  std::uint8_t exponent_bits;  // floats only
  std::uint8_t mantissa_bits;  // floats only, as stored
  bool in_safetensors;         // a dtype word of the safetensors format
};

const DTypeInfo& info(DType type);
std::span<const DTypeInfo> all_dtypes();

/// safetensors' case-sensitive word; nothing for an unknown one.
std::optional<DType> dtype_from_safetensors(std::string_view word);
/// ggml's type id; nothing for ids nobody gave out (3 … 5 map to the removed types).
std::optional<DType> dtype_from_ggml(std::uint32_t id);
/// Any name of the table, for --to; case-insensitive ("bf16", "Q4_K").
std::optional<DType> dtype_from_name(std::string_view name);

/// Stored bytes of `elements` numbers; nothing when the size is unknown, does not fit 64 bits, or
/// `elements` does not fill whole blocks.
std::optional<std::uint64_t> stored_bytes(DType type, std::uint64_t elements);

/// A number type whose every element has its own bits (not a ggml block type).
bool is_plain(DType type);
inline bool is_float(DType type) {
  return info(type).kind == NumberKind::kFloat;
}
inline bool is_block(DType type) {
  return info(type).kind == NumberKind::kBlock;
}
/// Bits of one element of a plain type (4, 6, 8, 16 …).
inline int element_bits(DType type) {
  return 8 * info(type).block_bytes / info(type).block_elements;
}

}  // namespace qi
