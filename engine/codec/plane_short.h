// Short blocks of the plane codec: one state in place of 64, so that a few numbers do not pay for
// lanes that nobody would fill. The same arithmetic as plane_kernels.h, one plain loop on every
// machine. Never reads outside the block; refuses what is no such block (kCorrupt). Internal to the
// codec; pure functions, any thread.
//
// Body of `heads` heads, after the mode: escapes (a number of seven bits a byte, lowest first, the
//   top bit set on all but the last byte), the classes of the rows if they have any, the raw bits
//   but for their last two bytes, state u32, words u16, escaped codes.
// Raw bits are one string of bits, raw_bits() a head, filled up with zeros to a whole byte. The
// state after the last head is 2^16 + 16 bits: the last two bytes of the raw bits, or the one there
// is and a zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/codec/plane_codec.h"

namespace qi {

/// Encoders take this form for at most so many heads: beyond, lanes cost less than their speed is
/// worth.
inline constexpr std::size_t kShortHeads = 24576;

/// Bytes a body takes at most.
std::size_t short_bound(const PlaneTable& table, std::size_t heads);

/// Writes the body of `count` heads to `out` and returns its bytes. `rows`: classes of the rows, if
/// they have any; `classes`: those of the heads.
std::size_t encode_short(const PlaneTable& table, std::span<const std::int8_t> rows,
                         std::span<const std::int8_t> classes, const std::byte* heads,
                         std::size_t count, std::byte* out);

/// The number of escapes, which is taken off the front of `body`. What is no number is one that no
/// block can hold.
std::uint64_t take_escapes(std::span<const std::byte>& body);

/// Decodes `count` heads; `body` starts behind the rows' classes and ends with the escaped codes.
void decode_short(const PlaneTable& table, std::uint64_t escapes,
                  std::span<const std::int8_t> classes, std::span<const std::byte> body,
                  std::size_t count, std::byte* heads);

}  // namespace qi
