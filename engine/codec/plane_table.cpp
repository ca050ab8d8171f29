// Writing and reading the plane codec's tables, and counting codes.
#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <optional>

#include "engine/codec/little_endian.h"
#include "engine/codec/plane_codec.h"
#include "engine/codec/plane_fit.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::uint8_t kAliasFlag = 1;
constexpr std::uint8_t kConsecutiveFlag = 2;
constexpr std::uint8_t kSignFlag = 4;
constexpr std::uint8_t kNibblesFlag = 8;
constexpr std::uint8_t kEscapeBit = 16;
constexpr std::size_t kHeadBytes = 6;

constexpr std::uint8_t kDirectFlag = 32;
constexpr std::uint8_t kRowsFlag = 64;
constexpr std::uint8_t kColumnsFlag = 128;

// Classes to both sides of a row's scale that are looked at closely.
constexpr int kNearby = 3;
constexpr int kColumnSweeps = 2;

constexpr std::size_t kSampleRun = 1024;
constexpr std::size_t kSampleStep = 16 * kSampleRun;

[[noreturn]] void bad_plane_table(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("plane table: ") + what, "a table of this version");
}

}  // namespace

PlaneKind plane_kind(DType type) {
  switch (type) {
    case DType::kBF16:
      return {2, true, false, 7, 5, 7, false};
    case DType::kF16:
      return {2, true, false, 10, 8, 10, false};
    case DType::kF32:
      return {4, true, false, 7, 5, 7, false};
    case DType::kF64:
      return {8, true, false, 4, 3};
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2FNUZ:
      return {1, true, false, 0, 2};
    case DType::kI8:
      return {1, false, false, 0, 4, 0, true};
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

PlaneTable::PlaneTable(const PlaneKind& kind, const PlaneSplit& split, const RansTable& table)
    : split_(split), element_bytes_(kind.element_bytes), nibbles_(kind.nibbles), tables_{table} {}

PlaneTable::PlaneTable(const PlaneKind& kind, const PlaneSplit& split,
                       std::span<const RansTable> tables, PlaneClasses classes)
    : split_(split),
      element_bytes_(kind.element_bytes),
      nibbles_(kind.nibbles),
      tables_(tables.begin(), tables.end()),
      classes_(std::move(classes)),
      column_factors_(classes_->column_factors()) {
  assert(tables_.size() == classes_->tables());
  slots_.resize(kSlotsAround);
  for (const RansTable& table : tables_) {
    slots_.insert(slots_.end(), table.slots.begin(), table.slots.end());
    encode_.insert(encode_.end(), table.encode.begin(), table.encode.end());
    for (const RansTable::Encode& e : table.encode) {
      const bool escape = (e.cumulative & RansTable::kEscapeFlag) != 0;
      symbol_bits_.push_back(
          static_cast<float>(kRansSlotBits - std::log2(e.frequency) +
                             (escape ? 8.0 * static_cast<double>(split.escape_bytes()) : 0.0)));
    }
  }
  slots_.resize(slots_.size() + kSlotsAround);
}

const std::uint32_t* PlaneTable::slots() const {
  return classes_ ? slots_.data() + kSlotsAround : rans().slots.data();
}
const RansTable::Encode* PlaneTable::encode() const {
  return classes_ ? encode_.data() : rans().encode.data();
}

std::int8_t PlaneTable::class_of_row(const std::byte* heads, std::size_t count,
                                     bool closely) const {
  const unsigned mantissa = classes_->integers ? 0u : split_.shift + classes_->octave_bits;
  const float* factors = column_factors_.empty() ? nullptr : column_factors_.data();
  const std::int8_t middle = row_class(heads, count, mantissa, classes_->level, factors);
  if (!closely || classes_->integers) return middle;
  // Downhill from there: the bits have one valley as good as always.
  int best = middle;
  float least = bits_of_row(heads, count, middle);
  for (const int step : {1, -1}) {
    for (int moved = 0; moved < kNearby && std::abs(best + step) <= kMaxPlaneClass; ++moved) {
      const float bits = bits_of_row(heads, count, static_cast<std::int8_t>(best + step));
      if (bits >= least) break;
      least = bits;
      best += step;
    }
    if (best != middle) break;
  }
  return static_cast<std::int8_t>(best);
}

// Of a head in class c, its raw bits apart.
float PlaneTable::bits_of(unsigned head, int c) const {
  const unsigned code = head >> split_.shift & ((1u << split_.code_bits()) - 1);
  const int moved = (c >> classes_->table_bits) * (1 << classes_->octave_bits);
  const unsigned symbol = std::min((code - split_.base - static_cast<unsigned>(moved)) & 0xFFFFu,
                                   unsigned{kEscapeSymbol});
  return symbol_bits_[(static_cast<std::size_t>(c) & (classes_->tables() - 1)) * 256 + symbol];
}

float PlaneTable::bits_of_row(const std::byte* heads, std::size_t count, std::int8_t row) const {
  if (classes_->columns.empty() || split_.head_bytes == 1) {
    const bool has_columns = !classes_->columns.empty();
    float bits = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const unsigned head = split_.head_bytes == 2 ? load_u16(heads + 2 * i) : load_u8(heads + i);
      bits += bits_of(head, classes_->of(row, has_columns ? classes_->columns[i] : std::int8_t{0}));
    }
    return bits;
  }
  // The same for floats with columns, where most of an encoder's time goes: first all places in
  // the costs, many at once, then four sums that need not wait for each other.
  const float* const costs = symbol_bits_.data();
  const std::int8_t* columns = classes_->columns.data();
  const int down = classes_->down;
  const int table_bits = classes_->table_bits;
  const int octave_bits = classes_->octave_bits;
  const unsigned table_mask = (1u << table_bits) - 1;
  const unsigned code_mask = (1u << split_.code_bits()) - 1;
  const unsigned base = split_.base;
  const unsigned shift = split_.shift;
  constexpr std::size_t kTogether = 256;
  std::array<std::uint16_t, kTogether> place;
  float sums[4] = {};
  for (; count != 0; heads += 2 * kTogether, columns += kTogether) {
    const std::size_t n = std::min(count, kTogether);
    count -= n;
    for (std::size_t i = 0; i < n; ++i) {
      const auto c = static_cast<std::int16_t>((row + columns[i]) >> down);
      const auto moved = static_cast<std::uint16_t>((c >> table_bits) * (1 << octave_bits));
      const auto code = static_cast<std::uint16_t>(load_u16(heads + 2 * i) >> shift & code_mask);
      const auto symbol = static_cast<std::uint16_t>(code - base - moved);
      const auto kept = std::min<std::uint16_t>(symbol, kEscapeSymbol);
      place[i] = static_cast<std::uint16_t>((c & table_mask) << 8 | kept);
    }
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
      for (std::size_t k = 0; k < 4; ++k) sums[k] += costs[place[i + k]];
    }
    for (std::size_t k = 0; i < n; ++i, ++k) sums[k] += costs[place[i]];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

PlaneTable PlaneTable::with_closer_columns(const PlaneKind& kind, const PlaneRows& rows) const {
  if (!classes_ || classes_->columns.empty()) return *this;
  const ClassHeads heads(kind, rows);
  PlaneTable table = *this;
  for (int sweep = 0; sweep < kColumnSweeps; ++sweep) {
    table = PlaneTable(kind, split_, tables_, table.closer_columns(heads, rows));
  }
  return table;
}

PlaneClasses PlaneTable::closer_columns(const ClassHeads& heads, const PlaneRows& rows) const {
  std::vector<std::int8_t> row_classes;
  for (std::size_t r = 0; r < rows.rows; ++r) {
    row_classes.push_back(class_of_row(heads.row(r), rows.cols, true));
  }
  PlaneClasses closer = *classes_;
  for (std::size_t k = 0; k < rows.cols; ++k) {
    const int middle = classes_->columns[k];
    float least = std::numeric_limits<float>::infinity();
    for (int c = std::max(-kMaxPlaneClass, middle - kNearby);
         c <= std::min(kMaxPlaneClass, middle + kNearby); ++c) {
      const auto column = static_cast<std::int8_t>(c);
      float bits = 0;
      for (std::size_t r = 0; r < rows.rows; ++r) {
        bits += bits_of(heads.at(r * rows.cols + k), classes_->of(row_classes[r], column));
      }
      if (bits > least || (bits == least && c != middle)) continue;
      least = bits;
      closer.columns[k] = column;
    }
  }
  return closer;
}

std::vector<std::byte> PlaneTable::serialise() const {
  std::vector<std::byte> out;
  const auto put = [&out](unsigned value) { out.push_back(static_cast<std::byte>(value)); };
  const auto put_u16 = [&put](unsigned value) {
    put(value & 255);
    put(value >> 8);
  };
  const RansTable& first = rans();
  put((first.layout == RansLayout::kAlias ? kAliasFlag : 0u) |
      (first.layout == RansLayout::kDirect ? kDirectFlag : 0u) |
      (first.contiguous ? kConsecutiveFlag : 0u) | (split_.has_sign ? kSignFlag : 0u) |
      (nibbles_ ? kNibblesFlag : 0u) | (first.has_escape ? kEscapeBit : 0u) |
      (classes_ ? kRowsFlag : 0u) | (classes_ && !classes_->columns.empty() ? kColumnsFlag : 0u));
  put(element_bytes_);
  put(split_.shift);
  put(first.count);
  put_u16(split_.base);
  if (classes_) classes_->serialise(out);
  const std::uint32_t plain = first.count - (first.has_escape ? 1 : 0);
  const std::uint32_t listed = first.contiguous ? 1 : plain;
  for (std::uint32_t i = 0; i < listed; ++i) put(first.symbol[i]);
  for (const RansTable& table : tables_) {
    for (std::uint32_t i = 0; i < table.count; ++i) put_u16(table.frequency[i]);
  }
  return out;
}

namespace {

// Classes need heads that are numbers with a scale.
void check_classes(const PlaneClasses& classes, const PlaneKind& kind, const PlaneSplit& split) {
  const unsigned mantissa = split.shift + classes.octave_bits;
  const bool fits = classes.integers
                        ? kind.element_bytes == 1 && !kind.has_sign && !kind.nibbles
                        : split.head_bytes == 2 && kind.has_sign && mantissa >= 1 && mantissa <= 10;
  if (!fits) bad_plane_table("classes of other numbers");
}

}  // namespace

std::size_t PlaneTable::symbols_at(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeadBytes) return bytes.size();
  const unsigned flags = load_u8(bytes.data());
  std::uint64_t at = kHeadBytes;
  if ((flags & kRowsFlag) != 0) {
    at += kClassHeadBytes;
    if (at > bytes.size()) return bytes.size();
    // The classes' head ends with the number of columns.
    if ((flags & kColumnsFlag) != 0) at += load_u32(bytes.data() + at - 4);
  }
  return static_cast<std::size_t>(std::min<std::uint64_t>(at, bytes.size()));
}

PlaneTable PlaneTable::parse(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeadBytes) bad_plane_table("ends early");
  const unsigned flags = load_u8(bytes.data());
  PlaneKind kind;
  kind.element_bytes = load_u8(bytes.data() + 1);
  kind.has_sign = (flags & kSignFlag) != 0;
  kind.nibbles = (flags & kNibblesFlag) != 0;
  const bool alias = (flags & kAliasFlag) != 0;
  const bool direct = (flags & kDirectFlag) != 0;
  const bool has_rows = (flags & kRowsFlag) != 0;
  const bool has_columns = (flags & kColumnsFlag) != 0;
  if ((alias && direct) || (has_rows && !direct) || (has_columns && !has_rows)) {
    bad_plane_table("unknown flags");
  }
  const unsigned e = kind.element_bytes;
  if (e != 1 && e != 2 && e != 4 && e != 8) bad_plane_table("size of an element");
  const PlaneSplit split{kind.head_bytes(), load_u8(bytes.data() + 2), kind.has_sign,
                         load_u16(bytes.data() + 4)};
  // At least four bits of code, at most 11 raw bits.
  if (split.shift > 10 || split.raw_bits() + 4 > 8u * split.head_bytes) bad_plane_table("shift");
  if (kind.nibbles && (e != 1 || split.shift != 0 || kind.has_sign || split.base != 0)) {
    bad_plane_table("nibbles");
  }
  const std::size_t count = load_u8(bytes.data() + 3);
  const bool escape = (flags & kEscapeBit) != 0;
  const bool consecutive = (flags & kConsecutiveFlag) != 0;
  if (count < 2) bad_plane_table("number of symbols");
  std::span<const std::byte> rest = bytes.subspan(kHeadBytes);
  std::optional<PlaneClasses> classes;
  if (has_rows) {
    if (rest.size() < kClassHeadBytes) bad_plane_table("ends early");
    const auto head = rest.first(kClassHeadBytes);
    rest = rest.subspan(kClassHeadBytes);
    classes = PlaneClasses::parse(head, {});
    if (has_columns) {
      if (rest.size() < classes->cols) bad_plane_table("ends early");
      classes = PlaneClasses::parse(head, rest.first(classes->cols));
      rest = rest.subspan(classes->cols);
    }
    check_classes(*classes, kind, split);
  }
  const std::size_t tables = classes ? classes->tables() : 1;
  const std::size_t plain = count - (escape ? 1 : 0);
  const std::size_t listed = consecutive ? 1 : plain;
  if (rest.size() != listed + 2 * count * tables) bad_plane_table("size");
  const std::byte* symbol = rest.data();
  const std::byte* frequency = symbol + listed;
  if (!escape && !kind.nibbles) bad_plane_table("codes without a symbol");
  const RansLayout layout = alias    ? RansLayout::kAlias
                            : direct ? RansLayout::kDirect
                                     : RansLayout::kTwoLevel;
  std::vector<RansTable> made;
  for (std::size_t t = 0; t < tables; ++t, frequency += 2 * count) {
    std::vector<RansSymbol> symbols;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t value = i == plain    ? kEscapeSymbol
                                : consecutive ? load_u8(symbol) + i
                                              : load_u8(symbol + i);
      // 255 is the escape's alone.
      if (i < plain && value >= kEscapeSymbol) bad_plane_table("symbol");
      if (kind.nibbles && (escape || value > 15 || count != 16)) bad_plane_table("nibbles");
      symbols.push_back({static_cast<std::uint8_t>(value), load_u16(frequency + 2 * i)});
    }
    made.emplace_back(symbols, layout);
  }
  if (classes) return {kind, split, made, std::move(*classes)};
  return {kind, split, made.front()};
}

}  // namespace qi
