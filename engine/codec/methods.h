// The table of methods: what a matrix can be stored with, by name, so that everything that lists,
// sweeps or compares them says the same. Owns names, descriptions and how many bytes each makes
// of a matrix's numbers. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "engine/tensor/dtype.h"

namespace qi {

enum class CodecMethod : std::uint8_t { kStore, kLz4, kZstd, kHuffman, kPlanes, kPair };

struct MethodInfo {
  CodecMethod method;
  std::string_view name;
  std::string_view description;
};

/// In the order of CodecMethod.
std::span<const MethodInfo> codec_methods();
/// Nothing where no method is called so.
std::optional<CodecMethod> method_named(std::string_view name);

/// Numbers of one type, in rows of `cols` (0: no rows).
struct MethodInput {
  std::span<const std::byte> bytes;
  DType dtype = DType::kU8;
  std::size_t cols = 0;
};

/// Bytes that a method makes of the numbers, in blocks of kPlaneBlock elements, tables included;
/// `ratio`: planes with all effort. Nothing for kPair of what has no int8 version (BF16 and F16
/// rows have one): its bytes are those of both versions. Throws kMemory.
std::optional<std::size_t> method_bytes(CodecMethod method, const MethodInput& input,
                                        bool ratio = false);

}  // namespace qi
