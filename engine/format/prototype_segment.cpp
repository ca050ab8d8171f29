#include "engine/format/prototype_segment.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "engine/codec/huff0.h"
#include "engine/io/checked.h"
#include "engine/io/reader.h"

namespace qi {
namespace {

constexpr std::uint64_t kChunkRecordBytes = 9;
constexpr std::uint64_t kStreamRecordBytes = 9;
constexpr std::size_t kMaxDimensions = 8;

Reader reader_of(const SegmentPlace& place) {
  return Reader(place.file, place.offset, place.end());
}

Shape read_shape(Reader& reader) {
  const std::uint64_t at = reader.position();
  const std::size_t count = reader.number<std::uint8_t>("number of dimensions");
  if (count == 0 || count > kMaxDimensions) {
    reader.fail(ErrorCode::kBadShape, at, fmt::format("{} dimensions", count),
                fmt::format("1 to {}", kMaxDimensions));
  }
  Shape shape(count);
  for (std::uint64_t& dimension : shape) dimension = reader.number<std::uint32_t>("dimensions");
  return shape;
}

void check_chunk_type(std::uint8_t type, std::uint32_t size, std::uint32_t stored,
                      const Reader& reader, std::uint64_t at) {
  if (type > 1) {
    reader.fail(ErrorCode::kBadSchema, at, fmt::format("chunk type {}", type), "0 or 1");
  }
  if (type == 0 && stored != size) {
    reader.fail(ErrorCode::kSizeMismatch, at,
                fmt::format("raw chunk of {} stored in {}", size, stored), "equal sizes");
  }
  if (type == 1 && (stored == 0 || stored > size)) {
    reader.fail(ErrorCode::kCorrupt, at,
                fmt::format("coded chunk of {} stored in {}", size, stored), "1 to as many bytes");
  }
}

}  // namespace

QuantSegment parse_quant_segment(const SegmentPlace& place) {
  Reader reader = reader_of(place);
  const std::uint64_t chunks = reader.number<std::uint32_t>("number of chunks");
  const std::uint64_t shape_at = reader.position();
  QuantSegment segment;
  segment.shape = read_shape(reader);
  const auto elements = element_count(segment.shape);
  if (!elements) {
    reader.fail(ErrorCode::kOverflow, shape_at,
                fmt::format("shape {} has more than 2^64 elements", shape_text(segment.shape)));
  }
  if (*elements == 0) {
    reader.fail(ErrorCode::kBadShape, shape_at, fmt::format("shape {}", shape_text(segment.shape)),
                "dimensions above 0");
  }
  segment.elements = *elements;
  const std::uint64_t table_at = reader.position();
  if (chunks > reader.remaining() / kChunkRecordBytes) {
    reader.fail(
        ErrorCode::kTruncated, place.offset,
        fmt::format("{} chunks in a segment with {} bytes left", chunks, reader.remaining()),
        fmt::format("{} bytes a chunk", kChunkRecordBytes));
  }
  segment.chunks.reserve(chunks);
  std::uint64_t left = *elements;
  std::uint64_t payload = table_at + chunks * kChunkRecordBytes;
  for (std::uint64_t i = 0; i < chunks; ++i) {
    const std::uint64_t at = reader.position();
    const auto type = reader.number<std::uint8_t>("chunk table");
    const auto size = reader.number<std::uint32_t>("chunk table");
    const auto stored = reader.number<std::uint32_t>("chunk table");
    check_chunk_type(type, size, stored, reader, at);
    const std::uint64_t due = std::min<std::uint64_t>(left, kSegmentChunkBytes);
    if (size != due || due == 0) {
      reader.fail(
          ErrorCode::kSizeMismatch, at, fmt::format("chunk {} of {} bytes", i, size),
          fmt::format("{}, shape {} has {} elements", due, shape_text(segment.shape), *elements));
    }
    left -= size;
    if (!range_fits(payload, stored, place.end())) {
      reader.fail(ErrorCode::kTruncated, at, fmt::format("chunk {} of {} stored bytes", i, stored),
                  fmt::format("at most the {} left", place.end() - payload));
    }
    segment.chunks.push_back({payload, stored, size, static_cast<ChunkType>(type)});
    payload += stored;
  }
  if (left != 0) {
    reader.fail(ErrorCode::kSizeMismatch, place.offset,
                fmt::format("{} chunks hold {} bytes", chunks, *elements - left),
                fmt::format("{} of shape {}", *elements, shape_text(segment.shape)));
  }
  if (payload != place.end()) {
    reader.fail(ErrorCode::kTrailing, payload,
                fmt::format("{} bytes after the last chunk", place.end() - payload));
  }
  return segment;
}

OrigSegment parse_orig_segment(const SegmentPlace& place, const QuantSegment& quant) {
  Reader reader = reader_of(place);
  OrigSegment segment;
  segment.groups = reader.number<std::uint32_t>("number of groups");
  const std::uint64_t group_bytes = kStreamsPerGroup * kStreamRecordBytes;
  if (segment.groups > reader.remaining() / group_bytes) {
    reader.fail(ErrorCode::kTruncated, place.offset,
                fmt::format("{} groups in a segment with {} bytes left", segment.groups,
                            reader.remaining()),
                fmt::format("at least {} bytes a group", group_bytes));
  }
  const std::uint64_t shape_at = reader.position();
  segment.shape = read_shape(reader);
  if (segment.shape != quant.shape) {
    reader.fail(ErrorCode::kInconsistent, shape_at,
                fmt::format("shape {}", shape_text(segment.shape)),
                fmt::format("{} as in all_quantized.bin", shape_text(quant.shape)));
  }
  const std::uint64_t rows_at = reader.position();
  const std::uint64_t rows = reader.number<std::uint32_t>("number of rows");
  if (rows > reader.remaining() / sizeof(std::uint32_t)) {
    reader.fail(ErrorCode::kTruncated, rows_at,
                fmt::format("{} rows in a segment with {} bytes left", rows, reader.remaining()),
                "4 bytes a row");
  }
  if (rows != segment.shape[0]) {
    reader.fail(ErrorCode::kInconsistent, rows_at, fmt::format("{} rows", rows),
                fmt::format("{} of shape {}", segment.shape[0], shape_text(segment.shape)));
  }
  segment.row_group.reserve(rows);
  for (std::uint64_t row = 0; row < rows; ++row) {
    const std::uint64_t at = reader.position();
    segment.row_group.push_back(reader.number<std::uint32_t>("groups of the rows"));
    if (segment.row_group.back() >= segment.groups) {
      reader.fail(ErrorCode::kBadValue, at,
                  fmt::format("row {} is of group {}", row, segment.row_group.back()),
                  fmt::format("below {}", segment.groups));
    }
  }
  segment.records_offset = reader.position();
  return segment;
}

StreamWalk::StreamWalk(SegmentPlace place, const OrigSegment& orig, std::uint64_t elements)
    : place_(std::move(place)),
      position_(orig.records_offset),
      elements_left_(elements),
      records_(orig.groups * kStreamsPerGroup) {}

void StreamWalk::fail(ErrorCode code, std::uint64_t offset, std::string message,
                      std::string expected) const {
  place_.file->check();  // zeros of a vanished page are no fault of the format
  throw Error(code, fmt::format("stream {}: {}", record_, message), std::move(expected),
              place_.file->path(), offset);
}

void StreamWalk::read(std::byte* out, std::size_t count, const char* what) {
  if (count > place_.end() - position_) {
    fail(ErrorCode::kTruncated, position_, fmt::format("segment ends inside {}", what));
  }
  const auto bytes = place_.file->bytes(position_, count, scratch_);
  std::memcpy(out, bytes.data(), count);
  position_ += count;
}

std::uint8_t StreamWalk::u8(const char* what) {
  std::byte raw{};
  read(&raw, 1, what);
  return static_cast<std::uint8_t>(raw);
}

std::uint32_t StreamWalk::u32(const char* what) {
  std::array<std::byte, 4> raw{};
  read(raw.data(), raw.size(), what);
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    value |= static_cast<std::uint32_t>(raw[i]) << (8 * i);
  }
  return value;
}

