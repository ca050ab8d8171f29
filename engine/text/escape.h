// Makes text from files safe to show: on a terminal, in an error line, in the UI, in a CSV.
// Pure functions, any thread. Nothing else in the program may decide what is safe.
#pragma once

#include <string>
#include <string_view>

namespace qi {

/// Printable form of any bytes: C0 and DEL as \n, \t, \x1b; C1, line and paragraph separators,
/// bidirectional controls, zero-width and other format characters, tags and byte-order marks as
/// \u202e (\U000e0001 above 16 bits); bytes that are not UTF-8 as \xff; a backslash as \\.
/// U+200D between two emoji stays.
std::string escape(std::string_view text);

}  // namespace qi
