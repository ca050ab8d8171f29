// Choosing the plane codec's tables: which split, which symbols, one table or classes.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "engine/codec/little_endian.h"
#include "engine/codec/models.h"
#include "engine/codec/plane_codec.h"

namespace qi {
namespace {

constexpr std::uint32_t kTwoLevelMinimum = 8;
// A symbol below this share of 4096 costs more as one of 8 slots than as an escape.
constexpr std::uint64_t kTwoLevelWorth = 5;
constexpr std::size_t kTwoLevelSymbols = 32;
// The fast mode takes the table that decodes faster at up to this many bits an element.
constexpr double kFastTolerance = 0.02;
// Bytes of a frequency in an index, which is compressed.
constexpr double kFrequencyCost = 1.25;

struct Choice {
  PlaneSplit split;
  std::vector<RansSymbol> symbols;
  RansLayout layout;
  double bits;  // an element
};

// The most frequent codes: at most `most`, each with `worth` of 4096 at least, all within the reach
// of a symbol.
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

std::optional<Choice> choose_symbols(const PlaneKind& kind, std::uint8_t shift,
                                     std::span<const std::uint64_t> counts, RansLayout layout) {
  const bool two_level = layout == RansLayout::kTwoLevel;
  const std::uint64_t total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  std::vector<std::uint32_t> codes;
  if (kind.nibbles) {
    codes.resize(16);
    std::iota(codes.begin(), codes.end(), 0u);
  } else {
    codes = kept_codes(counts, total, two_level ? kTwoLevelSymbols - 1 : kMaxRansSymbols - 1,
                       two_level ? kTwoLevelWorth : 1);
  }
  Choice choice{{kind.head_bytes(), shift, kind.has_sign, static_cast<std::uint16_t>(codes[0])},
                {},
                layout,
                0};
  std::vector<std::uint64_t> kept;
  std::uint64_t escaped = total;
  for (const std::uint32_t code : codes) {
    kept.push_back(counts[code] + 1);  // a code the sample missed must be possible
    escaped -= counts[code];
  }
  if (!kind.nibbles) kept.push_back(escaped + 1);
  const std::vector<std::uint16_t> f = normalise_counts(kept, two_level ? kTwoLevelMinimum : 1);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    choice.symbols.push_back({static_cast<std::uint8_t>(codes[i] - codes[0]), f[i]});
    choice.bits += static_cast<double>(counts[codes[i]]) * (kRansSlotBits - std::log2(f[i]));
  }
  if (!kind.nibbles) {
    choice.symbols.push_back({kEscapeSymbol, f.back()});
    choice.bits +=
        static_cast<double>(escaped) * (kRansSlotBits - std::log2(f.back()) +
                                        8.0 * static_cast<double>(choice.split.escape_bytes()));
  }
  choice.bits = choice.bits / std::max(1.0, static_cast<double>(total)) + choice.split.raw_bits();
  if (two_level && !RansTable::two_level_exists(choice.symbols)) return std::nullopt;
  return choice;
}

// ---- classes ------------------------------------------------------------------------------------

constexpr int kClassSpan = 2 * kMaxPlaneClass;  // of a row and a column together, either way
constexpr std::size_t kAllClasses = 2 * kClassSpan + 1;
constexpr int kSweeps = 3;
// Codes of floats move; those that end up below 0 are counted from here on.
constexpr int kCodesBelow = 256;
// Bytes of a column's class in an index.
constexpr double kColumnCost = 0.5;

// Weight of a table's own counts against those of all tables.
constexpr std::uint64_t kOwnCounts = 64;

struct ClassFit {
  int level = 0;
  std::vector<std::int8_t> columns;
  std::vector<std::int8_t> rows;

