// How far one weight is from another: sums gathered over tiles in double precision, and the
// metrics made from them. Owns the formulas of mse … cosine. An accumulator belongs to one thread;
// add up the parts of several threads in a fixed order to get the same digits every time.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace qi {

/// x: the reference, y: the other, e = y − x. A metric without a value is an empty cell.
struct ErrorMetrics {
  std::uint64_t elements = 0;
  std::uint64_t differing = 0;          // values that differ (two NaN are the same; −0 is 0)
  std::optional<double> mse;            // Σe² / n
  std::optional<double> rmse;           // √mse
  std::optional<double> max_abs_error;  // max |e|
  std::optional<double> relative_error;  // √(Σe² / Σx²); 0 when Σe² is, else none when Σx² is 0
  std::optional<double> snr_db;          // 10·log10(Σx² / Σe²); none when either is 0
  std::optional<double> psnr_db;  // 10·log10((max x − min x)² / mse); none when either is 0
  std::optional<double> cosine;   // Σxy / √(Σx²·Σy²); none when either is 0
  bool operator==(const ErrorMetrics&) const = default;
};

class ErrorAccumulator {
 public:
  /// Equal lengths. The sums run in eight interleaved lanes, so their digits depend on how the
  /// numbers are cut into calls but not on the machine.
  void add(std::span<const float> reference, std::span<const float> other);
  void add(const ErrorAccumulator& other);
  /// Pairs of NaN and pairs of the same infinity are equal and left out of the sums. A NaN or an
  /// infinity against anything else differs, and then no metric has a value.
  ErrorMetrics metrics() const;

 private:
  struct Sums {
    double ee = 0, xx = 0, yy = 0, xy = 0, max_e = 0;
    double min_x = std::numeric_limits<double>::infinity();
    double max_x = -std::numeric_limits<double>::infinity();
    std::uint64_t differing = 0;
    void add(const Sums& other);
  };
  static Sums sums_of(const float* x, const float* y, std::size_t count);
  static Sums sums_of_any(const float* x, const float* y, std::size_t count);

  Sums sums_;
  std::uint64_t elements_ = 0;
};

}  // namespace qi
