// What stands in a QStore container (QSTORE.md): header, index, and the checksums over everything.
// Owns the parsed form and both directions between it and bytes. Refuses, with the file and byte,
// whatever a checksum or a count contradicts; memory is bounded by the bytes there are.
// Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/file.h"

namespace qi {

inline constexpr std::size_t kQstoreHeaderBytes = 64;
inline constexpr std::size_t kQstoreMagicBytes = 8;
/// What is written: 3 if there are chains, else 2. Version 1 is still read.
inline constexpr std::uint32_t kQstoreVersion = 3;
inline constexpr std::uint32_t kQstoreVersionWithoutChains = 2;
/// A block decodes to at most this much.
inline constexpr std::uint64_t kQstoreMaxBlock = std::uint64_t{16} << 20;
inline constexpr std::size_t kQstoreMaxLevels = 64;
inline constexpr std::size_t kQstoreMaxName = 255;
/// The index decodes to at most this many times the bytes of the file, and this many more.
inline constexpr std::uint64_t kQstoreIndexGrowth = 32;
inline constexpr std::uint64_t kQstoreIndexSlack = 65536;

/// A 128-bit XXH3 of bytes as they were in the source.
struct QstoreDigest {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const QstoreDigest&) const = default;
};

struct QstoreHeader {
  std::uint32_t version = kQstoreVersion;
  std::uint64_t total_bytes = 0;
  std::uint64_t index_offset = 0;
  std::uint64_t index_bytes = 0;
  std::uint64_t index_checksum = 0;
  std::uint64_t block_limit = 0;  // no block decodes to more
};

/// How the bytes of a stream are stored.
enum class QstoreMethod : std::uint8_t {
  kRaw = 0,     // as they are
  kZstd = 1,    // a frame a block
  kPlanes = 2,  // records of fields, each field by the plane codec
  kPair = 3,    // 16-bit floats, given int8 ones in another stream
  kChain = 4,   // 16-bit floats or codes, given codes of fewer bits in another stream
};
std::string_view method_name(QstoreMethod method);

/// What a stream's numbers are coded as.
enum class QstoreView : std::uint8_t {
  kAsStored = 0,
  kF32AsF16 = 1,   // every F32 is an F16
  kF32AsBF16 = 2,  // every F32 is a BF16
};

/// A field of a record: so many bytes, elements of `table` (a PlaneTable as serialised, not checked
/// before it is used), or stored as they are without one.
struct QstoreField {
  std::uint32_t width = 1;
  std::vector<std::byte> table;
};

/// The streams that a kPair stream stands on: int8 numbers of the same shape, F32 row scales.
struct QstorePairing {
  bool is_f16 = false;  // else BF16
  std::uint64_t cols = 0;
  std::uint32_t codes = 0;
  std::uint32_t scales = 0;
};

/// How the codes of a matrix lie in its stream, those of an output in a row.
enum class GridLayout : std::uint8_t {
  kInt8 = 0,  // bytes of two's complement, row by row
  kGptq = 1,  // words [cols·bits/32, rows], the lowest bits first
  kAwq = 2,   // words [cols, rows/8] of 4-bit fields: output 8c + k is field {0 4 1 5 2 6 3 7}[k]
  kRows = 3,  // words [rows, cols·bits/32], the lowest bits first
};
/// Where the zero points are. A code counts from 0; bytes of kInt8 are codes less 128.
enum class GridZeros : std::uint8_t {
  kMiddle = 0,   // every one is 2^(bits − 1)
  kGptq = 1,     // words [groups, rows·bits/32]
  kGptqOne = 2,  // the same of zeros − 1, modulo 2^bits
  kAwq = 3,      // words [groups, rows/8], fields as those of GridLayout::kAwq
  kRows = 4,     // words [rows·bits/32, groups]: a word holds consecutive rows
  kInt8 = 5,     // bytes [rows, groups], less 128
};
enum class GridScales : std::uint8_t { kF16 = 0, kBF16 = 1, kF32 = 2, kAbsmax = 3 };

/// The grids that codes of a matrix stand on: a number is (code − zero)·scale of its row and group.
struct QstoreGrid {
  GridLayout layout = GridLayout::kInt8;
  std::uint8_t bits = 8;
  GridZeros zeros_as = GridZeros::kMiddle;
  GridScales scales_as = GridScales::kF16;  // kAbsmax: F32 ones, 127 times the scale
  bool scales_by_group = false;             // [groups, rows], else [rows, groups]
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::uint64_t groups = 1;
  std::uint64_t group_size = 0;  // columns of a group; 0: all
  std::uint32_t codes = 0;       // streams
  std::uint32_t scales = 0;
  std::optional<std::uint32_t> zeros;  // unless kMiddle
  std::optional<std::uint32_t> index;  // group of each column, I32
};

/// What a kChain stream stands on.
struct QstoreChain {
  bool is_f16 = false;  // of numbers; else BF16
  QstoreGrid low;
  std::optional<QstoreGrid> own;  // of codes; its `codes` is the stream itself
};

struct QstoreBlock {
  std::uint64_t offset = 0;  // in the file
  std::uint64_t checksum = 0;
  std::uint64_t stored_bytes = 0;
};