  // Bits of a row's class in a block.
  unsigned row_bits() const {
    const auto [least, most] = std::minmax_element(rows.begin(), rows.end());
    return static_cast<unsigned>(std::bit_width(static_cast<unsigned>(*most - *least)));
  }
};

int median(std::vector<int> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class ClassChooser {
 public:
  ClassChooser(const PlaneKind& kind, const PlaneRows& rows) : kind_(kind), rows_(rows) {
    const std::size_t count = rows.rows * rows.cols;
    heads_ = rows.values;
    if (kind.element_bytes > 2) {
      scratch_.resize(2 * count);
      for (std::size_t i = 0; i < count; ++i) {
        store_u16(scratch_.data() + 2 * i,
                  load_u16(rows.values + (i + 1) * kind.element_bytes - 2));
      }
      heads_ = scratch_.data();
    }
  }

  // The best of rows alone and of rows and columns; nothing if `bytes` is less.
  std::optional<PlaneTable> choose(double& bytes) {
    for (const bool with_columns : {false, true}) {
      const ClassFit fit = with_columns ? fit_both() : fit_rows({});
      count_codes(fit);
      kind_.is_int8 ? try_integers(fit, bytes) : try_floats(fit, bytes);
    }
    return std::move(best_);
  }

 private:
  const std::byte* row(std::size_t r) const { return heads_ + r * rows_.cols * head_bytes(); }
  std::size_t head_bytes() const { return kind_.head_bytes(); }
  unsigned head_at(std::size_t i) const {
    return head_bytes() == 2 ? load_u16(heads_ + 2 * i) : load_u8(heads_ + i);
  }

  // ---- scales ----

  ClassFit fit_rows(std::vector<std::int8_t> columns) const {
    ClassFit fit;
    PlaneClasses classes;
    classes.columns = columns;
    const std::vector<float> factors = classes.column_factors();
    const float* given = factors.empty() ? nullptr : factors.data();
    std::vector<int> levels;
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      levels.push_back(
          quarter_octaves(mean_magnitude(row(r), rows_.cols, kind_.mantissa_bits, given)));
    }
    fit.level = median(levels);
    fit.columns = std::move(columns);
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      fit.rows.push_back(row_class(row(r), rows_.cols, kind_.mantissa_bits, fit.level, given));
    }
    return fit;
  }

  // |w| ≈ row · column, by turns.
  ClassFit fit_both() const {
    std::vector<float> column(rows_.cols, 1.0f);
    std::vector<float> factor(rows_.cols, 1.0f);
    std::vector<float> one(rows_.cols);
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
    for (const int level : levels) {
      columns.push_back(
          static_cast<std::int8_t>(std::clamp(level - middle, -kMaxPlaneClass, kMaxPlaneClass)));
    }
    return fit_rows(std::move(columns));
  }

  void add_magnitudes(std::size_t r, float by, std::vector<float>& sums) const {
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

  // ---- counts ----

  std::size_t codes() const { return counts_.size() / kAllClasses; }
  std::uint8_t finest() const { return kind_.finest_shift(); }

  // By class and by code at the finest split.
  void count_codes(const ClassFit& fit) {
    const unsigned raw = finest() + (kind_.has_sign ? 1u : 0u);
    const std::size_t all = std::size_t{1} << (8u * head_bytes() - raw);
    counts_.assign(kAllClasses * all, 0);
    std::size_t i = 0;
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      for (std::size_t k = 0; k < rows_.cols; ++k, ++i) {
        const int c = fit.rows[r] + (fit.columns.empty() ? 0 : fit.columns[k]);
        const std::size_t code = (head_at(i) >> finest()) & (all - 1);
        ++counts_[static_cast<std::size_t>(c + kClassSpan) * all + code];
      }
    }
  }

  using Counts = std::vector<std::vector<std::uint64_t>>;  // [table][code + kCodesBelow]

  void try_floats(const ClassFit& fit, double& bytes) {
    const int step = kind_.first_shift <= kind_.last_shift ? 1 : -1;
    for (int shift = kind_.first_shift; shift != kind_.last_shift + step; shift += step) {
      for (std::uint8_t down = 0; down <= kQuarterBits; ++down) {
        try_steps(fit, static_cast<std::uint8_t>(shift), down, bytes);
      }
    }
  }

