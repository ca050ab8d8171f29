#include "engine/format/qstore_blocks.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/format/qstore_layout.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::size_t kKeptTables = 8;

[[noreturn]] void bad_block(const char* what) {
  throw Error(ErrorCode::kCorrupt, what, "a block of as many bytes as its stream says");
}

template <typename Coder>
Coder& pair_coder(std::unique_ptr<Coder>& coder, DType type) {
  if (coder == nullptr) coder = std::make_unique<Coder>(*pair_format(type));
  return *coder;
}

}  // namespace

// ---- tables -------------------------------------------------------------------------------------

const StreamTables::Tables& StreamTables::get(const QstoreStream& stream, std::uint32_t number) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.number == number; });
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front().tables;
  }
  Tables tables;
  for (const QstoreField& field : stream.fields) {
    std::optional<PlaneTable>& table = tables.emplace_back();
    if (field.table.empty()) continue;
    table = PlaneTable::parse(field.table);
    if (field.width % table->element_bytes() != 0) bad_block("a field of broken elements");
  }
  if (entries_.size() >= kKeptTables) entries_.pop_back();
  return entries_.emplace_front(Entry{number, std::move(tables)}).tables;
}

void xor_bytes(std::span<const std::byte> with, std::span<std::byte> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] ^= with[i];
}

// ---- F32 that is narrower inside ----------------------------------------------------------------

bool narrow_floats(QstoreView view, std::span<const std::byte> floats, std::byte* out) {
  const std::size_t count = floats.size() / 4;
  std::uint32_t lost = 0;
  if (view == QstoreView::kF32AsBF16) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = load_u32(floats.data() + 4 * i);
      lost |= bits & 0xFFFF;
      store_u16(out + 2 * i, static_cast<std::uint16_t>(bits >> 16));
    }
    return lost == 0;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = load_u32(floats.data() + 4 * i);
    const std::uint16_t half = float_to_f16(std::bit_cast<float>(bits));
    lost |= std::bit_cast<std::uint32_t>(f16_to_float(half)) ^ bits;
    store_u16(out + 2 * i, half);
    // Most floats are no halves: the first thousand tell.
    if (lost != 0 && i % 1024 == 0) return false;
  }
  return lost == 0;
}

void widen_floats(QstoreView view, std::span<const std::byte> halves, std::byte* out) {
  const std::size_t count = halves.size() / 2;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t half = load_u16(halves.data() + 2 * i);
    const std::uint32_t bits = view == QstoreView::kF32AsBF16
                                   ? static_cast<std::uint32_t>(half) << 16
                                   : std::bit_cast<std::uint32_t>(f16_to_float(half));
    store_u32(out + 4 * i, bits);
  }
}

int zstd_level(const QstoreStream& stream) {
  constexpr std::uint64_t kSmall = std::uint64_t{256} << 10;
  constexpr std::uint64_t kTiny = std::uint64_t{32} << 10;
  return stream.size_bytes <= kTiny ? 19 : stream.size_bytes <= kSmall ? 9 : 4;
}

// ---- encoder ------------------------------------------------------------------------------------

std::span<const std::byte> BlockEncoder::encode_planes(const QstoreStream& stream,
                                                       std::uint32_t number,
                                                       std::span<const std::byte> records) {
  const StreamTables::Tables& tables = tables_.get(stream, number);
  const auto record = static_cast<std::size_t>(stream.record_bytes());
  const std::size_t count = records.size() / record;
  if (stream.fields.size() == 1 && tables[0]) {
    return planes_.encode(*tables[0], records.data(), records.size() / tables[0]->element_bytes());
  }
  // Sizes of all fields but the last, then the fields.
  out_.resize(4 * (stream.fields.size() - 1));
  std::size_t offset = 0;
  for (std::size_t i = 0; i < stream.fields.size(); ++i) {
    const std::size_t width = stream.fields[i].width;
    field_.resize(count * width);
    gather_field(records, record, offset, width, field_.data());
    offset += width;
    std::span<const std::byte> coded = field_;
    if (tables[i]) {
      coded = planes_.encode(*tables[i], field_.data(), field_.size() / tables[i]->element_bytes());
    }
    if (i + 1 < stream.fields.size()) {
      store_u32(out_.data() + 4 * i, static_cast<std::uint32_t>(coded.size()));
    }
    out_.insert(out_.end(), coded.begin(), coded.end());
  }
  return out_;
}

std::span<const std::byte> BlockEncoder::encode(const QstoreStream& stream, std::uint32_t number,
                                                std::span<const std::byte> bytes,
                                                const BlockGiven& given) {
  switch (stream.method) {
    case QstoreMethod::kRaw:
      return bytes;
    case QstoreMethod::kZstd: {
      const auto frame = zstd_.pack(bytes, zstd_level(stream));
      return frame.size() < bytes.size() ? frame : bytes;  // as many bytes: they are raw
    }
    case QstoreMethod::kPlanes: {
      if (stream.view == QstoreView::kAsStored) return encode_planes(stream, number, bytes);
      narrow_.resize(bytes.size() / 2);
      [[maybe_unused]] const bool exact = narrow_floats(stream.view, bytes, narrow_.data());
      assert(exact);
      return encode_planes(stream, number, narrow_);
    }
    case QstoreMethod::kChain:
      return chains_.encode(stream.chain, given.chain, bytes);
    case QstoreMethod::kPair:
      break;
  }
  const auto cols = static_cast<std::size_t>(stream.pairing.cols);
  std::vector<float> scales(given.scales.size() / 4);
  std::memcpy(scales.data(), given.scales.data(), 4 * scales.size());
  const PairBlock low{reinterpret_cast<const std::int8_t*>(given.codes.data()), scales.data(),
                      scales.size(), cols};
  PairEncoder& encoder = stream.pairing.is_f16 ? pair_coder(pair_f16_, DType::kF16)
                                               : pair_coder(pair_bf16_, DType::kBF16);
  return encoder.encode(low, bytes.data());
}

