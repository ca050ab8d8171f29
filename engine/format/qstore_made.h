// Levels of a container that are no files yet: LLM.int8() of a model, and the two precisions of a
// prototype directory, each as the safetensors checkpoint that it will be. Internal to the
// container's writer. Sources read the model they come from, which must outlive them.
#pragma once

#include <string>
#include <vector>

#include "engine/format/byte_source.h"
#include "engine/tensor/model.h"

namespace qi {

struct MadeTensor {
  Tensor tensor;  // offset and size count from the start of the data
  ByteSourcePtr source;
};

struct MadeLevel {
  std::vector<MadeTensor> tensors;
  /// Weights that have int8 codes and row scales among the tensors.
  struct Layer {
    std::string weight;
    std::size_t codes;
    std::size_t scales;
  };
  std::vector<Layer> layers;
};

/// A bitsandbytes checkpoint of the model: matrices of BF16 or F16 in linear layers as int8 with a
/// scale a row, all else as it is. Throws kUsage for what is not in safetensors or has none.
MadeLevel int8_of(const Model& model);

/// The 16-bit level of a prototype directory, and its int8 level with scales computed from the
/// former (the directory has none). Throws kUsage where the 16-bit type is not known.
struct PrototypeLevels {
  MadeLevel high;
  MadeLevel low;
};
PrototypeLevels prototype_levels(const Model& model);

}  // namespace qi
