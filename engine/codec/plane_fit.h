// How an encoder finds the classes of a matrix: scales of its rows, or of its rows and columns, as
// a product that fits the numbers' magnitudes. Refuses nothing. Internal to the choice of tables;
// pure functions of the numbers, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/codec/plane_codec.h"

namespace qi {

struct ClassFit {
  int level = 0;
  std::vector<std::int8_t> columns;  // empty: rows alone
  std::vector<std::int8_t> rows;

  /// Bits of a row's class in a block.
  unsigned row_bits() const;
};

/// Heads of whole rows; `kind` and `rows` must outlive it.
class ClassHeads {
 public:
  ClassHeads(const PlaneKind& kind, const PlaneRows& rows);
  ClassHeads(const ClassHeads&) = delete;
  ClassHeads& operator=(const ClassHeads&) = delete;

  unsigned at(std::size_t i) const;
  const std::byte* row(std::size_t r) const { return heads_ + r * rows_.cols * kind_.head_bytes(); }

  /// `level`: what class 0 is; without one the rows' median.
  ClassFit fit_rows(std::vector<std::int8_t> columns = {}, std::optional<int> level = {}) const;
  ClassFit fit_both(std::optional<int> level = {}) const;

 private:
  void add_magnitudes(std::size_t r, float by, std::vector<float>& sums) const;

  const PlaneKind& kind_;
  const PlaneRows& rows_;
  const std::byte* heads_;
  std::vector<std::byte> scratch_;
};

/// Bytes in an index, which is compressed, of a frequency and of a column's class.
inline constexpr double kFrequencyCost = 1.25;
inline constexpr double kColumnCost = 0.5;

/// Codes of floats move with their class; those that end up below 0 are counted from here on.
inline constexpr int kCodesBelow = 256;
/// [table][code + kCodesBelow], all of the same length.
using ClassCounts = std::vector<std::vector<std::uint64_t>>;

/// Tables of one set of symbols for such counts, and what they make of them.
struct ClassTables {
  PlaneSplit split;
  std::vector<RansTable> tables;
  double bits = 0;
};
ClassTables class_tables(const PlaneKind& kind, std::uint8_t shift, const ClassCounts& counts);

/// Rounds the frequencies of a table for `total` numbers to what is worth saying of them; the sum
/// stays. Rounded ones compress better in an index, and few numbers gain little from exact ones.
void round_frequencies(std::vector<std::uint16_t>& frequencies, std::uint64_t total);

/// The most frequent codes: at most `most`, each with `worth` of 4096 at least, all within the
/// reach of a symbol.
std::vector<std::uint32_t> kept_codes(std::span<const std::uint64_t> counts, std::uint64_t total,
                                      std::size_t most, std::uint64_t worth);

}  // namespace qi
