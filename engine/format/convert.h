// Writes a model's logical weights as one .safetensors file of one float type, streamed in tiles:
// memory is a few tiles whatever the size. The file is re-opened and compared with what was
// read before it gets its name (AtomicFile). One thread calls; a cancelled run leaves nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "engine/io/atomic_file.h"
#include "engine/tensor/model.h"

namespace qi {

struct ConvertOptions {
  DType type = DType::kF32;                      // kF32, kBF16 or kF16
  std::function<bool(const Weight&)> selection;  // empty: all
  OutputOptions output;                          // the model's own files are always added to inputs
  std::function<void(std::uint64_t elements_done, std::uint64_t elements)> progress;
  const std::atomic<bool>* cancel = nullptr;
};

struct ConvertResult {
  std::uint64_t weights = 0;
  std::uint64_t bytes = 0;  // of the file
  bool cancelled = false;   // nothing was written
};

/// Before anything is written: kUsage for another type, kBadDtype naming the first selected weight
/// that cannot be decoded, kSpace when there is no room. Then kIo / kSpace / kCorrupt.
/// Values beyond the range of the type become infinity, as rounding to nearest even has it.
ConvertResult convert_model(const Model& model, const std::string& path,
                            const ConvertOptions& options);

}  // namespace qi
