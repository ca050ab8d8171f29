#include <cassert>

#include "engine/quant/ggml_quantize_simd.h"

// The searches are long and the newest targets add nothing to them.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/quant/ggml_quantize_k.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "engine/quant/ggml_search_affine-inl.h"
#include "engine/quant/ggml_search_fp4-inl.h"
#include "engine/quant/ggml_search_scale-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {
namespace {

template <typename Search>
void super_blocks(const float* values, const float* importance, std::size_t blocks,
                  std::size_t bytes, void (*put)(const SuperCodes&, std::byte*), std::byte* out) {
  SuperCodes codes;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t at = i * SuperBlock::kValues;
    const SuperBlock block(values + at, importance == nullptr ? nullptr : importance + at,
                           SuperBlock::kValues);
    Search::run(block, codes);
    put(codes, out + i * bytes);
  }
}

void each_block(DType type, void (*make)(const float*, const float*, std::byte*),
                const float* values, const float* importance, std::size_t blocks, std::byte* out) {
  const std::size_t elements = info(type).block_elements;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t at = i * elements;
    make(values + at, importance == nullptr ? nullptr : importance + at,
         out + i * info(type).block_bytes);
  }
}

template <typename F>
void search(DType type, const float* values, const float* importance, std::size_t blocks,
            std::byte* out) {
  const std::size_t bytes = info(type).block_bytes;
  switch (type) {
    case DType::kQ2K:
      return super_blocks<AffineSearch<F, Q2KShape>>(values, importance, blocks, bytes, put_q2_k,
                                                     out);
    case DType::kQ3K:
      return super_blocks<ScaleSearch<F, Q3KShape>>(values, importance, blocks, bytes, put_q3_k,
                                                    out);
    case DType::kQ4K:
      return super_blocks<AffineSearch<F, Q4KShape>>(values, importance, blocks, bytes, put_q4_k,
                                                     out);
    case DType::kQ5K:
      return super_blocks<AffineSearch<F, Q5KShape>>(values, importance, blocks, bytes, put_q5_k,
                                                     out);
    case DType::kQ6K:
      return super_blocks<ScaleSearch<F, Q6KShape>>(values, importance, blocks, bytes, put_q6_k,
                                                    out);
    case DType::kIQ4XS:
      return super_blocks<ScaleSearch<F, IQ4XSShape>>(values, importance, blocks, bytes, put_iq4_xs,
                                                      out);
    case DType::kMXFP4:
      return each_block(type, search_mxfp4<F>, values, importance, blocks, out);
    case DType::kNVFP4:
      return each_block(type, search_nvfp4<F>, values, importance, blocks, out);
    default:
      for (std::size_t i = 0; i < blocks; i += 2) {
        search_iq4_nl<F>(values + 32 * i, importance == nullptr ? nullptr : importance + 32 * i,
                         blocks - i < 2 ? 1 : 2, out + bytes * i);
      }
  }
}

void SearchK(DType type, const float* values, const float* importance, std::size_t blocks,
             std::byte* out) {
  search<Lanes>(type, values, importance, blocks, out);
}

#if HWY_ONCE
void SearchKPlain(DType type, const float* values, const float* importance, std::size_t blocks,
                  std::byte* out) {
  search<PlainLanes>(type, values, importance, blocks, out);
}
#endif

}  // namespace
}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::ggml {

HWY_EXPORT(SearchK);

void search_k_simd(DType type, const float* values, const float* importance, std::size_t blocks,
                   std::byte* out) {
  HWY_DYNAMIC_DISPATCH(SearchK)(type, values, importance, blocks, out);
}

void search_k_plain(DType type, const float* values, const float* importance, std::size_t blocks,
                    std::byte* out) {
  HWY_STATIC_DISPATCH(SearchKPlain)(type, values, importance, blocks, out);
}

}  // namespace qi::ggml
#endif
