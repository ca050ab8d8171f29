// What tests of the container share: encoding a path as --encode does, comparing folders byte for
// byte, and small safetensors files made from bytes. Header only, one thread.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/format/qstore_decode.h"
#include "engine/format/qstore_verify.h"
#include "engine/format/qstore_writer.h"
#include "engine/format/safetensors.h"
#include "tests/support/temp_dir.h"

namespace qi::test {

inline EncodeLevel level_at(const std::string& path) {
  EncodeLevel level;
  level.path = path;
  if (path == "int8") {
    level.int8_of_first = true;
  } else {
    level.source = find_models(path).models.at(0);
  }
  return level;
}

/// `paths` from high to low precision; "int8" is computed.
inline EncodeResult encode(const std::string& out, const std::vector<std::string>& paths,
                           EncodeOptions options = {}) {
  for (const std::string& path : paths) options.levels.push_back(level_at(path));
  options.output.overwrite = true;
  return encode_container(out, options);
}

inline std::shared_ptr<const QstoreContainer> open_container(const std::string& path) {
  return QstoreContainer::open(File::open(path));
}

inline void decode(const std::string& path, const std::string& level, const std::string& out) {
  const auto container = open_container(path);
  if (level != "all") {
    decode_levels(*container, {find_level(*container, level)}, false, out, {});
    return;
  }
  std::vector<std::uint32_t> levels(container->index().levels.size());
  for (std::uint32_t i = 0; i < levels.size(); ++i) levels[i] = i;
  decode_levels(*container, levels, true, out, {});
}

/// Name to content of the regular files directly in a folder.
inline std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && !entry.is_symlink()) {
      files[entry.path().filename().string()] = read_file(entry.path().string());
    }
  }
  return files;
}

inline std::vector<ContainerFault> faults_of(const QstoreContainer& container,
                                             bool checksums_only = false) {
  std::vector<ContainerFault> faults;
  VerifyOptions options;
  options.threads = 1;
  options.checksums_only = checksums_only;
  verify_container(container, options,
                   [&](const ContainerFault& fault) { faults.push_back(fault); });
  return faults;
}

struct StoredTensor {
  std::string name;
  DType dtype;
  Shape shape;
  std::string bytes;
};
/// A safetensors file of those tensors in that order.
inline std::string safetensors_bytes(const std::vector<StoredTensor>& stored) {
  std::vector<Tensor> tensors;
  std::string payload;
  for (const StoredTensor& from : stored) {
    Tensor tensor;
    tensor.name = from.name;
    tensor.dtype = from.dtype;
    tensor.shape = from.shape;
    tensor.offset = payload.size();
    tensor.size_bytes = from.bytes.size();
    payload += from.bytes;
    tensors.push_back(std::move(tensor));
  }
  return safetensors_header(tensors) + payload;
}

/// `count` numbers of 2 bytes whose exponents are few, as trained weights have them.
inline std::string bf16_bytes(std::size_t count, std::uint64_t seed) {
  std::string bytes(2 * count, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto exponent =
        static_cast<std::uint16_t>(122 - std::min(7, __builtin_clzll((seed >> 40) << 40 | 1)));
    const auto word = static_cast<std::uint16_t>((seed >> 33 & 0x807F) | exponent << 7);
    std::memcpy(bytes.data() + 2 * i, &word, 2);
  }
  return bytes;
}

}  // namespace qi::test
