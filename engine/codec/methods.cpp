#include "engine/codec/methods.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "engine/codec/baselines.h"
#include "engine/codec/huffman_codec.h"
#include "engine/codec/little_endian.h"
#include "engine/codec/pair_codec.h"
#include "engine/codec/plane_codec.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::array kMethods = {
    MethodInfo{CodecMethod::kStore, "store", "as it is"},
    MethodInfo{CodecMethod::kLz4, "lz4", "LZ4 blocks: repeated bytes"},
    MethodInfo{CodecMethod::kZstd, "zstd",
               "Zstandard frames: repeated bytes and their frequencies"},
    MethodInfo{CodecMethod::kHuffman, "huffman",
               "Huffman codes for the exponents (zstd's literals), the other bits as they are"},
    MethodInfo{CodecMethod::kPlanes, "planes",
               "rANS for the exponents, the other bits as they are"},
    MethodInfo{CodecMethod::kPair, "pair",
               "LLM.int8() by rANS, and what is missing to the 16-bit numbers"},
};

std::size_t element_bytes(const MethodInput& input) {
  return plane_kind(input.dtype).element_bytes;
}

template <typename Use>
void each_block(const MethodInput& input, Use&& use) {
  const std::size_t step = kPlaneBlock * element_bytes(input);
  for (std::size_t at = 0; at < input.bytes.size(); at += step) {
    use(input.bytes.subspan(at, std::min(step, input.bytes.size() - at)));
  }
}

std::size_t huffman_bytes(const MethodInput& input) {
  HuffmanBlockCoder coder(input.dtype);
  std::size_t size = 0;
  each_block(input, [&](std::span<const std::byte> block) { size += coder.encode(block).size(); });
  return size;
}

std::size_t planes_bytes(const MethodInput& input, bool ratio) {
  const PlaneKind kind = plane_kind(input.dtype);
  const std::size_t count = input.bytes.size() / kind.element_bytes;
  const bool whole_rows = input.cols != 0 && count % input.cols == 0 && count != 0;
  PlaneHistogram histogram(kind);
  histogram.add_sample(input.bytes.data(), count);
  PlaneTable table =
      PlaneTable::choose(histogram, ratio ? PlaneEffort::kRatio : PlaneEffort::kFast);
  std::size_t block = kPlaneBlock;
  if (ratio && whole_rows) {
    double estimate = 0;
    const std::size_t rows = count / input.cols;
    table =
        PlaneTable::choose_for_rows(kind, {input.bytes.data(), rows, input.cols, rows}, estimate);
    block = std::max<std::size_t>(1, kPlaneBlock / input.cols) * input.cols;
  }
  PlaneEncoder encoder;
  std::size_t size = table.serialise().size() + input.bytes.size() % kind.element_bytes;
  for (std::size_t at = 0; at < count; at += block) {
    size += encoder
                .encode(table, input.bytes.data() + at * kind.element_bytes,
                        std::min(block, count - at))
                .size();
  }
  return size;
}

// LLM.int8() as its loaders compute it.
std::optional<std::size_t> pair_bytes(const MethodInput& input, bool ratio) {
  const PairFormat* format = pair_format(input.dtype);
  const std::size_t count = input.bytes.size() / 2;
  if (format == nullptr || input.cols == 0 || count == 0 || count % input.cols != 0) {
    return std::nullopt;
  }
  const std::size_t rows = count / input.cols;
  std::vector<std::int8_t> codes(count);
  std::vector<float> scales(rows);
  const auto value = [&](std::size_t i) {
    const std::uint16_t word = load_u16(input.bytes.data() + 2 * i);
    return input.dtype == DType::kF16 ? f16_to_float(word)
                                      : std::bit_cast<float>(std::uint32_t{word} << 16);
  };
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t first = r * input.cols;
    float scale = 0;
    for (std::size_t k = 0; k < input.cols; ++k) {
      scale = std::max(scale, std::abs(value(first + k)));
    }
    scales[r] = scale;
    const float inverse = 127.0f / scale;
    for (std::size_t k = 0; k < input.cols; ++k) {
      const float q = std::nearbyint(value(first + k) * inverse);
      codes[first + k] = static_cast<std::int8_t>(q >= -127 && q <= 127 ? q : 0.0f);
    }
  }
  const MethodInput low{std::as_bytes(std::span(codes)), DType::kI8, input.cols};
  std::size_t size = planes_bytes(low, ratio) + 4 * rows;
  PairEncoder encoder(*format);
  const std::size_t step = pair_block_rows(input.cols);
  for (std::size_t r = 0; r < rows; r += step) {
    const PairBlock block{codes.data() + r * input.cols, scales.data() + r,
                          std::min(step, rows - r), input.cols};
    size += encoder.encode(block, input.bytes.data() + 2 * r * input.cols).size();
  }
  return size;
}

}  // namespace

std::span<const MethodInfo> codec_methods() {
  return kMethods;
}

std::optional<CodecMethod> method_named(std::string_view name) {
  for (const MethodInfo& info : kMethods) {
    if (info.name == name) return info.method;
  }
  return std::nullopt;
}

std::optional<std::size_t> method_bytes(CodecMethod method, const MethodInput& input, bool ratio) {
  std::size_t size = 0;
  switch (method) {
    case CodecMethod::kStore:
      return input.bytes.size();
    case CodecMethod::kLz4:
      each_block(input, [&](std::span<const std::byte> block) { size += lz4_size(block); });
      return size;
    case CodecMethod::kZstd:
      each_block(input, [&](std::span<const std::byte> block) { size += zstd_size(block); });
      return size;
    case CodecMethod::kHuffman:
      return huffman_bytes(input);
    case CodecMethod::kPlanes:
      return planes_bytes(input, ratio);
    case CodecMethod::kPair:
      return pair_bytes(input, ratio);
  }
  return std::nullopt;
}

}  // namespace qi
