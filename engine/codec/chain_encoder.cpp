#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <memory>

#include "engine/codec/chain_codec.h"
#include "engine/codec/chain_layout.h"
#include "engine/codec/little_endian.h"
#include "engine/codec/models.h"

namespace qi {
namespace {

// Cuts are chosen by what they cost for about so many numbers of a block.
constexpr std::size_t kCutSample = 16384;
// Symbols are slower than digits alone: they have to save something.
constexpr double kWorthSymbols = 0.993;
constexpr unsigned kMostSlicesLog = 5;
// Farther off than this nothing is a slice.
constexpr float kFarthest = 4096;

// What a class costs with one cut, from a sample.
struct CutCost {
  std::array<std::uint64_t, kChainSymbols> counts{};
  double digit_bits = 0;
  std::uint64_t escapes = 0;
};
using CutCosts = std::array<std::array<CutCost, kCellCuts>, kCellClasses>;

double table_bits(const std::array<std::uint64_t, kChainSymbols>& counts) {
  constexpr double kBitsOfAFrequency = 10;
  std::size_t first = kChainSymbols;
  std::size_t last = 0;
  for (std::size_t s = 0; s < kChainSymbols; ++s) {
    if (counts[s] == 0) continue;
    first = std::min(first, s);
    last = s;
  }
  return first > last ? 0 : kBitsOfAFrequency * static_cast<double>(last - first + 1) + 16;
}

// log2 of a cell's ordinals; most cells are small.
double bits_of(std::uint32_t count) {
  static const auto kSmall = [] {
    std::array<double, 1024> bits{};
    for (std::size_t n = 1; n < bits.size(); ++n) bits[n] = std::log2(n);
    return bits;
  }();
  return count < kSmall.size() ? kSmall[count] : std::log2(count);
}

// The slice of 1/32 step that ordinal `x` lies in; nullopt when it is far away or none has it.
template <ChainKind kKind>
std::optional<int> slice_of(const ChainOrder<kKind>& order, float center, float step,
                            std::uint32_t base, std::uint32_t word) {
  constexpr auto kSlices = static_cast<float>(1U << kMostSlicesLog);
  const float guess = (ChainOrder<kKind>::value(word) - center) / step * kSlices + kSlices / 2;
  if (!(guess > -kFarthest && guess < kFarthest)) return std::nullopt;
  int j = static_cast<int>(std::floor(guess));
  const std::uint32_t x = ChainOrder<kKind>::of(word, base);
  const auto begin = [&](int at) {
    return order.slice_begin(center, step, base, at, kMostSlicesLog);
  };
  constexpr int kTries = 4;
  std::uint32_t first = begin(j);
  std::uint32_t next = begin(j + 1);
  for (int tries = 0; tries < kTries && x < first; ++tries) {
    next = first;
    first = begin(--j);
  }
  for (int tries = 0; tries < kTries && x >= next; ++tries) {
    first = next;
    next = begin(++j + 1);
  }
  if (x < first || x >= next) return std::nullopt;
  return j;
}

// One number as it would be coded with a cut.
struct Coded {
  ChainCell cell{0, 1};  // of which the ordinal is one, unless it is an escape
  int symbol = 0;        // of other cuts than kWhole
  bool escape = false;
};

/// A number of a run and its cell: everything that its cut does not change.
template <ChainKind kKind>
class Placed {
 public:
  Placed(const ChainOrder<kKind>& order, const ChainRun& run, std::size_t i, std::uint32_t word)
      : order_(order),
        center_(run.center[i]),
        step_(run.step[i]),
        word_(word),
        base_(static_cast<std::uint32_t>(run.base[i])),
        cell_{static_cast<std::uint32_t>(run.first[i]), static_cast<std::uint32_t>(run.count[i])},
        of_class_(static_cast<std::uint32_t>(run.of_class[i])),
        ordinal_(ChainOrder<kKind>::of(word, base_)),
        has_ordinal_(ChainOrder<kKind>::word(ordinal_, base_) == word) {}
  std::uint32_t of_class() const { return of_class_; }
  std::uint32_t ordinal() const { return ordinal_; }

