#include "engine/quant/ggml_scheme.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/quant/ggml_reader.h"
#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_parts.h"

namespace qi {
namespace {

/// What a block type is as a quantization scheme. `group` is the number
/// of weights that share a scale; a two-level type's scale_dtype is that of its super-block.
struct BlockScheme {
  DType type;
  std::uint8_t bits;
  std::uint16_t group;
  DType scale;
  bool minimum;  // y = q·d + m: a float offset beside the scale
};

constexpr std::array kBlocks = {
    BlockScheme{DType::kQ4_0, 4, 32, DType::kF16, false},
    BlockScheme{DType::kQ4_1, 4, 32, DType::kF16, true},
    BlockScheme{DType::kQ5_0, 5, 32, DType::kF16, false},
    BlockScheme{DType::kQ5_1, 5, 32, DType::kF16, true},
    BlockScheme{DType::kQ8_0, 8, 32, DType::kF16, false},
    BlockScheme{DType::kQ8_1, 8, 32, DType::kF16, false},
    BlockScheme{DType::kQ2K, 2, 16, DType::kF16, true},
    BlockScheme{DType::kQ3K, 3, 16, DType::kF16, false},
    BlockScheme{DType::kQ4K, 4, 32, DType::kF16, true},
    BlockScheme{DType::kQ5K, 5, 32, DType::kF16, true},
    BlockScheme{DType::kQ6K, 6, 16, DType::kF16, false},
    BlockScheme{DType::kQ8K, 8, 256, DType::kF32, false},
    BlockScheme{DType::kIQ2XXS, 2, 32, DType::kF16, false},
    BlockScheme{DType::kIQ2XS, 2, 16, DType::kF16, false},
    BlockScheme{DType::kIQ2S, 2, 16, DType::kF16, false},
    BlockScheme{DType::kIQ3XXS, 3, 32, DType::kF16, false},
    BlockScheme{DType::kIQ3S, 3, 32, DType::kF16, false},
    BlockScheme{DType::kIQ1S, 1, 32, DType::kF16, false},
    BlockScheme{DType::kIQ1M, 1, 16, DType::kF16, false},
    BlockScheme{DType::kIQ4NL, 4, 32, DType::kF16, false},
    BlockScheme{DType::kIQ4XS, 4, 32, DType::kF16, false},
    BlockScheme{DType::kQ4_0_4_4, 4, 32, DType::kF16, false},
    BlockScheme{DType::kQ4_0_4_8, 4, 32, DType::kF16, false},
    BlockScheme{DType::kQ4_0_8_8, 4, 32, DType::kF16, false},
    BlockScheme{DType::kIQ4NL_4_4, 4, 32, DType::kF16, false},
    BlockScheme{DType::kIQ4NL_4_8, 4, 32, DType::kF16, false},
    BlockScheme{DType::kIQ4NL_8_8, 4, 32, DType::kF16, false},
    BlockScheme{DType::kTQ1_0, 2, 256, DType::kF16, false},
    BlockScheme{DType::kTQ2_0, 2, 256, DType::kF16, false},
    BlockScheme{DType::kMXFP4, 4, 32, DType::kF8E8M0, false},
    BlockScheme{DType::kNVFP4, 4, 16, DType::kF8E4M3, false},
    BlockScheme{DType::kQ1_0, 1, 128, DType::kF16, false},
    BlockScheme{DType::kQ2_0, 2, 64, DType::kF16, false},
};

/// Blocks times one factor for the tensor, or one an expert.
class FactorReader : public WeightReader {
 public:
  FactorReader(const Model& opened, const Weight& scaled)
      : WeightReader(opened, scaled),
        blocks_(open_ggml_reader(opened, scaled)),
        factors_(opened, opened.tensor(*find_part(scaled, PartRole::kSecondScales))),
        one_(element_count(factors_.tensor().shape) == 1),
        rows_(matrices(scaled.shape).value().rows) {}

  int code_bits() const override { return blocks_->code_bits(); }

 protected:
  void read_values(const Tile& tile, float* out) override {
    blocks_->values(tile, out);
    for (std::uint64_t r = 0; r < tile.rows; ++r, out += tile.cols) {
      float factor = 0;
      factors_.floats(one_ ? 0 : (tile.row + r) / rows_, 1, &factor);
      for (std::uint64_t i = 0; i < tile.cols; ++i) out[i] *= factor;
    }
  }
  void read_codes(const Tile& tile, std::uint16_t* out) override { blocks_->codes(tile, out); }

  void read_scales(const ScaleSink& sink) override {
    const std::uint64_t an_expert = rows_ * weight_.cols() / weight_.group_size;
    std::uint64_t done = 0;
    std::vector<float> scaled;
    blocks_->scales([&](const ScaleRun& run) {
      scaled.assign(run.scales.begin(), run.scales.end());
      for (float& scale : scaled) {
        const std::uint64_t expert = one_ ? 0 : done / an_expert;
        if (expert != loaded_) factors_.floats(expert, 1, &factor_);
        loaded_ = expert;
        scale *= factor_;
        ++done;
      }
      return sink({scaled, {}, false});
    });
  }

 private:
  std::unique_ptr<WeightReader> blocks_;
  PartBytes factors_;
  bool one_;
  std::uint64_t rows_;  // of one expert
  std::uint64_t loaded_ = ~std::uint64_t{0};
  float factor_ = 0;  // of expert loaded_
};

void take_factor(Grouping& grouping, Weight& weight) {
  constexpr std::string_view kSuffix = ".weight";
  const std::string_view name = weight.name;
  const auto shape = matrices(weight.shape);
  if (!name.ends_with(kSuffix) || !shape) return;
  const auto factor = grouping.find(name.substr(0, name.size() - kSuffix.size()), ".scale");
  if (!factor || grouping.tensor(*factor).dtype != DType::kF32) return;
  const auto count = element_count(grouping.tensor(*factor).shape);
  if (count != 1 && count != shape->experts) {
    grouping.warn("scale fits neither the tensor nor its experts: listed as stored", *factor);
    return;
  }
  weight.parts.push_back({*factor, PartRole::kSecondScales});
}

}  // namespace

void build_ggml_weights(Grouping& grouping) {
  const auto count = static_cast<std::uint32_t>(grouping.model().tensors.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    const Tensor& tensor = grouping.tensor(i);
    const auto row = std::find_if(kBlocks.begin(), kBlocks.end(), [&](const BlockScheme& block) {
      return block.type == tensor.dtype;
    });
    if (row == kBlocks.end()) continue;
    Weight weight = start_weight(Scheme::kGgml, tensor.name, tensor.shape, i);
    weight.format = info(tensor.dtype).name;
    weight.bits = row->bits;
    weight.group_size = row->group;
    weight.scale_dtype = row->scale;
    weight.symmetric = !row->minimum;
    weight.zero_point = row->minimum ? ZeroPoint::kFloat : ZeroPoint::kNone;
    weight.undecodable = ggml_undecodable(tensor);
    if (tensor.dtype == DType::kNVFP4) take_factor(grouping, weight);
    grouping.add(std::move(weight));
  }
}

std::unique_ptr<WeightReader> open_ggml_weight_reader(const Model& model, const Weight& weight) {
  if (find_part(weight, PartRole::kSecondScales) != nullptr) {
    return std::make_unique<FactorReader>(model, weight);
  }
  return open_ggml_reader(model, weight);
}

}  // namespace qi
