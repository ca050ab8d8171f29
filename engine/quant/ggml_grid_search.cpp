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
void GridProducts(const Codebook& book, const float* xw, const float* w, float* a, float* b) {
  const std::size_t points = book.points;
  for (std::size_t k = 0; k < points; k += hn::Lanes(kF)) {
    auto sum_a = hn::Zero(kF), sum_b = hn::Zero(kF);
    for (std::size_t j = 0; j < book.dim; ++j) {
      const std::size_t at = j * points + k;
      sum_a = hn::Add(sum_a, hn::Mul(hn::Set(kF, xw[j]), hn::LoadU(kF, &book.levels[at])));
      sum_b = hn::Add(sum_b, hn::Mul(hn::Set(kF, w[j]), hn::LoadU(kF, &book.squares[at])));
    }
    hn::StoreU(sum_a, kF, a + k);
    hn::StoreU(sum_b, kF, b + k);
  }
}

// Each lane keeps its first least; of lanes that agree the lowest place wins. Places are floats,
// exact up to 2^24.
std::size_t GridNearest(const float* a, const float* b, std::size_t points, float scale) {
  const auto s = hn::Set(kF, scale);
  const auto two = hn::Set(kF, 2.0f);
  const auto step = hn::Set(kF, static_cast<float>(hn::Lanes(kF)));
  auto place = hn::Iota(kF, 0.0f);
  auto best = hn::Set(kF, std::numeric_limits<float>::infinity());
  auto best_place = hn::Zero(kF);
  for (std::size_t k = 0; k < points; k += hn::Lanes(kF)) {
    const auto error =
        hn::Sub(hn::Mul(s, hn::LoadU(kF, b + k)), hn::Mul(two, hn::LoadU(kF, a + k)));
    const auto less = hn::Lt(error, best);
    best = hn::IfThenElse(less, error, best);
    best_place = hn::IfThenElse(less, place, best_place);
    place = hn::Add(place, step);
  }
  std::array<float, 16> errors, places;
  hn::StoreU(best, kF, errors.data());
  hn::StoreU(best_place, kF, places.data());
  std::size_t lane = 0;
  for (std::size_t i = 1; i < hn::Lanes(kF); ++i) {
    if (errors[i] < errors[lane] || (errors[i] == errors[lane] && places[i] < places[lane])) {
      lane = i;
    }
  }
  return static_cast<std::size_t>(places[lane]);
}

}  // namespace qi::ggml::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi::ggml {

HWY_EXPORT(GridProducts);
HWY_EXPORT(GridNearest);

void grid_products(const Codebook& book, const float* xw, const float* w, float* a, float* b) {
  HWY_DYNAMIC_DISPATCH(GridProducts)(book, xw, w, a, b);
}

std::size_t grid_nearest(const float* a, const float* b, std::size_t points, float scale) {
  return HWY_DYNAMIC_DISPATCH(GridNearest)(a, b, points, scale);
}

void grid_products_plain(const Codebook& book, const float* xw, const float* w, float* a,
                         float* b) {
  for (std::size_t k = 0; k < book.points; ++k) {
    a[k] = b[k] = 0;
    for (std::size_t j = 0; j < book.dim; ++j) {
      a[k] += xw[j] * book.levels[j * book.points + k];
      b[k] += w[j] * book.squares[j * book.points + k];
    }
  }
}

std::size_t grid_nearest_plain(const float* a, const float* b, std::size_t points, float scale) {
  std::size_t best = 0;
  float least = std::numeric_limits<float>::infinity();
  for (std::size_t k = 0; k < points; ++k) {
    const float error = scale * b[k] - 2.0f * a[k];
    if (error < least) {
      least = error;
      best = k;
    }
  }
  return best;
}

}  // namespace qi::ggml
#endif
