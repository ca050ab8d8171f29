#include "eval/calibration/block.h"

#include <algorithm>
#include <utility>

namespace qi {
namespace {

constexpr std::array<Linear LayerWeights::*, kBlockLinears> kMembers = {
    &LayerWeights::q,    &LayerWeights::k,  &LayerWeights::v,   &LayerWeights::o,
    &LayerWeights::gate, &LayerWeights::up, &LayerWeights::down};
// Numbers that are read at a time.
constexpr std::uint64_t kReadNumbers = std::uint64_t{1} << 18;

std::size_t index_of(BlockLinear linear) {
  return static_cast<std::size_t>(linear);
}

/// Numbers of a weight that are held in memory.
class HeldReader : public WeightReader {
 public:
  HeldReader(const Model& model, const Weight& weight, std::shared_ptr<const Numbers> numbers)
      : WeightReader(model, weight), numbers_(std::move(numbers)) {}

 protected:
  void read_values(const Tile& tile, float* out) override {
    const std::uint64_t cols = weight_.cols();
    for (std::uint64_t row = tile.row; row < tile.row + tile.rows; ++row) {
      out = std::copy_n(numbers_->data() + row * cols + tile.col, tile.cols, out);
    }
  }

 private:
  std::shared_ptr<const Numbers> numbers_;
};

Numbers read_all(const Matrix& matrix, const Workers& workers) {
  Numbers numbers(matrix.rows() * matrix.cols());
  const std::uint64_t step = std::max<std::uint64_t>(1, kReadNumbers / matrix.cols());
  const std::uint64_t pieces = (matrix.rows() + step - 1) / step;
  workers.each(pieces, numbers.size(), [&](WorkBuffers&, std::uint64_t i) {
    const std::uint64_t first = i * step;
    matrix.read(first, std::min(step, matrix.rows() - first),
                numbers.data() + first * matrix.cols());
  });
  return numbers;
}

}  // namespace

LayerInput input_of(BlockLinear linear) {
  switch (linear) {
    case BlockLinear::kO:
      return LayerInput::kO;
    case BlockLinear::kGate:
    case BlockLinear::kUp:
      return LayerInput::kGateUp;
    case BlockLinear::kDown:
      return LayerInput::kDown;
    default:
      return LayerInput::kQkv;
  }
}

Block::Block(const Model& model, const Architecture& architecture, std::size_t layer,
             const OpenWeight& open, const Workers& workers)
    : model_(model), layer_(layer), weights_(load_layer_weights(model, architecture, layer, open)) {
  for (std::size_t i = 0; i < kBlockLinears; ++i) {
    const std::shared_ptr<const Matrix> stored = (weights_.*kMembers[i]).matrix;
    sources_[i] = &stored->weight();
    set(static_cast<BlockLinear>(i), read_all(*stored, workers));
  }
}

const Weight& Block::weight(BlockLinear linear) const {
  return *sources_[index_of(linear)];
}

const Numbers& Block::numbers(BlockLinear linear) const {
  return *numbers_[index_of(linear)];
}

MatrixView Block::view(BlockLinear linear) const {
  const Weight& source = weight(linear);
  return {numbers(linear).data(), source.rows(), source.cols(), source.cols()};
}

void Block::set(BlockLinear linear, Numbers numbers) {
  const std::size_t i = index_of(linear);
  numbers_[i] = std::make_shared<const Numbers>(std::move(numbers));
  const auto open = [held = numbers_[i]](const Model& model, const Weight& weight) {
    return std::make_unique<HeldReader>(model, weight, held);
  };
  (weights_.*kMembers[i]).matrix = std::make_shared<const Matrix>(model_, *sources_[i], open);
}

}  // namespace qi
