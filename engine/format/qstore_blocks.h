// Blocks of a container: the bytes of a stream to stored bytes and back, whatever the method.
// Checksums are others' affair; decoding is memory-safe without them and throws kCorrupt for bytes
// that are no such block. An encoder or decoder keeps tables and buffers: one thread each.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/codec/pair_codec.h"
#include "engine/codec/plane_codec.h"
#include "engine/format/qstore_chain.h"
#include "engine/format/qstore_format.h"
#include "engine/format/qstore_zstd.h"

namespace qi {

/// What a block is coded given. kPair: the int8 numbers of its rows, and the rows' scales as F32.
struct BlockGiven {
  std::span<const std::byte> codes;
  std::span<const std::byte> scales;
  ChainBytes chain;  // kChain
};

/// Parsed tables of the streams used last; a number must mean the same stream for as long as this
/// lives.
class StreamTables {
 public:
  using Tables = std::vector<std::optional<PlaneTable>>;
  const Tables& get(const QstoreStream& stream, std::uint32_t number);

 private:
  struct Entry {
    std::uint32_t number;
    Tables tables;
  };
  std::list<Entry> entries_;  // the last used first
};

class BlockEncoder {
 public:
  /// The stored form of `bytes`, valid until the next call.
  std::span<const std::byte> encode(const QstoreStream& stream, std::uint32_t number,
                                    std::span<const std::byte> bytes, const BlockGiven& given = {});

 private:
  std::span<const std::byte> encode_planes(const QstoreStream& stream, std::uint32_t number,
                                           std::span<const std::byte> records);

  StreamTables tables_;
  PlaneEncoder planes_;
  ZstdPacker zstd_;
  std::unique_ptr<PairEncoder> pair_bf16_;
  std::unique_ptr<PairEncoder> pair_f16_;
  ChainBlocks chains_;
  Buffer narrow_;
  Buffer field_;
  Buffer out_;
};

class BlockDecoder {
 public:
  /// Fills `out` from `stored`. Throws kCorrupt, without a file.
  void decode(const QstoreStream& stream, std::uint32_t number, std::span<const std::byte> stored,
              const BlockGiven& given, std::span<std::byte> out);

 private:
  void decode_planes(const QstoreStream& stream, std::uint32_t number,
                     std::span<const std::byte> stored, std::span<std::byte> records);

  StreamTables tables_;
  PlaneDecoder planes_;
  ZstdUnpacker zstd_;
  std::unique_ptr<PairDecoder> pair_bf16_;
  std::unique_ptr<PairDecoder> pair_f16_;
  ChainBlocks chains_;
  std::vector<float> scales_;
  Buffer narrow_;
  Buffer field_;
};

/// What a stored block of `bytes` bytes says of itself, undecoded. A block that makes no sense is
/// told as it reads: decoding it is what refuses it.
struct BlockCost {
  bool is_raw = false;        // as it was
  std::uint64_t escapes = 0;  // elements that stand apart from their codes
};
BlockCost block_cost(const QstoreStream& stream, std::uint64_t bytes,
                     std::span<const std::byte> stored);

/// out[i] ^= with[i].
void xor_bytes(std::span<const std::byte> with, std::span<std::byte> out);

/// Level of the frames of a kZstd stream: small ones are worth more time a byte.
int zstd_level(const QstoreStream& stream);

/// The 16-bit numbers of F32 ones, if `view` can hold every one of them.
bool narrow_floats(QstoreView view, std::span<const std::byte> floats, std::byte* out);
void widen_floats(QstoreView view, std::span<const std::byte> halves, std::byte* out);

}  // namespace qi
