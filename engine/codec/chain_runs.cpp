#include "engine/codec/chain_runs.h"

#include <cstring>

#include "engine/codec/chain_layout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/codec/chain_runs.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qi::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

const hn::CappedTag<float, 16> kRunFloats;
const hn::RebindToSigned<decltype(kRunFloats)> kRunInts;
const hn::Rebind<std::uint16_t, decltype(kRunFloats)> kRunHalves;
using RunFloats = hn::Vec<decltype(kRunFloats)>;
using RunInts = hn::Vec<decltype(kRunInts)>;

HWY_INLINE RunInts ints(std::int32_t value) {
  return hn::Set(kRunInts, value);
}

// ChainOrder::ceil(), both rounded ways of a magnitude by whether x is negative.
template <ChainKind kKind>
HWY_INLINE RunInts ceil_ordinal(RunFloats x, RunInts base, std::int32_t codes) {
  if constexpr (kKind == ChainKind::kCodes) {
    const auto most = hn::Set(kRunFloats, static_cast<float>(codes));
    const auto bounded = hn::Min(hn::Max(x, hn::Zero(kRunFloats)), most);
    const RunInts below = hn::ConvertTo(kRunInts, bounded);
    const auto inside = hn::Lt(hn::ConvertTo(kRunFloats, below), bounded);
    return hn::Add(below, hn::IfThenElseZero(hn::RebindMask(kRunInts, inside), ints(1)));
  } else {
    using Order = ChainOrder<kKind>;
    const RunInts bits = hn::BitCast(kRunInts, x);
    const RunInts magnitude = hn::And(bits, ints(0x7FFFFFFF));
    const auto negative = hn::Lt(bits, ints(0));
    RunInts rounded;
    if constexpr (kKind == ChainKind::kBF16) {
      const RunInts up = hn::IfThenZeroElse(negative, ints(0xFFFF));
      rounded = hn::ShiftRight<16>(hn::Add(magnitude, up));
    } else {
      constexpr auto kRebias = static_cast<std::int32_t>(Order::kExponentShift << 23);
      const RunInts up = hn::IfThenZeroElse(negative, ints(0x1FFF));
      const RunInts normal =
          hn::Min(ints(static_cast<std::int32_t>(Order::kInfinity)),
                  hn::ShiftRight<13>(hn::Add(hn::Sub(magnitude, ints(kRebias)), up)));
      const auto is_small = hn::Lt(magnitude, ints(kRebias + (1 << 23)));
      const auto units = hn::IfThenElseZero(
          hn::RebindMask(kRunFloats, is_small),
          hn::Mul(hn::BitCast(kRunFloats, magnitude), hn::Set(kRunFloats, 0x1p24F)));
      const RunInts below = hn::ConvertTo(kRunInts, units);
      const auto inside = hn::RebindMask(kRunInts, hn::Lt(hn::ConvertTo(kRunFloats, below), units));
      const RunInts one = hn::IfThenZeroElse(negative, hn::IfThenElseZero(inside, ints(1)));
      rounded = hn::IfThenElse(is_small, hn::Add(below, one), normal);
    }
    const RunInts squeezed = hn::Max(hn::Sub(rounded, base), ints(0));
    constexpr auto kZero = static_cast<std::int32_t>(Order::kZero);
    return hn::IfThenElse(negative, hn::Sub(ints(kZero - 1), squeezed),
                          hn::Add(ints(kZero), squeezed));
  }
}

