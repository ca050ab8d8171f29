// What one thread does with the tiles of a weight: reads them, counts symbols, bytes and int8 codes
// in counters of its own, and returns sums per tile. Integer counts of several workers add up in
// any order; everything in floating point is per tile and merged in tile order by analyse().
// One thread per worker; the plan is shared and read-only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/codec/models.h"
#include "engine/stats/counting.h"
#include "engine/stats/moments.h"
#include "engine/stats/statistics.h"
#include "engine/stats/stored_bytes.h"
#include "engine/stats/symbols.h"

namespace qi {

/// Where a weight's numbers are taken from.
enum class TileSource : std::uint8_t {
  kSymbols,  // plain numbers of at most 16 bits: one symbol histogram says everything
  kFloat32,  // plain float32, bits and all
  kDoubles,  // float64, or integers that a float32 would round
  kValues,   // dequantized float32 values, and the codes where there are any
};

struct TilePlan {
  TilePlan(const Model& model, const Weight& weight, WeightReader& probe);

  const Model& model;
  const Weight& weight;
  DType dtype = DType::kUnknown;  // of the part that holds the codes
  TileSource source = TileSource::kValues;
  int code_bits = 0;       // of the symbols h_symbol is about; 0: none
  bool direct = false;     // stored() gives the bytes
  bool slices = false;     // bytes are counted from the parts, a slice per tile
  bool int8_rows = false;  // columns of the LLM.int8() version apply
  /// The reader's values are 16-bit numbers and its codes the int8 version stored with them.
  bool stored_int8 = false;
  const PairFormat* pair = nullptr;
  /// Of the symbol counter: whole numbers, the tops of wide floats, or of dequantized values.
  int symbol_bits = 0;
  std::uint64_t tile_elements = 0;
  TileWalk walk;
  /// max |w| per row as a bit pattern, when rows are split into tiles; else empty.
  std::vector<std::uint32_t> row_absmax;

  /// The pair model of a row whose largest weight has this bit pattern (16-bit types).
  PairRow row(std::uint32_t absmax) const;
  bool rows_are_split() const { return weight.cols() > tile_elements; }

 private:
  TileSource choose_source(const WeightReader& probe);
};

struct TileResult {
  TileMoments moments;
  /// Of the rows in the tile: bits of the 16-bit values given their int8 version.
  double residual_bits = 0;
  /// The same of a piece of a row, before the row's side limit is applied.
  double digit_bits = 0;
  std::uint64_t side_bits = 0;
};

class TileWorker {
 public:
  TileWorker(const TilePlan& plan, std::unique_ptr<WeightReader> reader);

  TileResult run(std::uint64_t index);
  /// Largest bit pattern without the sign in the tile, for rows that are split.
  std::uint32_t absmax(std::uint64_t index);

  SymbolCounter symbols;
  SymbolCounter codes;  // kValues only
  std::array<std::uint64_t, 256> bytes{};
  std::array<std::uint64_t, 256> int8{};

 private:
  const std::byte* words(const Tile& tile);
  std::span<const float> floats(const Tile& tile);
  void run_symbols(const Tile& tile, TileResult& result);
  void run_floats(const Tile& tile, TileResult& result);
  void run_doubles(const Tile& tile, TileResult& result);
  void run_slices(std::uint64_t index);
  void int8_words(const Tile& tile, const std::byte* in, TileResult& result);
  double computed_int8_row(const PairRow& row, const std::byte* in, std::uint64_t& side_bits);
  double digits_of_row(const PairRow& row);
  double stored_int8_row(const PairRow& row, const std::byte* in, std::uint64_t& side_bits);
  void int8_floats(const Tile& tile, std::span<const float> in);
  void add_row_counts(std::span<const std::uint32_t, 256> counts);

  const TilePlan& plan_;
  std::unique_ptr<WeightReader> reader_;
  StoredBytes stored_;
  std::vector<std::uint16_t> code_buffer_;
  std::vector<std::byte> word_buffer_;
  std::vector<float> float_buffer_;
  std::vector<std::uint32_t> patterns_;  // float_buffer_ as bits
  std::vector<std::int8_t> q_;
  std::vector<double> double_buffer_;
  std::vector<std::uint64_t> double_bits_;  // double_buffer_ as bits
};

/// The i-th of `count` nearly equal slices of `size`: its first byte (i = count: the end).
std::uint64_t slice_begin(std::uint64_t size, std::uint64_t count, std::uint64_t i);

}  // namespace qi
