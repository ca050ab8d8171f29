// Choosing, writing and reading the plane codec's tables.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <optional>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_codec.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::uint8_t kAliasFlag = 1;
constexpr std::uint8_t kConsecutiveFlag = 2;
constexpr std::uint8_t kSignFlag = 4;
constexpr std::uint8_t kNibblesFlag = 8;
constexpr std::uint8_t kEscapeBit = 16;
constexpr std::size_t kHeadBytes = 6;

constexpr std::uint32_t kTwoLevelMinimum = 8;
// A symbol below this share of 4096 costs more as one of 8 slots than as an escape.
constexpr std::uint64_t kTwoLevelWorth = 5;
constexpr std::size_t kTwoLevelSymbols = 32;
// The fast mode takes the table that decodes faster at up to this many bits an element.
constexpr double kFastTolerance = 0.02;

constexpr std::size_t kSampleRun = 1024;
constexpr std::size_t kSampleStep = 16 * kSampleRun;

[[noreturn]] void bad_table(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("plane table: ") + what, "a table of this version");
}

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

}  // namespace

PlaneKind plane_kind(DType type) {
  switch (type) {
    case DType::kBF16:
      return {2, true, false, 7, 6};
    case DType::kF16:
      return {2, true, false, 10, 8};
    case DType::kF32:
      return {4, true, false, 7, 6};
    case DType::kF64:
      return {8, true, false, 4, 3};
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2FNUZ:
      return {1, true, false, 0, 2};
    default:
      return {1, false, false, 0, 4};
  }
}

PlaneKind nibble_kind() {
  return {1, false, true, 0, 0};
}

PlaneHistogram::PlaneHistogram(const PlaneKind& kind) : kind_(kind) {
  const unsigned raw_bits = kind.finest_shift() + (kind.has_sign ? 1u : 0u);
  counts_.resize(std::size_t{1} << (8u * kind.head_bytes() - raw_bits), 0);
}

void PlaneHistogram::add(const std::byte* values, std::size_t count) {
  const unsigned shift = kind_.finest_shift();
  const std::size_t mask = counts_.size() - 1;
  if (kind_.nibbles) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t byte = load_u8(values + i);
      ++counts_[byte & 15u];
      ++counts_[byte >> 4];
    }
  } else if (kind_.head_bytes() == 1) {
    for (std::size_t i = 0; i < count; ++i) ++counts_[load_u8(values + i) >> shift & mask];
  } else {
    const std::size_t stride = kind_.element_bytes;
    values += stride - 2;
    for (std::size_t i = 0; i < count; ++i) {
      ++counts_[static_cast<std::size_t>(load_u16(values + i * stride) >> shift) & mask];
    }
  }
}

void PlaneHistogram::add_sample(const std::byte* values, std::size_t count) {
  if (count < 4 * kSampleStep) return add(values, count);
  for (std::size_t i = 0; i + kSampleRun <= count; i += kSampleStep) {
    add(values + i * kind_.element_bytes, kSampleRun);
  }
}

std::vector<std::uint64_t> PlaneHistogram::counts(unsigned shift) const {
  const unsigned fold = shift - kind_.finest_shift();
  std::vector<std::uint64_t> folded(counts_.size() >> fold, 0);
  for (std::size_t i = 0; i < counts_.size(); ++i) folded[i >> fold] += counts_[i];
  return folded;
}

PlaneTable PlaneTable::choose(const PlaneHistogram& histogram, PlaneEffort effort) {
  const PlaneKind& kind = histogram.kind();
  const int step = kind.first_shift <= kind.last_shift ? 1 : -1;
  std::optional<Choice> best;
  for (int shift = kind.first_shift; shift != kind.last_shift + step; shift += step) {
    const auto at = static_cast<std::uint8_t>(shift);
    const std::vector<std::uint64_t> counts = histogram.counts(at);
    std::optional<Choice> found = choose_symbols(kind, at, counts, RansLayout::kAlias);
    const std::optional<Choice> fast =
        kind.nibbles ? std::nullopt : choose_symbols(kind, at, counts, RansLayout::kTwoLevel);
    const double tolerance = effort == PlaneEffort::kFast ? kFastTolerance : 0;
    if (fast && fast->bits <= found->bits + tolerance) found = fast;
    if (!best || found->bits < best->bits) best = found;
    if (effort == PlaneEffort::kFast && kind.element_bytes > 1) break;
  }
  return {kind, best->split, RansTable(best->symbols, best->layout)};
}

