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
#include "engine/codec/plane_fit.h"

namespace qi {
namespace {

constexpr std::uint32_t kTwoLevelMinimum = 8;
// A symbol below this share of 4096 costs more as one of 8 slots than as an escape.
constexpr std::uint64_t kTwoLevelWorth = 5;
constexpr std::size_t kTwoLevelSymbols = 32;
// The fast mode takes the table that decodes faster at up to this many bits an element.
constexpr double kFastTolerance = 0.02;

struct Choice {
  PlaneSplit split;
  std::vector<RansSymbol> symbols;
  RansLayout layout;
  double bits;  // an element
};

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
  std::vector<std::uint16_t> f = normalise_counts(kept, two_level ? kTwoLevelMinimum : 1);
  if (layout == RansLayout::kDirect) round_frequencies(f, total);
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
class ClassChooser {
 public:
  ClassChooser(const PlaneKind& kind, const PlaneRows& rows)
      : kind_(kind), rows_(rows), heads_(kind, rows) {}

  // The best of rows alone and of rows and columns; nothing if `bytes` is less.
  std::optional<PlaneTable> choose(double& bytes) {
    for (const bool with_columns : {false, true}) {
      const ClassFit fit = with_columns ? heads_.fit_both() : heads_.fit_rows();
      count_codes(fit);
      kind_.is_int8 ? try_integers(fit, bytes) : try_floats(fit, bytes);
    }
    choose_closely(bytes);
    return std::move(best_);
  }

 private:
  // Once there are tables, classes follow from what numbers cost, and tables from the classes.
  void choose_closely(double& bytes) {
    if (!best_ || best_->classes()->columns.empty()) return;
    const PlaneTable closer = best_->with_closer_columns(kind_, rows_);
    ClassFit fit;
    fit.level = closer.classes()->level;
    fit.columns = closer.classes()->columns;
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      fit.rows.push_back(closer.class_of_row(heads_.row(r), rows_.cols, true));
    }
    count_codes(fit);
    if (!kind_.is_int8) try_floats(fit, bytes);
  }

  // ---- counts ----

  std::size_t codes() const { return counts_.size() / kAllClasses; }
  std::uint8_t finest() const { return kind_.finest_shift(); }

  // By class and by code at the finest split.
  void count_codes(const ClassFit& fit) {
    const unsigned raw = finest() + (kind_.has_sign ? 1u : 0u);
    const std::size_t all = std::size_t{1} << (8u * kind_.head_bytes() - raw);
    counts_.assign(kAllClasses * all, 0);
    std::size_t i = 0;
    for (std::size_t r = 0; r < rows_.rows; ++r) {
      for (std::size_t k = 0; k < rows_.cols; ++k, ++i) {
        const int c = fit.rows[r] + (fit.columns.empty() ? 0 : fit.columns[k]);
        const std::size_t code = (heads_.at(i) >> finest()) & (all - 1);
        ++counts_[static_cast<std::size_t>(c + kClassSpan) * all + code];
      }
    }
  }

  using Counts = ClassCounts;

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
    const ClassTables made = class_tables(kind_, shift, counts);
    const double scale = static_cast<double>(rows_.all_rows) / static_cast<double>(rows_.rows);
    const double coded =
        scale * made.bits / 8 + static_cast<double>(rows_.all_rows) * fit.row_bits() / 8 +
        kColumnCost * static_cast<double>(fit.columns.size()) +
        kFrequencyCost * static_cast<double>(made.tables.size() * made.tables[0].count);
    if (coded >= bytes) return;
    bytes = coded;
    classes.cols = static_cast<std::uint32_t>(rows_.cols);
    classes.columns = fit.columns;
    best_.emplace(kind_, made.split, made.tables, std::move(classes));
  }

  const PlaneKind& kind_;
  const PlaneRows& rows_;
  const ClassHeads heads_;
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
    // Tables in memory decode alike in either layout, and the direct one encodes faster.
    std::optional<Choice> found = choose_symbols(kind, at, counts, RansLayout::kDirect);
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
