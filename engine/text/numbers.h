// Numbers for people: sizes in binary units, counts, rates, times. ASCII only, so that width is
// length. Programs get raw numbers from the CSV and JSON writers instead. Pure functions.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace qi {

/// What a number is that nobody knows.
inline constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

/// "512 B", "32.0 MiB", "14.96 GiB": three or four significant digits, powers of 1024.
std::string human_bytes(std::uint64_t size_bytes);
/// "291", "65.5 K", "8.03 B": powers of 1000 (K, M, B, T).
std::string human_count(std::uint64_t count);
/// "1.9 GB/s": powers of 1000.
std::string human_rate(double bytes_per_second);
/// "0:41", "6:10", "1:02:33"; "-" when unknown (negative, NaN, infinite).
std::string human_duration(double seconds);
/// "1 050 673 152".
std::string grouped(std::uint64_t number);
/// Four significant digits: "0.9062", "-0.918", "1.2e-06", "0"; "nan", "inf", "-inf".
std::string human_number(double value);
/// Shortest text that reads back as the same double.
std::string exact_number(double value);
void append_integer(std::string& out, std::uint64_t number);
void append_integer(std::string& out, std::int64_t number);

}  // namespace qi
