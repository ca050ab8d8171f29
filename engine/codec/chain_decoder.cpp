#include <algorithm>
#include <cstring>

#include "engine/codec/chain_codec.h"
#include "engine/codec/chain_layout.h"
#include "engine/codec/little_endian.h"
#include "engine/io/error.h"

namespace qi {
namespace {

[[noreturn]] void bad_chain(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("chain block: ") + what,
              "a block for the matrix's shape and its lower version");
}

std::span<const std::byte> take_bytes(std::span<const std::byte>& from, std::uint64_t count,
                                      const char* what) {
  if (count > from.size()) bad_chain(what);
  const auto taken = from.first(static_cast<std::size_t>(count));
  from = from.subspan(taken.size());
  return taken;
}

std::uint32_t take_frequency(std::span<const std::byte>& from) {
  const std::uint32_t low = load_u8(take_bytes(from, 1, "frequencies").data());
  if (low < 0x80) return low;
  const std::uint32_t high = load_u8(take_bytes(from, 1, "frequencies").data());
  return (low & 0x7F) | high << 7;
}

ChainDigit digit_of(const ChainRun& run, std::size_t i) {
  return ChainDigit(static_cast<std::uint32_t>(std::max(1, run.count[i])));
}

}  // namespace

ChainDecoder::ChainDecoder(CodecPath path) : digits_(pair_kernels(path)) {}

ChainDecoder::Head ChainDecoder::take_head(std::span<const std::byte>& block) {
  const std::byte* at = take_bytes(block, kChainHead, "head").data();
  const std::uint8_t flags = load_u8(at + 1);
  if (load_u8(at) != 1 || flags > kChainHasDigits) bad_chain("mode");
  for (std::uint32_t c = 0; c < kCellClasses; ++c) {
    cuts_[c] = static_cast<std::uint8_t>(load_u8(at + 2 + c / 2) >> (c % 2 * 4) & 15);
    if (cuts_[c] >= kCellCuts) bad_chain("cuts");
  }
  // A cell without a grid has no slices.
  if (cuts_[kOpenClass] != 0) bad_chain("cuts");
  return {load_u32(at + 10), load_u32(at + 14), load_u32(at + 18),
          load_u32(at + 22), load_u16(at + 26), (flags & kChainHasDigits) != 0};
}

void ChainDecoder::take_tables(std::uint32_t mask, std::span<const std::byte>& block) {
  for (std::uint32_t c = 0; c < kCellClasses; ++c) {
    tables_[c].reset();
    slots_[c] = nullptr;
    only_[c] = kChainSymbols;  // none
    if ((mask >> c & 1) == 0) continue;
    const auto range = take_bytes(block, 2, "tables");
    const std::uint32_t first = load_u8(range.data());
    const std::uint32_t count = load_u8(range.data() + 1);
    if (count == 0 || first + count > kChainSymbols) bad_chain("symbols of a table");
    if (count == 1) {
      only_[c] = static_cast<std::uint8_t>(first);
      continue;
    }
    std::vector<RansSymbol> symbols;
    for (std::uint32_t s = 0; s < count; ++s) {
      const std::uint32_t f = take_frequency(block);
      if (f >= kRansSlots) bad_chain("frequencies");
      if (f != 0) {
        symbols.push_back({static_cast<std::uint8_t>(first + s), static_cast<std::uint16_t>(f)});
      }
    }
    slots_[c] = tables_[c].emplace(symbols, RansLayout::kDirect).slots.data();
  }
}

inline std::uint32_t ChainDecoder::take_symbol(std::uint32_t of_class) {
  const std::uint32_t* slots = slots_[of_class];
  if (slots == nullptr) {
    if (only_[of_class] == kChainSymbols) bad_chain("a class without a table");
    return only_[of_class];
  }
  std::uint32_t& x = states_[next_state_++ % kChainStates];
  const std::uint32_t slot = slots[x % kRansSlots];
  x = (slot >> 20) * (x / kRansSlots) + (slot >> 8 & 0xFFF);
  if (x < kRansStateLow) {
    if (words_ == words_end_) bad_chain("too few words");
    x = x << 16 | load_u16(words_);
    words_ += 2;
  }
  return slot & 0xFF;
}

std::uint32_t ChainDecoder::take_low_bits(unsigned count) {
  if (count == 0) return 0;
  if (count > low_bits_ - low_at_) bad_chain("too few low bits");
  const auto window = load_number<std::uint64_t>(low_bytes_.data() + low_at_ / 8);
  const std::uint64_t value = window >> low_at_ % 8 & ((std::uint64_t{1} << count) - 1);
  low_at_ += count;
  return static_cast<std::uint32_t>(value);
}

