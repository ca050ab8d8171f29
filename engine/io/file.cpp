#include "engine/io/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "engine/io/checked.h"

namespace qi {
namespace {

// The handler may touch nothing but this table: a fixed array of atomics. A slot is taken by
// setting `begin`; `fault` holds 1 + the byte offset of the first unreadable page.
struct MappingSlot {
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::size_t> length{0};
  std::atomic<std::uint64_t> fault{0};
};
constexpr std::size_t kSlots = 4096;  // the largest checkpoints have about a thousand shards
std::array<MappingSlot, kSlots> g_slots;
struct sigaction g_previous {};
std::atomic<bool> g_mapping_disabled{false};
std::atomic<std::size_t> g_page_bytes{4096};

// Pages that were read stay resident until the kernel wants them back, which it seldom does: a pass
// over 20 GB would look as if it needed 20 GB. So all mappings let go of their pages after each
// kResidentBytes handed out; whoever still reads one finds it in the page cache.
constexpr std::uint64_t kResidentBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kAroundBytes = std::uint64_t{16} << 10;  // the kernel maps neighbours too
std::atomic<std::uint64_t> g_handed_out{0};
std::mutex g_unmap_mutex;  // no range is let go of while it is unmapped, and perhaps mapped anew

void on_sigbus(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const std::uintptr_t page = g_page_bytes.load(std::memory_order_relaxed);
  for (MappingSlot& slot : g_slots) {
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    const std::size_t length = slot.length.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address - begin >= length) continue;
    const std::uintptr_t start = address & ~(page - 1);
    const int saved_errno = errno;
    // mmap is a plain system call on Linux, safe here though POSIX does not list it.
    // Remembered first: another thread may read the zeros as soon as the page is there.
    std::uint64_t none = 0;
    slot.fault.compare_exchange_strong(none, start - begin + 1);
    void* patched = mmap(reinterpret_cast<void*>(start), page, PROT_READ,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    errno = saved_errno;
    if (patched == MAP_FAILED) break;
    return;
  }
  if (g_previous.sa_flags & SA_SIGINFO) {
    if (g_previous.sa_sigaction != nullptr) return g_previous.sa_sigaction(signal, info, context);
  } else if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    return g_previous.sa_handler(signal);
  }
  ::signal(SIGBUS, SIG_DFL);
  raise(SIGBUS);
}

int register_mapping(const void* begin, std::size_t length) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    std::uintptr_t free = 0;
    if (g_slots[i].begin.compare_exchange_strong(free, 1)) {
      g_slots[i].fault = 0;
      g_slots[i].length.store(length, std::memory_order_release);
      g_slots[i].begin.store(reinterpret_cast<std::uintptr_t>(begin), std::memory_order_release);
      return static_cast<int>(i);
    }
  }
  return -1;
}

void unregister_mapping(int slot) {
  MappingSlot& s = g_slots[static_cast<std::size_t>(slot)];
  s.length.store(0, std::memory_order_release);
  s.begin.store(0, std::memory_order_release);
}

void let_go_of_pages() {
  const std::lock_guard lock(g_unmap_mutex);
  for (const MappingSlot& slot : g_slots) {
    const std::size_t length = slot.length.load(std::memory_order_acquire);
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin > 1 && length > 0) madvise(reinterpret_cast<void*>(begin), length, MADV_DONTNEED);
  }
}

void count_handed_out(std::uint64_t bytes) {
  bytes += kAroundBytes;
  if (g_handed_out.fetch_add(bytes, std::memory_order_relaxed) + bytes < kResidentBytes) return;
  g_handed_out.store(0, std::memory_order_relaxed);
  let_go_of_pages();
}

FileIdentity identity_of(const struct stat& st) {
  return {static_cast<std::uint64_t>(st.st_dev), static_cast<std::uint64_t>(st.st_ino),
          static_cast<std::uint64_t>(st.st_size),
          static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec};
}

[[noreturn]] void throw_changed(const std::string& path, std::uint64_t offset) {
  throw Error(ErrorCode::kChanged, "shrank or became unreadable while being read", {}, path,
              offset);
}

}  // namespace

void set_mapping_disabled_for_testing(bool disabled) {
  g_mapping_disabled = disabled;
}

void install_sigbus_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    g_page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &g_previous);
  });
}

