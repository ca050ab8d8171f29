// Compares two models of any two formats by their dequantized values: aligns weights by name (also
// across the Hugging Face and GGUF names), then reads both tile by tile. Memory is two tiles.
// Owns the statuses of --diff. Functions of any thread; models must outlive the call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/stats/error_metrics.h"
#include "engine/tensor/model.h"

namespace qi {

enum class DiffStatus : std::uint8_t { kSame, kDiffers, kOnlyA, kOnlyB, kShape, kNotComparable };
std::string_view diff_status_name(DiffStatus status);

/// A row of --diff.
struct DiffRow {
  const Weight* a = nullptr;  // null: only in B
  const Weight* b = nullptr;  // null: only in A
  /// ≥ 0: `a` (or `b`) is this matrix of a stack [E, out, in], the other is stored by itself.
  std::int64_t slice_a = -1;
  std::int64_t slice_b = -1;
  /// Rows a head in which the rows of one side are permuted (rotary_row); 0: both in one order.
  std::uint64_t rotary_head_rows = 0;
  bool permuted_a = false;  // A's side is the permuted one, else B's
  DiffStatus status = DiffStatus::kNotComparable;
  std::string reason;    // why it is not comparable
  ErrorMetrics metrics;  // of kSame and kDiffers
};

/// Rows in A's order, then those only in B in B's; statuses kOnlyA, kOnlyB, kShape and
/// kNotComparable are final, kSame stands for "to be compared". Reads no payload.
std::vector<DiffRow> align_models(const Model& a, const Model& b);

/// Values that compare_row() compares.
std::uint64_t compared_values(const DiffRow& row);

/// Compares the values of a row that align_models() left as kSame; a weight that cannot be decoded
/// makes it kNotComparable with the reason. `progress` is told values as they are done, in sum
/// compared_values(); may be empty. Different rows may be compared in several threads at once.
/// False when cancelled (the row stays as it was); errors of files are thrown.
bool compare_row(const Model& a, const Model& b, DiffRow& row, const std::atomic<bool>* cancel,
                 const std::function<void(std::uint64_t values)>& progress = {});

struct DiffOptions {
  std::function<bool(std::string_view weight_name)> selection;  // by A's name, else B's; empty: all
  std::function<void(const DiffRow&)> row;                      // each finished row, in order
  std::function<void(std::uint64_t elements_done, std::uint64_t elements)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

/// align_models(), then compare_row() for each: same when all values are equal (two NaN are; −0
/// equals 0). Calls back on this thread. False when cancelled.
bool compare_models(const Model& a, const Model& b, const DiffOptions& options);

}  // namespace qi
