// The index of a container, structures to text (QSTORE.md, "Index").
#include <array>
#include <map>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_codec.h"
#include "engine/format/qstore_columns.h"
#include "engine/format/qstore_format.h"

namespace qi {
namespace {

class IndexWriter {
 public:
  void number(std::uint64_t value, IndexColumn column = kNumbers) {
    auto& out = columns_[column];
    for (; value >> kVarintBits != 0; value >>= kVarintBits) {
      out.push_back(static_cast<std::byte>((value & 0x7F) | 0x80));
    }
    out.push_back(static_cast<std::byte>(value));
  }
  void byte(std::uint64_t value) { columns_[kNumbers].push_back(static_cast<std::byte>(value)); }
  void fixed(std::uint64_t value) {
    auto& out = columns_[kDigests];
    out.resize(out.size() + 8);
    store_number(out.data() + out.size() - 8, value);
  }
  void bytes(std::span<const std::byte> value, IndexColumn column) {
    number(value.size());
    columns_[column].insert(columns_[column].end(), value.begin(), value.end());
  }
  void text(std::string_view value) { bytes(std::as_bytes(std::span(value)), kTexts); }
  void digest(const QstoreDigest& value) {
    fixed(value.low);
    fixed(value.high);
  }
  /// Lengths of all columns but the last, then the columns.
  std::vector<std::byte> take() {
    std::vector<std::byte> out(8 * (kColumns - 1));
    for (std::size_t i = 0; i < kColumns; ++i) {
      if (i + 1 < kColumns) store_number(out.data() + 8 * i, std::uint64_t{columns_[i].size()});
      out.insert(out.end(), columns_[i].begin(), columns_[i].end());
    }
    return out;
  }

 private:
  std::array<std::vector<std::byte>, kColumns> columns_;
};

// What streams follow each other in a file is told by the difference to that.
void put_file(IndexWriter& out, const QstoreFile& file) {
  out.text(file.name);
  out.byte(static_cast<std::uint64_t>(file.role));
  out.number(file.size_bytes);
  out.digest(file.digest);
  out.number(file.literals ? *file.literals + std::uint64_t{1} : 0);
  out.number(file.segments.size());
  std::uint32_t next = 0;
  for (const QstoreSegment& segment : file.segments) {
    out.number(segment.literal_bytes);
    out.number(segment.stream - next);
    out.text(segment.name);
    next = segment.stream + 1;
  }
}

// The ends of tables, from symbols_at() on, that more than one table has.
class SharedSymbols {
 public:
  explicit SharedSymbols(const QstoreIndex& index) {
    std::map<std::string_view, std::size_t> uses;
    for_each(index, [&](std::string_view symbols) { ++uses[symbols]; });
    for_each(index, [&](std::string_view symbols) {
      if (uses[symbols] > 1 && !symbols.empty() && numbers_.emplace(symbols, list_.size()).second) {
        list_.push_back(symbols);
      }
    });
  }
  static std::string_view of(const QstoreField& field) {
    const std::size_t at = PlaneTable::symbols_at(field.table);
    return {reinterpret_cast<const char*>(field.table.data()) + at, field.table.size() - at};
  }
  /// 1 + its number, or 0.
  std::uint64_t find(std::string_view symbols) const {
    const auto found = numbers_.find(symbols);
    return found == numbers_.end() ? 0 : found->second + 1;
  }
  const std::vector<std::string_view>& list() const { return list_; }

 private:
  template <typename Use>
  static void for_each(const QstoreIndex& index, Use&& use) {
    for (const QstoreStream& stream : index.streams) {
      for (const QstoreField& field : stream.fields) use(of(field));
    }
  }
  std::vector<std::string_view> list_;
  std::map<std::string_view, std::size_t> numbers_;
};

void put_grid(IndexWriter& out, const QstoreGrid& grid) {
  out.byte(static_cast<std::uint64_t>(grid.layout));
  out.byte(grid.bits);
  out.byte(static_cast<std::uint64_t>(grid.zeros_as));
  out.byte(static_cast<std::uint64_t>(grid.scales_as) | (grid.scales_by_group ? 4U : 0U));
  out.number(grid.rows);
  out.number(grid.cols);
  out.number(grid.groups);
  out.number(grid.group_size);
  out.number(grid.scales);
  out.number(grid.zeros ? *grid.zeros + std::uint64_t{1} : 0);
  out.number(grid.index ? *grid.index + std::uint64_t{1} : 0);
}

void put_stream(IndexWriter& out, const QstoreStream& stream, const SharedSymbols& shared) {
  out.number(stream.level);
  out.number(stream.size_bytes);
  out.digest(stream.digest);
  out.number(stream.unit_bytes == stream.size_bytes ? 0 : stream.unit_bytes);
  out.number(stream.base ? *stream.base + std::uint64_t{1} : 0);
  out.byte(static_cast<std::uint64_t>(stream.method));
  out.byte(static_cast<std::uint64_t>(stream.view));
  if (stream.method == QstoreMethod::kPlanes) {
    out.number(stream.fields.size());
    for (const QstoreField& field : stream.fields) {
      out.number(field.width);
      const std::string_view symbols = SharedSymbols::of(field);
      const std::uint64_t number = shared.find(symbols);
      out.number(number);
      const std::size_t left_out = number == 0 ? 0 : symbols.size();
      out.bytes(std::span(field.table).first(field.table.size() - left_out), kTables);
    }
  } else if (stream.method == QstoreMethod::kPair) {
    out.byte(stream.pairing.is_f16 ? 1 : 0);
    out.number(stream.pairing.cols);
    out.number(stream.pairing.codes);
    out.number(stream.pairing.scales);
  } else if (stream.method == QstoreMethod::kChain) {
    out.byte(stream.chain.own ? 2 : stream.chain.is_f16 ? 1 : 0);
    put_grid(out, stream.chain.low);
    out.number(stream.chain.low.codes);
    if (stream.chain.own) put_grid(out, *stream.chain.own);
  }
  for (const QstoreBlock& block : stream.blocks) {
    out.number(block.stored_bytes, kSizes);
    out.fixed(block.checksum);
  }
}

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
  const SharedSymbols shared(index);
  out.number(shared.list().size());
  for (const std::string_view symbols : shared.list()) {
    out.bytes(std::as_bytes(std::span(symbols)), kTables);
  }
  out.number(index.streams.size());
  for (const QstoreStream& stream : index.streams) put_stream(out, stream, shared);
  return out.take();
}

}  // namespace qi
