#include "engine/calibrated/column_kernels.h"

#include "engine/calibrated/real_grid.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/calibrated/column_kernels.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

const hn::CappedTag<float, kSlabLanes> kFloats;
const hn::RebindToSigned<decltype(kFloats)> kInts;
const hn::Rebind<std::uint8_t, decltype(kFloats)> kBytes;
using Floats = hn::VFromD<decltype(kFloats)>;

// Products are added in two steps: fused ones would be other numbers on other machines.
HWY_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
  return hn::Add(hn::Mul(a, b), c);
}
HWY_INLINE Floats splat(float x) {
  return hn::Set(kFloats, x);
}
HWY_INLINE Floats between(Floats x, Floats low, Floats high) {
  return hn::Min(hn::Max(x, low), high);
}
HWY_INLINE void store_codes(Floats codes, std::uint8_t* out) {
  hn::StoreU(hn::DemoteTo(kBytes, hn::ConvertTo(kInts, codes)), kBytes, out);
}

void Ranges(const float* columns, std::size_t count, std::size_t rows, float* low, float* high) {
  const std::size_t lanes = hn::Lanes(kFloats);
  for (std::size_t r = 0; r < rows; r += lanes) {
    Floats least = hn::LoadU(kFloats, columns + r), most = least;
    for (std::size_t c = 1; c < count; ++c) {
      const Floats x = hn::LoadU(kFloats, columns + c * rows + r);
      least = hn::Min(least, x);
      most = hn::Max(most, x);
    }
    hn::StoreU(least, kFloats, low + r);
    hn::StoreU(most, kFloats, high + r);
  }
}

template <bool kRounded>
HWY_INLINE Floats quantized(Floats x, Floats scale, Floats zero, Floats top, Floats shift,
                            Floats least) {
  if constexpr (kRounded) {
    return between(hn::Add(hn::Round(hn::Div(x, scale)), zero), splat(0), top);
  } else {
    const Floats code = hn::Add(hn::Div(x, hn::Max(scale, least)), hn::Sub(zero, shift));
    return hn::Add(hn::Round(between(code, hn::Neg(shift), hn::Sub(top, shift))), shift);
  }
}

template <bool kRounded>
HWY_INLINE bool code_column(const ColumnGrid& grid, const float* column, std::size_t rows,
                            float weight, float threshold, const ColumnResult& out,
                            std::uint8_t* outlier) {
  const std::size_t lanes = hn::Lanes(kFloats);
  const Floats top = splat(grid.top), shift = splat(grid.shift), least = splat(grid.least);
  bool any = false;
  for (std::size_t r = 0; r < rows; r += lanes) {
    const Floats x = hn::LoadU(kFloats, column + r);
    const Floats scale = hn::LoadU(kFloats, grid.scale + r);
    const Floats zero = hn::LoadU(kFloats, grid.zero + r);
    Floats q = quantized<kRounded>(x, scale, zero, top, shift, least);
    Floats value = hn::Mul(scale, hn::Sub(q, zero));
    Floats error = hn::Mul(hn::Sub(x, value), splat(weight));
    const auto is_outlier = hn::Gt(hn::Mul(error, error), splat(threshold));
    store_codes(hn::IfThenElseZero(is_outlier, splat(1)), outlier + r);
    if (!hn::AllFalse(kFloats, is_outlier)) {
      any = true;
      const Floats of_zero = quantized<kRounded>(splat(0), scale, zero, top, shift, least);
      q = hn::IfThenElse(is_outlier, of_zero, q);
      value = hn::IfThenElse(is_outlier, x, value);
      error = hn::IfThenZeroElse(is_outlier, error);
    }
    store_codes(q, out.codes + r);
    hn::StoreU(hn::Sub(hn::LoadU(kFloats, out.change + r), value), kFloats, out.change + r);
    hn::StoreU(error, kFloats, out.error + r);
    hn::StoreU(multiply_add(error, error, hn::LoadU(kFloats, out.loss + r)), kFloats, out.loss + r);
  }
  return any;
}

bool Code(const ColumnGrid& grid, const float* column, std::size_t rows, float weight,
          float threshold, const ColumnResult& out, std::uint8_t* outlier) {
  return grid.rounded ? code_column<true>(grid, column, rows, weight, threshold, out, outlier)
                      : code_column<false>(grid, column, rows, weight, threshold, out, outlier);
}

