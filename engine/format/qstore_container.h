// A QStore container opened for reading: header and index checked, blocks decoded when asked for,
// and the files of each level as if they lay on the disk. Refuses a block whose checksum is wrong
// before its bytes reach a decoder. A container is immutable and may be shared between threads; a
// reader belongs to one thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/format/qstore_blocks.h"
#include "engine/format/qstore_format.h"
#include "engine/io/file.h"

namespace qi {

class BlockCache;
class QstoreReader;

/// A stream that chains stand on, decoded by all threads that ask for it and shared among them.
struct WholeStream {
  std::uint32_t stream = 0;
  bool checked = true;
  Buffer bytes;
  std::atomic<std::uint64_t> next_block = 0;  // that nobody has begun
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t finished = 0;  // blocks
  std::exception_ptr error;    // of the lowest block that failed
  std::uint64_t failed_block = UINT64_MAX;
};

class QstoreContainer : public std::enable_shared_from_this<QstoreContainer> {
 public:
  /// Reads header and index. Throws as read_qstore_header() and parse_qstore_index(). `base` is the
  /// path of the container it stands on; empty: the one of that name in the same folder.
  static std::shared_ptr<const QstoreContainer> open(std::shared_ptr<const File> file,
                                                     std::string base = {});
  ~QstoreContainer();

  const File& file() const { return *file_; }
  const QstoreHeader& header() const { return header_; }
  const QstoreIndex& index() const { return index_; }
  /// XXH3-128 of the index: what containers that stand on this one know it by.
  QstoreDigest digest() const;
  /// The container this one stands on, opened when first asked for. Throws kMissing, kInconsistent
  /// (another one), and what opening it throws.
  const QstoreContainer& base() const;

  /// What a stream holds, for messages: a tensor's name, or a file's for bytes of no tensor.
  struct Subject {
    std::string_view level;
    std::string_view file;
    std::string_view tensor;  // empty: bytes of `file` that belong to no tensor
    std::string text() const;
  };
  /// Of several tensors with the same bytes the first.
  const Subject& subject(std::uint32_t stream) const;

  /// A file of a level, decoded as it is read. Named "CONTAINER/LEVEL/NAME" in errors.
  std::shared_ptr<const File> open_file(std::uint32_t level, std::uint32_t file) const;

  /// The stored bytes of a block, checked against their checksum; valid until `scratch` changes.
  /// Throws kCorrupt naming tensor, block and byte.
  std::span<const std::byte> stored(std::uint32_t stream, std::uint64_t block, Buffer& scratch,
                                    bool check = true) const;
  [[noreturn]] void fail_block(std::uint32_t stream, std::uint64_t block, const Error& error) const;

  /// The stream in memory, perhaps not decoded yet; those used last are kept.
  std::shared_ptr<WholeStream> whole(std::uint32_t stream, bool checked) const;

  /// Fills `out` from byte `offset` of a stream on. Blocks that are not asked for whole are kept
  /// decoded, the 64 MiB used last.
  void read(std::uint32_t stream, std::uint64_t offset, std::span<std::byte> out) const;

 private:
  QstoreContainer(std::shared_ptr<const File> file, std::string base);
  void decode(std::uint32_t stream, std::uint64_t block, std::span<std::byte> out) const;

  std::shared_ptr<const File> file_;
  QstoreHeader header_;
  std::vector<std::byte> text_;  // names of the index point into it
  QstoreIndex index_;
  std::string base_path_;
  mutable std::mutex base_mutex_;
  mutable std::shared_ptr<const QstoreContainer> base_;
  mutable std::once_flag subjects_once_;
  mutable std::vector<Subject> subjects_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<QstoreReader>> idle_;
  std::unique_ptr<BlockCache> decoded_;  // has a lock of its own
  mutable std::mutex wholes_mutex_;
  mutable std::list<std::shared_ptr<WholeStream>> wholes_;  // the last used first
};

class QstoreReader {
 public:
  /// `container` must outlive the reader. `check`: checksums are looked at (tests turn it off).
  explicit QstoreReader(const QstoreContainer& container, bool check = true)
      : container_(container), check_(check) {}

  /// Decodes a whole block of stream.block_bytes(block) bytes.
  void read_block(std::uint32_t stream, std::uint64_t block, std::span<std::byte> out);
  /// Bytes from `offset` on; the blocks decoded last are kept.
  void read(std::uint32_t stream, std::uint64_t offset, std::span<std::byte> out);

 private:
  struct Kept {
    std::uint32_t stream = UINT32_MAX;
    std::uint64_t block = 0;
    std::uint64_t used = 0;  // a clock: the least is replaced
    Buffer bytes;
  };
  bool holds(std::uint32_t stream, std::uint64_t block) const;
  const Buffer& decoded(std::uint32_t stream, std::uint64_t block);
  BlockGiven given_for(const QstoreStream& stream, std::uint64_t block);
  BlockGiven given_for_chain(const QstoreStream& stream, std::uint64_t block);
  std::span<const std::byte> whole(std::uint32_t stream);
  void add_base(const QstoreStream& stream, std::uint64_t block, std::span<std::byte> out);

  static constexpr std::size_t kKept = 4;
  const QstoreContainer& container_;
  const bool check_;
  BlockDecoder decoder_;
  Buffer scratch_;
  std::array<Kept, kKept> kept_;
  std::uint64_t clock_ = 0;
  std::uint32_t scales_stream_ = UINT32_MAX;
  Buffer scales_;
  std::unique_ptr<QstoreReader> base_reader_;
  Buffer base_bytes_;
  std::vector<std::shared_ptr<WholeStream>> wholes_;  // in use
};

}  // namespace qi
