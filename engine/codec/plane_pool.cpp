#include "engine/codec/plane_pool.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace qi {
namespace {

constexpr std::size_t kTables = std::size_t{1} << kQuarterBits;
constexpr int kRounds = 6;
// Class 0: a mean magnitude of 2^(−22/4), as weights have it; classes reach far to both sides.
constexpr int kLevel = -22;
// So many numbers tell what the tables of all others should be.
constexpr double kEnough = 1 << 24;
// What a stream of its own form costs in an index besides, and a set of tables for all.
constexpr double kOwnText = 5;

std::size_t code_range(const PlaneKind& kind) {
  const unsigned raw = kind.finest_shift() + (kind.has_sign ? 1u : 0u);
  return (std::size_t{1} << (8u * kind.head_bytes() - raw)) + 2 * kCodesBelow;
}

double side_of(const ClassFit& fit) {
  return 2 + static_cast<double>(fit.rows.size()) * fit.row_bits() / 8 +
         kColumnCost * static_cast<double>(fit.columns.size());
}

}  // namespace

/// Bits of a code in each table of a set.
struct PlanePool::Costs {
  Costs(const ClassTables& set, std::size_t range) : bits(kTables, std::vector<float>(range)) {
    const double raw = set.split.raw_bits();
    for (std::size_t t = 0; t < kTables; ++t) {
      const RansTable& table = set.tables[t];
      const double escape = kRansSlotBits - std::log2(table.frequency[table.count - 1]) +
                            8.0 * static_cast<double>(set.split.escape_bytes());
      std::fill(bits[t].begin(), bits[t].end(), static_cast<float>(raw + escape));
      const int first = static_cast<std::int16_t>(set.split.base) + kCodesBelow;
      for (std::uint32_t i = 0; i + 1 < table.count; ++i) {
        bits[t][static_cast<std::size_t>(first + table.symbol[i])] =
            static_cast<float>(raw + kRansSlotBits - std::log2(table.frequency[i]));
      }
    }
  }
  double bytes(const Counted::Form& form) const {
    const std::size_t range = bits[0].size();
    double sum = 0;
    for (const auto& [at, count] : form.counts) {
      sum += static_cast<double>(bits[at / range][at % range]) * count;
    }
    return sum / 8 + form.side_bytes + kOwnText;
  }
  std::vector<std::vector<float>> bits;
};

PlanePool::PlanePool(const PlaneKind& kind) : kind_(kind) {}

std::size_t PlanePool::codes() const {
  return code_range(kind_);
}

// One class for all, a class a row, and a class a row and a column. Rows of a vector are one.
std::vector<ClassFit> PlanePool::fits(const PlaneRows& rows) const {
  std::vector<ClassFit> found;
  const PlaneRows one{rows.values, 1, rows.rows * rows.cols, 1};
  found.push_back(ClassHeads(kind_, one).fit_rows({}, kLevel));
  if (rows.rows < 2) return found;
  const ClassHeads heads(kind_, rows);
  found.push_back(heads.fit_rows({}, kLevel));
  found.push_back(heads.fit_both(kLevel));
  return found;
}

PlaneClasses PlanePool::classes(const ClassFit& fit, std::size_t cols) const {
  PlaneClasses classes;
  classes.octave_bits = static_cast<std::uint8_t>(kind_.mantissa_bits - shift());
  classes.level = static_cast<std::int16_t>(fit.level);
  classes.cols = static_cast<std::uint32_t>(cols);
  classes.columns = fit.columns;
  return classes;
}

PlanePool::Counted PlanePool::count(const PlaneRows& rows, double bytes) const {
  Counted counted;
  counted.bytes = bytes;
  const std::size_t all = rows.rows * rows.cols;
  counted.weights = static_cast<double>(all);
  const std::size_t range = codes();
  const std::size_t mask = range - 2 * kCodesBelow - 1;
  const ClassHeads heads(kind_, rows);
  const unsigned octave_bits = kind_.mantissa_bits - shift();
  std::vector<std::uint32_t> counts(kTables * range);
  for (const ClassFit& fit : fits(rows)) {
    std::fill(counts.begin(), counts.end(), 0u);
    const std::size_t cols = all / fit.rows.size();
    for (std::size_t i = 0; i < all; ++i) {
      const int c = fit.rows[i / cols] + (fit.columns.empty() ? 0 : fit.columns[i % cols]);
      const int moved = (c >> kQuarterBits) * (1 << octave_bits);
      const int at = static_cast<int>(heads.at(i) >> shift() & mask) - moved + kCodesBelow;
      const auto kept = std::clamp(at, 0, static_cast<int>(range) - 1);
      ++counts[static_cast<std::size_t>(c) % kTables * range + static_cast<std::size_t>(kept)];
    }
    Counted::Form& form = counted.forms.emplace_back();
    form.side_bytes = side_of(fit);
    for (std::uint32_t at = 0; at < counts.size(); ++at) {
      if (counts[at] != 0) form.counts.emplace_back(at, counts[at]);
    }
  }
  return counted;
}

void PlanePool::add(Counted counted) {
  if (weights_ >= kEnough) return;
  weights_ += counted.weights;
  counted_.push_back(std::move(counted));
}

// As k-means: each tensor goes to the set that codes it best, each set becomes what its tensors
// are. Vectors begin in a set apart from matrices, and heavy tails in one apart from both.
void PlanePool::settle() {
  if (counted_.size() < 2) return;
  const std::size_t range = codes();
  std::vector<std::size_t> set_of(counted_.size());
  std::vector<std::size_t> form_of(counted_.size());
  for (std::size_t i = 0; i < counted_.size(); ++i) {
    const std::size_t forms = counted_[i].forms.size();
    form_of[i] = forms == 1 ? 0 : 1;
    set_of[i] = forms == 1 ? 0 : (kSets - 1) - i % 2 % kSets;
  }
  constexpr std::size_t kNone = kSets;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<ClassCounts> sums(kSets,
                                  ClassCounts(kTables, std::vector<std::uint64_t>(range, 0)));
    std::vector<bool> used(kSets, false);
    for (std::size_t i = 0; i < counted_.size(); ++i) {
      if (set_of[i] == kNone) continue;
      used[set_of[i]] = true;
      for (const auto& [at, count] : counted_[i].forms[form_of[i]].counts) {
        sums[set_of[i]][at / range][at % range] += count;
      }
    }
    sets_.clear();
    std::vector<Costs> costs;
    for (std::size_t k = 0; k < kSets; ++k) {
      if (!used[k]) continue;
      sets_.push_back(class_tables(kind_, shift(), sums[k]));
      costs.emplace_back(sets_.back(), range);
    }
    for (std::size_t i = 0; i < counted_.size(); ++i) {
      double least = counted_[i].bytes;
      set_of[i] = kNone;
      for (std::size_t k = 0; k < costs.size(); ++k) {
        for (std::size_t f = 0; f < counted_[i].forms.size(); ++f) {
          const double bytes = costs[k].bytes(counted_[i].forms[f]);
          if (bytes >= least) continue;
          least = bytes;
          set_of[i] = k;
          form_of[i] = f;
        }
      }
    }
  }
  counted_.clear();
}

std::vector<PlaneTable> PlanePool::tables(const PlaneRows& rows) const {
  std::vector<PlaneTable> found;
  for (const ClassFit& fit : fits(rows)) {
    for (const ClassTables& set : sets_) {
      found.emplace_back(kind_, set.split, set.tables,
                         classes(fit, rows.rows * rows.cols / fit.rows.size()));
    }
  }
  return found;
}

}  // namespace qi
