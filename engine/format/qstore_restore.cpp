#include "engine/format/qstore_restore.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "engine/format/ordered_work.h"
#include "engine/format/qstore_digest.h"
#include "engine/io/atomic_file.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

// Files that threads have to themselves: each takes descriptors.
constexpr std::size_t kMostOpen = 64;
// A thread for less is not worth its start.
constexpr std::uint64_t kBytesOfThread = 256 << 10;

/// A block of a stream, or as much of it as goes into the file.
struct Piece {
  std::uint32_t stream = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::uint64_t to = 0;  // from the end of the file's header
  bool ends_its_part = false;
};

/// A file that is being written: its pieces are taken, hashed and counted in order, and written in
/// any. What changes is guarded by the work's mutex, but for the digest: that is whose turn it is.
class OpenFile {
 public:
  OpenFile(const RestoredFile& file, std::size_t number)
      : file_(file), number_(number), bytes_(file.part_bytes()), out_(file.path, {}) {
    out_.reserve(file.header.size() + bytes_);
    out_.write(file.header);
    start_ = out_.claim(bytes_);
  }

  const RestoredFile& file() const { return file_; }
  std::size_t number() const { return number_; }
  AtomicFile& out() { return out_; }
  std::uint64_t start() const { return start_; }

  // An empty file has one piece, too.
  bool has_more() const { return taken_ < bytes_ || !begun_; }
  std::uint64_t left() const { return bytes_ - taken_; }
  std::uint64_t taken() const { return taken_; }

  Piece take(const QstoreIndex& index) {
    begun_ = true;
    Piece piece;
    piece.to = taken_;
    while (part_ < file_.parts.size() && inside_ == file_.parts[part_].bytes) {
      ++part_;
      inside_ = 0;
    }
    if (part_ == file_.parts.size()) return piece;
    const StreamPart& part = file_.parts[part_];
    const std::uint64_t unit = index.streams[part.stream].unit_bytes;
    piece.stream = part.stream;
    piece.offset = part.offset + inside_;
    piece.bytes = std::min(part.bytes - inside_, unit - piece.offset % unit);
    inside_ += piece.bytes;
    taken_ += piece.bytes;
    piece.ends_its_part = inside_ == part.bytes;
    return piece;
  }

  bool is_whole() const { return written == bytes_; }

  unsigned threads = 0;  // that have a piece of it now
  std::uint64_t hashed = 0;
  std::uint64_t written = 0;
  DigestState digest;

 private:
  const RestoredFile& file_;
  const std::size_t number_;
  const std::uint64_t bytes_;
  AtomicFile out_;
  std::uint64_t start_ = 0;
  std::uint64_t taken_ = 0;
  bool begun_ = false;
  std::size_t part_ = 0;
  std::uint64_t inside_ = 0;  // of the part
};

class Restoring {
 public:
  Restoring(const QstoreContainer& container, const std::vector<RestoredFile>& files,
            const DecodeOptions& options)
      : container_(container), options_(options), files_(files), waiting_(files.size()) {
    for (const RestoredFile& file : files) {
      total_ = checked_add(total_, file.part_bytes()).value_or(UINT64_MAX);
    }
    waiting_bytes_ = total_;
    // The largest first: no thread begins a large file when the others have ended.
    for (std::size_t i = 0; i < files.size(); ++i) waiting_[i] = i;
    std::stable_sort(waiting_.begin(), waiting_.end(), [&](std::size_t a, std::size_t b) {
      return files[a].part_bytes() > files[b].part_bytes();
    });
    threads_ = static_cast<unsigned>(std::min<std::uint64_t>(
        thread_count(options.threads), files.size() + total_ / kBytesOfThread));
    open_wanted_ = has_chains() ? 1 : std::min<std::size_t>(threads_, kMostOpen);
  }

  DecodeResult run() {
    std::vector<std::thread> others;
    try {
      for (unsigned i = 1; i < threads_; ++i) others.emplace_back([this] { work(); });
    } catch (...) {
      fail({}, std::current_exception());
    }
    work();
    for (std::thread& other : others) other.join();
    if (cancelled_) return {.files = 0, .bytes = 0, .cancelled = true};
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    return result_;
  }

 private:
  /// A byte among all of them: what one thread would come to first is less.
  using Place = std::pair<std::size_t, std::uint64_t>;
  static constexpr Place kNowhere{SIZE_MAX, UINT64_MAX};

  void work() {
    try {
      QstoreReader reader(container_);
      Buffer bytes;
      Piece piece;
      while (OpenFile* file = take(piece)) {
        const Place place{file->number(), piece.to};  // another thread may finish the file
        try {
          restore(*file, piece, reader, bytes);
        } catch (...) {
          fail(place, std::current_exception());
        }
      }
    } catch (...) {
      fail({}, std::current_exception());
    }
  }

  void restore(OpenFile& file, const Piece& piece, QstoreReader& reader, Buffer& bytes) {
    bytes.resize(std::max(bytes.size(), static_cast<std::size_t>(piece.bytes)));
    const std::span<std::byte> decoded =
        std::span(bytes).first(static_cast<std::size_t>(piece.bytes));
    if (piece.bytes != 0) reader.read(piece.stream, piece.offset, decoded);
    if (!await_turn(file, piece)) return;
    hash(file, piece, decoded);
    pass_turn(file, piece);
    file.out().put_at(file.start() + piece.to, decoded);
    if (count(file, piece)) finish(file);
  }

  // ---- which piece next ----

