#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/codec/pair_codec.h"
#include "engine/codec/pair_layout.h"
#include "engine/codec/plane_codec.h"

namespace qi {

std::size_t pair_block_rows(std::size_t cols) {
  return std::max<std::size_t>(1, kPlaneBlock / std::max<std::size_t>(1, cols));
}

PairEncoder::PairEncoder(const PairFormat& format, CodecPath path)
    : format_(format), kernels_(pair_kernels(path)), refills_(refills_of(format)) {}

void PairEncoder::put_bits(std::uint64_t value, unsigned count) {
  const std::size_t at = zero_bits_ / 8;
  if (zero_bytes_.size() < at + 16) zero_bytes_.resize(2 * at + 64);
  auto window = load_number<std::uint64_t>(zero_bytes_.data() + at);
  const unsigned shift = zero_bits_ % 8;
  window = (window & ((std::uint64_t{1} << shift) - 1)) | value << shift;
  store_number(zero_bytes_.data() + at, window);
  zero_bits_ += count;
}

void PairEncoder::put_zero(const PairRow& row, std::uint32_t word) {
  const auto mantissa_bits = static_cast<unsigned>(format_.mantissa_bits);
  const auto exponent_bits = static_cast<unsigned>(format_.exponent_bits);
  const std::uint32_t mantissa = word & ((1u << mantissa_bits) - 1);
  const std::uint32_t exponent = word >> mantissa_bits & ((1u << exponent_bits) - 1);
  const std::uint64_t rest = mantissa | (word >> 15) << mantissa_bits;
  const std::uint32_t steps = row.zero_exponent() - exponent;  // wraps when above
  if (steps < kUnaryLimit) {
    put_bits((2 * rest + 1) << steps, steps + mantissa_bits + 2);
  } else {
    put_bits((rest << exponent_bits | exponent) << kUnaryLimit,
             kUnaryLimit + exponent_bits + mantissa_bits + 1);
  }
}

// Digits, zeros and escapes of one row; what they cost decides whether they stay.
void PairEncoder::plan_row(const PairBlock& low, const std::byte* high, std::size_t index) {
  const PairRow row(format_, low.scales[index]);
  if (!row.usable()) {
    stored_[index] = true;
    return;
  }
  const auto bound_before = bound_;
  const std::size_t groups_before = groups_;
  const std::uint64_t bits_before = zero_bits_;
  const std::size_t escapes_before = escapes_.size();
  kernels_.entries(format_, row, entries_);
  const std::int8_t* q = low.q + index * low.cols;
  const std::byte* words = high + 2 * index * low.cols;

  const auto plan = [&](const std::byte* at, const std::int8_t* q_at, std::size_t groups,
                        std::size_t first) {
    const auto vectors = static_cast<std::size_t>(refills_) * kPairLanes / 8;
    const PairSteps steps{radix_digit_.data() + groups_ * kPairLanes,
                          refill_masks_.data() + groups_ * vectors};
    kernels_.plan(bound_, entries_, refills_, at, q_at, groups, steps, zeros_.data() + first,
                  missed_.data() + first);
    groups_ += groups;
  };
  const std::size_t whole = low.cols / kPairLanes;
  const std::size_t rest = low.cols % kPairLanes;
  plan(words, q, whole, 0);
  if (rest != 0) {
    std::array<std::byte, 2 * kPairLanes> last_words{};
    std::array<std::int8_t, kPairLanes> last_q{};
    std::memcpy(last_words.data(), words + 2 * whole * kPairLanes, 2 * rest);
    std::memcpy(last_q.data(), q + whole * kPairLanes, rest);
    plan(last_words.data(), last_q.data(), 1, whole);
    const std::uint64_t there = (std::uint64_t{1} << rest) - 1;
    zeros_[whole] &= there;
    missed_[whole] &= there;
  }
  for (std::size_t g = 0; g < whole + (rest != 0 ? 1 : 0); ++g) {
    for (std::uint64_t left = zeros_[g]; left != 0; left &= left - 1) {
      const std::size_t i = g * kPairLanes + static_cast<std::size_t>(std::countr_zero(left));
      put_zero(row, load_u16(words + 2 * i));
    }
    for (std::uint64_t left = missed_[g]; left != 0; left &= left - 1) {
      const std::size_t i = g * kPairLanes + static_cast<std::size_t>(std::countr_zero(left));
      escapes_.push_back(
          {static_cast<std::uint32_t>(index * low.cols + i), load_u16(words + 2 * i)});
    }
  }
  const std::uint64_t side_bits =
      zero_bits_ - bits_before + kEscapeBits * (escapes_.size() - escapes_before);
  if (side_bits <= std::uint64_t{format_.side_limit_bits} * low.cols) return;
  bound_ = bound_before;
  groups_ = groups_before;
  zero_bits_ = bits_before;
  escapes_.resize(escapes_before);
  stored_[index] = true;
}

std::span<const std::byte> PairEncoder::raw_block(const std::byte* high, std::size_t bytes) {
  out_.resize(std::max(out_.size(), bytes + 1));
  out_[0] = std::byte{kPairRaw};
  if (bytes != 0) std::memcpy(out_.data() + 1, high, bytes);
  cost_ = {};
  return {out_.data(), bytes + 1};
}

std::span<const std::byte> PairEncoder::encode(const PairBlock& low, const std::byte* high) {
  const std::size_t raw_bytes = 2 * low.weights();
  const std::size_t row_groups = (low.cols + kPairLanes - 1) / kPairLanes;
  const std::size_t groups = low.rows * row_groups;
  const auto vectors = static_cast<std::size_t>(refills_) * kPairLanes / 8;
  const auto grow = [](auto& buffer, std::size_t size) {
    if (buffer.size() < size) buffer.resize(size);
  };
  grow(radix_digit_, groups * kPairLanes);
  grow(refill_masks_, groups * vectors);
  grow(zeros_, row_groups);
  grow(missed_, row_groups);
  grow(bytes_, groups * kPairLanes * static_cast<std::size_t>(refills_) + kPairAhead);
  bound_.fill(kPairStart);
  groups_ = 0;
  zero_bits_ = 0;
  escapes_.clear();
  stored_.assign(low.rows, false);
  for (std::size_t row = 0; row < low.rows; ++row) plan_row(low, high, row);
  if (groups_ == 0) return raw_block(high, raw_bytes);

  std::array<std::uint32_t, kPairLanes> value{};
  std::byte* const end = bytes_.data() + bytes_.size();
  const std::byte* bytes =
      kernels_.encode(value, {radix_digit_.data(), refill_masks_.data()}, refills_, groups_, end);

  const auto stored = static_cast<std::size_t>(std::count(stored_.begin(), stored_.end(), true));
  cost_ = {static_cast<std::uint64_t>(end - bytes), zero_bits_, escapes_.size(), stored};
  const PairSizes sizes(low, cost_);
  constexpr std::uint64_t kMost = ~std::uint32_t{0};  // the counts are 32 bits
  const bool counts_fit = cost_.digit_bytes <= kMost && zero_bits_ <= kMost;
  if (!counts_fit || sizes.total >= raw_bytes + 1) return raw_block(high, raw_bytes);
  grow(out_, sizes.total);
  std::byte* out = out_.data();
  std::memset(out, 0, kPairHead + sizes.mask);
  out[0] = std::byte{kPairCoded};
  store_u32(out + 4, static_cast<std::uint32_t>(cost_.digit_bytes));
  store_u32(out + 8, static_cast<std::uint32_t>(zero_bits_));
  store_u32(out + 12, static_cast<std::uint32_t>(escapes_.size()));
  out += kPairHead;
  for (std::size_t row = 0; row < low.rows; ++row) {
    if (stored_[row]) out[row / 8] |= std::byte{1} << row % 8;
  }
  out += sizes.mask;
  std::memcpy(out, value.data(), kPairStateBytes);
  out += kPairStateBytes;
  std::memcpy(out, bytes, cost_.digit_bytes);
  out += cost_.digit_bytes;
  // What put_bits() left above the last bit is not part of it.
  if (zero_bits_ % 8 != 0) put_bits(0, 8 - zero_bits_ % 8);
  if (sizes.zeros != 0) std::memcpy(out, zero_bytes_.data(), sizes.zeros);
  out += sizes.zeros;
  for (const Escape& escape : escapes_) {
    store_u32(out, escape.place);
    store_u16(out + 4, escape.word);
    out += kPairEscapeBytes;
  }
  for (std::size_t row = 0; row < low.rows; ++row) {
    if (!stored_[row]) continue;
    std::memcpy(out, high + 2 * row * low.cols, 2 * low.cols);
    out += 2 * low.cols;
  }
  assert(out == out_.data() + sizes.total);
  return {out_.data(), sizes.total};
}

}  // namespace qi
