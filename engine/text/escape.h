// Makes text from files safe to show: on a terminal, in an error line, in the UI, in a CSV, in
// JSON. Pure functions, any thread. Nothing else in the program may decide what is safe.
#pragma once

#include <string>
#include <string_view>

namespace qi {

/// Printable form of any bytes: C0 and DEL as \n, \t, \x1b; C1, line and paragraph separators,
/// bidirectional controls, zero-width and other format characters, tags, byte-order marks and
/// unassigned code points (nobody knows their width) as \u202e (\U000e0001 above 16 bits); bytes
/// that are not UTF-8 as \xff; a backslash as \\. U+200D between two emoji and the variation
/// selectors U+FE0E/F right after one stay.
std::string escape(std::string_view text);

/// The same for a field of a table that a program reads: a backslash stays, and so do LF, CR and
/// TAB unless `line_breaks` asks to escape them too (a terminal). No quoting: that is the writer's.
std::string escape_field(std::string_view text, bool line_breaks);

/// Appends `text` as a JSON string with its quotes: exact text by JSON escapes, everything that
/// escape() would not print as \uXXXX, bytes that are not UTF-8 as U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// True when escape(text) == text.
bool is_printable(std::string_view text);

/// True for a code point that may be printed wherever it stands (the emoji exceptions are false).
bool is_safe(char32_t code);

}  // namespace qi
