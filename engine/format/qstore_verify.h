// Looks for damage in a QStore container: every block, its checksum and what it decodes to, and the
// digests of tensors. Refuses nothing: what is wrong is told, the rest is looked at. One thread
// calls; progress and reports come from any, one at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/format/qstore_container.h"

namespace qi {

/// One thing wrong with a container.
struct ContainerFault {
  ErrorCode code = ErrorCode::kCorrupt;
  std::string tensor;  // or empty
  std::string part;    // "block", "tensor", "file"
  std::optional<std::uint64_t> block;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::string message;
};

struct VerifyOptions {
  unsigned threads = 0;
  bool checksums_only = false;
  /// Of tensors, by name; empty: all, and the bytes between them.
  std::function<bool(std::string_view tensor)> selection;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

/// Checks every block (its checksum, then the decoder and the digests of tensors), in the order of
/// the file. False when cancelled. Throws kIo and kChanged alone.
bool verify_container(const QstoreContainer& container, const VerifyOptions& options,
                      const std::function<void(const ContainerFault&)>& report);

}  // namespace qi
