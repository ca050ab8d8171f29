// What makes a matrix smaller, whatever it is: the one interface and the one table behind which
// lossless codecs, zfp and quantizers stand. The sweep, the command line and the interface see only
// this. Owns names, parameter grids and what a configuration does to rows of a matrix. Refuses
// grids that name nothing (kUsage) and matrices a configuration cannot take (kBadShape, kBadDtype,
// kBadValue). The table is constant, any thread; a coder belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/methods/params.h"
#include "engine/tensor/dtype.h"

namespace qi {

/// A configuration: the method and everything that changes its result.
struct MethodConfig {
  std::string family;  // "zfp"
  Params params;
  auto operator<=>(const MethodConfig&) const = default;
};

/// The matrix that a coder is made for: at least one row and one column.
struct MatrixInfo {
  std::uint64_t rows = 0;  // of a stack of experts: of all of them
  std::uint64_t cols = 0;
  /// Rows of one matrix of a stack, of what has one scale a matrix; `rows` where there is no stack.
  std::uint64_t matrix_rows = 0;
  DType dtype = DType::kF32;  // as stored
  /// Mean square of the activations of each column, [cols], or none (imatrix).
  std::span<const float> importance;
};

/// Some rows of it, each whole.
struct MatrixRows {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::span<const float> values;      // [count × cols], widened to float32
  std::span<const std::byte> stored;  // the same as stored, little-endian; empty: not plain numbers
};

/// Where decoded rows go: a lossless method gives `stored`, the others `values`.
struct DecodedRows {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  std::span<float> values;
  std::span<std::byte> stored;
};

/// One configuration at work on one matrix: survey() of all rows when it wants that, then encode()
/// and decode() of strips in any order. A clone() may do so in another thread at the same time.
class MethodCoder {
 public:
  virtual ~MethodCoder() = default;

  /// Strips begin at a multiple of this many rows and hold a multiple of it (the last one fewer);
  /// 0: the matrix can only be coded whole.
  virtual std::uint64_t strip_rows() const { return 1; }
  /// Whether decode() gives the stored bytes back (then rows need `stored`), not values.
  virtual bool lossless() const { return false; }
  /// Whether every row must be shown to survey() first: what has a scale or table for the whole.
  virtual bool wants_survey() const { return false; }
  virtual void survey(const MatrixRows&) {}
  /// After the last survey(), before the first encode().
  virtual void finish_survey() {}

  /// The coded strip, in place of what `out` holds. Everything that decode() needs is in it or
  /// counted by shared_bytes(). Throws kBadValue for numbers it cannot take (NaN, infinities).
  virtual void encode(const MatrixRows& rows, std::vector<std::byte>& out) = 0;
  virtual void decode(std::span<const std::byte> coded, const DecodedRows& rows) = 0;
  /// Bytes needed once for the whole matrix: tables, a tensor's scale.
  virtual std::uint64_t shared_bytes() const { return 0; }
  /// A coder with the same survey, for another thread.
  virtual std::unique_ptr<MethodCoder> clone() const = 0;
};

/// What the user asked of a grid: option name without dashes → the values given, "rates" → {"4",
/// "8"}; a switch has an empty list.
using GridOptions = std::map<std::string, std::vector<std::string>, std::less<>>;

/// One option of a family's grid.
struct GridOption {
  std::string_view name;      // "rates": the option --rates
  std::string_view values;    // what it takes, for people: "4,8,16"; empty: a switch
  std::string_view defaults;  // "4,8,16"; empty: none
  std::string_view help;
};

/// One line of the table.
struct MethodFamily {
  std::string_view name;
  std::string_view description;
  std::span<const GridOption> options;
  /// Raised whenever the bytes or values a configuration gives change.
  int version;
  /// Every combination, each once, in the order of the lists. Options of other families are passed
  /// over. Throws kUsage, naming option, value and what was expected.
  std::vector<Params> (*expand)(const GridOptions& options);
  /// Nothing when a coder can be made; else why not, for the row's error ("a row of 172 is no
  /// multiple of 32"). Throws kUsage for parameters that expand() would not give.
  std::string (*unfit)(const Params& params, const MatrixInfo& matrix);
  /// Throws as unfit() tells, as Error kBadShape, kBadDtype or kMissing. Null: see `calibrated`.
  std::unique_ptr<MethodCoder> (*make)(const Params& params, const MatrixInfo& matrix);
  /// Bytes out, where parameters and shape alone tell.
  std::optional<std::uint64_t> (*predict)(const Params& params, const MatrixInfo& matrix);
  /// What config_label() says.
  std::string (*label)(const Params& params);
  /// What a row of this matrix should say although all is well ("stored as Q5_0: a row of 172 is no
  /// multiple of 256"); empty: nothing. Null: a family that never has anything to say.
  std::string (*note)(const Params& params, const MatrixInfo& matrix) = nullptr;
  /// Whether it needs what a calibration text does to the whole model, so that there is no coder
  /// for a matrix alone.
  bool calibrated = false;
};

/// In the order they are listed, those that need a calibration text last.
std::span<const MethodFamily> method_families();
/// Those that do not.
std::span<const MethodFamily> uncalibrated_families();
/// Null where no family is called so.
const MethodFamily* find_family(std::string_view name);

/// Short for people: "zfp 2D rate 6", "rtn 4 g128 sym", "Q4_K".
std::string config_label(const MethodConfig& config);

}  // namespace qi
