#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/codec/pair_codec.h"
#include "engine/codec/pair_layout.h"
#include "engine/io/error.h"

namespace qi {
namespace {

// Bits of the longest code of a zero, and what a load of 8 bytes needs behind the last one.
constexpr std::size_t kZeroPad = 16;

[[noreturn]] void bad_block(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("residual block: ") + what,
              "a block for the matrix's shape, q and scales");
}

}  // namespace

PairDecoder::PairDecoder(const PairFormat& format, CodecPath path)
    : format_(format),
      kernels_(pair_kernels(path)),
      refills_(refills_of(format)),
      digits_(kernels_) {}

std::uint16_t PairDecoder::take_zero(const PairRow& row, std::uint64_t& bit) const {
  const auto mantissa_bits = static_cast<unsigned>(format_.mantissa_bits);
  const auto exponent_bits = static_cast<unsigned>(format_.exponent_bits);
  if (bit >= zero_bits_) bad_block("too few bits for the zeros");
  auto window = load_number<std::uint64_t>(zero_bytes_.data() + bit / 8) >> bit % 8;
  auto used = static_cast<unsigned>(std::countr_zero(window | 1u << kUnaryLimit));
  std::uint32_t exponent = row.zero_exponent() - used;
  if (used == kUnaryLimit) {
    exponent = static_cast<std::uint32_t>(window >> kUnaryLimit);
    used += exponent_bits - 1;
  }
  ++used;
  window >>= used;
  bit += used + mantissa_bits + 1;
  const std::uint32_t mantissa = static_cast<std::uint32_t>(window) & ((1u << mantissa_bits) - 1);
  const std::uint32_t sign = window >> mantissa_bits & 1;
  exponent &= (1u << exponent_bits) - 1;
  return static_cast<std::uint16_t>(sign << 15 | exponent << mantissa_bits | mantissa);
}

// Weights with q = 0 among the first `count` of a row's groups.
void PairDecoder::fill_zeros(const PairRow& row, std::size_t groups, std::size_t count,
                             std::byte* out) {
  std::uint64_t bit = zero_at_;
  for (std::size_t g = 0; g < groups; ++g) {
    for (std::uint64_t left = zeros_[g]; left != 0; left &= left - 1) {
      const std::size_t i = g * kPairLanes + static_cast<std::size_t>(std::countr_zero(left));
      if (i < count) store_u16(out + 2 * i, take_zero(row, bit));
    }
  }
  zero_at_ = bit;
}

void PairDecoder::decode(const PairBlock& low, std::span<const std::byte> block, std::byte* high) {
  const std::size_t raw_bytes = 2 * low.weights();
  if (block.empty()) bad_block("empty");
  if (load_u8(block.data()) == kPairRaw) {
    if (block.size() != raw_bytes + 1) bad_block("size of raw weights");
    if (raw_bytes != 0) std::memcpy(high, block.data() + 1, raw_bytes);
    return;
  }
  if (load_u8(block.data()) != kPairCoded || block.size() < kPairHead) bad_block("mode");
  if (load_u8(block.data() + 1) != 0 || load_u16(block.data() + 2) != 0) bad_block("head");
  PairCost cost{load_u32(block.data() + 4), load_u32(block.data() + 8), load_u32(block.data() + 12),
                0};
  const std::byte* at = block.data() + kPairHead;
  const std::size_t mask_bytes = (low.rows + 7) / 8;
  if (block.size() < kPairHead + mask_bytes) bad_block("row mask");
  const std::byte* mask = at;
  const auto is_stored = [mask](std::size_t row) {
    return (mask[row / 8] >> row % 8 & std::byte{1}) != std::byte{0};
  };
  for (std::size_t row = 0; row < 8 * mask_bytes; ++row) {
    if (!is_stored(row)) continue;
    if (row >= low.rows) bad_block("row mask");
    ++cost.stored_rows;
  }
  const PairSizes sizes(low, cost);
  if (block.size() != sizes.total) bad_block("sizes of its streams");
  at += mask_bytes;

  std::array<std::uint32_t, kPairLanes> states;
  std::memcpy(states.data(), at, kPairStateBytes);
  const std::byte* digits = at + kPairStateBytes;
  const std::byte* digits_end = digits + cost.digit_bytes;
  digits_.start(states, {digits, digits_end});
  zero_bytes_.assign(sizes.zeros + kZeroPad, std::byte{0});
  if (sizes.zeros != 0) std::memcpy(zero_bytes_.data(), digits_end, sizes.zeros);
  zero_bits_ = cost.zero_bits;
  zero_at_ = 0;
  const std::byte* escapes = digits_end + sizes.zeros;
  const std::byte* stored = escapes + kPairEscapeBytes * cost.escapes;

  const std::size_t whole = low.cols / kPairLanes;
  const std::size_t rest = low.cols % kPairLanes;
  if (zeros_.size() < whole + 1) zeros_.resize(whole + 1);
  for (std::size_t index = 0; index < low.rows; ++index) {
    std::byte* out = high + 2 * index * low.cols;
    if (is_stored(index)) {
      std::memcpy(out, stored, 2 * low.cols);
      stored += 2 * low.cols;
      continue;
    }
    const PairRow row(format_, low.scales[index]);
    if (!row.usable()) bad_block("a coded row of unusable scale");
    kernels_.entries(format_, row, entries_);
    const std::int8_t* q = low.q + index * low.cols;
    digits_.decode(entries_, refills_, q, whole, out, zeros_.data());
    fill_zeros(row, whole, low.cols, out);
    if (rest == 0) continue;
    std::array<std::int8_t, kPairLanes> last_q{};
    std::array<std::byte, 2 * kPairLanes> last{};
    std::memcpy(last_q.data(), q + whole * kPairLanes, rest);
    digits_.decode(entries_, refills_, last_q.data(), 1, last.data(), zeros_.data());
    fill_zeros(row, 1, rest, last.data());
    std::memcpy(out + 2 * whole * kPairLanes, last.data(), 2 * rest);
  }
  digits_.finish();
  if (zero_at_ != zero_bits_) bad_block("bits left over, or too few");
  for (std::uint64_t i = 0; i < cost.escapes; ++i, escapes += kPairEscapeBytes) {
    const std::size_t place = load_u32(escapes);
    if (place >= low.weights()) bad_block("place of an escape");
    std::memcpy(high + 2 * place, escapes + 4, 2);
  }
}

bool pair_block_is_raw(std::span<const std::byte> block) {
  return !block.empty() && load_u8(block.data()) == kPairRaw;
}

std::uint64_t pair_block_escapes(std::span<const std::byte> block) {
  if (block.size() < kPairHead || load_u8(block.data()) != kPairCoded) return 0;
  return load_u32(block.data() + 12);
}

}  // namespace qi
