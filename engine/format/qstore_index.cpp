// The index of a container, text to structures and back (QSTORE.md, "Index").
#include <algorithm>
#include <cstring>
#include <unordered_set>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/format/qstore_format.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxCols = UINT32_MAX;
constexpr std::size_t kMaxFields = 64;
constexpr unsigned kVarintBits = 7;

class IndexWriter {
 public:
  void number(std::uint64_t value) {
    for (; value >> kVarintBits != 0; value >>= kVarintBits) byte((value & 0x7F) | 0x80);
    byte(value);
  }
  void byte(std::uint64_t value) { out_.push_back(static_cast<std::byte>(value)); }
  void fixed(std::uint64_t value) {
    out_.resize(out_.size() + 8);
    store_number(out_.data() + out_.size() - 8, value);
  }
  void bytes(std::span<const std::byte> value) {
    number(value.size());
    out_.insert(out_.end(), value.begin(), value.end());
  }
  void text(std::string_view value) { bytes(std::as_bytes(std::span(value))); }
  void digest(const QstoreDigest& value) {
    fixed(value.low);
    fixed(value.high);
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

void put_file(IndexWriter& out, const QstoreFile& file) {
  out.text(file.name);
  out.byte(static_cast<std::uint64_t>(file.role));
  out.number(file.size_bytes);
  out.digest(file.digest);
  out.number(file.literals ? *file.literals + std::uint64_t{1} : 0);
  out.number(file.segments.size());
  for (const QstoreSegment& segment : file.segments) {
    out.number(segment.literal_bytes);
    out.number(segment.stream);
    out.text(segment.name);
  }
}

void put_stream(IndexWriter& out, const QstoreStream& stream) {
  out.number(stream.level);
  out.number(stream.size_bytes);
  out.digest(stream.digest);
  out.number(stream.unit_bytes);
  out.number(stream.base ? *stream.base + std::uint64_t{1} : 0);
  out.byte(static_cast<std::uint64_t>(stream.method));
  out.byte(static_cast<std::uint64_t>(stream.view));
  if (stream.method == QstoreMethod::kPlanes) {
    out.number(stream.fields.size());
    for (const QstoreField& field : stream.fields) {
      out.number(field.width);
      out.bytes(field.table);
    }
  } else if (stream.method == QstoreMethod::kPair) {
    out.byte(stream.pairing.is_f16 ? 1 : 0);
    out.number(stream.pairing.cols);
    out.number(stream.pairing.codes);
    out.number(stream.pairing.scales);
  }
  for (const QstoreBlock& block : stream.blocks) {
    out.number(block.stored_bytes);
    out.fixed(block.checksum);
  }
}

class IndexParser {
 public:
  IndexParser(std::span<const std::byte> text, const QstoreHeader& header, const std::string& path)
      : text_(text), header_(header), path_(path) {}

  QstoreIndex parse() {
    QstoreIndex index;
    parse_base(index);
    parse_levels(index);
    parse_streams(index);
    if (at_ != text_.size()) {
      fail(ErrorCode::kTrailing, fmt::format("{} bytes after the index", text_.size() - at_));
    }
    check_references(index);
    return index;
  }

 private:
  [[noreturn]] void fail(ErrorCode code, std::string message, std::string expected = {}) const {
    throw Error(code, "index: " + message, std::move(expected), path_, header_.index_offset);
  }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > text_.size() - at_) {
      fail(ErrorCode::kTruncated, fmt::format("ends inside {} bytes", count),
           fmt::format("{} left", text_.size() - at_));
    }
    const auto out = text_.subspan(at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return out;
  }
  std::uint64_t byte() { return load_u8(take(1).data()); }
  std::uint64_t fixed() { return load_number<std::uint64_t>(take(8).data()); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += kVarintBits) {
      const std::uint64_t part = byte();
      if (shift == 63 && part > 1) fail(ErrorCode::kOverflow, "a number of more than 64 bits");
      value |= (part & 0x7F) << shift;
      if (part < 0x80) {
        if (part == 0 && shift > 0) fail(ErrorCode::kBadSchema, "a number with leading zeros");
        return value;
      }
    }
  }
  /// A number of records of at least `smallest` bytes each.
  std::uint64_t count(std::uint64_t smallest, std::string_view what) {
    const std::uint64_t value = number();
    if (value > (text_.size() - at_) / smallest) {
      fail(ErrorCode::kTruncated, fmt::format("{} {}", value, what),
           fmt::format("at most {}", (text_.size() - at_) / smallest));
    }
    return value;
  }
  std::uint64_t choice(std::uint64_t limit, std::string_view what) {
    const std::uint64_t value = byte();
    if (value >= limit) {
      fail(ErrorCode::kBadSchema, fmt::format("{} {}", what, value),
           fmt::format("less than {}", limit));
    }
    return value;
  }
  std::string_view text() {
    const auto bytes = take(number());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  QstoreDigest digest() {
    QstoreDigest value;
    value.low = fixed();
    value.high = fixed();
    return value;
  }
  std::uint64_t add(std::uint64_t a, std::uint64_t b) const {
    const auto sum = checked_add(a, b);
    if (!sum) fail(ErrorCode::kOverflow, fmt::format("{} + {} bytes", a, b), "less than 2^64");
    return *sum;
  }

  void parse_base(QstoreIndex& index) {
    const std::uint64_t bases = number();
    if (bases > 1) fail(ErrorCode::kBadSchema, fmt::format("{} bases", bases), "one or none");
    if (bases == 0) return;
    std::unordered_set<std::string> taken;
    QstoreBase& base = index.base.emplace();
    base.name = name("base", taken);
    base.digest = digest();
  }

  void parse_levels(QstoreIndex& index) {
    const std::uint64_t levels = count(4, "levels");
    if (levels == 0 || levels > kQstoreMaxLevels) {
      fail(ErrorCode::kLimit, fmt::format("{} levels", levels),
           fmt::format("1 to {}", kQstoreMaxLevels));
    }
    std::unordered_set<std::string> names;
    for (std::uint64_t i = 0; i < levels; ++i) {
      QstoreLevel& level = index.levels.emplace_back();
      level.name = name("level", names);
      level.source = static_cast<QstoreSource>(choice(3, "source"));
      const std::uint64_t flags = choice(4, "flags");
      level.single_file = (flags & 1) != 0;
      level.computed = (flags & 2) != 0;
      parse_files(level);
    }
  }

  // Checked here, so that no unsafe name gets as far as a path (R14, R16).
  std::string_view name(std::string_view what, std::unordered_set<std::string>& taken) {
    const std::string_view value = text();
    if (!is_safe_file_name(value)) {
      fail(ErrorCode::kPath, fmt::format("{} name \"{}\"", what, value.substr(0, 300)),
           "a single file name of at most 255 bytes");
    }
    if (!taken.insert(folded_name(value)).second) {
      fail(ErrorCode::kDuplicate, fmt::format("{} name \"{}\" is given twice", what, value),
           "names that differ in more than case");
    }
    return value;
  }

  void parse_files(QstoreLevel& level) {
    const std::uint64_t files = count(21, "files");
    if (level.single_file && files != 1) {
      fail(ErrorCode::kBadSchema, fmt::format("{} files of a single one", files), "1");
    }
    std::unordered_set<std::string> names;
    for (std::uint64_t i = 0; i < files; ++i) {
      QstoreFile& file = level.files.emplace_back();
      file.name = name("file", names);
      file.role = static_cast<QstoreFileRole>(choice(3, "role"));
      file.size_bytes = number();
      file.digest = digest();
      if (const std::uint64_t literals = number(); literals != 0) {
        file.literals = stream_number(literals - 1);
      }
      const std::uint64_t segments = count(3, "tensors");
      for (std::uint64_t k = 0; k < segments; ++k) {
        QstoreSegment& segment = file.segments.emplace_back();
        segment.literal_bytes = number();
        segment.stream = stream_number(number());
        segment.name = text();
      }
    }
  }

  std::uint32_t stream_number(std::uint64_t value) const {
    if (value > UINT32_MAX) fail(ErrorCode::kBadSchema, fmt::format("stream {}", value));
    return static_cast<std::uint32_t>(value);
  }

  void parse_streams(QstoreIndex& index) {
    const std::uint64_t streams = count(22, "streams");
    place_ = kQstoreHeaderBytes;
    for (std::uint64_t i = 0; i < streams; ++i) parse_stream(index.streams.emplace_back(), index);
    if (place_ != header_.index_offset) {
      fail(ErrorCode::kHole, fmt::format("blocks end at byte {}", place_),
           fmt::format("the index at {}", header_.index_offset));
    }
  }

  void parse_stream(QstoreStream& stream, const QstoreIndex& index) {
    const std::uint64_t level = number();
    if (level >= index.levels.size()) fail(ErrorCode::kBadSchema, fmt::format("level {}", level));
    stream.level = static_cast<std::uint32_t>(level);
    stream.size_bytes = number();
    stream.digest = digest();
    stream.unit_bytes = number();
    if (stream.size_bytes != 0 &&
        (stream.unit_bytes == 0 || stream.unit_bytes > header_.block_limit)) {
      fail(ErrorCode::kLimit, fmt::format("blocks of {} bytes", stream.unit_bytes),
           fmt::format("1 to {}", header_.block_limit));
    }
    if (const std::uint64_t base = number(); base != 0) {
      if (!index.base) fail(ErrorCode::kInconsistent, "a difference to a base that is not named");
      stream.base = stream_number(base - 1);
    }
    stream.method = static_cast<QstoreMethod>(choice(4, "method"));
    stream.view = static_cast<QstoreView>(choice(3, "view"));
    const bool narrowed = stream.view != QstoreView::kAsStored;
    if (narrowed && (stream.method != QstoreMethod::kPlanes || stream.unit_bytes % 4 != 0 ||
                     stream.size_bytes % 4 != 0)) {
      fail(ErrorCode::kBadSchema, "a view of F32 numbers that are none");
    }
    if (stream.method == QstoreMethod::kPlanes) parse_fields(stream, narrowed ? 2 : 1);
    if (stream.method == QstoreMethod::kPair) parse_pairing(stream);
    const std::uint64_t blocks = block_count(stream.size_bytes, stream.unit_bytes);
    if (blocks > (text_.size() - at_) / 9) {
      fail(ErrorCode::kTruncated, fmt::format("{} blocks", blocks),
           fmt::format("at most {}", (text_.size() - at_) / 9));
    }
    for (std::uint64_t k = 0; k < blocks; ++k) {
      QstoreBlock& block = stream.blocks.emplace_back();
      block.offset = place_;
      block.stored_bytes = number();
      block.checksum = fixed();
      place_ = add(place_, block.stored_bytes);
      // Nothing grows by more than a table, states and counts.
      if (place_ > header_.index_offset || block.stored_bytes > 2 * kQstoreMaxBlock) {
        fail(ErrorCode::kBadOffset, fmt::format("a block of {} bytes", block.stored_bytes),
             fmt::format("blocks that end at {}", header_.index_offset));
      }
    }
  }

  void parse_fields(QstoreStream& stream, std::uint64_t narrowing) {
    const std::uint64_t fields = count(2, "fields");
    if (fields == 0 || fields > kMaxFields) {
      fail(ErrorCode::kLimit, fmt::format("{} fields", fields), fmt::format("1 to {}", kMaxFields));
    }
    for (std::uint64_t i = 0; i < fields; ++i) {
      QstoreField& field = stream.fields.emplace_back();
      const std::uint64_t width = number();
      if (width == 0 || width > kQstoreMaxBlock) {
        fail(ErrorCode::kBadSchema, fmt::format("a field of {} bytes", width));
      }
      field.width = static_cast<std::uint32_t>(width);
      const auto table = take(number());
      field.table.assign(table.begin(), table.end());
    }
    const std::uint64_t record = stream.record_bytes() * narrowing;
    if (stream.size_bytes % record != 0 || stream.unit_bytes % record != 0) {
      fail(ErrorCode::kSizeMismatch,
           fmt::format("{} bytes in blocks of {}", stream.size_bytes, stream.unit_bytes),
           fmt::format("whole records of {}", record));
    }
  }

  void parse_pairing(QstoreStream& stream) {
    stream.pairing.is_f16 = choice(2, "pair format") != 0;
    stream.pairing.cols = number();
    if (stream.pairing.cols == 0 || stream.pairing.cols > kMaxCols) {
      fail(ErrorCode::kBadShape, fmt::format("rows of {} numbers", stream.pairing.cols));
    }
    stream.pairing.codes = stream_number(number());
    stream.pairing.scales = stream_number(number());
    const std::uint64_t row = 2 * stream.pairing.cols;
    if (stream.size_bytes % row != 0 || stream.unit_bytes % row != 0) {
      fail(ErrorCode::kSizeMismatch,
           fmt::format("{} bytes in blocks of {}", stream.size_bytes, stream.unit_bytes),
           fmt::format("whole rows of {}", row));
    }
  }

  void check_references(const QstoreIndex& index) const {
    for (std::uint32_t i = 0; i < index.levels.size(); ++i) {
      for (const QstoreFile& file : index.levels[i].files) check_file(index, file, i);
    }
    for (const QstoreStream& stream : index.streams) {
      if (stream.method == QstoreMethod::kPair) check_pairing(index, stream);
    }
  }

  // A stream may be needed by levels above its own, never by those below.
  const QstoreStream& referred(const QstoreIndex& index, std::uint32_t number,
                               std::uint32_t level) const {
    if (number >= index.streams.size()) {
      fail(ErrorCode::kMissing, fmt::format("stream {}", number),
           fmt::format("one of {}", index.streams.size()));
    }
    if (index.streams[number].level < level) {
      fail(ErrorCode::kInconsistent, fmt::format("level {} stands on one above it", level));
    }
    return index.streams[number];
  }

  void check_file(const QstoreIndex& index, const QstoreFile& file, std::uint32_t level) const {
    const std::uint64_t literals =
        file.literals ? referred(index, *file.literals, level).size_bytes : 0;
    std::uint64_t used = 0;
    std::uint64_t size = literals;
    for (const QstoreSegment& segment : file.segments) {
      used = add(used, segment.literal_bytes);
      size = add(size, referred(index, segment.stream, level).size_bytes);
    }
    if (used > literals || size != file.size_bytes) {
      fail(ErrorCode::kSizeMismatch, fmt::format("file \"{}\" of {} bytes", file.name, size),
           fmt::format("{}", file.size_bytes));
    }
  }

  void check_pairing(const QstoreIndex& index, const QstoreStream& stream) const {
    const QstorePairing& pairing = stream.pairing;
    const QstoreStream& codes = referred(index, pairing.codes, stream.level);
    const QstoreStream& scales = referred(index, pairing.scales, stream.level);
    const std::uint64_t rows = stream.size_bytes / (2 * pairing.cols);
    // The codes' own method is none that stands on others: no chain, no circle.
    if (codes.method == QstoreMethod::kPair || scales.method == QstoreMethod::kPair ||
        codes.size_bytes != stream.size_bytes / 2 || codes.unit_bytes != stream.unit_bytes / 2 ||
        scales.size_bytes / 4 != rows || scales.size_bytes % 4 != 0) {
      fail(ErrorCode::kInconsistent, "a pair whose codes or scales do not fit it");
    }
  }

  std::span<const std::byte> text_;
  const QstoreHeader& header_;
  const std::string& path_;
  std::size_t at_ = 0;
  std::uint64_t place_ = 0;
};

}  // namespace

std::vector<std::byte> qstore_index_text(const QstoreIndex& index) {
  IndexWriter out;
  out.number(index.base ? 1 : 0);
  if (index.base) {
    out.text(index.base->name);
    out.digest(index.base->digest);
  }
  out.number(index.levels.size());
  for (const QstoreLevel& level : index.levels) {
    out.text(level.name);
    out.byte(static_cast<std::uint64_t>(level.source));
    out.byte((level.single_file ? 1u : 0u) | (level.computed ? 2u : 0u));
    out.number(level.files.size());
    for (const QstoreFile& file : level.files) put_file(out, file);
  }
  out.number(index.streams.size());
  for (const QstoreStream& stream : index.streams) put_stream(out, stream);
  return out.take();
}

QstoreIndex parse_qstore_index(std::span<const std::byte> text, const QstoreHeader& header,
                               const std::string& path) {
  return IndexParser(text, header, path).parse();
}

}  // namespace qi