template <ChainKind kKind>
HWY_INLINE void find_cells_of(std::int32_t codes, ChainRun& run) {
  using Order = ChainOrder<kKind>;
  const auto largest = hn::Set(kRunFloats, 0x1p100F);
  const auto smallest = hn::Set(kRunFloats, 0x1p-100F);
  const RunInts all = ints(kKind == ChainKind::kCodes ? codes : 0x10000);
  for (std::size_t i = 0; i < kChainRun; i += hn::Lanes(kRunFloats)) {
    auto center = hn::Load(kRunFloats, run.center.data() + i);
    auto step = hn::Load(kRunFloats, run.step.data() + i);
    const auto usable = hn::And(hn::And(hn::Ge(step, smallest), hn::Le(step, largest)),
                                hn::Le(hn::Abs(center), largest));
    // What is no grid counts as another one here and is replaced at the end.
    center = hn::IfThenElseZero(usable, center);
    step = hn::IfThenElse(usable, step, hn::Set(kRunFloats, 1));
    RunInts base = ints(0);
    if constexpr (kKind != ChainKind::kCodes) {
      constexpr auto kLeast = static_cast<std::int32_t>(kOctaves + Order::kExponentShift);
      const RunInts exponent = hn::ShiftRight<23>(hn::BitCast(kRunInts, step));
      base = hn::ShiftLeft<Order::kMantissaBits>(hn::Max(hn::Sub(exponent, ints(kLeast)), ints(0)));
    }
    const auto half = hn::Add(hn::Mul(step, hn::Set(kRunFloats, 0.5F)),
                              hn::Mul(hn::Abs(center), hn::Set(kRunFloats, 0x1p-20F)));
    const RunInts first = ceil_ordinal<kKind>(hn::Sub(center, half), base, codes);
    const RunInts next = ceil_ordinal<kKind>(hn::Add(center, half), base, codes);
    const RunInts count = hn::Sub(next, first);
    // Twice the logarithm and the bit below: from the number as a float.
    const RunInts scale = hn::Sub(
        hn::ShiftRight<22>(hn::BitCast(kRunInts, hn::ConvertTo(kRunFloats, count))), ints(2 * 127));
    const RunInts wide = hn::Min(hn::Add(hn::ShiftRight<1>(scale), ints(4)),
                                 ints(static_cast<std::int32_t>(kOpenClass) - 1));
    RunInts of_class = hn::IfThenElse(hn::Lt(scale, ints(8)), scale, wide);
    of_class = hn::IfThenElse(hn::Lt(count, ints(2)), count, of_class);
    const auto is_cell = hn::RebindMask(kRunInts, usable);
    hn::Store(hn::IfThenElseZero(is_cell, first), kRunInts, run.first.data() + i);
    hn::Store(hn::IfThenElse(is_cell, count, all), kRunInts, run.count.data() + i);
    hn::Store(hn::IfThenElseZero(is_cell, base), kRunInts, run.base.data() + i);
    hn::Store(hn::IfThenElse(is_cell, of_class, ints(static_cast<std::int32_t>(kOpenClass))),
              kRunInts, run.of_class.data() + i);
  }
}

void FindCells(ChainKind kind, std::int32_t codes, ChainRun& run) {
  switch (kind) {
    case ChainKind::kBF16:
      return find_cells_of<ChainKind::kBF16>(0, run);
    case ChainKind::kF16:
      return find_cells_of<ChainKind::kF16>(0, run);
    case ChainKind::kCodes:
      return find_cells_of<ChainKind::kCodes>(codes, run);
  }
}

bool SetEntries(const ChainRun& run, PairEntries& entries) {
  RunInts most = ints(0);
  auto* out = reinterpret_cast<std::int32_t*>(entries.data() + kFirstEntry);
  for (std::size_t i = 0; i < kChainRun; i += hn::Lanes(kRunFloats)) {
    const RunInts radix = hn::Max(hn::Load(kRunInts, run.count.data() + i), ints(1));
    most = hn::Max(most, radix);
    const auto reciprocal = hn::Div(hn::Set(kRunFloats, 1), hn::ConvertTo(kRunFloats, radix));
    hn::StoreInterleaved2(hn::ShiftLeft<16>(radix),
                          hn::Add(hn::BitCast(kRunInts, reciprocal), ints(1)), kRunInts,
                          out + 2 * i);
  }
  return hn::AllFalse(kRunInts, hn::Gt(most, ints(static_cast<std::int32_t>(kChainRadix))));
}

