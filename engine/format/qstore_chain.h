// Blocks of a chain: what the lower version of a matrix says about the numbers of a block, and the
// chain codec between those numbers and the block's bytes. Internal to the container. Refuses what
// is no such block (kCorrupt) without a checksum's help. One thread an object.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/codec/chain_codec.h"
#include "engine/format/qstore_grid.h"
#include "engine/io/file.h"

namespace qi {

/// All bytes of the streams that a chain stands on, and where in its stream the block begins.
struct ChainBytes {
  GridBytes low;
  GridBytes own;
  std::uint64_t offset = 0;
};

/// Whether the sizes of a chain's streams fit: `size_of(stream)`; blocks must be whole lines.
template <typename SizeOf>
bool chain_fits(const QstoreChain& chain, std::uint64_t size_bytes, std::uint64_t unit_bytes,
                const SizeOf& size_of) {
  const auto grid_fits = [&](const QstoreGrid& grid, const GridSizes& sizes) {
    return size_of(grid.scales) == sizes.scales &&
           (!grid.zeros || size_of(*grid.zeros) == sizes.zeros) &&
           (!grid.index || size_of(*grid.index) == sizes.index);
  };
  const auto low = grid_sizes(chain.low);
  if (!low || size_of(chain.low.codes) != low->codes || !grid_fits(chain.low, *low)) return false;
  std::uint64_t line = 2 * chain.low.cols;
  std::uint64_t size = line * chain.low.rows;
  if (chain.own) {
    const auto own = grid_sizes(*chain.own);
    if (!own || chain.own->rows != chain.low.rows || chain.own->cols != chain.low.cols ||
        !grid_fits(*chain.own, *own)) {
      return false;
    }
    line = own->line;
    size = own->codes;
  }
  return size_bytes == size && unit_bytes % line == 0;
}

/// The streams of a grid but its codes, from bytes_of(stream).
template <typename BytesOf>
GridBytes grid_bytes(const QstoreGrid& grid, BytesOf&& bytes_of) {
  GridBytes bytes;
  bytes.scales = bytes_of(grid.scales);
  if (grid.zeros) bytes.zeros = bytes_of(*grid.zeros);
  if (grid.index) bytes.index = bytes_of(*grid.index);
  return bytes;
}
/// All that a block of a chain needs.
template <typename BytesOf>
ChainBytes chain_bytes(const QstoreChain& chain, std::uint64_t offset, BytesOf&& bytes_of) {
  ChainBytes bytes;
  bytes.low = grid_bytes(chain.low, bytes_of);
  bytes.low.codes = bytes_of(chain.low.codes);
  if (chain.own) bytes.own = grid_bytes(*chain.own, bytes_of);
  bytes.offset = offset;
  return bytes;
}

class ChainBlocks {
 public:
  /// The stored form of a block's bytes, valid until the next call: as they are when that is
  /// no larger.
  std::span<const std::byte> encode(const QstoreChain& chain, const ChainBytes& given,
                                    std::span<const std::byte> bytes);
  void decode(const QstoreChain& chain, const ChainBytes& given, std::span<const std::byte> stored,
              std::span<std::byte> out);
  /// ChainEncoder::ideal_bits() of a block.
  double ideal_bits(const QstoreChain& chain, const ChainBytes& given,
                    std::span<const std::byte> bytes);

 private:
  /// Fills center_ and step_ for the `bytes` bytes at given.offset.
  void predict(const QstoreChain& chain, const ChainBytes& given, std::uint64_t bytes);
  void take_numbers(const QstoreChain& chain, std::span<const std::byte> bytes);
  ChainGiven known() const { return {center_.data(), step_.data(), tile_.count()}; }

  GridTile tile_;
  std::vector<std::uint8_t> codes_;
  GridNumbers low_;
  GridNumbers own_;
  std::vector<std::uint32_t> low_group_;
  std::vector<std::uint32_t> own_group_;
  std::vector<float> center_;
  std::vector<float> step_;
  std::vector<std::uint16_t> numbers_;
  std::unique_ptr<ChainEncoder> encoder_;
  std::unique_ptr<ChainDecoder> decoder_;
};

}  // namespace qi