void Subtract(const float* factors, const float* error, std::size_t count, std::size_t rows,
              float* columns) {
  const std::size_t lanes = hn::Lanes(kFloats);
  for (std::size_t c = 0; c < count; ++c, columns += rows) {
    const Floats factor = splat(factors[c]);
    for (std::size_t r = 0; r < rows; r += lanes) {
      const Floats part = hn::Mul(factor, hn::LoadU(kFloats, error + r));
      hn::StoreU(hn::Sub(hn::LoadU(kFloats, columns + r), part), kFloats, columns + r);
    }
  }
}

HWY_INLINE Floats power_2_4(Floats x) {
  const Floats least = hn::Max(x, splat(1e-30f));
  const Floats fifth = hn::Mul(hn::ConvertTo(kFloats, hn::BitCast(kInts, least)), splat(0.2f));
  Floats root =
      hn::BitCast(kFloats, hn::Add(hn::ConvertTo(kInts, fifth), hn::Set(kInts, 0x32CA0000)));
  for (int step = 0; step < 3; ++step) {
    const Floats square = hn::Mul(root, root);
    const Floats quotient = hn::Div(least, hn::Mul(square, square));
    root = hn::Mul(splat(0.2f), multiply_add(splat(4), root, quotient));
  }
  return hn::Mul(hn::Mul(x, x), hn::Mul(root, root));
}

void ShrunkGrids(const float* columns, std::size_t count, std::size_t rows, const float* lows,
                 const float* highs, float top_code, bool symmetric, float* scales, float* zeros) {
  const std::size_t lanes = hn::Lanes(kFloats);
  const Floats top = splat(top_code);
  for (std::size_t r = 0; r < rows; r += lanes) {
    Floats low = hn::Min(hn::LoadU(kFloats, lows + r), splat(0));
    Floats high = hn::Max(hn::LoadU(kFloats, highs + r), splat(0));
    if (symmetric) {
      high = hn::Max(hn::Abs(low), high);
      low = hn::IfThenElse(hn::Lt(low, splat(0)), hn::Neg(high), low);
    }
    const auto flat = hn::Eq(hn::Div(hn::Sub(high, low), top), splat(0));
    low = hn::IfThenElse(flat, splat(-1), low);
    high = hn::IfThenElse(flat, splat(1), high);
    Floats best = hn::Inf(kFloats), best_scale = low, best_zero = low;
    for (int i = 0; i < 80; ++i) {
      const Floats p = splat(1.0f - static_cast<float>(i) / 100.0f);
      const Floats scale = hn::Div(hn::Sub(hn::Mul(p, high), hn::Mul(p, low)), top);
      const Floats zero = symmetric ? splat((top_code + 1) / 2)
                                    : hn::Round(hn::Div(hn::Neg(hn::Mul(p, low)), scale));
      if (i == 0) best_scale = scale, best_zero = zero;
      Floats sum = splat(0);
      for (std::size_t c = 0; c < count; ++c) {
        // Sums only grow: once none is the least, the rest is of no account.
        if (c % 16 == 0 && hn::AllFalse(kFloats, hn::Lt(sum, best))) break;
        const Floats x = hn::LoadU(kFloats, columns + c * rows + r);
        const Floats q = quantized<true>(x, scale, zero, top, splat(0), splat(0));
        sum = hn::Add(sum, power_2_4(hn::Abs(hn::Sub(hn::Mul(scale, hn::Sub(q, zero)), x))));
      }
      const auto better = hn::Lt(sum, best);
      best = hn::IfThenElse(better, sum, best);
      best_scale = hn::IfThenElse(better, scale, best_scale);
      best_zero = hn::IfThenElse(better, zero, best_zero);
    }
    hn::StoreU(best_scale, kFloats, scales + r);
    hn::StoreU(best_zero, kFloats, zeros + r);
  }
}

/// real_grid() of each lane.
struct RealGrids {
  HWY_INLINE RealGrids(Floats low, Floats high, float top_code, bool symmetric)
      : top(splat(top_code)) {
    if (symmetric) {
      high = hn::Max(hn::Abs(low), high);
      low = hn::IfThenElse(hn::Lt(low, splat(0)), hn::Neg(high), low);
    }
    const auto flat = hn::Eq(low, high);
    low = hn::IfThenElse(flat, splat(-1), low);
    high = hn::IfThenElse(flat, splat(1), high);
    scale = hn::Div(hn::Sub(high, low), top);
    zero = symmetric ? splat((top_code + 1) / 2) : hn::Div(hn::Neg(low), scale);
  }
  HWY_INLINE Floats squared_error(Floats x, Floats weight) const {
    const Floats q = quantized<false>(x, scale, zero, top, splat(0), splat(kLeastDivisor));
    const Floats error = hn::Mul(hn::Sub(hn::Mul(scale, hn::Sub(q, zero)), x), weight);
    return hn::Mul(error, error);
  }
  Floats top, scale, zero;
};

