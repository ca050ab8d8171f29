// Weights of which one is not finite, for tests of what reads them. Header only, any thread.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include "engine/tensor/weight_reader.h"
#include "eval/transformer/weights.h"

namespace qi::test {

/// All of the model's weights as stored but for `name`, which is NaN.
inline OpenWeight with_nan(std::string name) {
  class NanReader : public WeightReader {
   public:
    using WeightReader::WeightReader;

   protected:
    void read_values(const Tile& tile, float* out) override {
      std::fill_n(out, tile.rows * tile.cols, std::numeric_limits<float>::quiet_NaN());
    }
  };
  return [name = std::move(name)](const Model& model, const Weight& weight) {
    return weight.name == name ? std::make_unique<NanReader>(model, weight)
                               : open_reader(model, weight);
  };
}

}  // namespace qi::test