  // The file a piece was taken from; null: there is nothing left for this thread to do.
  OpenFile* take(Piece& piece) {
    const std::lock_guard lock(mutex_);
    if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
      cancelled_ = true;
      turn_.notify_all();
    }
    if (cancelled_) return nullptr;
    while (next_ < waiting_.size() && is_time_for_another()) open_next();
    OpenFile* best = nullptr;
    for (OpenFile& file : open_) {
      if (!has_work(file)) continue;
      if (best == nullptr ||
          std::pair(best->threads, file.left()) > std::pair(file.threads, best->left())) {
        best = &file;
      }
    }
    if (best == nullptr) return nullptr;
    piece = best->take(container_.index());
    ++best->threads;
    return best;
  }

  bool has_work(const OpenFile& file) const {
    return file.has_more() && !is_given_up({file.number(), file.taken()});
  }

  // Chains stand on whole matrices in memory: those of one file are enough.
  bool has_chains() const {
    const auto& streams = container_.index().streams;
    return std::any_of(files_.begin(), files_.end(), [&](const RestoredFile& file) {
      return std::any_of(file.parts.begin(), file.parts.end(), [&](const StreamPart& part) {
        return streams[part.stream].method == QstoreMethod::kChain;
      });
    });
  }

  // A file for each thread; and one that is larger than a thread's share of what is left: if it
  // waited, all would have to write it together at the end.
  bool is_time_for_another() const {
    const auto open = static_cast<std::size_t>(std::count_if(
        open_.begin(), open_.end(), [&](const OpenFile& file) { return has_work(file); }));
    if (open < open_wanted_) return true;
    return open + 1 < 2 * open_wanted_ &&
           files_[waiting_[next_]].part_bytes() > waiting_bytes_ / threads_;
  }

  void open_next() {
    const std::size_t number = waiting_[next_++];
    waiting_bytes_ -= files_[number].part_bytes();
    if (is_given_up({number, 0})) return;
    try {
      open_.emplace_back(files_[number], number);
    } catch (...) {
      fail_locked({number, 0}, std::current_exception());
    }
  }

  // ---- what becomes of it ----

  bool await_turn(const OpenFile& file, const Piece& piece) {
    const auto has_ended = [&] { return cancelled_ || is_given_up({file.number(), piece.to}); };
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return file.hashed == piece.to || has_ended(); });
    return !has_ended();
  }

  void pass_turn(OpenFile& file, const Piece& piece) {
    const std::lock_guard lock(mutex_);
    file.hashed += piece.bytes;
    turn_.notify_all();
  }

  void hash(OpenFile& file, const Piece& piece, std::span<const std::byte> bytes) {
    file.digest.add(bytes);
    if (file.file().digest || !piece.ends_its_part) return;
    const QstoreStream& stream = container_.index().streams[piece.stream];
    if (!(file.digest.value() == stream.digest)) {
      throw Error(ErrorCode::kCorrupt,
                  fmt::format("digest of {} is wrong", container_.subject(piece.stream).text()), {},
                  container_.file().path(),
                  stream.blocks.empty() ? 0 : stream.blocks.front().offset);
    }
    file.digest.reset();
  }

  // True if it was the last one.
  bool count(OpenFile& file, const Piece& piece) {
    const std::lock_guard lock(mutex_);
    --file.threads;
    file.written += piece.bytes;
    done_ += piece.bytes;
    if (options_.progress) options_.progress(done_, total_);
    return file.is_whole();
  }

  void finish(OpenFile& file) {
    const auto& digest = file.file().digest;
    if (digest && !(file.digest.value() == *digest)) {
      throw Error(ErrorCode::kCorrupt, fmt::format("digest of file {} is wrong", file.file().name),
                  {}, container_.file().path(), container_.header().index_offset);
    }
    container_.file().check_unchanged();
    file.out().commit();
    const std::lock_guard lock(mutex_);
    ++result_.files;
    result_.bytes += file.out().size();
    open_.remove_if([&](const OpenFile& open) { return &open == &file; });
  }

  // ---- the first failure in order counts and ends what comes after it; one of no file, all ----

  bool is_given_up(const Place& place) const { return failed_at_ < place; }

  void fail(const Place& place, std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    fail_locked(place, std::move(failure));
  }

  void fail_locked(const Place& place, std::exception_ptr failure) {
    if (failed_at_ <= place) return;
    failed_at_ = place;
    failure_ = std::move(failure);
    turn_.notify_all();
  }

  const QstoreContainer& container_;
  const DecodeOptions& options_;
  const std::vector<RestoredFile>& files_;
  unsigned threads_ = 1;
  std::size_t open_wanted_ = 1;
  std::uint64_t total_ = 0;

  std::mutex mutex_;  // guards all below
  std::condition_variable turn_;
  std::vector<std::size_t> waiting_;  // files, from next_ on not begun
  std::size_t next_ = 0;
  std::uint64_t waiting_bytes_ = 0;
  std::list<OpenFile> open_;
  std::uint64_t done_ = 0;
  DecodeResult result_;
  bool cancelled_ = false;
  Place failed_at_ = kNowhere;
  std::exception_ptr failure_;
};

}  // namespace

std::uint64_t RestoredFile::part_bytes() const {
  std::uint64_t sum = 0;
  for (const StreamPart& part : parts) sum = checked_add(sum, part.bytes).value_or(UINT64_MAX);
  return sum;
}

DecodeResult restore_files(const QstoreContainer& container, const std::vector<RestoredFile>& files,
                           const DecodeOptions& options) {
  return Restoring(container, files, options).run();
}

}  // namespace qi
