#include "engine/codec/plane_fit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "engine/codec/little_endian.h"

namespace qi {
namespace {

constexpr int kSweeps = 3;
// Weight of a table's own counts against those of all tables.
constexpr std::uint64_t kOwnCounts = 64;
// A frequency's bits below the first four cost some 0.0002 bits a number if left out.
constexpr int kFrequencyBits = 4;
constexpr std::uint64_t kExactFrom = std::uint64_t{1} << 19;

int median(std::vector<int> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

unsigned ClassFit::row_bits() const {
  const auto [least, most] = std::minmax_element(rows.begin(), rows.end());
  return static_cast<unsigned>(std::bit_width(static_cast<unsigned>(*most - *least)));
}

ClassHeads::ClassHeads(const PlaneKind& kind, const PlaneRows& rows)
    : kind_(kind), rows_(rows), heads_(rows.values) {
  if (kind.element_bytes <= 2) return;
  const std::size_t count = rows.rows * rows.cols;
  scratch_.resize(2 * count);
  for (std::size_t i = 0; i < count; ++i) {
    store_u16(scratch_.data() + 2 * i, load_u16(rows.values + (i + 1) * kind.element_bytes - 2));
  }
  heads_ = scratch_.data();
}

unsigned ClassHeads::at(std::size_t i) const {
  return kind_.head_bytes() == 2 ? load_u16(heads_ + 2 * i) : load_u8(heads_ + i);
}

ClassFit ClassHeads::fit_rows(std::vector<std::int8_t> columns, std::optional<int> level) const {
  ClassFit fit;
  PlaneClasses classes;
  classes.columns = columns;
  const std::vector<float> factors = classes.column_factors();
  const float* given = factors.empty() ? nullptr : factors.data();
  if (level) {
    fit.level = *level;
  } else {
    std::vector<int> levels;
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      levels.push_back(
          quarter_octaves(mean_magnitude(row(r), rows_.cols, kind_.mantissa_bits, given)));
    }
    fit.level = median(levels);
  }
  fit.columns = std::move(columns);
  for (std::size_t r = 0; r < rows_.rows; ++r) {
    fit.rows.push_back(row_class(row(r), rows_.cols, kind_.mantissa_bits, fit.level, given));
  }
  return fit;
}

// |w| ≈ row · column, by turns.
ClassFit ClassHeads::fit_both(std::optional<int> level) const {
  std::vector<float> column(rows_.cols, 1.0f);
  std::vector<float> factor(rows_.cols, 1.0f);
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    std::fill(column.begin(), column.end(), 0.0f);
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      const float mean = mean_magnitude(row(r), rows_.cols, kind_.mantissa_bits, factor.data());
      if (!(mean > 0) || !std::isfinite(mean)) continue;
      add_magnitudes(r, 1 / mean, column);
    }
    for (std::size_t k = 0; k < column.size(); ++k) {
      const float scale = column[k] / static_cast<float>(rows_.rows);
      factor[k] = scale > 0 && std::isfinite(scale) ? 1 / scale : 1.0f;
    }
  }
  std::vector<int> levels;
  for (const float f : factor) levels.push_back(-quarter_octaves(f));
  const int middle = median(levels);
  std::vector<std::int8_t> columns;
  for (const int l : levels) {
    columns.push_back(
        static_cast<std::int8_t>(std::clamp(l - middle, -kMaxPlaneClass, kMaxPlaneClass)));
  }
  return fit_rows(std::move(columns), level);
}

void ClassHeads::add_magnitudes(std::size_t r, float by, std::vector<float>& sums) const {
  const std::byte* heads = row(r);
  if (kind_.is_int8) {
    for (std::size_t k = 0; k < rows_.cols; ++k) {
      sums[k] += by * std::abs(static_cast<float>(static_cast<std::int8_t>(heads[k])));
    }
    return;
  }
  const unsigned up = 23u - kind_.mantissa_bits;
  const std::uint32_t bias = kind_.mantissa_bits == 7 ? 0 : 112u << 23;
  for (std::size_t k = 0; k < rows_.cols; ++k) {
    const std::uint32_t magnitude = load_u16(heads + 2 * k) & 0x7FFFu;
    sums[k] += by * std::bit_cast<float>((magnitude << up) + bias);
  }
}

