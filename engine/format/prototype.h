// Directories of the QStore research prototype (arXiv 2505.04081): int8 matrices and, beside them,
// the 16-bit values given them, entropy-coded. Opening reads the index, the segment heads and chunk
// tables, and walks the stream records of all_original.bin while it is ≤ 64 MiB. The format has no
// checksums and no dtype; a model from it is partial (no norms, embeddings, biases, config).
// Functions of any thread; a reader belongs to one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// One weight per tensor name: scheme qstore; parts are the 16-bit segment (kCodes) and the int8
/// one (kLowLevel), or the int8 one alone (kCodes, not decodable: row scales are not stored).
/// `dtype` is BF16 or F16; else the folder's name tells ("…-bf16-int8"). Where neither does, the
/// model opens with 16-bit parts of unknown type and reading their values is kUsage.
/// Throws Error with the file at fault: the README's error classes.
Model open_prototype(const std::string& dir, std::optional<DType> dtype);

/// values(): the 16-bit level, exactly; codes(): the int8 level as bit patterns 0 … 255.
/// The first values() decodes the whole weight: 2 bytes an element, once for all readers of it that
/// live at the same time, + at most 64 MiB meanwhile. codes() needs one row of chunks only.
/// Throws kCorrupt / kInconsistent for streams that do not decode, kMemory when there is no room.
std::unique_ptr<WeightReader> open_prototype_reader(const Model& model, const Weight& weight);

/// One thing wrong inside a payload.
struct PrototypeFault {
  std::string file;    // path
  std::string tensor;  // name of the weight
  ErrorCode code = ErrorCode::kCorrupt;
  std::string part;         // "quant" or "orig"
  std::uint64_t block = 0;  // chunk of quant; (group · 256 + q) · 2 + s of orig
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::string message;
};

/// Decodes all of `weight` in bounded memory (4 KiB a scale group) and reports every fault, in the
/// order of the files. `cancel` ends it early. Throws only kIo / kChanged.
void verify_prototype(const Model& model, const Weight& weight,
                      const std::function<void(const PrototypeFault&)>& report,
                      const std::atomic<bool>* cancel = nullptr);

/// A row of tensor_index.tsv.
struct PrototypeRow {
  std::string name;
  bool quant = false;  // else orig
  std::uint64_t segment_offset = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t row_offset = 0;  // of the row in the index
};
/// Parses the text of an index. Throws kTruncated (empty), kBadHeader, kBadSchema, kOverflow,
/// kBadEncoding, kDuplicate; `path` is named in errors.
std::vector<PrototypeRow> parse_prototype_index(std::string_view text, const std::string& path);

}  // namespace qi