  std::optional<int> finest_slice() const {
    if (!has_ordinal_ || of_class_ == kOpenClass) return std::nullopt;
    return slice_of(order_, center_, step_, base_, word_);
  }
  /// `slice`: finest_slice(), for the cuts that ask.
  Coded with(std::uint8_t cut, const std::optional<int>& slice) const {
    Coded coded;
    if (cut == static_cast<std::uint8_t>(CellCut::kWhole)) {
      coded.escape = !has_ordinal_ || ordinal_ - cell_.first >= cell_.count;
      coded.cell = {cell_.first, std::max(1U, cell_.count)};
      return coded;
    }
    if (cut == static_cast<std::uint8_t>(CellCut::kEach)) {
      coded.symbol = static_cast<int>(ordinal_ - cell_.first) + kEachOrigin;
      coded.cell.first = ordinal_;
    } else {
      const unsigned log = slices_log(cut);
      const int j = slice.value_or(0) >> (kMostSlicesLog - log);
      coded.symbol = slice ? j + slice_origin(log) : -1;
      coded.cell.first = order_.slice_begin(center_, step_, base_, j, log);
      coded.cell.count = order_.slice_begin(center_, step_, base_, j + 1, log) - coded.cell.first;
    }
    if (!has_ordinal_ || coded.symbol < 0 || coded.symbol >= static_cast<int>(kChainEscape)) {
      coded = {{0, 1}, static_cast<int>(kChainEscape), true};
    }
    return coded;
  }

 private:
  const ChainOrder<kKind>& order_;
  const float center_;
  const float step_;
  const std::uint32_t word_;
  const std::uint32_t base_;
  const ChainCell cell_;
  const std::uint32_t of_class_;
  const std::uint32_t ordinal_;
  const bool has_ordinal_;
};

}  // namespace

ChainEncoder::ChainEncoder(CodecPath path) : kernels_(pair_kernels(path)) {}

// Each class by the cut that costs least.
template <ChainKind kKind>
void ChainEncoder::choose_cuts(const ChainNumbers& kind, const ChainOrder<kKind>& order,
                               const ChainGiven& given, const std::uint16_t* numbers) {
  const auto costs = std::make_unique<CutCosts>();
  const std::size_t runs = (given.count + kChainRun - 1) / kChainRun;
  const std::size_t every = std::max<std::size_t>(1, given.count / kCutSample);
  std::size_t taken = 0;
  ChainRun run;
  for (std::size_t r = 0; r < runs; r += every) {
    const std::size_t begin = r * kChainRun;
    const std::size_t count = std::min(kChainRun, given.count - begin);
    run.load(given, begin);
    find_cells(kind, run);
    for (std::size_t k = 0; k < count; ++k, ++taken) {
      const Placed<kKind> placed(order, run, k, numbers[begin + k]);
      if (placed.of_class() == kOpenClass) continue;
      const std::optional<int> slice = placed.finest_slice();
      for (std::uint8_t cut = 0; cut < kCellCuts; ++cut) {
        const Coded coded = placed.with(cut, slice);
        CutCost& cost = (*costs)[placed.of_class()][cut];
        ++cost.counts[static_cast<std::size_t>(coded.symbol)];
        cost.escapes += coded.escape ? 1 : 0;
        cost.digit_bits += bits_of(coded.cell.count);
      }
    }
  }
  const double scale =
      taken == 0 ? 0 : static_cast<double>(given.count) / static_cast<double>(taken);
  cuts_.fill(0);
  for (std::uint32_t c = 0; c < kOpenClass; ++c) {
    double least = 0;
    for (std::uint8_t cut = 0; cut < kCellCuts; ++cut) {
      const CutCost& cost = (*costs)[c][cut];
      double bits = scale * (cost.digit_bits + kEscapeBits * static_cast<double>(cost.escapes));
      if (cut != 0) bits += scale * order0_bits(cost.counts) + table_bits(cost.counts);
      if (cut != 0 && bits >= least * (cuts_[c] == 0 ? kWorthSymbols : 1)) continue;
      least = bits;
      cuts_[c] = cut;
    }
  }
}

void ChainEncoder::put_low_bits(std::uint32_t value, unsigned count) {
  if (count == 0) return;
  const std::size_t at = low_bits_ / 8;
  if (low_bytes_.size() < at + 8) low_bytes_.resize(2 * at + 64);
  auto window = load_number<std::uint64_t>(low_bytes_.data() + at);
  const unsigned shift = low_bits_ % 8;
  window = (window & ((std::uint64_t{1} << shift) - 1)) | std::uint64_t{value} << shift;
  store_number(low_bytes_.data() + at, window);
  low_bits_ += count;
}

// Symbols, digits, low bits and escapes of all numbers; the digits' bound.
template <ChainKind kKind>
void ChainEncoder::plan(const ChainNumbers& kind, const ChainOrder<kKind>& order,
                        const ChainGiven& given, const std::uint16_t* numbers) {
  ChainRun run;
  PairEntries entries{};
  std::array<std::uint16_t, kChainRun> digits;
  std::array<std::uint64_t, kChainRun / kPairLanes> ignored;
  std::array<std::uint64_t, kChainRun / kPairLanes> missed;
  for (std::size_t begin = 0; begin < given.count; begin += kChainRun) {
    const std::size_t count = std::min(kChainRun, given.count - begin);
    const std::size_t groups = (count + kPairLanes - 1) / kPairLanes;
    run.load(given, begin);
    find_cells(kind, run);
    for (std::size_t k = count; k < groups * kPairLanes; ++k) {
      set_entry(entries, k, 1);
      digits[k] = 0;
    }
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t i = begin + k;
      const Placed<kKind> placed(order, run, k, numbers[i]);
      const std::uint8_t cut = cuts_[placed.of_class()];
      const std::optional<int> slice =
          cut >= static_cast<std::uint8_t>(CellCut::kSlices) ? placed.finest_slice() : std::nullopt;
      const Coded coded = placed.with(cut, slice);
      if (cut != 0) {
        symbols_.push_back({static_cast<std::uint8_t>(placed.of_class()),
                            static_cast<std::uint8_t>(coded.symbol)});
        ++counts_[placed.of_class()][static_cast<std::size_t>(coded.symbol)];
      }
      const ChainDigit digit(coded.cell.count);
      const std::uint32_t place = coded.escape ? 0 : placed.ordinal() - coded.cell.first;
      set_entry(entries, k, digit.radix);
      digits[k] = static_cast<std::uint16_t>(place >> digit.low_bits);
      put_low_bits(place & ((1U << digit.low_bits) - 1), digit.low_bits);
      if (coded.escape) {
        escapes_.push_back({static_cast<std::uint32_t>(i), numbers[i]});
      } else {
        ideal_bits_ += bits_of(coded.cell.count);
      }
    }
    const PairSteps steps{radix_digit_.data() + groups_ * kPairLanes,
                          refills_.data() + groups_ * (kPairLanes / 8)};
    kernels_.plan(bound_, entries, 1, reinterpret_cast<const std::byte*>(digits.data()),
                  kRunLookups.data(), groups, steps, ignored.data(), missed.data());
    groups_ += groups;
  }
}

