#include "eval/quantize/kept_block.h"

#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "engine/checkpoint/checkpoint_folder.h"
#include "engine/format/open.h"

namespace qi {
namespace {

constexpr std::string_view kColumns = ".column_scales";
constexpr std::string_view kRows = ".row_scales";

class UnscaledReader : public WeightReader {
 public:
  UnscaledReader(const Model& opened, const Weight& original, std::unique_ptr<WeightReader> stored,
                 const MovedScales* scales)
      : WeightReader(opened, original), stored_(std::move(stored)), scales_(scales) {}

 protected:
  void read_values(const Tile& tile, float* out) override {
    stored_->values(tile, out);
    if (scales_ == nullptr) return;
    for (std::uint64_t r = tile.row; r < tile.row + tile.rows; ++r) {
      const float times = scales_->rows.empty() ? 1.0f : scales_->rows[r];
      for (std::uint64_t c = tile.col; c < tile.col + tile.cols; ++c, ++out) {
        *out = *out * times / (scales_->columns.empty() ? 1.0f : scales_->columns[c]);
      }
    }
  }

 private:
  std::unique_ptr<WeightReader> stored_;
  const MovedScales* scales_;
};

std::vector<float> all_of(const Model& model, const Weight& weight) {
  std::vector<float> values(weight.params);
  open_reader(model, weight)->values({0, weight.rows(), 0, weight.cols()}, values.data());
  return values;
}

}  // namespace

void write_scales(const std::string& path, const BlockScales& scales) {
  std::vector<ShardTensor> tensors;
  const auto add = [&](std::string name, const std::vector<float>& values) {
    if (values.empty()) return;
    PartWriter part(std::move(name), DType::kF32, {values.size()});
    std::copy(values.begin(), values.end(), part.at<float>(0));
    tensors.push_back(shard_tensor(part.take()));
  };
  for (const auto& [name, moved] : scales) {
    add(fmt::format("{}{}", name, kColumns), moved.columns);
    add(fmt::format("{}{}", name, kRows), moved.rows);
  }
  write_shard(path, std::move(tensors));
}

KeptBlock::KeptBlock(const std::string& shard_path, const std::string& scales_path) {
  Candidate shard;
  shard.path = shard_path;
  shard.files = {shard_path};
  shard_ = std::make_shared<const Model>(open_model(shard));
  if (!std::filesystem::exists(scales_path)) return;
  Candidate beside;
  beside.path = scales_path;
  beside.files = {scales_path};
  const Model scales = open_model(beside);
  for (const Weight& weight : scales.weights) {
    const auto ends = [&](std::string_view ending) {
      return std::string_view(weight.name).ends_with(ending);
    };
    const auto name = [&](std::string_view ending) {
      return weight.name.substr(0, weight.name.size() - ending.size());
    };
    if (ends(kColumns)) scales_[name(kColumns)].columns = all_of(scales, weight);
    if (ends(kRows)) scales_[name(kRows)].rows = all_of(scales, weight);
  }
}

std::unique_ptr<WeightReader> KeptBlock::open(const Model& model, const Weight& weight) const {
  const Weight* stored = shard_->find_weight(weight.name);
  if (stored == nullptr || stored->shape != weight.shape) return nullptr;
  const auto scales = scales_.find(weight.name);
  return std::make_unique<UnscaledReader>(model, weight, open_reader(*shard_, *stored),
                                          scales == scales_.end() ? nullptr : &scales->second);
}

}  // namespace qi
