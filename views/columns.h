// The one table of the Model screen's columns: names, widths, what leaves first when the screen is
// narrow, where a cell's value comes from, how it reads and how it sorts. Constant data and pure
// functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/stats/statistics.h"
#include "engine/tensor/model.h"
#include "views/weight_text.h"

namespace qi {

enum class ColumnId : std::uint8_t {
  kName,
  kShape,
  kScheme,
  kBitsPerWeight,
  kBar,
  kExponent,
  kResidual,
  kPlanes,
  kPair,
  kStd,
  kAbsMax,
  kZstd,
  kRole,
  kSize,
  // of containers
  kLevel,
  kSpent,
  // on request
  kLayer,
  kExpert,
  kType,
  kGroup,
  kParams,
  kMin,
  kMax,
  kMean,
  kZeros,
  kNan,
  kInf,
  kSubnormal,
  kSymbol,
  kSign,
  kMantissa,
  kBytes,
  kInt8,
  kLz4,
  kOffset,
  kFile,
};

/// How a column's numbers are written.
enum class ColumnForm : std::uint8_t {
  kText,   // no number: `text` alone
  kBits,   // two digits after the point; negative: none
  kReal,   // four significant digits
  kCount,  // whole, digits grouped
  kSize,   // bytes, in the unit of the model
  kBar,    // bits per weight as a length
};

struct ColumnInfo {
  ColumnId id;
  std::string_view name;      // one word: the command line, the config file
  std::string_view exported;  // the column of an exported table
  std::string_view title;
  int width;             // cells; shape and scheme are as wide as the model needs
  int leave;             // see leave_rank()
  bool chosen;           // shown without being asked for
  bool right;            // right-aligned: numbers
  bool from_statistics;  // empty until the weight is analysed
  ColumnForm form;
  // Where the value is: one of these; a text beside a number is what the cell shows of it.
  std::optional<double> Statistics::*stat;
  double (*coded)(const Weight&, const Statistics&);  // bits per weight after coding
  double (*number)(const Weight&);
  std::string (*text)(const Model&, const Weight&);
  std::string_view meaning;
};
std::span<const ColumnInfo> columns();
const ColumnInfo& column(ColumnId id);
/// By its name, its title, or its name in exports.
std::optional<ColumnId> column_named(std::string_view name);
/// Sorting by it begins with the largest: numbers are sorted to find the large ones.
inline bool largest_first(ColumnId id) {
  return column(id).form != ColumnForm::kText;
}

/// Columns whose unit or width is that of the model.
struct ColumnFit {
  int name_width = 24;
  int shape_width = 5;
  int scheme_width = 6;
  int bar_bits = 16;         // bits per weight of a full bar
  bool size_in_kib = false;  // small models
  // Whether a column has values for most of the parameters; others leave first.
  bool has_exponents = true;  // floats, FP8 with scales
  bool has_pairs = true;      // matrices of 16-bit floats
  bool has_levels = false;    // a container
};
/// Whether the column can have a value in a model of this fit at all.
bool applies(const ColumnInfo& info, const ColumnFit& fit);
/// When the column leaves a model of this fit: the highest goes first, 0 never.
int leave_rank(const ColumnInfo& info, const ColumnFit& fit);
/// The cells it wants there.
int wanted_width(const ColumnInfo& info, const ColumnFit& fit);
/// `labels`: the model's distinct scheme_label()s.
ColumnFit fit_columns(const Model& model, std::span<const std::string> labels);
std::string column_title(ColumnId id, const ColumnFit& fit);

/// The cell's text, printable; "" when the column does not apply, or has no value without
/// `statistics`. Not for kName and kBar, which are drawn.
std::string cell_text(ColumnId id, const Model& model, const Weight& weight,
                      const Statistics* statistics, const ColumnFit& fit);
/// A number as that column's cells write it; "" for NaN.
std::string number_text(ColumnId id, double value, const ColumnFit& fit);
/// The same for a program: raw names, numbers in full, sizes in bytes.
std::string export_text(ColumnId id, const Model& model, const Weight& weight,
                        const Statistics* statistics);
/// The column's number, what it sorts by; NaN for "no value", which stands last either way. kOffset
/// and texts (but the role) have none: they need the model.
double sort_value(ColumnId id, const Weight& weight, const Statistics* statistics);

}  // namespace qi
