// How far one weight is from another: sums gathered over tiles in double precision, and the
// metrics made from them. Owns the formulas of mse … cosine. An accumulator belongs to one thread;
// add up the parts of several threads in a fixed order to get the same digits every time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace qi {

/// x: the reference, y: the other, e = y − x. A metric without a value is an empty cell.
struct ErrorMetrics {
  std::uint64_t elements = 0;
  std::uint64_t differing = 0;           // values that differ (two NaN are the same; −0 is 0)
  std::optional<double> mse;             // Σe² / n
  std::optional<double> rmse;            // √mse
  std::optional<double> max_abs_error;   // max |e|
  std::optional<double> relative_error;  // √(Σe² / Σx²); 0 when both are 0
  std::optional<double> snr_db;          // 10·log10(Σx² / Σe²); none when Σe² or Σx² is 0
  std::optional<double> psnr_db;  // 10·log10((max x − min x)² / mse); none when either is 0
  std::optional<double> cosine;   // Σxy / √(Σx²·Σy²); none when either is 0
  bool operator==(const ErrorMetrics&) const = default;
};

class ErrorAccumulator {
 public:
  /// Equal lengths.
  void add(std::span<const float> reference, std::span<const float> other);
  void add(const ErrorAccumulator& other);
  /// NaN or infinity where the other has another value makes the sums, and so the metrics,
  /// non-finite (printed as empty); equal infinities and paired NaN are counted as equal and left
  /// out.
  ErrorMetrics metrics() const;

  struct Sums {
    double ee = 0, xx = 0, yy = 0, xy = 0, max_e = 0;
    double min_x, max_x;
    std::uint64_t elements = 0, differing = 0;
    Sums();
  };

 private:
  Sums sums_;
};

/// The plain loop that the SIMD one is held against; both add into `sums`.
void add_errors_plain(std::span<const float> reference, std::span<const float> other,
                      ErrorAccumulator::Sums& sums);
void add_errors(std::span<const float> reference, std::span<const float> other,
                ErrorAccumulator::Sums& sums);

}  // namespace qi
