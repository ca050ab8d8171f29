#include "engine/codec/huffman_codec.h"

#include <algorithm>
#include <cstring>

#include "engine/codec/plane_codec.h"

namespace qi {

HuffmanBlockCoder::HuffmanBlockCoder(DType type) {
  const PlaneKind kind = plane_kind(type);
  element_bytes_ = kind.element_bytes;
  const unsigned raw = kind.element_bytes == 1 ? 0 : kind.first_shift + (kind.has_sign ? 1u : 0u);
  code_bits_ = 8u * kind.head_bytes() - raw;
  code_shift_ = kind.element_bytes == 1 ? 0 : 8u * (kind.element_bytes - 2u) + kind.first_shift;
}

bool HuffmanBlockCoder::by_byte(std::span<const std::byte> numbers) const {
  return element_bytes_ == 1 || code_bits_ > 8 || numbers.size() % element_bytes_ != 0 ||
         numbers.empty();
}

std::size_t HuffmanBlockCoder::raw_bytes(std::size_t count) const {
  return (count * (8 * element_bytes_ - code_bits_) + 7) / 8;
}

std::span<const std::byte> HuffmanBlockCoder::encode(std::span<const std::byte> numbers) {
  if (by_byte(numbers)) return coder_.encode(numbers);
  const std::size_t count = numbers.size() / element_bytes_;
  const auto raw_bits = static_cast<unsigned>(8 * element_bytes_) - code_bits_;
  codes_.resize(count);
  out_.assign(raw_bytes(count) + 8, std::byte{0});  // room for the last word
  std::uint64_t bits = 0;
  unsigned held = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t number = 0;
    std::memcpy(&number, numbers.data() + i * element_bytes_, element_bytes_);
    codes_[i] = static_cast<std::byte>(number >> code_shift_ & ((1u << code_bits_) - 1));
    const std::uint64_t low = number & ((std::uint64_t{1} << code_shift_) - 1);
    bits |= (low | number >> (code_shift_ + code_bits_) << code_shift_) << held;
    held += raw_bits;  // fewer than 8 + 32 of them
    std::memcpy(out_.data() + at, &bits, 8);
    at += held / 8;
    bits >>= held / 8 * 8;
    held %= 8;
  }
  out_.resize(raw_bytes(count));
  const std::span<const std::byte> frame = coder_.encode(codes_);
  out_.insert(out_.begin(), frame.begin(), frame.end());
  return out_;
}

bool HuffmanBlockCoder::decode(std::span<const std::byte> block, std::span<std::byte> numbers) {
  if (by_byte(numbers)) return coder_.decode(block, numbers);
  const std::size_t count = numbers.size() / element_bytes_;
  const std::size_t raw = raw_bytes(count);
  codes_.resize(count);
  if (block.size() < raw || !coder_.decode(block.first(block.size() - raw), codes_)) return false;
  const std::span<const std::byte> rest = block.last(raw);
  const auto raw_bits = static_cast<unsigned>(8 * element_bytes_) - code_bits_;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bit = i * raw_bits;
    std::uint64_t bits = 0;
    std::memcpy(&bits, rest.data() + bit / 8, std::min<std::size_t>(8, raw - bit / 8));
    bits = bits >> bit % 8 & ((std::uint64_t{1} << raw_bits) - 1);
    const std::uint64_t low = bits & ((std::uint64_t{1} << code_shift_) - 1);
    const std::uint64_t number = low | std::to_integer<std::uint64_t>(codes_[i]) << code_shift_ |
                                 bits >> code_shift_ << (code_shift_ + code_bits_);
    std::memcpy(numbers.data() + i * element_bytes_, &number, element_bytes_);
  }
  return true;
}

}  // namespace qi
