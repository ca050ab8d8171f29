#include <cassert>

#include "engine/quant/ggml_quantize_simd.h"

// The searches are long and the newest targets add nothing to them.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/quant/ggml_quantize_grid.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "engine/quant/ggml_search_grid-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

template <typename Search>
void grid_blocks(const float* values, const float* importance, std::size_t blocks,
                 std::size_t bytes, void (*put)(const GridCodes&, std::byte*), std::byte* out) {
  GridCodes codes;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t at = i * SuperBlock::kValues;
    const SuperBlock block(values + at, importance == nullptr ? nullptr : importance + at,
                           SuperBlock::kValues);
    Search::run(block, codes);
    put(codes, out + i * bytes);
  }
}

template <typename F>
void search(DType type, const float* values, const float* importance, std::size_t blocks,
            std::byte* out) {
  const std::size_t bytes = info(type).block_bytes;
  switch (type) {
    case DType::kIQ2XXS:
      return grid_blocks<GridSearch<F, IQ2XXSShape>>(values, importance, blocks, bytes, put_iq2_xxs,
                                                     out);
    case DType::kIQ2XS:
      return grid_blocks<GridSearch<F, IQ2XSShape>>(values, importance, blocks, bytes, put_iq2_xs,
                                                    out);
    case DType::kIQ2S:
      return grid_blocks<GridSearch<F, IQ2SShape>>(values, importance, blocks, bytes, put_iq2_s,
                                                   out);
    case DType::kIQ3XXS:
      return grid_blocks<GridSearch<F, IQ3XXSShape>>(values, importance, blocks, bytes, put_iq3_xxs,
                                                     out);
    case DType::kIQ3S:
      return grid_blocks<GridSearch<F, IQ3SShape>>(values, importance, blocks, bytes, put_iq3_s,
                                                   out);
    case DType::kIQ1S:
      return grid_blocks<GridSearch<F, IQ1SShape>>(values, importance, blocks, bytes, put_iq1_s,
                                                   out);
    default:
      assert(type == DType::kIQ1M);
      return grid_blocks<GridSearch<F, IQ1MShape>>(values, importance, blocks, bytes, put_iq1_m,
                                                   out);
  }
}

void SearchGrid(DType type, const float* values, const float* importance, std::size_t blocks,
                std::byte* out) {
  search<Lanes>(type, values, importance, blocks, out);
}

#if HWY_ONCE
void SearchGridPlain(DType type, const float* values, const float* importance, std::size_t blocks,
                     std::byte* out) {
  search<PlainLanes>(type, values, importance, blocks, out);
}
#endif

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::ggml {

HWY_EXPORT(SearchGrid);

void search_grid_simd(DType type, const float* values, const float* importance, std::size_t blocks,
                      std::byte* out) {
  HWY_DYNAMIC_DISPATCH(SearchGrid)(type, values, importance, blocks, out);
}

void search_grid_plain(DType type, const float* values, const float* importance, std::size_t blocks,
                       std::byte* out) {
  HWY_STATIC_DISPATCH(SearchGridPlain)(type, values, importance, blocks, out);
}

}  // namespace qi::ggml
#endif