std::shared_ptr<const File> File::open(const std::string& path, ErrorCode absent) {
  // O_NONBLOCK: a FIFO must not hang the program before fstat() can refuse it; O_NOCTTY: nor a
  // terminal become ours.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) {
    const int reason = errno;
    if (reason == ELOOP || reason == ENXIO) {
      throw Error(ErrorCode::kNotRegular, fmt::format("cannot open: {}", std::strerror(reason)),
                  "a plain file", path);
    }
    throw Error(reason == ENOENT || reason == ENOTDIR ? absent : ErrorCode::kIo,
                fmt::format("cannot open: {}", std::strerror(reason)), {}, path);
  }
  struct stat st {};
  if (fstat(fd, &st) != 0) {
    const int reason = errno;
    ::close(fd);
    throw Error(ErrorCode::kIo, fmt::format("cannot stat: {}", std::strerror(reason)), {}, path);
  }
  if (!S_ISREG(st.st_mode)) {
    ::close(fd);
    throw Error(ErrorCode::kNotRegular, "not a plain file", "a plain file", path);
  }
  return std::shared_ptr<const File>(new File(path, fd, identity_of(st)));
}

std::shared_ptr<const File> File::of_content(std::string path, const FileIdentity& identity,
                                             std::shared_ptr<const FileContent> content) {
  std::shared_ptr<File> file(new File(std::move(path), -1, identity));
  file->content_ = std::move(content);
  return file;
}

File::File(std::string path, int fd, FileIdentity identity)
    : path_(std::move(path)), fd_(fd), identity_(identity) {}

File::~File() {
  if (map_ != nullptr) {
    const std::lock_guard lock(g_unmap_mutex);
    unregister_mapping(slot_);
    munmap(const_cast<std::byte*>(map_), identity_.size_bytes);
  }
  if (fd_ >= 0) ::close(fd_);
}

const std::byte* File::mapping() const {
  if (content_ != nullptr) return nullptr;
  std::call_once(map_once_, [this] {
    if (g_mapping_disabled || size() == 0) return;
    install_sigbus_handler();
    void* map = mmap(nullptr, size(), PROT_READ, MAP_SHARED, fd_, 0);
    if (map == MAP_FAILED) return;
    slot_ = register_mapping(map, size());
    if (slot_ < 0) {
      munmap(map, size());
      return;
    }
    map_ = static_cast<const std::byte*>(map);
  });
  return map_;
}

void File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  if (!range_fits(offset, out.size(), size())) {
    throw Error(ErrorCode::kTruncated, fmt::format("file ends at byte {}", size()),
                fmt::format("{} bytes", out.size()), path_, offset);
  }
  if (content_ != nullptr) {
    if (!out.empty()) content_->read_at(offset, out);
    return;
  }
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw Error(ErrorCode::kIo, fmt::format("read: {}", std::strerror(errno)), {}, path_,
                  offset + done);
    }
    if (got == 0) throw_changed(path_, offset + done);
    done += static_cast<std::size_t>(got);
  }
}

std::span<const std::byte> File::bytes(std::uint64_t offset, std::size_t length,
                                       Buffer& scratch) const {
  const std::span<const std::byte> out = kept_bytes(offset, length, scratch);
  if (map_ != nullptr) count_handed_out(length);
  return out;
}

std::span<const std::byte> File::kept_bytes(std::uint64_t offset, std::size_t length,
                                            Buffer& scratch) const {
  if (!range_fits(offset, length, size()))
    read_at(offset, {static_cast<std::byte*>(nullptr), length});
  if (const std::byte* map = mapping(); map != nullptr) return {map + offset, length};
  if (scratch.size() < length) scratch.resize(length);
  read_at(offset, {scratch.data(), length});
  return {scratch.data(), length};
}

void File::check() const {
  if (slot_ < 0) return;
  const std::uint64_t fault = g_slots[static_cast<std::size_t>(slot_)].fault.load();
  if (fault != 0) throw_changed(path_, fault - 1);
}

void File::check_unchanged() const {
  if (content_ != nullptr) return content_->check_unchanged();
  check();
  struct stat st {};
  if (fstat(fd_, &st) != 0) {
    throw Error(ErrorCode::kIo, fmt::format("cannot stat: {}", std::strerror(errno)), {}, path_);
  }
  if (identity_of(st) != identity_) {
    throw Error(ErrorCode::kChanged, "changed while being read", {}, path_);
  }
}

std::optional<std::string> read_text_file(const std::string& path, std::uint64_t limit,
                                          const FileOpener& open) {
  std::shared_ptr<const File> file;
  try {
    file = open(path, ErrorCode::kMissing);
  } catch (const Error& error) {
    if (error.code == ErrorCode::kMissing) return std::nullopt;
    throw;
  }
  if (file->size() > limit) {
    throw Error(ErrorCode::kLimit, fmt::format("file of {} bytes", file->size()),
                fmt::format("at most {}", limit), path, 0);
  }
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  file->read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace qi
