#include "engine/format/qstore_container.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <xxhash.h>

#include "engine/format/qstore_cache.h"
#include "engine/format/qstore_digest.h"

namespace qi {
namespace {

constexpr std::size_t kMaxIdle = 64;
constexpr std::uint64_t kDecodedBytes = std::uint64_t{64} << 20;

// Calls use(block, skip, part of `out`) for the blocks that bytes from `offset` on lie in.
template <typename Use>
void for_each_block(const QstoreStream& stream, std::uint64_t offset, std::span<std::byte> out,
                    const Use& use) {
  while (!out.empty()) {
    const std::uint64_t block = offset / stream.unit_bytes;
    const std::uint64_t skip = offset % stream.unit_bytes;
    const std::uint64_t there = stream.block_bytes(block) - skip;
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), there));
    use(block, static_cast<std::size_t>(skip), out.first(bytes));
    out = out.subspan(bytes);
    offset += bytes;
  }
}

// A file of a level: pieces of streams, one after the other.
class LevelFile : public FileContent {
 public:
  LevelFile(std::shared_ptr<const QstoreContainer> container, const QstoreFile& file)
      : container_(std::move(container)) {
    std::uint64_t literal = 0;
    std::uint64_t end = 0;
    const auto put = [&](std::uint32_t stream, std::uint64_t offset, std::uint64_t bytes) {
      if (bytes == 0) return;
      pieces_.push_back({end, stream, offset});
      end += bytes;
    };
    for (const QstoreSegment& segment : file.segments) {
      put(file.literals.value_or(0), literal, segment.literal_bytes);
      literal += segment.literal_bytes;
      put(segment.stream, 0, container_->index().streams[segment.stream].size_bytes);
    }
    put(file.literals.value_or(0), literal, file.size_bytes - end);
    end_ = end;
  }

  void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    auto piece = std::upper_bound(
        pieces_.begin(), pieces_.end(), offset,
        [](std::uint64_t at, const Piece& candidate) { return at < candidate.begin; });
    for (--piece; !out.empty(); ++piece) {
      const std::uint64_t end = piece + 1 == pieces_.end() ? end_ : (piece + 1)->begin;
      const auto bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), end - offset));
      container_->read(piece->stream, piece->offset + (offset - piece->begin), out.first(bytes));
      out = out.subspan(bytes);
      offset += bytes;
    }
  }

  void check_unchanged() const override { container_->file().check_unchanged(); }

 private:
  struct Piece {
    std::uint64_t begin;  // in the file
    std::uint32_t stream;
    std::uint64_t offset;  // in the stream
  };
  std::shared_ptr<const QstoreContainer> container_;
  std::vector<Piece> pieces_;
  std::uint64_t end_ = 0;
};

}  // namespace

// ---- container ----------------------------------------------------------------------------------

std::shared_ptr<const QstoreContainer> QstoreContainer::open(std::shared_ptr<const File> file,
                                                             std::string base) {
  return std::shared_ptr<const QstoreContainer>(
      new QstoreContainer(std::move(file), std::move(base)));
}

QstoreContainer::QstoreContainer(std::shared_ptr<const File> file, std::string base)
    : file_(std::move(file)),
      header_(read_qstore_header(*file_)),
      text_(read_qstore_index(*file_, header_)),
      index_(parse_qstore_index(text_, header_, file_->path())),
      base_path_(std::move(base)),
      decoded_(std::make_unique<BlockCache>(kDecodedBytes)) {}

QstoreContainer::~QstoreContainer() = default;

QstoreDigest QstoreContainer::digest() const {
  DigestState state;
  state.add(text_);
  return state.value();
}

const QstoreContainer& QstoreContainer::base() const {
  const std::lock_guard lock(base_mutex_);
  if (base_ != nullptr) return *base_;
  std::string path = base_path_;
  if (path.empty()) {
    path = file_->path();
    path.resize(path.rfind('/') + 1);  // all of it goes where there is no folder
    path += index_.base->name;
  }
  // A base's digest is part of what the digest above it covers: there are no circles.
  auto opened = open(File::open(path, ErrorCode::kMissing));
  if (!(opened->digest() == index_.base->digest)) {
    throw Error(ErrorCode::kInconsistent, fmt::format("is not the base of {}", file_->path()),
                "the container it was encoded against", path);
  }
  base_ = std::move(opened);
  return *base_;
}

std::string QstoreContainer::Subject::text() const {
  return tensor.empty() ? fmt::format("{}/{}", level, file)
                        : fmt::format("{} of {}", tensor, level);
}

const QstoreContainer::Subject& QstoreContainer::subject(std::uint32_t stream) const {
  std::call_once(subjects_once_, [this] {
    subjects_.resize(index_.streams.size());
    const auto set = [this](std::uint32_t number, const Subject& subject) {
      if (subjects_[number].level.empty()) subjects_[number] = subject;
    };
    for (const QstoreLevel& level : index_.levels) {
      for (const QstoreFile& file : level.files) {
        if (file.literals) set(*file.literals, {level.name, file.name, {}});
        for (const QstoreSegment& segment : file.segments) {
          set(segment.stream, {level.name, file.name, segment.name});
        }
      }
    }
  });
  return subjects_[stream];
}