  // Classes of quarter, half or whole octaves.
  void try_steps(const ClassFit& fit, std::uint8_t shift, std::uint8_t down, double& bytes) {
    PlaneClasses classes;
    classes.down = down;
    classes.table_bits = static_cast<std::uint8_t>(kQuarterBits - down);
    classes.octave_bits = static_cast<std::uint8_t>(kind_.mantissa_bits - shift);
    classes.level = static_cast<std::int16_t>(fit.level);
    const unsigned fold = static_cast<unsigned>(shift) - finest();
    Counts counts(classes.tables(), std::vector<std::uint64_t>(codes() + 2 * kCodesBelow, 0));
    for (int c = -kClassSpan; c <= kClassSpan; ++c) {
      const std::uint32_t* from = &counts_[static_cast<std::size_t>(c + kClassSpan) * codes()];
      auto& to = counts[static_cast<std::size_t>(c >> down) % classes.tables()];
      const int moved = (c >> kQuarterBits) * (1 << classes.octave_bits);
      for (std::size_t code = 0; code < codes(); ++code) {
        if (from[code] == 0) continue;
        const int at = static_cast<int>(code >> fold) - moved + kCodesBelow;
        // Out of all bounds: any code that will not be kept costs the same.
        to[static_cast<std::size_t>(std::clamp(at, 0, static_cast<int>(to.size()) - 1))] +=
            from[code];
      }
    }
    consider(std::move(classes), shift, fit, counts, bytes);
  }

  // Integers do not move with their scale: more tables instead, each for a range of classes.
  void try_integers(const ClassFit& fit, double& bytes) {
    int least = kClassSpan;
    int most = -kClassSpan;
    for (int c = -kClassSpan; c <= kClassSpan; ++c) {
      const auto from = counts_.begin() + (c + kClassSpan) * static_cast<std::ptrdiff_t>(codes());
      if (std::any_of(from, from + static_cast<std::ptrdiff_t>(codes()),
                      [](std::uint32_t n) { return n != 0; })) {
        least = std::min(least, c);
        most = std::max(most, c);
      }
    }
    for (std::uint8_t shift = 2; shift <= 3; ++shift) {
      for (std::uint8_t table_bits = 1; table_bits <= kMaxTableBits; ++table_bits) {
        for (std::uint8_t down = 0; down < 4; ++down) {
          try_ranges(fit, shift, table_bits, down, least, most, bytes);
        }
      }
    }
  }

  void try_ranges(const ClassFit& fit, std::uint8_t shift, std::uint8_t table_bits,
                  std::uint8_t down, int least, int most, double& bytes) {
    double lowest = std::numeric_limits<double>::infinity();
    const int span = (1 << table_bits) << down;
    std::optional<PlaneClasses> found;
    Counts best;
    for (int first = least; first == least || first + span <= most + (1 << down);
         first += 1 << (down > 0 ? down - 1 : 0)) {
      PlaneClasses classes;
      classes.integers = true;
      classes.table_bits = table_bits;
      classes.down = down;
      classes.level = static_cast<std::int16_t>(fit.level + first);
      Counts counts(classes.tables(), std::vector<std::uint64_t>(codes() >> shift, 0));
      for (int c = least; c <= most; ++c) {
        const int t = std::clamp((c - first) >> down, 0, static_cast<int>(classes.tables()) - 1);
        const std::uint32_t* from = &counts_[static_cast<std::size_t>(c + kClassSpan) * codes()];
        for (std::size_t code = 0; code < codes(); ++code) {
          counts[static_cast<std::size_t>(t)][code >> shift] += from[code];
        }
      }
      double bits = 0;
      for (const auto& table : counts) bits += order0_bits(table);
      if (bits >= lowest) continue;
      lowest = bits;
      found = std::move(classes);
      best = std::move(counts);
    }
    for (auto& table : best) {
      table.insert(table.begin(), kCodesBelow, 0);
    }
    consider(std::move(*found), shift, fit, best, bytes);
  }

  // ---- tables ----

