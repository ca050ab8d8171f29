#include "engine/codec/huffman_codec.h"

#include <cstring>

#include "engine/codec/little_endian.h"
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

template <typename T>
void HuffmanBlockCoder::split(std::span<const std::byte> numbers) {
  const auto raw_bits = static_cast<unsigned>(8 * sizeof(T)) - code_bits_;
  const std::uint64_t code_mask = (1u << code_bits_) - 1;
  const std::uint64_t low_mask = (std::uint64_t{1} << code_shift_) - 1;
  std::uint64_t bits = 0;
  unsigned held = 0;
  std::byte* out = out_.data();
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    const std::uint64_t number = load_number<T>(numbers.data() + i * sizeof(T));
    codes_[i] = static_cast<std::byte>(number >> code_shift_ & code_mask);
    bits |= ((number & low_mask) | number >> (code_shift_ + code_bits_) << code_shift_) << held;
    held += raw_bits;  // 7 and those of 32, at most
    store_number(out, bits);
    out += held / 8;
    bits >>= held / 8 * 8;
    held %= 8;
  }
}

template <typename T>
void HuffmanBlockCoder::join(std::span<const std::byte> raw, std::span<std::byte> numbers) const {
  const auto raw_bits = static_cast<unsigned>(8 * sizeof(T)) - code_bits_;
  const std::uint64_t raw_mask = (std::uint64_t{1} << raw_bits) - 1;
  const std::uint64_t low_mask = (std::uint64_t{1} << code_shift_) - 1;
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    const std::size_t at = i * raw_bits / 8;
    std::uint64_t bits = 0;
    if (at + 8 <= raw.size()) {
      bits = load_number<std::uint64_t>(raw.data() + at);
    } else {
      std::memcpy(&bits, raw.data() + at, raw.size() - at);
    }
    bits = bits >> i * raw_bits % 8 & raw_mask;
    const std::uint64_t number = (bits & low_mask) |
                                 std::to_integer<std::uint64_t>(codes_[i]) << code_shift_ |
                                 bits >> code_shift_ << (code_shift_ + code_bits_);
    store_number(numbers.data() + i * sizeof(T), static_cast<T>(number));
  }
}

std::span<const std::byte> HuffmanBlockCoder::encode(std::span<const std::byte> numbers) {
  if (by_byte(numbers)) return coder_.encode(numbers);
  const std::size_t count = numbers.size() / element_bytes_;
  codes_.resize(count);
  out_.resize(raw_bytes(count) + 8);  // room for the last word
  element_bytes_ == 2 ? split<std::uint16_t>(numbers) : split<std::uint32_t>(numbers);
  out_.resize(raw_bytes(count));
  const std::span<const std::byte> frame = coder_.encode(codes_);
  out_.insert(out_.begin(), frame.begin(), frame.end());
  return out_;
}

bool HuffmanBlockCoder::decode(std::span<const std::byte> block, std::span<std::byte> numbers) {
  if (by_byte(numbers)) return coder_.decode(block, numbers);
  const std::size_t raw = raw_bytes(numbers.size() / element_bytes_);
  codes_.resize(numbers.size() / element_bytes_);
  if (block.size() < raw || !coder_.decode(block.first(block.size() - raw), codes_)) return false;
  element_bytes_ == 2 ? join<std::uint16_t>(block.last(raw), numbers)
                      : join<std::uint32_t>(block.last(raw), numbers);
  return true;
}

}  // namespace qi