std::shared_ptr<const File> QstoreContainer::open_file(std::uint32_t level,
                                                       std::uint32_t file) const {
  const QstoreLevel& of = index_.levels[level];
  const QstoreFile& entry = of.files[file];
  // A file of its own for everybody who tells files apart: the container's state, and which one.
  FileIdentity identity = file_->identity();
  const std::array<std::uint64_t, 3> place = {identity.inode, level, file};
  identity.inode = XXH3_64bits(place.data(), sizeof place);
  identity.size_bytes = entry.size_bytes;
  return File::of_content(fmt::format("{}/{}/{}", file_->path(), of.name, entry.name), identity,
                          std::make_shared<LevelFile>(shared_from_this(), entry));
}

void QstoreContainer::fail_block(std::uint32_t stream, std::uint64_t block,
                                 const Error& error) const {
  throw Error(error.code,
              fmt::format("block {} of {}: {}", block, subject(stream).text(), error.message),
              error.expected, file_->path(), index_.streams[stream].blocks[block].offset);
}

std::span<const std::byte> QstoreContainer::stored(std::uint32_t stream, std::uint64_t block,
                                                   Buffer& scratch, bool check) const {
  const QstoreStream& of = index_.streams[stream];
  const QstoreBlock& entry = of.blocks[block];
  const auto bytes =
      file_->bytes(entry.offset, static_cast<std::size_t>(entry.stored_bytes), scratch);
  if (check && block_checksum(bytes, of.level, stream, block) != entry.checksum) {
    file_->check();  // a page that could not be read is no damage of the file's
    fail_block(
        stream, block,
        Error(ErrorCode::kCorrupt, "checksum is wrong", fmt::format("{:016x}", entry.checksum)));
  }
  return bytes;
}

std::shared_ptr<WholeStream> QstoreContainer::whole(std::uint32_t stream, bool checked) const {
  // What the chains of a matrix stand on is all kept, of others as much as is no burden.
  constexpr std::size_t kAlwaysKept = 8;
  constexpr std::uint64_t kKeptBytes = std::uint64_t{128} << 20;
  const std::lock_guard lock(wholes_mutex_);
  const auto found = std::find_if(wholes_.begin(), wholes_.end(), [&](const auto& entry) {
    return entry->stream == stream && entry->checked == checked;
  });
  if (found != wholes_.end()) {
    wholes_.splice(wholes_.begin(), wholes_, found);
    return wholes_.front();
  }
  auto entry = std::make_shared<WholeStream>();
  entry->stream = stream;
  entry->checked = checked;
  entry->bytes.resize(static_cast<std::size_t>(index_.streams[stream].size_bytes));
  wholes_.push_front(entry);
  std::uint64_t bytes = 0;
  for (const auto& kept : wholes_) bytes += kept->bytes.size();
  while (wholes_.size() > kAlwaysKept && bytes > kKeptBytes) {
    bytes -= wholes_.back()->bytes.size();
    wholes_.pop_back();
  }
  return entry;
}

void QstoreContainer::read(std::uint32_t stream, std::uint64_t offset,
                           std::span<std::byte> out) const {
  const QstoreStream& of = index_.streams[stream];
  for_each_block(
      of, offset, out, [&](std::uint64_t block, std::size_t skip, std::span<std::byte> part) {
        const auto size = static_cast<std::size_t>(of.block_bytes(block));
        if (part.size() == size && !decoded_->has({stream, block})) {
          return decode(stream, block, part);  // who reads on will not come back soon
        }
        const auto bytes = decoded_->get(
            {stream, block}, size, [&](std::span<std::byte> all) { decode(stream, block, all); });
        std::memcpy(part.data(), bytes->data() + skip, part.size());
      });
}

// With a reader that no thread uses right now.
void QstoreContainer::decode(std::uint32_t stream, std::uint64_t block,
                             std::span<std::byte> out) const {
  std::unique_ptr<QstoreReader> reader;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      reader = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (reader == nullptr) reader = std::make_unique<QstoreReader>(*this);
  reader->read_block(stream, block, out);
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(reader));
}

// ---- reader -------------------------------------------------------------------------------------

// Blocks that nobody has begun are decoded here; others' are waited for. What a chain stands on
// lies in levels below it, so nobody waits for who waits for him.
std::span<const std::byte> QstoreReader::whole(std::uint32_t number) {
  const std::shared_ptr<WholeStream> entry = container_.whole(number, check_);
  const QstoreStream& stream = container_.index().streams[number];
  const std::uint64_t blocks = stream.blocks.size();
  for (std::uint64_t block; (block = entry->next_block++) < blocks;) {
    std::exception_ptr error;
    try {
      read_block(number, block,
                 std::span(entry->bytes)
                     .subspan(static_cast<std::size_t>(block * stream.unit_bytes),
                              static_cast<std::size_t>(stream.block_bytes(block))));
    } catch (...) {
      error = std::current_exception();
    }
    const std::lock_guard lock(entry->mutex);
    if (error != nullptr && block < entry->failed_block) {
      entry->failed_block = block;
      entry->error = error;
    }
    if (++entry->finished == blocks) entry->changed.notify_all();
  }
  std::unique_lock lock(entry->mutex);
  entry->changed.wait(lock, [&] { return entry->finished == blocks; });
  if (entry->error != nullptr) std::rethrow_exception(entry->error);
  wholes_.push_back(entry);
  return entry->bytes;
}

