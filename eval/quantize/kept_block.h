// A block that an earlier run finished, as the walk through the model wants to see it: its matrices
// with the scales taken out again that were moved into them (AWQ, SmoothQuant). The scales stand in
// a file beside the shard until the folder is finished. Internal to this room. Any thread; a reader
// belongs to one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/tensor/weight_reader.h"

namespace qi {

/// Of a matrix: CalibratedMatrix::column_scales and row_scales.
struct MovedScales {
  std::vector<float> columns;
  std::vector<float> rows;
};
using BlockScales = std::map<std::string, MovedScales, std::less<>>;

void write_scales(const std::string& path, const BlockScales& scales);

class KeptBlock {
 public:
  /// `scales_path` need not be there.
  KeptBlock(const std::string& shard_path, const std::string& scales_path);
  /// Values as CalibratedMatrix::row_values() gave them. The block must outlive it.
  std::unique_ptr<WeightReader> open(const Model& model, const Weight& weight) const;

 private:
  std::shared_ptr<const Model> shard_;
  BlockScales scales_;
};

}  // namespace qi
