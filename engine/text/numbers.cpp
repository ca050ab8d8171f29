#include "engine/text/numbers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

namespace qi {
namespace {

// Digits after the point so that 3 or 4 digits stand in all: 1.23, 12.3, 123.
std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  if (value < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

// Divides by `step` until the number prints with at most three digits before the point.
template <std::size_t N>
std::string scaled(double value, double step, const std::array<std::string_view, N>& units) {
  std::size_t unit = 0;
  while (value >= step - 0.5 && unit + 1 < N) {
    value /= step;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), units[unit]);
}

}  // namespace

std::string human_bytes(std::uint64_t size_bytes) {
  if (size_bytes < 1024) return fmt::format("{} B", size_bytes);
  constexpr std::array<std::string_view, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  // GiB and above keep two digits after the point: models are compared by them.
  const double gib = static_cast<double>(size_bytes) / (1024.0 * 1024 * 1024);
  if (gib >= 9.995 && gib < 99.995) return fmt::format("{:.2f} GiB", gib);
  return scaled(static_cast<double>(size_bytes) / 1024, 1024, kUnits);
}

std::string human_count(std::uint64_t count) {
  if (count < 1000) return fmt::format("{}", count);
  constexpr std::array<std::string_view, 6> kUnits = {"K", "M", "B", "T", "Q", "QK"};
  return scaled(static_cast<double>(count) / 1000, 1000, kUnits);
}

std::string human_rate(double bytes_per_second) {
  if (!std::isfinite(bytes_per_second) || bytes_per_second < 0) return "-";
  constexpr std::array<std::string_view, 5> kUnits = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};
  return scaled(bytes_per_second, 1000, kUnits);
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 3.6e8) return "-";
  const auto total = static_cast<std::uint64_t>(std::llround(seconds));
  const std::uint64_t hours = total / 3600;
  const std::uint64_t minutes = total / 60 % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{}:{:02}", minutes, total % 60);
}

std::string grouped(std::uint64_t number) {
  const std::string digits = fmt::format("{}", number);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ' ';
    out += digits[i];
  }
  return out;
}

std::string human_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return fmt::format("{:.4g}", value == 0 ? 0.0 : value);
}

std::string exact_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // Whole numbers, most of what tables hold, are written in a tenth of the time as what they are;
  // beyond 10^15 there are shorter ways to write them, and −0 is none.
  if (std::abs(value) < 1e15 && value == std::trunc(value) &&
      (value != 0 || !std::signbit(value))) {
    return fmt::format_int(static_cast<std::int64_t>(value)).str();
  }
  return fmt::format("{}", value);
}

void append_integer(std::string& out, std::uint64_t number) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

void append_integer(std::string& out, std::int64_t number) {
  const fmt::format_int text(number);
  out.append(text.data(), text.size());
}

}  // namespace qi