/// A run of bytes of the source, such as a tensor, that decodes alone in blocks.
struct QstoreStream {
  std::uint32_t level = 0;  // the lowest one that needs it
  std::uint64_t size_bytes = 0;
  std::uint64_t unit_bytes = 0;  // of a decoded block; the last one may have less
  QstoreDigest digest;
  QstoreMethod method = QstoreMethod::kRaw;
  QstoreView view = QstoreView::kAsStored;
  std::vector<QstoreField> fields;  // kPlanes
  QstorePairing pairing;            // kPair
  QstoreChain chain;                // kChain
  /// A stream of the base container whose bytes are XORed with what the blocks decode to.
  std::optional<std::uint32_t> base;
  std::vector<QstoreBlock> blocks;

  std::uint64_t block_bytes(std::uint64_t block) const;
  std::uint64_t stored_bytes() const;
  std::uint64_t record_bytes() const;  // kPlanes: of all fields together
};
/// Calls use(number) for each stream that one stands on, as references into it.
template <typename Stream, typename Use>
void for_each_reference(Stream& stream, const Use& use) {
  const auto use_grid = [&](auto& grid) {
    use(grid.scales);
    if (grid.zeros) use(*grid.zeros);
    if (grid.index) use(*grid.index);
  };
  if (stream.method == QstoreMethod::kPair) {
    use(stream.pairing.codes);
    use(stream.pairing.scales);
  } else if (stream.method == QstoreMethod::kChain) {
    use(stream.chain.low.codes);
    use_grid(stream.chain.low);
    if (stream.chain.own) use_grid(*stream.chain.own);
  }
}

/// ⌈size/unit⌉.
std::uint64_t block_count(std::uint64_t size_bytes, std::uint64_t unit_bytes);

/// A tensor inside a file: after `literal_bytes` of the file's literal stream comes a whole stream.
struct QstoreSegment {
  std::uint64_t literal_bytes = 0;
  std::uint32_t stream = 0;
  std::string_view name;
};

enum class QstoreFileRole : std::uint8_t { kBeside = 0, kWeights = 1, kShardIndex = 2 };

struct QstoreFile {
  std::string_view name;
  QstoreFileRole role = QstoreFileRole::kBeside;
  std::uint64_t size_bytes = 0;
  QstoreDigest digest;
  std::optional<std::uint32_t> literals;  // stream of the bytes that belong to no tensor, in order
  std::vector<QstoreSegment> segments;    // what is left of the literals comes last
};

enum class QstoreSource : std::uint8_t { kFiles = 0, kSafetensors = 1, kGguf = 2 };

/// One precision of the model: the files of its checkpoint.
struct QstoreLevel {
  std::string_view name;
  QstoreSource source = QstoreSource::kFiles;
  bool single_file = false;  // the source was a file, not a folder
  bool computed = false;     // the files with weights were made with the container
  std::vector<QstoreFile> files;
};

/// Another container that this one cannot be read without.
struct QstoreBase {
  std::string_view name;  // of its file, looked for beside this one
  QstoreDigest digest;    // of the text of its index
};

struct QstoreIndex {
  std::optional<QstoreBase> base;
  std::vector<QstoreLevel> levels;  // from high to low precision
  std::vector<QstoreStream> streams;
};

/// Whether a file that begins like this is a container.
bool is_qstore_magic(std::span<const std::byte, kQstoreMagicBytes> first);
/// 64 bytes; the checksums are made here.
std::vector<std::byte> qstore_header(const QstoreHeader& header);
/// Reads and checks the header, the file's own length included.
/// Throws kTruncated, kBadMagic, kCorrupt, kBadVersion, kLimit, kTrailing, kBadOffset.
QstoreHeader read_qstore_header(const File& file);

/// The index as text of the newest version, before compression. Block offsets are left out: blocks
/// follow each other from the header on in the order of streams and blocks.
std::vector<std::byte> qstore_index_text(const QstoreIndex& index);
/// Text as it is stored.
std::vector<std::byte> pack_qstore_index(std::span<const std::byte> text);
/// Its decoded text. Throws kCorrupt (checksum, compression) and kLimit.
std::vector<std::byte> read_qstore_index(const File& file, const QstoreHeader& header);
/// Parses decoded text, which must outlive the result (names point into it). Throws kBadSchema,
/// kTruncated, kLimit, kPath, kDuplicate, kHole, kOverflow, naming `path`.
QstoreIndex parse_qstore_index(std::span<const std::byte> text, const QstoreHeader& header,
                               const std::string& path);

/// Of a block's stored bytes: it also says which block of which stream of which level they are.
std::uint64_t block_checksum(std::span<const std::byte> stored, std::uint32_t level,
                             std::uint32_t stream, std::uint64_t block);
std::uint64_t plain_checksum(std::span<const std::byte> bytes);

/// What every file and level name must be: a single name of 1 to 255 bytes that is not "." or ".."
/// and has no '/', '\' or zero byte.
bool is_safe_file_name(std::string_view name);
/// The name as file systems that ignore case compare it (Unicode case folding; ASCII's where the
/// name is not UTF-8).
std::string folded_name(std::string_view name);

}  // namespace qi
