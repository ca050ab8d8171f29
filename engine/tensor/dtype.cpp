#include "engine/tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "engine/io/checked.h"

namespace qi {
namespace {

using enum NumberKind;

// Sizes: safetensors format, dtype table; ggml: ids and block structs of ggml.h / ggml-common.h.
constexpr std::array kTable = {
    DTypeInfo{DType::kUnknown, "?", -1, 1, 0, kNone, 0, 0, false},
    DTypeInfo{DType::kBool, "BOOL", -1, 1, 1, kBool, 0, 0, true},
    DTypeInfo{DType::kU8, "U8", -1, 1, 1, kUnsigned, 0, 0, true},
    DTypeInfo{DType::kI8, "I8", 24, 1, 1, kSigned, 0, 0, true},
    DTypeInfo{DType::kU16, "U16", -1, 1, 2, kUnsigned, 0, 0, true},
    DTypeInfo{DType::kI16, "I16", 25, 1, 2, kSigned, 0, 0, true},
    DTypeInfo{DType::kU32, "U32", -1, 1, 4, kUnsigned, 0, 0, true},
    DTypeInfo{DType::kI32, "I32", 26, 1, 4, kSigned, 0, 0, true},
    DTypeInfo{DType::kU64, "U64", -1, 1, 8, kUnsigned, 0, 0, true},
    DTypeInfo{DType::kI64, "I64", 27, 1, 8, kSigned, 0, 0, true},
    DTypeInfo{DType::kF16, "F16", 1, 1, 2, kFloat, 5, 10, true},
    DTypeInfo{DType::kBF16, "BF16", 30, 1, 2, kFloat, 8, 7, true},
    DTypeInfo{DType::kF32, "F32", 0, 1, 4, kFloat, 8, 23, true},
    DTypeInfo{DType::kF64, "F64", 28, 1, 8, kFloat, 11, 52, true},
    DTypeInfo{DType::kC64, "C64", -1, 1, 8, kComplex, 0, 0, true},
    DTypeInfo{DType::kF8E4M3, "F8_E4M3", -1, 1, 1, kFloat, 4, 3, true},
    DTypeInfo{DType::kF8E5M2, "F8_E5M2", -1, 1, 1, kFloat, 5, 2, true},
    DTypeInfo{DType::kF8E8M0, "F8_E8M0", -1, 1, 1, kFloat, 8, 0, true},
    DTypeInfo{DType::kF8E4M3FNUZ, "F8_E4M3FNUZ", -1, 1, 1, kFloat, 4, 3, true},
    DTypeInfo{DType::kF8E5M2FNUZ, "F8_E5M2FNUZ", -1, 1, 1, kFloat, 5, 2, true},
    DTypeInfo{DType::kF6E2M3, "F6_E2M3", -1, 4, 3, kFloat, 2, 3, true},
    DTypeInfo{DType::kF6E3M2, "F6_E3M2", -1, 4, 3, kFloat, 3, 2, true},
    DTypeInfo{DType::kF4, "F4", -1, 2, 1, kFloat, 2, 1, true},
    DTypeInfo{DType::kQ4_0, "Q4_0", 2, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ4_1, "Q4_1", 3, 32, 20, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ4_2, "Q4_2", 4, 1, 0, kNone, 0, 0, false},
    DTypeInfo{DType::kQ4_3, "Q4_3", 5, 1, 0, kNone, 0, 0, false},
    DTypeInfo{DType::kQ5_0, "Q5_0", 6, 32, 22, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ5_1, "Q5_1", 7, 32, 24, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ8_0, "Q8_0", 8, 32, 34, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ8_1, "Q8_1", 9, 32, 36, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ2K, "Q2_K", 10, 256, 84, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ3K, "Q3_K", 11, 256, 110, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ4K, "Q4_K", 12, 256, 144, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ5K, "Q5_K", 13, 256, 176, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ6K, "Q6_K", 14, 256, 210, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ8K, "Q8_K", 15, 256, 292, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ2XXS, "IQ2_XXS", 16, 256, 66, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ2XS, "IQ2_XS", 17, 256, 74, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ3XXS, "IQ3_XXS", 18, 256, 98, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ1S, "IQ1_S", 19, 256, 50, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ4NL, "IQ4_NL", 20, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ3S, "IQ3_S", 21, 256, 110, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ2S, "IQ2_S", 22, 256, 82, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ4XS, "IQ4_XS", 23, 256, 136, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ1M, "IQ1_M", 29, 256, 56, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ4_0_4_4, "Q4_0_4_4", 31, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ4_0_4_8, "Q4_0_4_8", 32, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ4_0_8_8, "Q4_0_8_8", 33, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kTQ1_0, "TQ1_0", 34, 256, 54, kBlock, 0, 0, false},
    DTypeInfo{DType::kTQ2_0, "TQ2_0", 35, 256, 66, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ4NL_4_4, "IQ4_NL_4_4", 36, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ4NL_4_8, "IQ4_NL_4_8", 37, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kIQ4NL_8_8, "IQ4_NL_8_8", 38, 32, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kZfpFork, "ZFP?", -1, 1, 0, kNone, 0, 0, false},
    DTypeInfo{DType::kMXFP4, "MXFP4", 39, 32, 17, kBlock, 0, 0, false},
    DTypeInfo{DType::kNVFP4, "NVFP4", 40, 64, 36, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ1_0, "Q1_0", 41, 128, 18, kBlock, 0, 0, false},
    DTypeInfo{DType::kQ2_0, "Q2_0", 42, 64, 18, kBlock, 0, 0, false},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].type) != i) return false;
  }
  return true;
}
static_assert(in_order(), "kTable is indexed by DType");

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::toupper(x) == std::toupper(y);
  });
}

}  // namespace

const DTypeInfo& info(DType type) {
  return kTable[static_cast<std::size_t>(type)];
}
std::span<const DTypeInfo> all_dtypes() {
  return kTable;
}

std::optional<DType> dtype_from_safetensors(std::string_view word) {
  for (const DTypeInfo& row : kTable) {
    if (row.in_safetensors && row.name == word) return row.type;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_ggml(std::uint32_t id) {
  for (const DTypeInfo& row : kTable) {
    if (row.ggml_id >= 0 && static_cast<std::uint32_t>(row.ggml_id) == id) return row.type;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const DTypeInfo& row : kTable) {
    if (row.block_bytes != 0 && equal_ignoring_case(row.name, name)) return row.type;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> stored_bytes(DType type, std::uint64_t elements) {
  const DTypeInfo& row = info(type);
  if (row.block_bytes == 0 || elements % row.block_elements != 0) return std::nullopt;
  return checked_mul<std::uint64_t>(elements / row.block_elements, row.block_bytes);
}

bool is_plain(DType type) {
  return info(type).block_bytes != 0 && info(type).kind != NumberKind::kBlock;
}

}  // namespace qi