Chunk StreamWalk::payload(std::uint32_t size, std::uint32_t stored, std::uint8_t type,
                          std::uint64_t field) {
  if (type == 0 && stored != size) {
    fail(ErrorCode::kSizeMismatch, field, fmt::format("{} raw bytes stored in {}", size, stored),
         "equal sizes");
  }
  if (type == 1) {
    if (size > kSegmentChunkBytes) {
      fail(ErrorCode::kLimit, field, fmt::format("a coded chunk of {} bytes", size),
           fmt::format("at most {}", kSegmentChunkBytes));
    }
    if (stored == 0 || stored > size) {
      fail(ErrorCode::kCorrupt, field, fmt::format("{} coded bytes stored in {}", size, stored),
           "1 to as many bytes");
    }
  }
  if (!range_fits(position_, stored, place_.end())) {
    fail(ErrorCode::kTruncated, field, fmt::format("{} stored bytes", stored),
         fmt::format("at most the {} left", place_.end() - position_));
  }
  const Chunk chunk{position_, stored, size, static_cast<ChunkType>(type)};
  position_ += stored;
  return chunk;
}

bool StreamWalk::next(Stream& stream) {
  if (record_ == records_) {
    if (elements_left_ != 0) {
      fail(ErrorCode::kSizeMismatch, position_,
           fmt::format("all streams together lack {} elements", elements_left_));
    }
    if (position_ != place_.end()) {
      fail(ErrorCode::kTrailing, position_,
           fmt::format("{} bytes after the last stream", place_.end() - position_));
    }
    place_.file->check();
    return false;
  }
  stream.offset = position_;
  stream.group = static_cast<std::uint32_t>(record_ / kStreamsPerGroup);
  stream.q = static_cast<std::uint8_t>(record_ / 2 % 256);
  stream.low = record_ % 2 != 0;
  stream.chunks.clear();
  const std::uint32_t size = u32("a stream record");
  const std::uint8_t type = u8("a stream record");
  const std::uint32_t meta = u32("a stream record");
  stream.size = size;
  // High bytes first: their number is how many elements this group has of q.
  if (!stream.low) {
    if (size > elements_left_) {
      fail(ErrorCode::kSizeMismatch, stream.offset, fmt::format("{} elements", size),
           fmt::format("at most the {} left", elements_left_));
    }
    elements_left_ -= size;
    high_size_ = size;
  } else if (size != high_size_) {
    fail(ErrorCode::kInconsistent, stream.offset, fmt::format("{} low bytes", size),
         fmt::format("{} as of high bytes", high_size_));
  }
  if (type == 255) {
    fail(ErrorCode::kCorrupt, stream.offset, "marked as failed by the writer: its data is lost");
  }
  if (type > 2)
    fail(ErrorCode::kBadSchema, stream.offset + 4, fmt::format("type {}", type), "0 to 2");
  if (size == 0 && (type != 0 || meta != 0)) {
    fail(ErrorCode::kBadSchema, stream.offset, fmt::format("empty with type {}, {}", type, meta),
         "type 0, 0");
  }
  if (type < 2) {
    if (size != 0) stream.chunks.push_back(payload(size, meta, type, stream.offset));
  } else {
    if (meta > (place_.end() - position_) / kChunkRecordBytes) {
      fail(ErrorCode::kTruncated, stream.offset + 5,
           fmt::format("{} sub-chunks with {} bytes left", meta, place_.end() - position_),
           fmt::format("{} bytes each", kChunkRecordBytes));
    }
    std::uint64_t left = size;
    for (std::uint32_t i = 0; i < meta; ++i) {
      const std::uint64_t at = position_;
      const std::uint8_t sub_type = u8("a sub-chunk");
      const std::uint32_t sub_size = u32("a sub-chunk");
      const std::uint32_t stored = u32("a sub-chunk");
      if (sub_type > 1) {
        fail(ErrorCode::kBadSchema, at, fmt::format("sub-chunk type {}", sub_type), "0 or 1");
      }
      const std::uint64_t due = std::min<std::uint64_t>(left, kSegmentChunkBytes);
      if (sub_size != due || due == 0) {
        fail(ErrorCode::kSizeMismatch, at, fmt::format("sub-chunk {} of {} bytes", i, sub_size),
             fmt::format("{} of the {} declared", due, size));
      }
      left -= sub_size;
      stream.chunks.push_back(payload(sub_size, stored, sub_type, at));
    }
    if (left != 0) {
      fail(ErrorCode::kSizeMismatch, stream.offset,
           fmt::format("sub-chunks hold {} bytes", size - left), fmt::format("{}", size));
    }
  }
  ++record_;
  return true;
}

}  // namespace qi
