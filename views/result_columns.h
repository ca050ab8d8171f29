// The one table of columns that rows of measurements have on the Sweep, Results, Compare and
// Planner screens: how a value reads, what it is called in exports, what number it plots and sorts
// by and which end of it is good. Constant data and pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "eval/results/result_row.h"

namespace qi {

enum class ResultColumnId : std::uint8_t {
  kTensor,
  kConfig,
  kBits,
  kSnr,
  kBytesOut,
  kRelative,
  kMse,
  kRmse,
  kMaxError,
  kPsnr,
  kCosine,
  kOutputError,
  kRatio,
  kModelBytes,
  kBytesIn,
  kWeights,
  kEncode,
  kDecode,
  kEncodeRate,
  kDecodeRate,
  kLayer,
  kRole,
  kDtype,
  kShape,
  kRun,
  kModel,
  kStatus,
  kPerplexity,
  kDivergence,
};

enum class ResultForm : std::uint8_t {
  kText,
  kBits,  // two digits after the point
  kDecibel,
  kReal,    // four significant digits
  kCosine,  // six digits after the point
  kSize,    // bytes, with their unit
  kCount,
  kTime,  // seconds
  kRate,  // MB/s
};

struct ResultColumn {
  ResultColumnId id;
  std::string_view name;   // of exports and of the contract: "snr_db"
  std::string_view title;  // "SNR dB"
  std::string_view plain;  // in a sentence, and on an axis: "SNR dB"
  int width;
  int leave;  // as TableColumn
  ResultForm form;
  int better;        // 1: more is, −1: less is, 0: neither
  bool logarithmic;  // spreads over decades
  bool right() const { return form != ResultForm::kText; }
};

std::span<const ResultColumn> result_column_table();
const ResultColumn& result_column(ResultColumnId id);
/// Those with a number that can stand on an axis, in the order `a` goes through them.
std::span<const ResultColumnId> result_axes();

/// NaN: it has none. The SNR of a row without any error is infinite.
double result_number(ResultColumnId id, const ResultRow& row);
/// Printable; "" for no value.
std::string result_text(ResultColumnId id, const ResultRow& row);
/// A number as that column's cells write it: "" for NaN.
std::string result_number_text(ResultColumnId id, double value);
/// Raw, numbers in full, as --results writes it.
std::string result_export(ResultColumnId id, const ResultRow& row);

}  // namespace qi
