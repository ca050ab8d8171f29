#include "app/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace qi {
namespace {

constexpr std::size_t kBufferBytes = 1 << 16;

class StdoutOutput : public Output {
 protected:
  void put(std::string_view text) override {
    while (!text.empty()) {
      const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
      if (done >= 0) {
        text.remove_prefix(static_cast<std::size_t>(done));
        continue;
      }
      const int reason = errno;
      if (reason == EINTR) continue;
      if (reason == EPIPE) throw ReaderGone{};
      const bool full = reason == ENOSPC || reason == EDQUOT;
      throw OutputFailed{Error(full ? ErrorCode::kSpace : ErrorCode::kIo,
                               fmt::format("write: {}", std::strerror(reason)), {},
                               "standard output")};
    }
  }
};

class FileOutput : public Output {
 public:
  FileOutput(const std::string& path, const OutputOptions& options) : file_(path, options) {}
  void finish() override {
    flush();
    try {
      file_.commit();
    } catch (const Error& error) {
      throw OutputFailed{error};
    }
  }

 protected:
  void put(std::string_view text) override {
    try {
      file_.write(text);
    } catch (const Error& error) {
      throw OutputFailed{error};
    }
  }

 private:
  AtomicFile file_;
};

}  // namespace

void Output::write(std::string_view text) {
  pending_ += text;
  if (pending_.size() >= kBufferBytes) flush();
}

void Output::flush() {
  // Emptied first: after a failure the same bytes are not tried again.
  std::string text;
  text.swap(pending_);
  put(text);
  text.clear();
  pending_.swap(text);
}

std::unique_ptr<Output> stdout_output() {
  return std::make_unique<StdoutOutput>();
}

std::unique_ptr<Output> file_output(const std::string& path, const OutputOptions& options) {
  return std::make_unique<FileOutput>(path, options);
}

}  // namespace qi