// ---- decoder ------------------------------------------------------------------------------------

void BlockDecoder::decode_planes(const QstoreStream& stream, std::uint32_t number,
                                 std::span<const std::byte> stored, std::span<std::byte> records) {
  const StreamTables::Tables& tables = tables_.get(stream, number);
  const auto record = static_cast<std::size_t>(stream.record_bytes());
  const std::size_t count = records.size() / record;
  const auto decode_field = [&](std::size_t i, std::span<const std::byte> coded, std::byte* out,
                                std::size_t bytes) {
    if (tables[i])
      return planes_.decode(*tables[i], coded, bytes / tables[i]->element_bytes(), out);
    if (coded.size() != bytes) bad_block("size of a field");
    if (bytes != 0) std::memcpy(out, coded.data(), bytes);
  };
  if (stream.fields.size() == 1) return decode_field(0, stored, records.data(), records.size());
  const std::size_t head = 4 * (stream.fields.size() - 1);
  if (stored.size() < head) bad_block("sizes of fields");
  std::span<const std::byte> rest = stored.subspan(head);
  std::size_t offset = 0;
  for (std::size_t i = 0; i < stream.fields.size(); ++i) {
    const std::size_t size =
        i + 1 < stream.fields.size() ? load_u32(stored.data() + 4 * i) : rest.size();
    if (size > rest.size()) bad_block("size of a field");
    const std::size_t width = stream.fields[i].width;
    field_.resize(count * width);
    decode_field(i, rest.first(size), field_.data(), field_.size());
    scatter_field(field_.data(), count, record, offset, width, records.data());
    rest = rest.subspan(size);
    offset += width;
  }
}

BlockCost block_cost(const QstoreStream& stream, std::uint64_t bytes,
                     std::span<const std::byte> stored) {
  BlockCost cost;
  switch (stream.method) {
    case QstoreMethod::kRaw:
      cost.is_raw = true;
      break;
    case QstoreMethod::kZstd:
      break;
    case QstoreMethod::kPair:
      cost.is_raw = pair_block_is_raw(stored);
      cost.escapes = pair_block_escapes(stored);
      break;
    case QstoreMethod::kChain:
      cost.is_raw = stored.size() == bytes;
      if (!cost.is_raw) cost.escapes = chain_block_escapes(stored);
      break;
    case QstoreMethod::kPlanes: {
      cost.is_raw = true;
      std::span<const std::byte> rest = stored;
      const std::size_t head = 4 * (stream.fields.size() - 1);
      if (stored.size() < head) break;
      rest = stored.subspan(head);
      for (std::size_t i = 0; i < stream.fields.size(); ++i) {
        const std::size_t size = i + 1 < stream.fields.size()
                                     ? std::size_t{load_u32(stored.data() + 4 * i)}
                                     : rest.size();
        const auto field = rest.first(std::min(size, rest.size()));
        if (!stream.fields[i].table.empty()) {
          cost.is_raw = cost.is_raw && plane_block_is_raw(field);
          cost.escapes += plane_block_escapes(field);
        }
        rest = rest.subspan(field.size());
      }
      break;
    }
  }
  return cost;
}

void BlockDecoder::decode(const QstoreStream& stream, std::uint32_t number,
                          std::span<const std::byte> stored, const BlockGiven& given,
                          std::span<std::byte> out) {
  const auto copy = [&] {
    if (stored.size() != out.size()) bad_block("size of raw bytes");
    if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
  };
  switch (stream.method) {
    case QstoreMethod::kRaw:
      return copy();
    case QstoreMethod::kZstd:
      if (stored.size() == out.size()) return copy();
      if (!zstd_.unpack(stored, out)) bad_block("a zstd frame that does not decode");
      return;
    case QstoreMethod::kPlanes:
      if (stream.view == QstoreView::kAsStored) return decode_planes(stream, number, stored, out);
      narrow_.resize(out.size() / 2);
      decode_planes(stream, number, stored, narrow_);
      return widen_floats(stream.view, narrow_, out.data());
    case QstoreMethod::kChain:
      return chains_.decode(stream.chain, given.chain, stored, out);
    case QstoreMethod::kPair:
      break;
  }
  const auto cols = static_cast<std::size_t>(stream.pairing.cols);
  const std::size_t rows = out.size() / (2 * cols);
  if (given.codes.size() != rows * cols || given.scales.size() != 4 * rows) {
    bad_block("codes or scales of a pair");
  }
  scales_.resize(rows);
  std::memcpy(scales_.data(), given.scales.data(), 4 * rows);
  const PairBlock low{reinterpret_cast<const std::int8_t*>(given.codes.data()), scales_.data(),
                      rows, cols};
  PairDecoder& decoder = stream.pairing.is_f16 ? pair_coder(pair_f16_, DType::kF16)
                                               : pair_coder(pair_bf16_, DType::kBF16);
  decoder.decode(low, stored, out.data());
}

}  // namespace qi
