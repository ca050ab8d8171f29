#include "engine/format/qstore_format.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fmt/format.h>
#include <utf8proc.h>

#include "engine/codec/little_endian.h"
#include "engine/format/magic.h"
#include "engine/format/qstore_zstd.h"
#include "engine/io/checked.h"
#include "engine/io/xxh3.h"

namespace qi {
namespace {

// As PNG's: a byte above 127 finds 7-bit channels, CR LF and LF find text mode, 0x1A stops `type`.
constexpr std::array<unsigned char, 8> kMagic = {0x89, 'Q', 'S', 'T', '\r', '\n', 0x1A, '\n'};

constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kReservedAt = 12;
constexpr std::size_t kTotalAt = 16;
constexpr std::size_t kIndexOffsetAt = 24;
constexpr std::size_t kIndexBytesAt = 32;
constexpr std::size_t kIndexChecksumAt = 40;
constexpr std::size_t kBlockLimitAt = 48;
constexpr std::size_t kHeaderChecksumAt = 56;

constexpr int kIndexLevel = 9;
// Small ones are worth more time a byte.
constexpr std::size_t kSmallIndex = std::size_t{128} << 10;
constexpr int kSmallIndexLevel = 19;

std::uint64_t u64_at(const std::byte* bytes, std::size_t at) {
  return load_number<std::uint64_t>(bytes + at);
}

}  // namespace

std::string_view method_name(QstoreMethod method) {
  constexpr std::array<std::string_view, 5> kNames = {"raw", "zstd", "planes", "pair", "chain"};
  return kNames[static_cast<std::size_t>(method)];
}

std::uint64_t block_count(std::uint64_t size_bytes, std::uint64_t unit_bytes) {
  return size_bytes == 0 ? 0 : ceil_div(size_bytes, unit_bytes);
}

std::uint64_t QstoreStream::block_bytes(std::uint64_t block) const {
  return std::min(unit_bytes, size_bytes - block * unit_bytes);
}

std::uint64_t QstoreStream::stored_bytes() const {
  std::uint64_t sum = 0;
  for (const QstoreBlock& block : blocks) sum += block.stored_bytes;
  return sum;
}

std::uint64_t QstoreStream::record_bytes() const {
  std::uint64_t sum = 0;
  for (const QstoreField& field : fields) sum += field.width;
  return sum;
}

std::uint64_t plain_checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::uint64_t block_checksum(std::span<const std::byte> stored, std::uint32_t level,
                             std::uint32_t stream, std::uint64_t block) {
  std::array<std::byte, 16> place;
  store_u32(place.data(), level);
  store_u32(place.data() + 4, stream);
  store_number(place.data() + 8, block);
  const std::uint64_t seed = XXH3_64bits(place.data(), place.size());
  return XXH3_64bits_withSeed(stored.data(), stored.size(), seed);
}

// ---- header -------------------------------------------------------------------------------------

bool is_qstore_magic(std::span<const std::byte, kQstoreMagicBytes> first) {
  return std::memcmp(first.data(), kMagic.data(), kMagic.size()) == 0;
}

std::vector<std::byte> qstore_header(const QstoreHeader& header) {
  std::vector<std::byte> out(kQstoreHeaderBytes);
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  store_u32(out.data() + kVersionAt, header.version);
  store_number(out.data() + kTotalAt, header.total_bytes);
  store_number(out.data() + kIndexOffsetAt, header.index_offset);
  store_number(out.data() + kIndexBytesAt, header.index_bytes);
  store_number(out.data() + kIndexChecksumAt, header.index_checksum);
  store_number(out.data() + kBlockLimitAt, header.block_limit);
  store_number(out.data() + kHeaderChecksumAt,
               plain_checksum(std::span(out).first(kHeaderChecksumAt)));
  return out;
}

QstoreHeader read_qstore_header(const File& file) {
  const auto fail = [&](ErrorCode code, std::uint64_t at, std::string message,
                        std::string expected) {
    throw Error(code, std::move(message), std::move(expected), file.path(), at);
  };
  std::array<std::byte, kQstoreHeaderBytes> raw{};
  const auto have =
      static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kQstoreHeaderBytes));
  file.read_at(0, std::span(raw).first(have));
  const std::size_t compared = std::min(have, kMagic.size());
  if (std::memcmp(raw.data(), kMagic.data(), compared) != 0) {
    // The first four bytes survive what text mode does to the rest.
    const bool text_mode = have >= 4 && std::memcmp(raw.data(), kMagic.data(), 4) == 0;
    const std::string_view likely = likely_format(std::span<const std::byte>(raw).first(have));
    fail(ErrorCode::kBadMagic, 0,
         text_mode ? "line ends were changed: the file was copied as text"
         : likely.empty()
             ? fmt::format("magic {}", magic_text(std::span<const std::byte>(raw).first(have)))
             : fmt::format("not a QStore container, but {}", likely),
         "89 51 53 54 0d 0a 1a 0a");
  }
  if (have < kQstoreHeaderBytes) {
    fail(ErrorCode::kTruncated, have, fmt::format("file ends inside the header, {} bytes", have),
         fmt::format("{} bytes", kQstoreHeaderBytes));
  }
  const std::uint64_t checksum = plain_checksum(std::span(raw).first(kHeaderChecksumAt));
  if (checksum != u64_at(raw.data(), kHeaderChecksumAt)) {
    fail(ErrorCode::kCorrupt, 0, "checksum of the header is wrong",
         fmt::format("{:016x}", u64_at(raw.data(), kHeaderChecksumAt)));
  }
  const std::uint32_t version = load_u32(raw.data() + kVersionAt);
  if (version == 0 || version > kQstoreVersion) {
    fail(ErrorCode::kBadVersion, kVersionAt, fmt::format("container version {}", version),
         fmt::format("version 1 to {}", kQstoreVersion));
  }
  if (load_u32(raw.data() + kReservedAt) != 0) {
    fail(ErrorCode::kBadHeader, kReservedAt, "reserved bytes are set", "0");
  }
  QstoreHeader header;
  header.version = version;
  header.total_bytes = u64_at(raw.data(), kTotalAt);
  header.index_offset = u64_at(raw.data(), kIndexOffsetAt);
  header.index_bytes = u64_at(raw.data(), kIndexBytesAt);
  header.index_checksum = u64_at(raw.data(), kIndexChecksumAt);
  header.block_limit = u64_at(raw.data(), kBlockLimitAt);
  if (header.block_limit > kQstoreMaxBlock) {
    fail(ErrorCode::kLimit, kBlockLimitAt, fmt::format("blocks of {} bytes", header.block_limit),
         fmt::format("at most {}", kQstoreMaxBlock));
  }
  if (header.total_bytes > file.size()) {
    fail(ErrorCode::kTruncated, file.size(), fmt::format("file ends at byte {}", file.size()),
         fmt::format("{} bytes", header.total_bytes));
  }
  if (header.total_bytes < file.size()) {
    fail(ErrorCode::kTrailing, header.total_bytes,
         fmt::format("{} bytes after the end", file.size() - header.total_bytes), "none");
  }
  if (header.index_offset < kQstoreHeaderBytes ||
      checked_add(header.index_offset, header.index_bytes) != header.total_bytes) {
    fail(ErrorCode::kBadOffset, kIndexOffsetAt,
         fmt::format("index at {}, {} bytes", header.index_offset, header.index_bytes),
         fmt::format("an index that ends at {}", header.total_bytes));
  }
  return header;
}

