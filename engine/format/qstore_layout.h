// How the bytes of a stored tensor fall into records and fields that are worth coding apart: one
// table for the ggml block types, and what to try for all others. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/codec/plane_codec.h"
#include "engine/tensor/dtype.h"

namespace qi {

/// A field of a record: `width` bytes that hold elements of one kind.
struct LayoutField {
  std::uint32_t width;
  PlaneKind kind;
};
using FieldLayout = std::vector<LayoutField>;

std::uint64_t record_bytes(const FieldLayout& layout);

/// The layouts to choose from for numbers of `type`, the likeliest first; `big_endian`: the bytes
/// of wide numbers stand the other way round. Each record is a whole block of the type or a divisor
/// of it. Unknown types are bytes.
std::vector<FieldLayout> layouts_of(DType type, bool big_endian);

/// Gathers one field of every record of `records` into `out`, which holds as many bytes of it.
void gather_field(std::span<const std::byte> records, std::size_t record_bytes, std::size_t offset,
                  std::size_t width, std::byte* out);
/// The inverse.
void scatter_field(const std::byte* field, std::size_t count, std::size_t record_bytes,
                   std::size_t offset, std::size_t width, std::byte* records);

}  // namespace qi
