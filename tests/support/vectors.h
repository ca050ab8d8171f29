// Cases of tests/data/vectors: the tensors of a small safetensors file, by name, and the JSON
// beside it. Header only, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qi::test {

struct VectorTensor {
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;

  template <typename T>
  std::vector<T> as() const {
    std::vector<T> out(bytes.size() / sizeof(T));
    std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
    return out;
  }
};
using VectorTensors = std::map<std::string, VectorTensor>;

inline VectorTensors read_vectors(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(in)), {});
  std::uint64_t length = 0;
  std::memcpy(&length, all.data(), 8);
  const auto header = nlohmann::json::parse(all.substr(8, length));
  VectorTensors tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::size_t begin = entry["data_offsets"][0];
    const std::size_t end = entry["data_offsets"][1];
    VectorTensor tensor{entry["shape"], std::vector<std::byte>(end - begin)};
    std::memcpy(tensor.bytes.data(), all.data() + 8 + length + begin, tensor.bytes.size());
    tensors[name] = std::move(tensor);
  }
  return tensors;
}

inline nlohmann::json read_json(const std::string& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

}  // namespace qi::test