PlaneTable::PlaneTable(const PlaneKind& kind, const PlaneSplit& split, const RansTable& table)
    : split_(split), element_bytes_(kind.element_bytes), nibbles_(kind.nibbles), rans_(table) {}

std::vector<std::byte> PlaneTable::serialise() const {
  std::vector<std::byte> out;
  const auto put = [&out](unsigned value) { out.push_back(static_cast<std::byte>(value)); };
  const auto put_u16 = [&put](unsigned value) {
    put(value & 255);
    put(value >> 8);
  };
  put((rans_.layout == RansLayout::kAlias ? kAliasFlag : 0u) |
      (rans_.contiguous ? kConsecutiveFlag : 0u) | (split_.has_sign ? kSignFlag : 0u) |
      (nibbles_ ? kNibblesFlag : 0u) | (rans_.has_escape ? kEscapeBit : 0u));
  put(element_bytes_);
  put(split_.shift);
  put(rans_.count);
  put_u16(split_.base);
  const std::uint32_t plain = rans_.count - (rans_.has_escape ? 1 : 0);
  const std::uint32_t listed = rans_.contiguous ? 1 : plain;
  for (std::uint32_t i = 0; i < listed; ++i) put(rans_.symbol[i]);
  for (std::uint32_t i = 0; i < rans_.count; ++i) put_u16(rans_.frequency[i]);
  return out;
}

PlaneTable PlaneTable::parse(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeadBytes) bad_table("ends early");
  const unsigned flags = load_u8(bytes.data());
  PlaneKind kind;
  kind.element_bytes = load_u8(bytes.data() + 1);
  kind.has_sign = (flags & kSignFlag) != 0;
  kind.nibbles = (flags & kNibblesFlag) != 0;
  if (flags > 31) bad_table("unknown flags");
  const unsigned e = kind.element_bytes;
  if (e != 1 && e != 2 && e != 4 && e != 8) bad_table("size of an element");
  const PlaneSplit split{kind.head_bytes(), load_u8(bytes.data() + 2), kind.has_sign,
                         load_u16(bytes.data() + 4)};
  // At least four bits of code, at most 11 raw bits.
  if (split.shift > 10 || split.raw_bits() + 4 > 8u * split.head_bytes) bad_table("shift");
  if (kind.nibbles && (e != 1 || split.shift != 0 || kind.has_sign || split.base != 0)) {
    bad_table("nibbles");
  }
  const std::size_t count = load_u8(bytes.data() + 3);
  const bool escape = (flags & kEscapeBit) != 0;
  const bool consecutive = (flags & kConsecutiveFlag) != 0;
  if (count < 2) bad_table("number of symbols");
  const std::size_t plain = count - (escape ? 1 : 0);
  const std::size_t listed = consecutive ? 1 : plain;
  if (bytes.size() != kHeadBytes + listed + 2 * count) bad_table("size");
  const std::byte* symbol = bytes.data() + kHeadBytes;
  const std::byte* frequency = symbol + listed;
  std::vector<RansSymbol> symbols;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t value = i == plain    ? kEscapeSymbol
                              : consecutive ? load_u8(symbol) + i
                                            : load_u8(symbol + i);
    // 255 is the escape's alone.
    if (i < plain && value >= kEscapeSymbol) bad_table("symbol");
    if (kind.nibbles && (escape || value > 15 || count != 16)) bad_table("nibbles");
    symbols.push_back({static_cast<std::uint8_t>(value), load_u16(frequency + 2 * i)});
  }
  if (!escape && !kind.nibbles) bad_table("codes without a symbol");
  const bool alias = (flags & kAliasFlag) != 0;
  return {kind, split, RansTable(symbols, alias ? RansLayout::kAlias : RansLayout::kTwoLevel)};
}

}  // namespace qi