void ChainEncoder::put_tables(std::vector<std::byte>& out) {
  for (std::uint32_t c = 0; c < kCellClasses; ++c) {
    tables_[c].reset();
    const auto& counts = counts_[c];
    const auto has = [](std::uint64_t count) { return count != 0; };
    const auto first = std::find_if(counts.begin(), counts.end(), has);
    if (first == counts.end()) continue;
    const auto end = std::find_if(counts.rbegin(), counts.rend(), has).base();
    out.push_back(static_cast<std::byte>(first - counts.begin()));
    out.push_back(static_cast<std::byte>(end - first));
    if (end - first == 1) continue;
    const std::vector<std::uint16_t> frequencies = normalise_counts({first, end}, 1);
    std::vector<RansSymbol> symbols;
    for (std::size_t s = 0; s < frequencies.size(); ++s) {
      std::uint32_t f = frequencies[s];
      if (f != 0) {
        symbols.push_back({static_cast<std::uint8_t>(first - counts.begin() + static_cast<int>(s)),
                           frequencies[s]});
      }
      for (; f >= 0x80; f >>= 7) out.push_back(static_cast<std::byte>(f | 0x80));
      out.push_back(static_cast<std::byte>(f));
    }
    tables_[c].emplace(symbols, RansLayout::kDirect);
  }
}

