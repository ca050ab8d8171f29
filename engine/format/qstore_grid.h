// Codes and grids of quantized matrices as streams hold them (QstoreGrid): codes of a part of a
// matrix in and out of their words, scales and zero points as numbers. Internal to the container.
// Refuses grids whose streams do not have the sizes they must; group numbers are checked here
// (kCorrupt). Pure functions, any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/format/qstore_format.h"

namespace qi {

/// A part of a matrix: rows are outputs, columns inputs.
struct GridTile {
  std::uint64_t row = 0;
  std::uint64_t rows = 0;
  std::uint64_t col = 0;
  std::uint64_t cols = 0;

  std::uint64_t count() const { return rows * cols; }
};

/// All bytes of a grid's streams; `codes` is empty where they are what is coded.
struct GridBytes {
  std::span<const std::byte> codes;
  std::span<const std::byte> scales;
  std::span<const std::byte> zeros;
  std::span<const std::byte> index;
};

/// What the sizes of a grid's streams must be; nullopt: there is no such grid.
struct GridSizes {
  std::uint64_t codes = 0;
  std::uint64_t scales = 0;
  std::uint64_t zeros = 0;
  std::uint64_t index = 0;
  /// Bytes of `codes` that hold whole rows or whole columns; blocks are multiples of it.
  std::uint64_t line = 0;
};
std::optional<GridSizes> grid_sizes(const QstoreGrid& grid);

/// The part of the matrix that bytes [offset, offset + bytes) of its codes hold, whole lines.
GridTile tile_at(const QstoreGrid& grid, std::uint64_t offset, std::uint64_t bytes);
/// The grid of a tile_at() alone: what its bytes are the whole of.
QstoreGrid grid_of_tile(const QstoreGrid& grid, const GridTile& tile);

/// Codes of a tile, row by row, from the bytes of the whole grid.
void unpack_tile(const QstoreGrid& grid, std::span<const std::byte> codes, const GridTile& tile,
                 std::uint8_t* out);
/// The bytes of all codes of a grid, row by row; the inverse.
void pack_grid(const QstoreGrid& grid, const std::uint8_t* codes, std::span<std::byte> out);

/// Scales and zero points of some rows, [row][group].
struct GridNumbers {
  std::uint64_t groups = 0;
  std::vector<float> scales;
  std::vector<float> zeros;
};
void load_numbers(const QstoreGrid& grid, const GridBytes& bytes, std::uint64_t row,
                  std::uint64_t rows, GridNumbers& out);
/// The group of each column [cols]. Throws kCorrupt for one that is not there.
void load_groups(const QstoreGrid& grid, std::span<const std::byte> index,
                 std::vector<std::uint32_t>& out);

}  // namespace qi
