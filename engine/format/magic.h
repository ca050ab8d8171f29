// What a file's first bytes look like, for the error line of a file that is not what its name says.
// Owns the table of foreign signatures; decides nothing about formats that qinspect reads.
// Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/io/file.h"

namespace qi {

/// Bytes that likely_format() wants to see; fewer are fine.
inline constexpr std::size_t kMagicBytes = 64;

/// A phrase such as "a Git LFS pointer: the weights were not downloaded" for bytes at the start of
/// a file; empty when nothing is recognised.
std::string_view likely_format(std::span<const std::byte> head);

/// The same for an open file; empty also when it cannot be read.
std::string_view likely_format(const File& file);

/// The first four bytes as text where they are printable ASCII, else in hexadecimal:
/// "'GGUX'", "0x00000000". For messages, safe to print.
std::string magic_text(std::span<const std::byte> head);

}  // namespace qi