void InlierRanges(const float* columns, std::size_t count, std::size_t rows, const float* weights,
                  int bits, bool symmetric, float threshold, float* low, float* high) {
  const auto top = static_cast<float>((1 << bits) - 1);
  const std::size_t lanes = hn::Lanes(kFloats);
  for (std::size_t r = 0; r < rows; r += lanes) {
    const auto number = [&](std::size_t c)
                            HWY_ATTR { return hn::LoadU(kFloats, columns + c * rows + r); };
    // Without one number the grid is another only if that is the least or the greatest.
    Floats least = hn::Inf(kFloats), second_least = least, at_least = splat(0);
    Floats most = hn::Neg(least), second_most = most, at_most = splat(0);
    for (std::size_t c = 0; c < count; ++c) {
      const Floats x = number(c), at = splat(static_cast<float>(c));
      const auto less = hn::Lt(x, least), more = hn::Gt(x, most);
      second_least = hn::IfThenElse(less, least, hn::Min(second_least, x));
      least = hn::IfThenElse(less, x, least);
      at_least = hn::IfThenElse(less, at, at_least);
      second_most = hn::IfThenElse(more, most, hn::Max(second_most, x));
      most = hn::IfThenElse(more, x, most);
      at_most = hn::IfThenElse(more, at, at_most);
    }
    const auto same = hn::Eq(at_least, at_most);
    const RealGrids all(least, most, top, symmetric);
    const RealGrids without_least(second_least, hn::IfThenElse(same, second_most, most), top,
                                  symmetric);
    const RealGrids without_most(hn::IfThenElse(same, second_least, least), second_most, top,
                                 symmetric);
    Floats base = splat(0), low_sum = base, high_sum = base;
    for (std::size_t c = 0; c < count; ++c) {
      const Floats x = number(c), at = splat(static_cast<float>(c)), weight = splat(weights[c]);
      base = hn::Add(base, all.squared_error(x, weight));
      low_sum = hn::Add(low_sum, hn::IfThenZeroElse(hn::Eq(at, at_least),
                                                    without_least.squared_error(x, weight)));
      high_sum = hn::Add(
          high_sum, hn::IfThenZeroElse(hn::Eq(at, at_most), without_most.squared_error(x, weight)));
    }
    const Floats low_gain = hn::Sub(base, low_sum), high_gain = hn::Sub(base, high_sum);
    Floats kept = splat(0), sum = splat(0), lowest = hn::Inf(kFloats), highest = hn::Neg(lowest);
    for (std::size_t c = 0; c < count; ++c) {
      const Floats x = number(c), at = splat(static_cast<float>(c));
      const Floats own = all.squared_error(x, splat(weights[c]));
      const Floats gain = hn::IfThenElse(hn::Eq(at, at_least), low_gain,
                                         hn::IfThenElse(hn::Eq(at, at_most), high_gain, own));
      const auto out = hn::Gt(gain, splat(threshold));
      kept = hn::Add(kept, hn::IfThenZeroElse(out, splat(1)));
      sum = hn::Add(sum, hn::IfThenZeroElse(out, x));
      lowest = hn::IfThenElse(out, lowest, hn::Min(lowest, x));
      highest = hn::IfThenElse(out, highest, hn::Max(highest, x));
    }
    const auto some_out = hn::Lt(kept, splat(static_cast<float>(count)));
    const Floats mean = hn::Div(sum, hn::Max(kept, splat(1)));
    hn::StoreU(hn::IfThenElse(some_out, hn::Min(lowest, mean), lowest), kFloats, low + r);
    hn::StoreU(hn::IfThenElse(some_out, hn::Max(highest, mean), highest), kFloats, high + r);
  }
}

const ColumnKernels* Kernels() {
  static constexpr ColumnKernels kKernels{Ranges, Code, Subtract, ShrunkGrids, InlierRanges};
  return &kKernels;
}

}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi {

HWY_EXPORT(Kernels);

const ColumnKernels& column_kernels() {
  return *HWY_DYNAMIC_DISPATCH(Kernels)();
}

}  // namespace qi
#endif
