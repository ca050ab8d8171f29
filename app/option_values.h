// What the values of options mean: numbers within limits, one word of several, lists. Refuses all
// others, naming the option and what it takes (kUsage). Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/dtype.h"
#include "views/theme.h"

namespace qi {

[[noreturn]] void usage(std::string message, std::string expected = "see qinspect --help");

unsigned number_between(std::string_view option, const std::string& text, unsigned low,
                        unsigned high);
double positive_number(std::string_view option, const std::string& text);
/// Whether `text` is the second of two words.
bool second_of(std::string_view option, const std::string& text, std::string_view first,
               std::string_view second);
/// "a,b": ["a", "b"]; none may be empty.
std::vector<std::string> listed(std::string_view option, std::string_view text);
/// An empty value would silently mean "not given".
std::string not_empty(std::string_view option, const std::string& text);

DType prototype_dtype(const std::string& text);   // of --dtype
ColorMode color_mode(const std::string& text);    // of --color
std::string theme_name(const std::string& text);  // of --theme

}  // namespace qi
