// One measurement: a weight through one configuration and back, in strips of rows, with its exact
// bytes, errors and the time of each direction on one core. Refuses what the method refuses, values
// that no error can be measured of, and lossless methods that lose something. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "engine/methods/method.h"
#include "engine/tensor/model.h"
#include "eval/results/result_row.h"

namespace qi {

/// The weight as methods see it. A stack [E, out, in] is E·out rows with matrices of `out`.
MatrixInfo matrix_info(const Model& model, const Weight& weight);

/// Rows of one strip: a multiple of the coder's own near 256Ki numbers; all of them where it can
/// only code the whole.
std::uint64_t strip_of(const MethodCoder& coder, const MatrixInfo& matrix);

/// Bytes that are held for each number while it is measured. In a strip: as value, as coded, as
/// decoded, and the coder's own tables. Of a matrix that is coded whole: its value, in whose place
/// it comes back, and twice what it is coded to.
inline constexpr std::uint64_t kStripBytesPerValue = 16;
inline constexpr std::uint64_t kWholeBytesPerValue = 12;
/// What matrices that are held whole may take at a time, where one alone does not take more.
inline constexpr std::uint64_t kWholeBytes = 256 << 20;

/// Seconds that the calling thread ran: others on the machine do not count.
double thread_seconds();

struct MeasureOptions {
  unsigned threads = 1;  // strips are shared between that many
  std::span<const float> importance;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(std::uint64_t bytes)> progress;  // stored bytes just finished; any worker
};

/// Fills bytes_out, the measures and the times of `row`; the same digits whatever the threads.
/// False when cancelled. Throws kBadValue (values that are not finite), kCorrupt (a lossless method
/// that is not), and as MethodFamily::make(), MethodCoder and WeightReader do.
bool measure(const Model& model, const Weight& weight, const MethodConfig& config,
             const MeasureOptions& options, ResultRow& row);

}  // namespace qi
