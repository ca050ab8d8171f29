// Any model as a GGUF file that llama.cpp loads: metadata and vocabulary (of a Hugging Face folder
// made anew, of a GGUF taken over), tensors under llama.cpp's names, rotary rows in its order,
// experts stacked, every matrix in the type that --to names or llama-quantize's rules give it.
// Streamed in tiles on all cores: memory is some tiles whatever the size. The file is read back and
// held against what was written before it gets its name. Refuses names and architectures that
// llama.cpp does not know, values that are not finite, and types that need an importance matrix.
// One thread calls.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/imatrix.h"
#include "engine/io/atomic_file.h"
#include "engine/matrix/workers.h"
#include "engine/tensor/model.h"

namespace qi {

struct GgufOptions {
  std::string to;               // "F16", "Q4_K", "Q4_K_M"
  std::string importance_name;  // the file's, for quantize.imatrix.file
  const ImportanceMatrix* importance = nullptr;
  /// Others are left in the type they are stored in; empty: all.
  std::function<bool(const Weight&)> selection;
  OutputOptions output;  // the model's own files are always added to inputs
  std::function<void(std::uint64_t elements_done, std::uint64_t elements)> progress;
  Workers workers;
};

struct GgufResult {
  std::uint64_t tensors = 0;
  std::uint64_t quantized = 0;  // in another type than F32
  std::uint64_t bytes = 0;      // of the file
  std::uint64_t bytes_in = 0;
  std::vector<std::string> notes;
  bool cancelled = false;  // nothing was written
};

/// Whether --to may be so: a plain type or block type that can be made, or a mixture's name.
bool is_gguf_target(std::string_view to);

/// Before anything is written: kUsage, kBadDtype, kMissing, kSpace. Then kIo, kSpace, kBadValue.
GgufResult write_gguf(const Model& model, const std::string& path, const GgufOptions& options);

}  // namespace qi
