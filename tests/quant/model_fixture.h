// Builds models for tests of schemes: from a folder with one safetensors file, or from tensors made
// in memory and written as a safetensors file into a temporary folder.
#pragma once

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/format/safetensors.h"
#include "engine/quant/scheme.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace qi::test {

/// Headers of one file, before build_weights().
inline Model open_file(const std::string& path, nlohmann::json config = nlohmann::json::object()) {
  Model model;
  model.path = path;
  model.files.push_back(File::open(path));
  SafetensorsHeader header = read_safetensors(*model.files[0]);
  model.tensors = std::move(header.tensors);
  model.metadata = std::move(header.metadata);
  model.config = std::make_shared<nlohmann::json>(std::move(config));
  return model;
}

/// All values of a weight, read in tiles of `max_elements`.
inline std::vector<float> all_values(const Model& model, const Weight& weight,
                                     std::uint64_t max_elements = 1 << 20) {
  const auto reader = open_scheme_reader(model, weight);
  std::vector<float> values(weight.params);
  const TileWalk walk(weight.rows(), weight.cols(), max_elements);
  std::vector<float> tile_values;
  for (std::uint64_t t = 0; t < walk.size(); ++t) {
    const Tile tile = walk[t];
    tile_values.resize(tile.rows * tile.cols);
    reader->values(tile, tile_values.data());
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      std::copy_n(
          tile_values.begin() + static_cast<std::ptrdiff_t>(r * tile.cols), tile.cols,
          values.begin() + static_cast<std::ptrdiff_t>((tile.row + r) * weight.cols() + tile.col));
    }
  }
  return values;
}

/// Writes tensors given as numbers into a safetensors file.
class ModelWriter {
 public:
  template <typename T>
  ModelWriter& add(const std::string& name, DType dtype, Shape shape, const std::vector<T>& data) {
    Tensor tensor;
    tensor.name = name;
    tensor.dtype = dtype;
    tensor.shape = std::move(shape);
    tensor.offset = payload_.size();
    tensor.size_bytes = data.size() * sizeof(T);
    EXPECT_EQ(stored_bytes(dtype, *element_count(tensor.shape)), tensor.size_bytes) << name;
    payload_.append(reinterpret_cast<const char*>(data.data()), tensor.size_bytes);
    tensors_.push_back(std::move(tensor));
    return *this;
  }
  ModelWriter& text(const std::string& name, const std::string& bytes) {
    return add(name, DType::kU8, {bytes.size()}, std::vector<char>(bytes.begin(), bytes.end()));
  }

  /// Writes the file and builds the weights.
  Model build(nlohmann::json config = nlohmann::json::object()) {
    const std::string path = dir_.path() + "/model.safetensors";
    {
      std::ofstream out(path, std::ios::binary);
      out << safetensors_header(tensors_) << payload_;
    }
    Model model = open_file(path, std::move(config));
    build_weights(model);
    return model;
  }

 private:
  TempDir dir_;
  std::vector<Tensor> tensors_;
  std::string payload_;
};

}  // namespace qi::test
