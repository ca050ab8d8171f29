// The one table of the Model screen's columns: titles, widths, what leaves first when the screen
// is narrow, how a cell reads and how it sorts. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"
#include "views/glyphs.h"

namespace qi {

enum class ColumnId : std::uint8_t {
  kName,
  kShape,
  kScheme,
  kBitsPerWeight,
  kExponent,
  kResidual,
  kPlanes,
  kPair,
  kStd,
  kAbsMax,
  kZstd,
  kRole,
  kSize,
};

struct ColumnInfo {
  ColumnId id;
  std::string_view title;
  int width;             // cells; shape and scheme are as wide as the model needs
  int leave;             // see leave_rank()
  bool right;            // right-aligned: numbers
  bool from_statistics;  // empty until the weight is analysed
  std::string_view meaning;
};
std::span<const ColumnInfo> columns();
const ColumnInfo& column(ColumnId id);

/// Columns whose unit or width is that of the model.
struct ColumnFit {
  int name_width = 24;
  int shape_width = 5;
  int scheme_width = 6;
  bool size_in_kib = false;  // small models
  // Whether a column has values for most of the parameters; others leave first.
  bool has_exponents = true;  // floats, FP8 with scales
  bool has_pairs = true;      // matrices of 16-bit floats
};
/// When the column leaves a model of this fit: the highest goes first, 0 never.
int leave_rank(const ColumnInfo& info, const ColumnFit& fit);
/// `labels`: the model's distinct scheme_label()s.
ColumnFit fit_columns(const Model& model, std::span<const std::string> labels);
std::string column_title(ColumnId id, const ColumnFit& fit);

/// The cell's text, printable; "" when the column does not apply, or has no value without
/// `statistics`. Not for kName.
std::string cell_text(ColumnId id, const Model& model, const Weight& weight,
                      const Statistics* statistics, const ColumnFit& fit);
/// The sort key; NaN for "no value", which stands last either way. Not for kName and kScheme.
double sort_value(ColumnId id, const Weight& weight, const Statistics* statistics);

/// A name as shown, printable, at one of four lengths: 0 whole, 1 without ".weight", 2 without
/// "model." too, 3 without "layers." or "blk." too.
std::string shown_name(std::string_view name, int level);

/// "BF16", "Q4_K", "gptq 4b g128": what a weight is stored as, in few cells.
std::string scheme_label(const Model& model, const Weight& weight);
/// "gptq, 4-bit, groups of 128, asymmetric, act-order, scales F16": the same in full.
std::string scheme_sentence(const Model& model, const Weight& weight);

/// Bits per weight after coding: exponent coded and the rest raw (the plane codec), and the 16-bit
/// values together with their int8 version (the pair codec). Negative: not known.
double planes_bits(const Weight& weight, const Statistics& statistics);
double pair_bits(const Weight& weight, const Statistics& statistics);
double zstd_bits(const Weight& weight, const Statistics& statistics);

/// "1002M", "15.0G", "512": at most five cells.
std::string compact_bytes(std::uint64_t size_bytes);

}  // namespace qi
