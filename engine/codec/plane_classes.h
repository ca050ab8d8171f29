// Classes of rows and columns: numbers of one matrix have the same shape and differ in scale, so a
// class says which of a few tables codes a number and by how many octaves its code moves.
// Owns the scales' measure and the classes' two stored forms; refuses what is no such form
// (kCorrupt). The decoder only adds classes up: how an encoder finds them is its own affair.
// Immutable once built: any thread.
//
// Class of the number in row r and column k: row_class[r] + column_class[k], in quarter octaves,
// then ⌊·/2^down⌋, and of integers no less than 0 and at most tables − 1.
// Which table and which code follow from it: PlaneRun.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/codec/plane_kernels.h"

namespace qi {

inline constexpr int kMaxPlaneClass = 60;  // of a row or a column, either way
inline constexpr unsigned kMaxTableBits = 3;
/// Four classes an octave.
inline constexpr unsigned kQuarterBits = 2;
/// Bytes of text before the columns' classes.
inline constexpr std::size_t kClassHeadBytes = 7;

class PlaneClasses {
 public:
  bool integers = false;
  std::uint8_t table_bits = 2;
  std::uint8_t octave_bits = 0;  // floats: mantissa bits in the code
  std::uint8_t down = 0;         // floats: 2 − table_bits, so that whole octaves move codes
  std::int16_t level = 0;        // what an encoder calls class 0, in quarter octaves
  std::uint32_t cols = 1;
  std::vector<std::int8_t> columns;  // [cols]; empty: rows alone have classes

  std::size_t tables() const { return std::size_t{1} << table_bits; }

  /// kClassHeadBytes: bits 0–1 table bits, 2–3 octave bits, 4–5 down, 6 integers; level i16; cols
  /// u32. Then the columns' classes i8.
  void serialise(std::vector<std::byte>& out) const;
  static PlaneClasses parse(std::span<const std::byte> head, std::span<const std::byte> columns);

  /// The class of a single row without columns, or of heads in row order.
  std::int8_t of_row(std::int8_t row) const { return settle(row); }
  std::int8_t of(std::int8_t row, std::int8_t column) const { return settle(row + column); }
  void fill(const std::int8_t* rows, std::size_t count, std::int8_t* out) const;

  /// For encoders: 2^(−class/4) of each column, empty where there are none.
  std::vector<float> column_factors() const;

 private:
  std::int8_t settle(int sum) const;
};

/// Encoder's measure of a row's class: its heads' mean magnitude. `mantissa_bits` of a float's
/// head, or 0 for int8 numbers.
std::int8_t row_class(const std::byte* heads, std::size_t count, unsigned mantissa_bits, int level,
                      const float* factors);
/// Mean magnitude of heads, each times its factor (nullptr: 1).
float mean_magnitude(const std::byte* heads, std::size_t count, unsigned mantissa_bits,
                     const float* factors);
/// 4·log2, rounded; 0 of what has none.
int quarter_octaves(float scale);

/// Row classes in a block: i8, u8, then as the second byte says
///   b = 0 … 8: ⌈rows·b/8⌉ bytes with b bits a row: what to add to the first byte, the least class;
///   16 + k, k = 0 … 3: for each row z = 2·d or −2·d − 1, d the difference to the first byte:
///   ⌊z/2^k⌋ ones, a zero, and z's lower k bits; filled up to a whole byte with zeros.
/// Lowest bits first.
std::size_t packed_rows_bound(std::size_t rows);
std::size_t pack_rows(std::span<const std::int8_t> rows, std::byte* out);
/// Returns the bytes taken from `in`. Throws kCorrupt.
std::size_t unpack_rows(std::span<const std::byte> in, std::span<std::int8_t> rows);

}  // namespace qi