// The last symbol first.
void ChainEncoder::encode_symbols() {
  states_.fill(kRansStateLow);
  words_.clear();
  std::size_t coded = 0;
  for (const Symbol& symbol : symbols_) coded += tables_[symbol.of_class] ? 1 : 0;
  for (std::size_t i = symbols_.size(); i-- > 0;) {
    const auto& table = tables_[symbols_[i].of_class];
    if (!table) continue;
    std::uint32_t& x = states_[--coded % kChainStates];
    const RansTable::Encode& entry = table->encode[symbols_[i].symbol];
    const std::uint32_t f = entry.frequency;
    if (x >= std::uint64_t{f} << 20) {
      words_.push_back(static_cast<std::uint16_t>(x));
      x >>= 16;
    }
    x = x / f * kRansSlots + entry.cumulative + x % f;
  }
}

std::span<const std::byte> ChainEncoder::put_block() {
  std::array<std::uint32_t, kPairLanes> value{};
  std::byte* const end = bytes_.data() + bytes_.size();
  const std::byte* digits =
      kernels_.encode(value, {radix_digit_.data(), refills_.data()}, 1, groups_, end);
  const bool has_digits = digits != end || std::any_of(value.begin(), value.end(),
                                                       [](std::uint32_t v) { return v != 0; });
  const auto push = [this](const void* from, std::size_t bytes) {
    const auto* at = static_cast<const std::byte*>(from);
    out_.insert(out_.end(), at, at + bytes);
  };
  out_.assign(kChainHead, std::byte{0});
  put_tables(out_);
  encode_symbols();
  std::uint16_t mask = 0;
  bool has_choice = false;
  for (std::uint32_t c = 0; c < kCellClasses; ++c) {
    const double bits = order0_bits(counts_[c]);
    ideal_bits_ += bits;
    const bool used = std::any_of(counts_[c].begin(), counts_[c].end(),
                                  [](std::uint64_t count) { return count != 0; });
    mask = static_cast<std::uint16_t>(mask | (used ? 1U << c : 0U));
    has_choice = has_choice || tables_[c].has_value();
  }
  out_[0] = std::byte{1};
  out_[1] = static_cast<std::byte>(has_digits ? kChainHasDigits : 0);
  for (std::uint32_t c = 0; c < kCellClasses; ++c) {
    out_[2 + c / 2] |= static_cast<std::byte>(cuts_[c] << (c % 2 * 4));
  }
  store_u32(out_.data() + 10, static_cast<std::uint32_t>(end - digits));
  store_u32(out_.data() + 14, static_cast<std::uint32_t>(words_.size()));
  store_u32(out_.data() + 18, static_cast<std::uint32_t>(low_bits_));
  store_u32(out_.data() + 22, static_cast<std::uint32_t>(escapes_.size()));
  store_u16(out_.data() + 26, mask);
  if (has_choice) {
    push(states_.data(), 4 * states_.size());
    std::reverse(words_.begin(), words_.end());
    push(words_.data(), 2 * words_.size());
  }
  if (has_digits) {
    for (const std::uint32_t v : value) push(&v, 3);
    push(digits, static_cast<std::size_t>(end - digits));
  }
  // What put_low_bits() left above the last bit is not part of it.
  if (low_bits_ % 8 != 0) put_low_bits(0, 8 - low_bits_ % 8);
  push(low_bytes_.data(), low_bits_ / 8);
  ideal_bits_ += kEscapeBits * static_cast<double>(escapes_.size());
  for (const Escape& escape : escapes_) {
    push(&escape.place, 4);
    push(&escape.number, 2);
  }
  return out_;
}

std::span<const std::byte> ChainEncoder::encode(const ChainNumbers& kind, const ChainGiven& given,
                                                const std::uint16_t* numbers) {
  symbols_.clear();
  for (auto& counts : counts_) counts.fill(0);
  low_bits_ = 0;
  escapes_.clear();
  bound_.fill(kPairStart);
  groups_ = 0;
  ideal_bits_ = 0;
  const std::size_t groups = given.count / kPairLanes + kChainRun / kPairLanes;
  const auto grow = [](auto& buffer, std::size_t size) {
    if (buffer.size() < size) buffer.resize(size);
  };
  grow(radix_digit_, groups * kPairLanes);
  grow(refills_, groups * (kPairLanes / 8));
  grow(bytes_, groups * kPairLanes + kPairAhead);
  with_order(kind, [&](const auto& order) {
    choose_cuts(kind, order, given, numbers);
    plan(kind, order, given, numbers);
  });
  return put_block();
}

}  // namespace qi
