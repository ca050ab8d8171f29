#include "engine/quant/ggml_quantize.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/quant/ggml_quantizers.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

struct Quantizer {
  DType type;
  ggml::QuantizeBlock block;
  bool weighted;  // needs weights, also where nobody gives any
};

constexpr std::array kQuantizers = {
    Quantizer{DType::kF16, nullptr, false},
    Quantizer{DType::kBF16, nullptr, false},
    Quantizer{DType::kQ4_0, ggml::make_q4_0, false},
    Quantizer{DType::kQ4_1, ggml::make_q4_1, false},
    Quantizer{DType::kQ5_0, ggml::make_q5_0, false},
    Quantizer{DType::kQ5_1, ggml::make_q5_1, false},
    Quantizer{DType::kQ8_0, ggml::make_q8_0, false},
    Quantizer{DType::kTQ1_0, ggml::make_tq1_0, false},
    Quantizer{DType::kTQ2_0, ggml::make_tq2_0, false},
    Quantizer{DType::kMXFP4, ggml::make_mxfp4, false},
    Quantizer{DType::kQ2K, ggml::make_q2_k, true},
    Quantizer{DType::kQ3K, ggml::make_q3_k, true},
    Quantizer{DType::kQ4K, ggml::make_q4_k, true},
    Quantizer{DType::kQ5K, ggml::make_q5_k, true},
    Quantizer{DType::kQ6K, ggml::make_q6_k, true},
    Quantizer{DType::kIQ4NL, ggml::make_iq4_nl, true},
    Quantizer{DType::kIQ4XS, ggml::make_iq4_xs, true},
    Quantizer{DType::kIQ2XXS, ggml::make_iq2_xxs, true},
    Quantizer{DType::kIQ2XS, ggml::make_iq2_xs, true},
    Quantizer{DType::kIQ2S, ggml::make_iq2_s, true},
    Quantizer{DType::kIQ3XXS, ggml::make_iq3_xxs, true},
    Quantizer{DType::kIQ3S, ggml::make_iq3_s, true},
    Quantizer{DType::kIQ1S, ggml::make_iq1_s, true},
    Quantizer{DType::kIQ1M, ggml::make_iq1_m, true},
};

const Quantizer* find(DType type) {
  const auto found = std::find_if(kQuantizers.begin(), kQuantizers.end(),
                                  [&](const Quantizer& row) { return row.type == type; });
  return found == kQuantizers.end() ? nullptr : &*found;
}

constexpr std::array<float, 256> kAlike = [] {
  std::array<float, 256> ones{};
  ones.fill(1.0f);
  return ones;
}();

}  // namespace

bool ggml_quantizable(DType type) {
  return find(type) != nullptr;
}

bool ggml_needs_importance(DType type) {
  return type == DType::kIQ1S || type == DType::kIQ1M || type == DType::kIQ2XXS ||
         type == DType::kIQ2XS || type == DType::kIQ2S;
}

void quantize_blocks(DType type, const float* values, std::uint64_t rows, std::uint64_t cols,
                     const float* importance, std::byte* out) {
  const Quantizer* quantizer = find(type);
  if (quantizer == nullptr) {
    throw Error(ErrorCode::kBadDtype, fmt::format("{} cannot be written", info(type).name),
                "a ggml type that llama-quantize writes");
  }
  if (type == DType::kF16) return floats_to_f16(values, rows * cols, out);
  if (type == DType::kBF16) return floats_to_bf16(values, rows * cols, out);
  const std::uint64_t step = info(type).block_elements;
  const std::uint64_t bytes = info(type).block_bytes;
  if (cols % step != 0) {
    throw Error(ErrorCode::kBadShape,
                fmt::format("a row of {} numbers as {}", cols, info(type).name),
                fmt::format("a multiple of {}", step));
  }
  // An importance of nothing but zeros in a block says nothing: all count alike there.
  std::vector<float> weights;
  if (importance != nullptr) weights.assign(importance, importance + cols);
  for (std::uint64_t at = 0; at < weights.size(); at += step) {
    float* block = weights.data() + at;
    if (std::all_of(block, block + step, [](float w) { return !(w > 0); })) {
      std::fill_n(block, step, 1.0f);
    }
  }
  for (std::uint64_t row = 0; row < rows; ++row) {
    for (std::uint64_t at = 0; at < cols; at += step, values += step, out += bytes) {
      const float* w = !weights.empty()      ? weights.data() + at
                       : quantizer->weighted ? kAlike.data()
                                             : nullptr;
      quantizer->block(values, w, out);
    }
  }
}

}  // namespace qi
