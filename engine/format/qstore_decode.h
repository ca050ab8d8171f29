// Gets levels back out of a QStore container, byte for byte. Folders are built under a temporary
// name and renamed last; the digests of whole files, or of tensors that are taken alone, are
// checked before. A damaged container gives no folder, but its sound weights one by one. One thread
// calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/qstore_container.h"
#include "engine/tensor/tensor.h"

namespace qi {

struct DecodeOptions {
  unsigned threads = 0;  // 0: all cores
  /// Bytes of the files so far. Any thread calls it, one at a time.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

struct DecodeResult {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  bool cancelled = false;  // nothing was written
};

/// The number of the level called `name`, else of what "high" and "low" mean: the first, the last.
/// Throws kUsage with the names there are.
std::uint32_t find_level(const QstoreContainer& container, std::string_view name);

/// Writes the files of levels into the new folder `path`; of several levels (`all`) each into a
/// folder of its name. Throws kUsage, kSpace, kIo, and kCorrupt for the first damaged block.
DecodeResult decode_levels(const QstoreContainer& container,
                           const std::vector<std::uint32_t>& levels, bool all,
                           const std::string& path, const DecodeOptions& options);

/// A tensor to be restored by itself, as its file stored it.
struct RestoredTensor {
  std::string name;
  std::string dtype_text;  // of types that safetensors does not know
  DType dtype = DType::kUnknown;
  Shape shape;
  std::uint32_t stream = 0;
  std::uint64_t size_bytes = 0;
};
/// Writes `tensors` as model.safetensors into the new folder `path`; types the format does not know
/// become U8 rows of bytes and are named in its metadata.
DecodeResult decode_tensors(const QstoreContainer& container,
                            const std::vector<RestoredTensor>& tensors, const std::string& path,
                            const DecodeOptions& options);

}  // namespace qi