  void consider(PlaneClasses classes, std::uint8_t shift, const ClassFit& fit, const Counts& counts,
                double& bytes) {
    std::vector<std::uint64_t> all(counts[0].size(), 0);
    for (const auto& table : counts) {
      for (std::size_t i = 0; i < all.size(); ++i) all[i] += table[i];
    }
    const std::uint64_t total = std::accumulate(all.begin(), all.end(), std::uint64_t{0});
    const std::vector<std::uint32_t> kept = kept_codes(all, total, kMaxRansSymbols - 1, 1);
    PlaneSplit split{kind_.head_bytes(), shift, kind_.has_sign,
                     static_cast<std::uint16_t>(int(kept[0]) - kCodesBelow)};
    std::vector<RansTable> tables;
    double bits = 0;
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
      const std::vector<std::uint16_t> f = normalise_counts(mixed, 1);
      std::vector<RansSymbol> symbols;
      for (std::size_t i = 0; i < kept.size(); ++i) {
        symbols.push_back({static_cast<std::uint8_t>(kept[i] - kept[0]), f[i]});
        bits += static_cast<double>(table[kept[i]]) * (kRansSlotBits - std::log2(f[i]));
      }
      symbols.push_back({kEscapeSymbol, f.back()});
      bits += static_cast<double>(escaped) * (kRansSlotBits - std::log2(f.back()) +
                                              8.0 * static_cast<double>(split.escape_bytes()));
      tables.emplace_back(symbols, RansLayout::kDirect);
    }
    bits += static_cast<double>(total) * split.raw_bits();
    const double scale = static_cast<double>(rows_.all_rows) / static_cast<double>(rows_.rows);
    const double coded = scale * bits / 8 +
                         static_cast<double>(rows_.all_rows) * fit.row_bits() / 8 +
                         kColumnCost * static_cast<double>(fit.columns.size()) +
                         kFrequencyCost * static_cast<double>((kept.size() + 1) * tables.size());
    if (coded >= bytes) return;
    bytes = coded;
    classes.cols = static_cast<std::uint32_t>(rows_.cols);
    classes.columns = fit.columns;
    best_.emplace(kind_, split, tables, std::move(classes));
  }

  const PlaneKind& kind_;
  const PlaneRows& rows_;
  const std::byte* heads_ = nullptr;
  std::vector<std::byte> scratch_;
  std::vector<std::uint32_t> counts_;
  std::optional<PlaneTable> best_;
};

// The smallest split and table; with its bits, which are those of all that was counted.
std::pair<Choice, double> choose_one(const PlaneHistogram& histogram, PlaneEffort effort) {
  const PlaneKind& kind = histogram.kind();
  const int step = kind.first_shift <= kind.last_shift ? 1 : -1;
  std::optional<Choice> best;
  double least = 0;
  for (int shift = kind.first_shift; shift != kind.last_shift + step; shift += step) {
    const auto at = static_cast<std::uint8_t>(shift);
    const std::vector<std::uint64_t> counts = histogram.counts(at);
    std::optional<Choice> found = choose_symbols(
        kind, at, counts, effort == PlaneEffort::kFast ? RansLayout::kAlias : RansLayout::kDirect);
    const std::optional<Choice> fast =
        kind.nibbles ? std::nullopt : choose_symbols(kind, at, counts, RansLayout::kTwoLevel);
    const double tolerance = effort == PlaneEffort::kFast ? kFastTolerance : 0;
    if (fast && fast->bits <= found->bits + tolerance) found = fast;
    const double total = found->bits * static_cast<double>(std::accumulate(
                                           counts.begin(), counts.end(), std::uint64_t{0})) +
                         8 * kFrequencyCost * static_cast<double>(found->symbols.size());
    if (!best || total < least) {
      best = found;
      least = total;
    }
    if (effort == PlaneEffort::kFast && kind.element_bytes > 1) break;
  }
  return {std::move(*best), least};
}

}  // namespace

PlaneTable PlaneTable::choose(const PlaneHistogram& histogram, PlaneEffort effort) {
  const Choice choice = choose_one(histogram, effort).first;
  return {histogram.kind(), choice.split, RansTable(choice.symbols, choice.layout)};
}

PlaneTable PlaneTable::choose_for_rows(const PlaneKind& kind, const PlaneRows& rows,
                                       double& bytes) {
  PlaneHistogram histogram(kind);
  histogram.add(rows.values, rows.rows * rows.cols);
  const auto [choice, bits] = choose_one(histogram, PlaneEffort::kRatio);
  const double scale =
      static_cast<double>(rows.all_rows) / static_cast<double>(std::max<std::size_t>(1, rows.rows));
  bytes = scale * bits / 8;
  if (kind.can_have_classes() && rows.rows > 1 && rows.cols > 0) {
    if (auto table = ClassChooser(kind, rows).choose(bytes)) return std::move(*table);
  }
  return {kind, choice.split, RansTable(choice.symbols, choice.layout)};
}

}  // namespace qi
