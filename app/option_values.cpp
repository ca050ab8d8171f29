#include "app/option_values.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/io/error.h"

namespace qi {

void usage(std::string message, std::string expected) {
  throw Error(ErrorCode::kUsage, std::move(message), std::move(expected));
}

unsigned number_between(std::string_view option, const std::string& text, unsigned low,
                        unsigned high) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end || value < low || value > high) {
    usage(fmt::format("{} {}", option, text), fmt::format("a number from {} to {}", low, high));
  }
  return value;
}

DType prototype_dtype(const std::string& text) {
  if (text == "bf16") return DType::kBF16;
  if (text == "f16") return DType::kF16;
  usage("--dtype " + text, "bf16 or f16");
}

/// Whether `text` is the second of two words.
bool second_of(std::string_view option, const std::string& text, std::string_view first,
               std::string_view second) {
  if (text == first || text == second) return text == second;
  usage(fmt::format("{} {}", option, text), fmt::format("{} or {}", first, second));
}

ColorMode color_mode(const std::string& text) {
  if (text == "auto") return ColorMode::kAuto;
  if (text == "always") return ColorMode::kAlways;
  if (text == "never") return ColorMode::kNever;
  usage("--color " + text, "auto, always or never");
}

std::string theme_name(const std::string& text) {
  if (find_theme(text) != nullptr) return text;
  usage("--theme " + text, fmt::format("{}", fmt::join(theme_names(), ", ")));
}

/// "a,b": ["a", "b"].
std::vector<std::string> listed(std::string_view option, std::string_view text) {
  std::vector<std::string> words;
  for (;;) {
    const std::size_t comma = std::min(text.find(','), text.size());
    if (comma == 0) usage(fmt::format("{} with an empty word", option), "words between commas");
    words.emplace_back(text.substr(0, comma));
    if (comma == text.size()) return words;
    text.remove_prefix(comma + 1);
  }
}

double positive_number(std::string_view option, const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end || !(value > 0)) {
    usage(fmt::format("{} {}", option, text), "a number above 0");
  }
  return value;
}

// An empty value would silently mean "not given".
std::string not_empty(std::string_view option, const std::string& text) {
  if (text.empty()) usage(fmt::format("{} is empty", option));
  return text;
}

}  // namespace qi
