// The index of a container, text to structures (QSTORE.md, "Index").
#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/format/qstore_chain.h"
#include "engine/format/qstore_columns.h"
#include "engine/format/qstore_format.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

// Codes of a chain decode to at most so many times the bytes of the file, or to the slack.
constexpr std::uint64_t kWholeGrowth = 1024;
constexpr std::uint64_t kWholeSlack = std::uint64_t{64} << 20;
constexpr std::uint64_t kMaxCols = UINT32_MAX;
constexpr std::size_t kMaxFields = 64;
// 64 symbols and their frequencies in eight tables.
constexpr std::size_t kMaxSymbols = 64 + 8 * 2 * 64;

class IndexParser {
 public:
  IndexParser(std::span<const std::byte> text, const QstoreHeader& header, const std::string& path)
      : has_columns_(header.version > 1), header_(header), path_(path) {
    columns_[0] = text;
  }

  QstoreIndex parse() {
    if (has_columns_) cut_columns();
    QstoreIndex index;
    parse_base(index);
    parse_levels(index);
    if (has_columns_) parse_symbols();
    parse_streams(index);
    for (const auto& column : columns_) {
      if (column.empty()) continue;
      fail(ErrorCode::kTrailing, fmt::format("{} bytes after the index", column.size()));
    }
    check_references(index);
    return index;
  }

 private:
  [[noreturn]] void fail(ErrorCode code, std::string message, std::string expected = {}) const {
    throw Error(code, "index: " + message, std::move(expected), path_, header_.index_offset);
  }

  void cut_columns() {
    const auto lengths = take(8 * (kColumns - 1));
    std::array<std::span<const std::byte>, kColumns> cut;
    for (std::size_t i = 0; i + 1 < kColumns; ++i) {
      cut[i] = take(load_number<std::uint64_t>(lengths.data() + 8 * i));
    }
    cut[kColumns - 1] = columns_[0];
    columns_ = cut;
  }