void SetNumbers(bool are_codes, const ChainRun& run, const std::uint16_t* digits,
                std::uint16_t* numbers) {
  constexpr std::int32_t kZero = 0x8000;
  for (std::size_t i = 0; i < kChainRun; i += hn::Lanes(kRunFloats)) {
    const RunInts digit = hn::PromoteTo(kRunInts, hn::LoadU(kRunHalves, digits + i));
    RunInts word = hn::Add(hn::Load(kRunInts, run.first.data() + i), digit);
    if (!are_codes) {
      const RunInts base = hn::Load(kRunInts, run.base.data() + i);
      const auto negative = hn::Lt(word, ints(kZero));
      const RunInts magnitude =
          hn::IfThenElse(negative, hn::Sub(ints(kZero - 1), word), hn::Sub(word, ints(kZero)));
      const RunInts pattern =
          hn::IfThenZeroElse(hn::Eq(magnitude, ints(0)), hn::Add(magnitude, base));
      word = hn::Or(pattern, hn::IfThenElseZero(negative, ints(0x8000)));
    }
    const RunInts low = hn::And(word, ints(0xFFFF));
    hn::StoreU(hn::DemoteTo(kRunHalves, low), kRunHalves, numbers + i);
  }
}

}  // namespace qi::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qi {

HWY_EXPORT(FindCells);
HWY_EXPORT(SetEntries);
HWY_EXPORT(SetNumbers);

void find_cells(const ChainNumbers& kind, ChainRun& run) {
  HWY_DYNAMIC_DISPATCH(FindCells)(kind.kind, static_cast<std::int32_t>(kind.codes), run);
}
bool set_entries(const ChainRun& run, PairEntries& entries) {
  return HWY_DYNAMIC_DISPATCH(SetEntries)(run, entries);
}
void set_numbers(const ChainNumbers& kind, const ChainRun& run,
                 const std::array<std::uint16_t, kChainRun>& digits,
                 std::array<std::uint16_t, kChainRun>& numbers) {
  HWY_DYNAMIC_DISPATCH(SetNumbers)
  (kind.kind == ChainKind::kCodes, run, digits.data(), numbers.data());
}

void ChainRun::load(const ChainGiven& given, std::size_t begin) {
  const std::size_t there = std::min(kChainRun, given.count - begin);
  std::memcpy(center.data(), given.center + begin, there * sizeof(float));
  std::memcpy(step.data(), given.step + begin, there * sizeof(float));
  std::fill(center.begin() + there, center.end(), 0.0F);
  std::fill(step.begin() + there, step.end(), 1.0F);
}

namespace plain {

void find_cells(const ChainNumbers& kind, ChainRun& run) {
  with_order(kind, [&](const auto& order) {
    for (std::size_t i = 0; i < kChainRun; ++i) {
      ChainCell cell{0, order.all()};
      std::uint32_t of_class = kOpenClass;
      std::uint32_t base = 0;
      if (order.usable(run.center[i], run.step[i])) {
        base = order.base_of(run.step[i]);
        cell = order.cell(run.center[i], run.step[i], base);
        of_class = cell_class(cell.count);
      }
      run.first[i] = static_cast<std::int32_t>(cell.first);
      run.count[i] = static_cast<std::int32_t>(cell.count);
      run.base[i] = static_cast<std::int32_t>(base);
      run.of_class[i] = static_cast<std::int32_t>(of_class);
    }
  });
}

bool set_entries(const ChainRun& run, PairEntries& entries) {
  bool fits = true;
  for (std::size_t i = 0; i < kChainRun; ++i) {
    const auto radix = static_cast<std::uint32_t>(std::max(1, run.count[i]));
    fits = fits && radix <= kChainRadix;
    set_entry(entries, i, radix);
  }
  return fits;
}

void set_numbers(const ChainNumbers& kind, const ChainRun& run,
                 const std::array<std::uint16_t, kChainRun>& digits,
                 std::array<std::uint16_t, kChainRun>& numbers) {
  with_order(kind, [&](const auto& order) {
    for (std::size_t i = 0; i < kChainRun; ++i) {
      const auto ordinal = static_cast<std::uint32_t>(run.first[i] + digits[i]);
      numbers[i] =
          static_cast<std::uint16_t>(order.word(ordinal, static_cast<std::uint32_t>(run.base[i])));
    }
  });
}

}  // namespace plain
}  // namespace qi
#endif
