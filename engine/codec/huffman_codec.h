// Huffman codes for the exponents of numbers (zstd's literals, baselines.h), their other bits as
// they are: what plain entropy coders make of a model. Numbers without an exponent of at most 8
// bits are coded byte by byte. Refuses frames that are not of as many numbers (false). A coder
// belongs to one thread.
//
// Block: the frame of the exponents, a byte each, then the other bits of each number (the sign
// above the mantissa), lowest bits first, without gaps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/codec/baselines.h"
#include "engine/tensor/dtype.h"

namespace qi {

class HuffmanBlockCoder {
 public:
  explicit HuffmanBlockCoder(DType type);
  /// Bytes of the block, valid until the next call. Throws kMemory.
  std::span<const std::byte> encode(std::span<const std::byte> numbers);
  [[nodiscard]] bool decode(std::span<const std::byte> block, std::span<std::byte> numbers);

 private:
  bool by_byte(std::span<const std::byte> numbers) const;
  std::size_t raw_bytes(std::size_t count) const;
  // Numbers of a size; the number is a template's so that it is moved in one piece.
  template <typename T>
  void split(std::span<const std::byte> numbers);
  template <typename T>
  void join(std::span<const std::byte> raw, std::span<std::byte> numbers) const;

  std::size_t element_bytes_;
  unsigned code_bits_;
  unsigned code_shift_;  // mantissa bits below the exponent
  HuffmanCoder coder_;
  std::vector<std::byte> codes_;
  std::vector<std::byte> out_;
};

}  // namespace qi