  // Version 1 is all one column.
  std::span<const std::byte>& column(IndexColumn wanted) {
    return columns_[has_columns_ ? std::size_t{wanted} : 0];
  }
  std::span<const std::byte> take(std::uint64_t count, IndexColumn from = kNumbers) {
    auto& left = column(from);
    if (count > left.size()) {
      fail(ErrorCode::kTruncated, fmt::format("ends inside {} bytes", count),
           fmt::format("{} left", left.size()));
    }
    const auto out = left.first(static_cast<std::size_t>(count));
    left = left.subspan(static_cast<std::size_t>(count));
    return out;
  }
  std::uint64_t byte(IndexColumn from = kNumbers) { return load_u8(take(1, from).data()); }
  std::uint64_t fixed() { return load_number<std::uint64_t>(take(8, kDigests).data()); }
  std::uint64_t number(IndexColumn from = kNumbers) {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += kVarintBits) {
      const std::uint64_t part = byte(from);
      if (shift == 63 && part > 1) fail(ErrorCode::kOverflow, "a number of more than 64 bits");
      value |= (part & 0x7F) << shift;
      if (part < 0x80) {
        if (part == 0 && shift > 0) fail(ErrorCode::kBadSchema, "a number with leading zeros");
        return value;
      }
    }
  }
  /// A number of records of at least `smallest` bytes each, digests, names and all; in columns a
  /// byte of each at least is a number.
  std::uint64_t count(std::uint64_t smallest, std::string_view what) {
    const std::uint64_t value = number();
    const std::uint64_t most = column(kNumbers).size() / (has_columns_ ? 1 : smallest);
    if (value > most) {
      fail(ErrorCode::kTruncated, fmt::format("{} {}", value, what),
           fmt::format("at most {}", most));
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
    const auto bytes = take(number(), kTexts);
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
      std::uint32_t next = 0;
      for (std::uint64_t k = 0; k < segments; ++k) {
        QstoreSegment& segment = file.segments.emplace_back();
        segment.literal_bytes = number();
        segment.stream = stream_number(number()) + next;
        segment.name = text();
        if (has_columns_) next = segment.stream + 1;
      }
    }
  }

  std::uint32_t stream_number(std::uint64_t value) const {
    if (value > UINT32_MAX) fail(ErrorCode::kBadSchema, fmt::format("stream {}", value));
    return static_cast<std::uint32_t>(value);
  }

  void parse_symbols() {
    const std::uint64_t lists = count(1, "lists of symbols");
    for (std::uint64_t i = 0; i < lists; ++i) {
      const auto symbols = take(number(), kTables);
      // Each may be repeated in a few bytes.
      if (symbols.size() > kMaxSymbols) {
        fail(ErrorCode::kLimit, fmt::format("{} bytes of symbols", symbols.size()),
             fmt::format("at most {}", kMaxSymbols));
      }
      symbols_.push_back(symbols);
    }
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
    if (has_columns_ && stream.unit_bytes == 0) stream.unit_bytes = stream.size_bytes;
    if (stream.size_bytes != 0 &&
        (stream.unit_bytes == 0 || stream.unit_bytes > header_.block_limit)) {
      fail(ErrorCode::kLimit, fmt::format("blocks of {} bytes", stream.unit_bytes),
           fmt::format("1 to {}", header_.block_limit));
    }
    if (const std::uint64_t base = number(); base != 0) {
      if (!index.base) fail(ErrorCode::kInconsistent, "a difference to a base that is not named");
      stream.base = stream_number(base - 1);
    }
    stream.method = static_cast<QstoreMethod>(
        choice(header_.version > kQstoreVersionWithoutChains ? 5 : 4, "method"));
    stream.view = static_cast<QstoreView>(choice(3, "view"));
    const bool narrowed = stream.view != QstoreView::kAsStored;
    if (narrowed && (stream.method != QstoreMethod::kPlanes || stream.unit_bytes % 4 != 0 ||
                     stream.size_bytes % 4 != 0)) {
      fail(ErrorCode::kBadSchema, "a view of F32 numbers that are none");
    }
    if (stream.method == QstoreMethod::kPlanes) parse_fields(stream, narrowed ? 2 : 1);
    if (stream.method == QstoreMethod::kPair) parse_pairing(stream);
    if (stream.method == QstoreMethod::kChain) parse_chain(stream);
    const std::uint64_t blocks = block_count(stream.size_bytes, stream.unit_bytes);
    const std::uint64_t most = has_columns_ ? column(kSizes).size() : column(kNumbers).size() / 9;
    if (blocks > most) {
      fail(ErrorCode::kTruncated, fmt::format("{} blocks", blocks),
           fmt::format("at most {}", most));
    }
    for (std::uint64_t k = 0; k < blocks; ++k) {
      QstoreBlock& block = stream.blocks.emplace_back();
      block.offset = place_;
      block.stored_bytes = number(kSizes);
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
      const std::uint64_t shared = has_columns_ ? number() : 0;
      if (shared > symbols_.size()) {
        fail(ErrorCode::kMissing, fmt::format("symbols {} of a table", shared),
             fmt::format("one of {}", symbols_.size()));
      }
      const auto table = take(number(), kTables);
      field.table.assign(table.begin(), table.end());
      if (shared == 0) continue;
      const auto symbols = symbols_[static_cast<std::size_t>(shared - 1)];
      field.table.insert(field.table.end(), symbols.begin(), symbols.end());
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

  void parse_grid(QstoreGrid& grid) {
    grid.layout = static_cast<GridLayout>(choice(4, "layout of codes"));
    grid.bits = static_cast<std::uint8_t>(choice(9, "bits of a code"));
    grid.zeros_as = static_cast<GridZeros>(choice(6, "zero points"));
    const std::uint64_t scales = choice(8, "scales");
    grid.scales_as = static_cast<GridScales>(scales & 3);
    grid.scales_by_group = (scales & 4) != 0;
    grid.rows = number();
    grid.cols = number();
    grid.groups = number();
    grid.group_size = number();
    grid.scales = stream_number(number());
    if (const std::uint64_t zeros = number(); zeros != 0) grid.zeros = stream_number(zeros - 1);
    if (const std::uint64_t index = number(); index != 0) grid.index = stream_number(index - 1);
  }

  void parse_chain(QstoreStream& stream) {
    const std::uint64_t kind = choice(3, "numbers of a chain");
    stream.chain.is_f16 = kind == 1;
    parse_grid(stream.chain.low);
    stream.chain.low.codes = stream_number(number());
    if (kind == 2) parse_grid(stream.chain.own.emplace());
  }

  void check_references(const QstoreIndex& index) const {
    for (std::uint32_t i = 0; i < index.levels.size(); ++i) {
      for (const QstoreFile& file : index.levels[i].files) check_file(index, file, i);
    }
    for (const QstoreStream& stream : index.streams) {
      if (stream.method == QstoreMethod::kPair) check_pairing(index, stream);
      if (stream.method == QstoreMethod::kChain) check_chain(index, stream);
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

  // Codes of a level below, which may be a chain themselves: no circle, and no more steps than
  // levels. Scales, zero points and groups stand alone.
  void check_chain(const QstoreIndex& index, const QstoreStream& stream) const {
    bool fits = true;
    const auto alone = [&](std::uint32_t number) {
      const QstoreStream& of = referred(index, number, stream.level);
      fits = fits && of.method != QstoreMethod::kPair && of.method != QstoreMethod::kChain;
      return of.size_bytes;
    };
    // Whole streams are held in memory.
    const std::uint64_t most = checked_mul(header_.total_bytes, kWholeGrowth).value_or(UINT64_MAX);
    if (referred(index, stream.chain.low.codes, stream.level).size_bytes >
        std::max(most, kWholeSlack)) {
      fail(ErrorCode::kLimit, "codes of a chain that are larger than the file can hold");
    }
    const auto size_of = [&](std::uint32_t number) {
      if (number != stream.chain.low.codes) return alone(number);
      const QstoreStream& codes = referred(index, number, stream.level);
      fits = fits && codes.level > stream.level && codes.method != QstoreMethod::kPair;
      return codes.size_bytes;
    };
    if (!chain_fits(stream.chain, stream.size_bytes, stream.unit_bytes, size_of) || !fits) {
      fail(ErrorCode::kInconsistent, "a chain whose codes or grids do not fit it");
    }
  }

  std::array<std::span<const std::byte>, kColumns> columns_;  // what is left of each
  const bool has_columns_;
  const QstoreHeader& header_;
  const std::string& path_;
  std::vector<std::span<const std::byte>> symbols_;
  std::uint64_t place_ = 0;
};

}  // namespace

QstoreIndex parse_qstore_index(std::span<const std::byte> text, const QstoreHeader& header,
                               const std::string& path) {
  return IndexParser(text, header, path).parse();
}

}  // namespace qi