// Cells of classes with a cut become slices of them, or numbers.
template <ChainKind kKind>
void ChainDecoder::cut_cells(const ChainOrder<kKind>& order, ChainRun& run, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto of_class = static_cast<std::uint32_t>(run.of_class[i]);
    const std::uint8_t cut = cuts_[of_class];
    if (cut == static_cast<std::uint8_t>(CellCut::kWhole)) continue;
    const auto symbol = static_cast<int>(take_symbol(of_class));
    if (symbol == static_cast<int>(kChainEscape)) {
      run.first[i] = 0;
      run.count[i] = 1;
    } else if (cut == static_cast<std::uint8_t>(CellCut::kEach)) {
      run.first[i] += symbol - kEachOrigin;
      run.count[i] = 1;
    } else {
      const unsigned log = slices_log(cut);
      const int j = symbol - slice_origin(log);
      const auto base = static_cast<std::uint32_t>(run.base[i]);
      const auto begin = [&](int at) {
        return static_cast<std::int32_t>(
            order.slice_begin(run.center[i], run.step[i], base, at, log));
      };
      run.first[i] = begin(j);
      run.count[i] = begin(j + 1) - run.first[i];
    }
  }
}

void ChainDecoder::decode_runs(const ChainNumbers& kind, const ChainGiven& given, bool has_digits,
                               std::uint16_t* numbers) {
  ChainRun run;
  PairEntries entries{};
  std::array<std::uint16_t, kChainRun> digits{};
  std::array<std::uint16_t, kChainRun> out;
  std::array<std::uint64_t, kChainRun / kPairLanes> ignored;
  const bool has_cuts =
      std::any_of(cuts_.begin(), cuts_.end(), [](std::uint8_t cut) { return cut != 0; });
  for (std::size_t begin = 0; begin < given.count; begin += kChainRun) {
    const std::size_t count = std::min(kChainRun, given.count - begin);
    run.load(given, begin);
    find_cells(kind, run);
    if (has_cuts) {
      with_order(kind, [&](const auto& order) { cut_cells(order, run, count); });
    }
    std::fill(run.count.begin() + static_cast<std::ptrdiff_t>(count), run.count.end(), 1);
    const bool all_whole = set_entries(run, entries);
    if (!all_whole) {
      for (std::size_t i = 0; i < count; ++i) set_entry(entries, i, digit_of(run, i).radix);
    }
    if (has_digits) {
      digits_.decode(entries, 1, kRunLookups.data(), (count + kPairLanes - 1) / kPairLanes,
                     reinterpret_cast<std::byte*>(digits.data()), ignored.data());
    }
    if (!all_whole) {
      for (std::size_t i = 0; i < count; ++i) {
        const unsigned low = digit_of(run, i).low_bits;
        if (low == 0) continue;
        run.first[i] += static_cast<std::int32_t>(take_low_bits(low));
        run.first[i] += (digits[i] << low) - digits[i];
      }
    }
    set_numbers(kind, run, digits, out);
    std::memcpy(numbers + begin, out.data(), 2 * count);
  }
}

void ChainDecoder::decode(const ChainNumbers& kind, const ChainGiven& given,
                          std::span<const std::byte> block, std::uint16_t* numbers) {
  const Head head = take_head(block);
  take_tables(head.mask, block);
  states_.fill(kRansStateLow);
  next_state_ = 0;
  const bool has_choice = std::any_of(tables_.begin(), tables_.end(),
                                      [](const auto& table) { return table.has_value(); });
  if (has_choice) {
    std::memcpy(states_.data(), take_bytes(block, 4 * kChainStates, "states").data(),
                4 * kChainStates);
    const auto low = [](std::uint32_t x) { return x < kRansStateLow; };
    if (std::any_of(states_.begin(), states_.end(), low)) bad_chain("states");
  } else if (head.words != 0) {
    bad_chain("words");
  }
  const auto words = take_bytes(block, 2 * std::uint64_t{head.words}, "words");
  words_ = words.data();
  words_end_ = words.data() + words.size();
  if (head.has_digits) {
    std::array<std::uint32_t, kPairLanes> values{};
    const std::byte* at = take_bytes(block, kChainStateBytes, "digits").data();
    for (std::uint32_t& value : values) {
      std::memcpy(&value, at, 3);
      at += 3;
    }
    digits_.start(values, take_bytes(block, head.digit_bytes, "digits"));
  } else if (head.digit_bytes != 0) {
    bad_chain("digits");
  }
  low_bits_ = head.low_bits;
  low_at_ = 0;
  const auto low = take_bytes(block, (std::uint64_t{head.low_bits} + 7) / 8, "low bits");
  low_bytes_.assign(low.size() + 8, std::byte{0});
  if (!low.empty()) std::memcpy(low_bytes_.data(), low.data(), low.size());
  if (block.size() != kChainEscapeBytes * std::uint64_t{head.escapes}) bad_chain("escapes");

  decode_runs(kind, given, head.has_digits, numbers);

  if (head.has_digits) digits_.finish();
  const auto is_start = [](std::uint32_t x) { return x == kRansStateLow; };
  if (words_ != words_end_ || !std::all_of(states_.begin(), states_.end(), is_start)) {
    bad_chain("words left over");
  }
  if (low_at_ != low_bits_) bad_chain("low bits left over");
  for (std::uint32_t i = 0; i < head.escapes; ++i) {
    const std::byte* escape = block.data() + kChainEscapeBytes * i;
    const std::size_t place = load_u32(escape);
    if (place >= given.count) bad_chain("place of an escape");
    numbers[place] = load_u16(escape + 4);
  }
}

std::uint64_t chain_block_escapes(std::span<const std::byte> block) {
  return block.size() < kChainHead ? 0 : load_u32(block.data() + 22);
}

}  // namespace qi
