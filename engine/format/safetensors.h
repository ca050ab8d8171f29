// The safetensors container: reads and checks one file's header (the format's README,
// huggingface/safetensors, read strictly), and makes the header of a file to be written.
// Strict: the tensors must cover the data area exactly, names are unique, numbers are plain digits.
// An unknown dtype word is listed with a warning; payload is never read. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/io/file.h"
#include "engine/tensor/metadata.h"
#include "engine/tensor/tensor.h"

namespace qi {

inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;
inline constexpr std::size_t kMaxSafetensorsDims = 64;
/// Entries of __metadata__ that are kept; a file may have more, which a warning counts.
inline constexpr std::size_t kMaxSafetensorsMetadata = 100'000;

struct SafetensorsHeader {
  std::vector<Tensor> tensors;  // in the order of the header; offsets absolute
  Metadata metadata;            // __metadata__, all of type "string"
  std::uint64_t data_begin = 0;
  std::vector<Warning> warnings;
};

/// Reads the header of `file`; `file_index` becomes Tensor::file.
/// Throws the README's error classes with the offset of the offending field.
SafetensorsHeader read_safetensors(const File& file, std::uint32_t file_index = 0);

/// The same for a header's text that is in memory: `json` is what stands at byte 8 of the file
/// `path` of `file_size` ≥ 8 + json.size() bytes.
SafetensorsHeader parse_safetensors(std::string_view json, std::uint64_t file_size,
                                    const std::string& path, std::uint32_t file_index = 0);

/// Length field, JSON and padding of a file that holds `tensors`: Tensor::offset counts from the
/// start of the data area, which begins right after the returned text, a multiple of 8 bytes.
/// Tensor::dtype must be a safetensors type. Throws kBadEncoding for a name or metadata that is not
/// UTF-8, kBadDtype, and kLimit when readers would refuse the header as too long.
std::string safetensors_header(std::span<const Tensor> tensors,
                               std::span<const std::pair<std::string, std::string>> metadata = {});

}  // namespace qi
