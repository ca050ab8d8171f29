#include "engine/quant/ggml_scales.h"

#include <cstdint>

#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_bytes.h"

namespace qi {
namespace {

using namespace ggml;

BlockScales one(float scale, float* scales) {
  scales[0] = scale;
  return {1, false};
}

// scales[g] = d · of(g)
template <typename Of>
BlockScales groups(std::size_t count, float d, float* scales, const Of& of) {
  for (std::size_t g = 0; g < count; ++g) {
    scales[g] = d * static_cast<float>(of(static_cast<int>(g)));
  }
  return {count, false};
}

// The codebook types: 4 bits g of the block at `at`, as (0.5 + n) · factor.
float half_step(std::uint32_t nibble, float factor) {
  return (0.5f + static_cast<float>(nibble)) * factor;
}

BlockScales k_scales(const std::byte* block, float* scales, float* minima) {
  const float d = f16(block);
  const float dmin = f16(block + 2);
  for (int g = 0; g < 8; ++g) {
    const ScaleMin sm = k_scale_min(block + 4, g);
    scales[g] = d * static_cast<float>(sm.scale);
    minima[g] = -(dmin * static_cast<float>(sm.min));
  }
  return {8, true};
}

BlockScales q2_k(const std::byte* block, float* scales, float* minima) {
  const float d = f16(block + 80);
  const float dmin = f16(block + 82);
  for (int g = 0; g < 16; ++g) {
    scales[g] = d * static_cast<float>(low_nibble(block + g));
    minima[g] = -(dmin * static_cast<float>(high_nibble(block + g)));
  }
  return {16, true};
}

BlockScales iq1_m(const std::byte* block, float* scales) {
  const std::byte* sc = block + 48;
  std::uint32_t bits = 0;
  for (unsigned k = 0; k < 4; ++k) bits |= (u16(sc + 2 * k) >> 12) << (4 * k);
  return groups(16, f16_to_float(static_cast<std::uint16_t>(bits)), scales,
                [&](int g) { return 2 * ((u16(sc + g / 4 * 2) >> (3 * (g % 4))) & 7) + 1; });
}

}  // namespace

BlockScales block_scales(DType type, const std::byte* block, float* scales, float* minima) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0:
    case DType::kQ8_1:
    case DType::kIQ4NL:
    case DType::kQ1_0:
    case DType::kQ2_0:
      return one(f16(block), scales);
    case DType::kQ4_1:
    case DType::kQ5_1:
      scales[0] = f16(block);
      minima[0] = f16(block + 2);
      return {1, true};
    case DType::kQ8K:
      return one(f32(block), scales);
    case DType::kTQ1_0:
      return one(f16(block + 52), scales);
    case DType::kTQ2_0:
      return one(f16(block + 64), scales);
    case DType::kQ2K:
      return q2_k(block, scales, minima);
    case DType::kQ3K:
      return groups(16, f16(block + 108), scales, [&](int g) { return q3k_scale(block + 96, g); });
    case DType::kQ4K:
    case DType::kQ5K:
      return k_scales(block, scales, minima);
    case DType::kQ6K:
      return groups(16, f16(block + 208), scales, [&](int g) { return i8(block + 192 + g); });
    case DType::kIQ4XS:
      return groups(8, f16(block), scales, [&](int g) {
        const std::uint32_t low = (u8(block + 4 + g / 2) >> (4 * (g % 2))) & 15;
        const std::uint32_t high = (u16(block + 2) >> (2 * g)) & 3;
        return static_cast<std::int32_t>(low | high << 4) - 32;
      });
    case DType::kIQ2XXS:
      return groups(8, f16(block), scales,
                    [&](int g) { return half_step(u32(block + 6 + 8 * g) >> 28, 0.25f); });
    case DType::kIQ2XS:
    case DType::kIQ2S: {
      const std::byte* sc = block + (type == DType::kIQ2XS ? 66 : 74);
      return groups(16, f16(block), scales, [&](int g) {
        return half_step((u8(sc + g / 2) >> (4 * (g % 2))) & 15, 0.25f);
      });
    }
    case DType::kIQ3XXS:
      return groups(8, f16(block), scales,
                    [&](int g) { return half_step(u32(block + 66 + 4 * g) >> 28, 0.5f); });
    case DType::kIQ3S:
      return groups(8, f16(block), scales, [&](int g) {
        return 1 + 2 * ((u8(block + 106 + g / 2) >> (4 * (g % 2))) & 15);
      });
    case DType::kIQ1S:
      return groups(8, f16(block), scales,
                    [&](int g) { return 2 * ((u16(block + 34 + 2 * g) >> 12) & 7) + 1; });
    case DType::kIQ1M:
      return iq1_m(block, scales);
    case DType::kMXFP4:
      return one(2 * mxfp4_scale(u8(block)), scales);  // the value table is doubled
    case DType::kNVFP4:
      return groups(4, 2.0f, scales, [&](int g) { return nvfp4_scale(u8(block + g)); });
    case DType::kQ4_0_4_4:
    case DType::kQ4_0_4_8:
    case DType::kQ4_0_8_8:
      return groups(interleaved_rows(type), 1.0f, scales,
                    [&](int r) { return f16(block + 2 * r); });
    default:
      return {};
  }
}

}  // namespace qi