// ---- the index as stored: its decoded size, then a zstd frame or the text itself ----------------

std::vector<std::byte> pack_qstore_index(std::span<const std::byte> text) {
  std::vector<std::byte> out(8);
  store_number(out.data(), std::uint64_t{text.size()});
  ZstdPacker packer;
  const std::span<const std::byte> packed =
      packer.pack(text, text.size() <= kSmallIndex ? kSmallIndexLevel : kIndexLevel);
  const std::span<const std::byte> best = packed.size() < text.size() ? packed : text;
  out.insert(out.end(), best.begin(), best.end());
  return out;
}

std::vector<std::byte> read_qstore_index(const File& file, const QstoreHeader& header) {
  const auto fail = [&](ErrorCode code, std::string message, std::string expected = {}) {
    throw Error(code, std::move(message), std::move(expected), file.path(), header.index_offset);
  };
  std::vector<std::byte> stored(static_cast<std::size_t>(header.index_bytes));
  file.read_at(header.index_offset, stored);
  if (plain_checksum(stored) != header.index_checksum) {
    fail(ErrorCode::kCorrupt, "checksum of the index is wrong",
         fmt::format("{:016x}", header.index_checksum));
  }
  if (stored.size() < 8) fail(ErrorCode::kTruncated, "index without a size", "8 bytes");
  const std::uint64_t size = u64_at(stored.data(), 0);
  const std::uint64_t limit =
      checked_mul(file.size(), kQstoreIndexGrowth).value_or(UINT64_MAX - kQstoreIndexSlack) +
      kQstoreIndexSlack;
  if (size > limit) {
    fail(ErrorCode::kLimit, fmt::format("index of {} bytes", size),
         fmt::format("at most {}", limit));
  }
  const auto body = std::span<const std::byte>(stored).subspan(8);
  if (body.size() == size) return {body.begin(), body.end()};
  std::vector<std::byte> text(static_cast<std::size_t>(size));
  ZstdUnpacker unpacker;
  if (!unpacker.unpack(body, text)) fail(ErrorCode::kCorrupt, "index does not decode");
  return text;
}

// ---- names --------------------------------------------------------------------------------------

bool is_safe_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kQstoreMaxName && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

std::string folded_name(std::string_view name) {
  utf8proc_uint8_t* folded = nullptr;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(name.data()),
                   static_cast<utf8proc_ssize_t>(name.size()), &folded, options);
  if (length >= 0) {
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(folded, &std::free);
    return {reinterpret_cast<const char*>(folded), static_cast<std::size_t>(length)};
  }
  std::string out(name);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

}  // namespace qi
