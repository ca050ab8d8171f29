// The two kinds of segment in a prototype directory: heads, chunk table, stream records. Parses and
// checks structure; payload bytes are only located. Plain data out, any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/codec/huff0.h"
#include "engine/io/file.h"
#include "engine/tensor/tensor.h"

namespace qi {

/// Of a chunk once it is decoded, but for the last one.
inline constexpr std::uint64_t kSegmentChunkBytes = kHuff0BlockBytes;
inline constexpr std::uint64_t kStreamsPerGroup = 512;

struct SegmentPlace {
  std::shared_ptr<const File> file;
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t end() const { return offset + size_bytes; }
};

enum class ChunkType : std::uint8_t { kRaw = 0, kHuff0 = 1 };

/// Bytes that decode by themselves: a chunk of quant; a stream or sub-chunk of orig.
struct Chunk {
  std::uint64_t offset = 0;  // absolute in the file
  std::uint32_t stored = 0;
  std::uint32_t size = 0;  // decoded
  ChunkType type = ChunkType::kRaw;
};

/// A segment of all_quantized.bin: chunk i holds elements [i · 131,072, …) of the int8 matrix.
struct QuantSegment {
  Shape shape;
  std::uint64_t elements = 0;
  std::vector<Chunk> chunks;
};
/// Throws kTruncated, kBadShape, kOverflow, kBadSchema, kLimit, kSizeMismatch, kCorrupt, kTrailing.
QuantSegment parse_quant_segment(const SegmentPlace& place);

/// Head of a segment of all_original.bin.
struct OrigSegment {
  Shape shape;
  std::uint32_t groups = 0;
  std::vector<std::uint32_t> row_group;  // one per row, each < groups
  std::uint64_t records_offset = 0;      // the first stream record, absolute
};
/// `quant` is the same tensor's int8 segment. Throws kTruncated, kInconsistent, kBadValue.
OrigSegment parse_orig_segment(const SegmentPlace& place, const QuantSegment& quant);

/// One stream of a segment of orig: its bytes in order.
struct Stream {
  std::uint64_t offset = 0;  // of the record
  std::uint64_t size = 0;    // decoded
  std::uint32_t group = 0;
  std::uint8_t q = 0;  // bit pattern of the int8 value
  bool low = false;    // low byte of the 16 bits, else the high one
  std::vector<Chunk> chunks;

  /// Number of the record within its segment.
  std::uint64_t index() const { return (group * 256ull + q) * 2 + (low ? 1 : 0); }
};

/// Walks the 512 records of each group, front to back.
class StreamWalk {
 public:
  StreamWalk(SegmentPlace place, const OrigSegment& orig, std::uint64_t elements);
  /// False after the last record, when everything has been checked. Throws kTruncated, kBadSchema,
  /// kCorrupt (a record marked as lost), kLimit, kSizeMismatch, kInconsistent (high and low bytes
  /// differ in number), kTrailing.
  bool next(Stream& stream);

 private:
  void read(std::byte* out, std::size_t count, const char* what);
  std::uint8_t u8(const char* what);
  std::uint32_t u32(const char* what);
  Chunk payload(std::uint32_t size, std::uint32_t stored, std::uint8_t type, std::uint64_t field);
  [[noreturn]] void fail(ErrorCode code, std::uint64_t offset, std::string message,
                         std::string expected = {}) const;

  SegmentPlace place_;
  std::uint64_t position_;
  std::uint64_t elements_left_;
  std::uint64_t records_;
  std::uint64_t record_ = 0;
  std::uint64_t high_size_ = 0;
  Buffer scratch_;
};

}  // namespace qi
