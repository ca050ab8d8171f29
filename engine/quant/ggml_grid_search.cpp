#include "engine/quant/ggml_grid_search.h"

#include <array>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/quant/ggml_grid_search.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::ggml::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
const hn::CappedTag<float, 16> kF;

// Products are summed in the order of the levels, one after the other: every width gives the same.
void GridProducts(const Codebook& book, const float* xw, const float* w, float* a2, float* b) {
  const std::size_t points = book.points;
  for (std::size_t k = 0; k < points; k += hn::Lanes(kF)) {
    auto sum_a = hn::Zero(kF), sum_b = hn::Zero(kF);
    for (std::size_t j = 0; j < book.dim; ++j) {
      const std::size_t at = j * points + k;
      sum_a = hn::Add(sum_a, hn::Mul(hn::Set(kF, xw[j]), hn::LoadU(kF, &book.levels[at])));
      sum_b = hn::Add(sum_b, hn::Mul(hn::Set(kF, w[j]), hn::LoadU(kF, &book.squares[at])));
    }
    hn::StoreU(hn::Add(sum_a, sum_a), kF, a2 + k);
    hn::StoreU(sum_b, kF, b + k);
  }
}

using Vector = hn::Vec<decltype(kF)>;

// What each lane has found for one scale: its first least.
struct Best {
  Vector scale, error, place;

  HWY_INLINE void Look(Vector a2, Vector b, Vector at) {
    const auto now = hn::Sub(hn::Mul(scale, b), a2);
    const auto less = hn::Lt(now, error);
    error = hn::IfThenElse(less, now, error);
    place = hn::IfThenElse(less, at, place);
  }
  // Of lanes that agree the lowest place wins. Places are floats, exact up to 2^24.
  HWY_INLINE std::uint16_t Place() const {
    std::array<float, 16> errors, places;
    hn::StoreU(error, kF, errors.data());
    hn::StoreU(place, kF, places.data());
    std::size_t lane = 0;
    for (std::size_t i = 1; i < hn::Lanes(kF); ++i) {
      if (errors[i] < errors[lane] || (errors[i] == errors[lane] && places[i] < places[lane])) {
        lane = i;
      }
    }
    return static_cast<std::uint16_t>(places[lane]);
  }
};

HWY_INLINE Best Nothing(float scale) {
  return {hn::Set(kF, scale), hn::Set(kF, std::numeric_limits<float>::infinity()), hn::Zero(kF)};
}

// Four scales a pass: the products are loaded once, and the comparisons of one scale wait for
// nothing of the others.
Places GridNearest(const float* a2, const float* b, std::size_t points, const Scales& scales) {
  Best one = Nothing(scales[0]), two = Nothing(scales[1]), three = Nothing(scales[2]),
       four = Nothing(scales[3]);
  const auto step = hn::Set(kF, static_cast<float>(hn::Lanes(kF)));
  auto at = hn::Iota(kF, 0.0f);
  for (std::size_t k = 0; k < points; k += hn::Lanes(kF)) {
    const auto va = hn::LoadU(kF, a2 + k), vb = hn::LoadU(kF, b + k);
    one.Look(va, vb, at);
    two.Look(va, vb, at);
    three.Look(va, vb, at);
    four.Look(va, vb, at);
    at = hn::Add(at, step);
  }
  return {one.Place(), two.Place(), three.Place(), four.Place()};
}

}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::ggml {

HWY_EXPORT(GridProducts);
HWY_EXPORT(GridNearest);

void grid_products(const Codebook& book, const float* xw, const float* w, float* a2, float* b) {
  HWY_DYNAMIC_DISPATCH(GridProducts)(book, xw, w, a2, b);
}

Places grid_nearest(const float* a2, const float* b, std::size_t points, const Scales& scales) {
  return HWY_DYNAMIC_DISPATCH(GridNearest)(a2, b, points, scales);
}

void grid_products_plain(const Codebook& book, const float* xw, const float* w, float* a2,
                         float* b) {
  for (std::size_t k = 0; k < book.points; ++k) {
    float a = 0;
    b[k] = 0;
    for (std::size_t j = 0; j < book.dim; ++j) {
      a += xw[j] * book.levels[j * book.points + k];
      b[k] += w[j] * book.squares[j * book.points + k];
    }
    a2[k] = a + a;
  }
}

Places grid_nearest_plain(const float* a2, const float* b, std::size_t points,
                          const Scales& scales) {
  Places places{};
  for (std::size_t s = 0; s < kScales; ++s) {
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t k = 0; k < points; ++k) {
      const float error = scales[s] * b[k] - a2[k];
      if (error < least) {
        least = error;
        places[s] = static_cast<std::uint16_t>(k);
      }
    }
  }
  return places;
}

}  // namespace qi::ggml
#endif