// ---- tables -------------------------------------------------------------------------------------

std::vector<std::uint32_t> kept_codes(std::span<const std::uint64_t> counts, std::uint64_t total,
                                      std::size_t most, std::uint64_t worth) {
  std::vector<std::uint32_t> codes;
  for (std::uint32_t code = 0; code < counts.size(); ++code) {
    if (counts[code] != 0 && counts[code] * kRansSlots >= worth * total) codes.push_back(code);
  }
  if (codes.size() > most) {
    std::stable_sort(codes.begin(), codes.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return counts[a] > counts[b]; });
    codes.resize(most);
    std::sort(codes.begin(), codes.end());
  }
  std::size_t first = 0;
  while (first < codes.size() && codes.back() - codes[first] >= kEscapeSymbol) {
    if (counts[codes.back()] < counts[codes[first]]) {
      codes.pop_back();
    } else {
      ++first;
    }
  }
  codes.erase(codes.begin(), codes.begin() + static_cast<std::ptrdiff_t>(first));
  if (codes.empty()) codes.push_back(0);
  return codes;
}

void round_frequencies(std::vector<std::uint16_t>& frequencies, std::uint64_t total) {
  if (total >= kExactFrom) return;
  std::vector<std::uint16_t> rounded = frequencies;
  std::size_t most = 0;
  int sum = 0;
  for (std::size_t i = 0; i < rounded.size(); ++i) {
    const unsigned f = rounded[i];
    const int drop = static_cast<int>(std::bit_width(f)) - kFrequencyBits;
    if (drop > 0) {
      const unsigned half = 1u << (drop - 1);
      rounded[i] = static_cast<std::uint16_t>((f + half) >> drop << drop);
    }
    sum += rounded[i];
    if (rounded[i] > rounded[most]) most = i;
  }
  // The most frequent symbol takes what is left; where that would be too much none is rounded.
  const int left = rounded[most] + static_cast<int>(kRansSlots) - sum;
  if (left * 8 < int{frequencies[most]} * 7 || left * 8 > int{frequencies[most]} * 9) return;
  rounded[most] = static_cast<std::uint16_t>(left);
  frequencies = std::move(rounded);
}

ClassTables class_tables(const PlaneKind& kind, std::uint8_t shift, const ClassCounts& counts) {
  std::vector<std::uint64_t> all(counts[0].size(), 0);
  for (const auto& table : counts) {
    for (std::size_t i = 0; i < all.size(); ++i) all[i] += table[i];
  }
  const std::uint64_t total = std::accumulate(all.begin(), all.end(), std::uint64_t{0});
  const std::vector<std::uint32_t> kept = kept_codes(all, total, kMaxRansSymbols - 1, 1);
  ClassTables made;
  made.split = {kind.head_bytes(), shift, kind.has_sign,
                static_cast<std::uint16_t>(int(kept[0]) - kCodesBelow)};
  for (const auto& table : counts) {
    std::vector<std::uint64_t> mixed;
    std::uint64_t escaped = std::accumulate(table.begin(), table.end(), std::uint64_t{0});
    std::uint64_t all_escaped = total;
    for (const std::uint32_t code : kept) {
      mixed.push_back(kOwnCounts * table[code] + all[code] + 1);
      escaped -= table[code];
      all_escaped -= all[code];
    }
    mixed.push_back(kOwnCounts * escaped + all_escaped + 1);
    std::vector<std::uint16_t> f = normalise_counts(mixed, 1);
    round_frequencies(f, total);
    std::vector<RansSymbol> symbols;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      symbols.push_back({static_cast<std::uint8_t>(kept[i] - kept[0]), f[i]});
      made.bits += static_cast<double>(table[kept[i]]) * (kRansSlotBits - std::log2(f[i]));
    }
    symbols.push_back({kEscapeSymbol, f.back()});
    made.bits +=
        static_cast<double>(escaped) * (kRansSlotBits - std::log2(f.back()) +
                                        8.0 * static_cast<double>(made.split.escape_bytes()));
    made.tables.emplace_back(symbols, RansLayout::kDirect);
  }
  made.bits += static_cast<double>(total) * made.split.raw_bits();
  return made;
}

}  // namespace qi
