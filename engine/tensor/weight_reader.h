// Reads the numbers of one logical weight, tile by tile, whatever its scheme. Declared here,
// implemented per scheme in engine/quant (and engine/format for prototype directories).
// A reader has scratch memory of its own: one thread at a time, open one per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "engine/tensor/model.h"

namespace qi {

/// Rows [row, row + rows) × columns [col, col + cols) of a weight seen as Weight::rows() ×
/// Weight::cols().
struct Tile {
  std::uint64_t row = 0;
  std::uint64_t rows = 0;
  std::uint64_t col = 0;
  std::uint64_t cols = 0;
  bool operator==(const Tile&) const = default;
};

/// Some of the numbers that turn a weight's codes into values, a second quantization undone: the
/// factor of each group of codes, and what belongs to it.
struct ScaleRun {
  std::span<const float> scales;
  /// As many as scales, or none: zero points, value = (code − zero) · scale.
  std::span<const float> zeros;
  /// The zeros are in units of the value instead: value = code · scale + zero.
  bool added = false;
};
/// False: no more of them.
using ScaleSink = std::function<bool(const ScaleRun& run)>;

/// Whole rows as they are stored, row after row, for whoever multiplies them without decoding them
/// first.
struct StoredRows {
  std::span<const std::byte> bytes;  // little-endian numbers or blocks of one type
  std::span<const float> scales;     // a factor of all numbers of a row, one a row; or none
};

class WeightReader {
 public:
  WeightReader(const Model& model, const Weight& weight) : model_(model), weight_(weight) {}
  virtual ~WeightReader() = default;
  WeightReader(const WeightReader&) = delete;
  WeightReader& operator=(const WeightReader&) = delete;

  const Model& model() const { return model_; }
  const Weight& weight() const { return weight_; }

  /// The dequantized float32 values of `tile`, row-major: tile.rows · tile.cols numbers into `out`.
  /// Throws kChanged when a file changed under the mapping, kBadValue / kCorrupt for payload that
  /// cannot be decoded.
  void values(const Tile& tile, float* out);

  /// Bits of the stored scalar codes (16 for BF16, 4 for GPTQ, 0: no scalar code of ≤ 16 bits).
  virtual int code_bits() const { return 0; }
  /// The stored codes of `tile`, row-major; only when code_bits() > 0.
  void codes(const Tile& tile, std::uint16_t* out);

  /// Little-endian stored bytes of elements [first, first + count) in row-major order, straight
  /// from the mapping, when every element has its own whole bytes there; empty otherwise. Valid
  /// until the next call. Call check() before believing what was computed from them.
  virtual std::span<const std::byte> stored(std::uint64_t first, std::uint64_t count);

  /// The type of what stored_rows() gives; kUnknown when rows have no whole bytes of their own.
  virtual DType stored_row_type() const { return DType::kUnknown; }
  /// Rows [first, first + count), straight from the mapping, whose pages stay. Valid until the next
  /// call. Needs stored_row_type(); call check() before believing what was computed from them.
  virtual StoredRows stored_rows(std::uint64_t first, std::uint64_t count);

  /// Every scale of the weight once, in runs of bounded length in the order they are stored; no run
  /// at all when its codes have no scales. Throws as values().
  void scales(const ScaleSink& sink);

  /// Throws kChanged if any file of the weight could not be read.
  void check() const;

 protected:
  virtual void read_values(const Tile& tile, float* out) = 0;
  virtual void read_codes(const Tile& tile, std::uint16_t* out);
  virtual void read_scales(const ScaleSink&) {}

  const Model& model_;
  const Weight& weight_;
};

/// Tiles that cover a weight: whole rows while a row has at most `max_elements`, else pieces of a
/// row. Each tile has at most `max_elements` elements.
class TileWalk {
 public:
  TileWalk(std::uint64_t rows, std::uint64_t cols, std::uint64_t max_elements);
  std::uint64_t size() const { return tiles_; }
  Tile operator[](std::uint64_t index) const;

 private:
  std::uint64_t rows_, cols_, rows_per_tile_, cols_per_tile_, pieces_, tiles_;
};

}  // namespace qi
