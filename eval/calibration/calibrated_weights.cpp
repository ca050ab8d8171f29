#include "eval/calibration/calibrated_weights.h"

#include <algorithm>
#include <utility>

#include "engine/format/open.h"

namespace qi {
namespace {

class CodedMatrixReader : public WeightReader {
 public:
  CodedMatrixReader(const Model& model, const Weight& weight,
                    std::shared_ptr<const CalibratedWeights> owner, const CalibratedMatrix& matrix)
      : WeightReader(model, weight), owner_(std::move(owner)), matrix_(matrix) {}

 protected:
  void read_values(const Tile& tile, float* out) override {
    for (std::uint64_t row = tile.row; row < tile.row + tile.rows; ++row, out += tile.cols) {
      if (tile.cols == weight_.cols()) {
        matrix_.row_values(row, out);
        continue;
      }
      row_.resize(weight_.cols());
      matrix_.row_values(row, row_.data());
      std::copy_n(row_.data() + tile.col, tile.cols, out);
    }
  }

 private:
  std::shared_ptr<const CalibratedWeights> owner_;
  const CalibratedMatrix& matrix_;
  std::vector<float> row_;
};

std::uint64_t bytes_of(const CodedMatrix& coded) {
  std::uint64_t bytes = coded.codes.size() + coded.outliers.size() * sizeof(CodedMatrix::Outlier);
  bytes += sizeof(float) *
           (coded.scales.size() + coded.zeros.size() + coded.group_of.size() + coded.order.size());
  for (const auto& level : {coded.scale_codes, coded.zero_codes}) {
    if (!level) continue;
    bytes += level->codes.size();
    bytes += sizeof(float) * (level->grid_scales.size() + level->grid_zeros.size());
  }
  return bytes;
}

}  // namespace

void CalibratedWeights::add(CalibratedMatrix matrix) {
  bytes_ += bytes_of(matrix.coded);
  const std::string name = matrix.weight.name;
  matrices_.emplace(name, std::move(matrix));
}

const CalibratedMatrix* CalibratedWeights::find(const std::string& name) const {
  const auto found = matrices_.find(name);
  return found == matrices_.end() ? nullptr : &found->second;
}

OpenWeight CalibratedWeights::open() const {
  return [self = shared_from_this()](const Model& model,
                                     const Weight& weight) -> std::unique_ptr<WeightReader> {
    const CalibratedMatrix* const matrix = self->find(weight.name);
    if (matrix == nullptr) return open_reader(model, weight);
    return std::make_unique<CodedMatrixReader>(model, weight, self, *matrix);
  };
}

std::uint64_t held_bytes(const Weight& weight) {
  // Codes, and in small groups as much again in float scales and zeros.
  return 2 * weight.params;
}

}  // namespace qi
