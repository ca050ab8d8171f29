#include "eval/calibration/scaled_block.h"

#include <fmt/format.h>

#include "engine/calibrated/smoothing.h"

namespace qi {

ScaledBlock::ScaledBlock(const Block& block, const Model& model, const Architecture& architecture)
    : block_(block), model_(model), architecture_(architecture) {
  for (std::size_t i = 0; i < kBlockLinears; ++i) {
    scaled_[i].numbers = block.numbers(static_cast<BlockLinear>(i));
  }
}

MatrixView ScaledBlock::view(BlockLinear linear) const {
  MatrixView view = block_.view(linear);
  view.data = scaled_[static_cast<std::size_t>(linear)].numbers.data();
  return view;
}

void ScaledBlock::scale_columns_of(BlockLinear linear, std::span<const float> scales) {
  const MatrixView now = view(linear);
  scale_columns(at(linear).numbers.data(), now.rows, now.cols, scales);
  at(linear).columns.assign(scales.begin(), scales.end());
}

void ScaledBlock::scale_behind_norm(LayerInput input, std::span<const float> scales) {
  const bool attention = input == LayerInput::kQkv;
  for (std::size_t i = 0; i < kBlockLinears; ++i) {
    const auto linear = static_cast<BlockLinear>(i);
    if (input_of(linear) == input) scale_columns_of(linear, scales);
  }
  const std::vector<float>& norm =
      attention ? block_.weights().attention_norm : block_.weights().mlp_norm;
  Numbers stored(norm.size());
  for (std::size_t c = 0; c < norm.size(); ++c) {
    stored[c] = norm[c] / scales[c] - static_cast<float>(architecture_.norm_offset);
  }
  changed(attention ? "attn_norm.weight" : "ffn_norm.weight", std::move(stored));
}

void ScaledBlock::scale_behind_rows(BlockLinear linear, BlockLinear before,
                                    std::span<const float> scales) {
  scale_columns_of(linear, scales);
  const MatrixView shape = view(before);
  Scaled& scaled = at(before);
  for (std::size_t r = 0; r < shape.rows; ++r) {
    float* const row = scaled.numbers.data() + r * shape.cols;
    for (std::size_t c = 0; c < shape.cols; ++c) row[c] /= scales[r];
  }
  scaled.rows.assign(scales.begin(), scales.end());
  const bool is_v = before == BlockLinear::kV;
  Numbers bias = is_v ? block_.weights().v.bias : block_.weights().up.bias;
  if (bias.empty()) return;
  for (std::size_t r = 0; r < bias.size(); ++r) bias[r] /= scales[r];
  changed(is_v ? "attn_v.bias" : "ffn_up.bias", std::move(bias));
}

void ScaledBlock::changed(std::string_view module, Numbers values) {
  const std::string name = fmt::format("blk.{}.{}", block_.layer(), module);
  changes_.push_back({find_by_gguf_name(model_, name), std::move(values)});
}

void ScaledBlock::hand_out_changes(const CalibratedEvents& events) const {
  if (!events.on_changed) return;
  for (const Change& change : changes_) events.on_changed(*change.weight, change.values);
}

}  // namespace qi