BlockGiven QstoreReader::given_for_chain(const QstoreStream& stream, std::uint64_t block) {
  return {
      {}, {}, chain_bytes(stream.chain, block * stream.unit_bytes, [this](std::uint32_t number) {
        return whole(number);
      })};
}

BlockGiven QstoreReader::given_for(const QstoreStream& stream, std::uint64_t block) {
  if (stream.method == QstoreMethod::kChain) return given_for_chain(stream, block);
  if (stream.method != QstoreMethod::kPair) return {};
  const QstorePairing& pairing = stream.pairing;
  if (scales_stream_ != pairing.scales) {
    scales_stream_ = UINT32_MAX;
    scales_.resize(static_cast<std::size_t>(container_.index().streams[pairing.scales].size_bytes));
    read(pairing.scales, 0, scales_);
    scales_stream_ = pairing.scales;
  }
  const std::uint64_t row_bytes = 2 * pairing.cols;
  const auto first = static_cast<std::size_t>(block * stream.unit_bytes / row_bytes);
  const auto rows = static_cast<std::size_t>(stream.block_bytes(block) / row_bytes);
  return {decoded(pairing.codes, block), std::span(scales_).subspan(4 * first, 4 * rows), {}};
}

// What a block stands on is held while it is decoded.
struct ReleaseWholes {
  std::vector<std::shared_ptr<WholeStream>>& wholes;
  std::size_t held;
  ~ReleaseWholes() { wholes.resize(held); }
};

void QstoreReader::read_block(std::uint32_t stream, std::uint64_t block, std::span<std::byte> out) {
  const QstoreStream& of = container_.index().streams[stream];
  const ReleaseWholes release{wholes_, wholes_.size()};
  const BlockGiven given = given_for(of, block);
  const auto stored = container_.stored(stream, block, scratch_, check_);
  try {
    decoder_.decode(of, stream, stored, given, out);
  } catch (const Error& error) {
    container_.file().check();
    container_.fail_block(stream, block, error);
  }
  if (of.base) add_base(of, block, out);
  container_.file().check();
}

void QstoreReader::add_base(const QstoreStream& stream, std::uint64_t block,
                            std::span<std::byte> out) {
  const QstoreContainer& base = container_.base();
  const auto& streams = base.index().streams;
  if (*stream.base >= streams.size() || streams[*stream.base].size_bytes != stream.size_bytes) {
    throw Error(ErrorCode::kInconsistent, fmt::format("has no stream {} that fits", *stream.base),
                "the container it was encoded against", base.file().path());
  }
  if (base_reader_ == nullptr) base_reader_ = std::make_unique<QstoreReader>(base, check_);
  base_bytes_.resize(out.size());
  base_reader_->read(*stream.base, block * stream.unit_bytes, base_bytes_);
  xor_bytes(base_bytes_, out);
}

bool QstoreReader::holds(std::uint32_t stream, std::uint64_t block) const {
  return std::any_of(kept_.begin(), kept_.end(), [&](const Kept& kept) {
    return kept.stream == stream && kept.block == block;
  });
}

const Buffer& QstoreReader::decoded(std::uint32_t stream, std::uint64_t block) {
  for (Kept& kept : kept_) {
    if (kept.stream != stream || kept.block != block) continue;
    kept.used = ++clock_;
    return kept.bytes;
  }
  Kept& place = *std::min_element(kept_.begin(), kept_.end(),
                                  [](const Kept& a, const Kept& b) { return a.used < b.used; });
  place.stream = UINT32_MAX;  // until it holds the block: decoding may throw
  // The codes that this block may stand on must not take the same place.
  place.used = ++clock_;
  place.bytes.resize(
      static_cast<std::size_t>(container_.index().streams[stream].block_bytes(block)));
  read_block(stream, block, place.bytes);
  place.stream = stream;
  place.block = block;
  return place.bytes;
}

void QstoreReader::read(std::uint32_t stream, std::uint64_t offset, std::span<std::byte> out) {
  const QstoreStream& of = container_.index().streams[stream];
  for_each_block(of, offset, out,
                 [&](std::uint64_t block, std::size_t skip, std::span<std::byte> part) {
                   if (part.size() == of.block_bytes(block) && !holds(stream, block)) {
                     return read_block(stream, block, part);
                   }
                   std::memcpy(part.data(), decoded(stream, block).data() + skip, part.size());
                 });
}

}  // namespace qi
