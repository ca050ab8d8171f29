// Any bytes as blocks of any ggml type: the kernels give what the plain loops give, codes fit
// their bits, and swapping byte order twice changes nothing. The first byte picks the type.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "engine/io/file.h"
#include "engine/quant/ggml_blocks.h"
#include "tests/support/ggml_types.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

bool same(float a, float b) {
  return (a != a && b != b) || std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

void check_values(qi::DType type, const qi::Buffer& bytes, std::uint64_t elements) {
  std::vector<float> fast(elements);
  std::vector<float> plain(elements);
  qi::dequantize_blocks(type, bytes.data(), elements, fast.data());
  qi::dequantize_blocks_plain(type, bytes.data(), elements, plain.data());
  check(std::equal(fast.begin(), fast.end(), plain.begin(), same));
  const int bits = qi::ggml_code_bits(type);
  if (bits == 0) return;
  std::vector<std::uint16_t> codes(elements);
  qi::unpack_codes(type, bytes.data(), elements, codes.data());
  check(std::all_of(codes.begin(), codes.end(), [&](unsigned code) { return code < 1u << bits; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const std::vector<qi::DType> types = qi::test::ggml_decodable_types();
  const qi::DType type = types[data[0] % types.size()];
  const std::uint64_t mixed = std::max<std::uint64_t>(1, qi::interleaved_rows(type));
  const std::uint64_t unit = qi::info(type).block_bytes * mixed;
  const std::uint64_t units = (size - 1) / unit;
  // A buffer of exactly this size, so that a sanitizer sees one byte too many.
  qi::Buffer bytes(units * unit);
  std::transform(data + 1, data + 1 + bytes.size(), bytes.begin(),
                 [](std::uint8_t byte) { return static_cast<std::byte>(byte); });
  const std::uint64_t elements = units * mixed * qi::info(type).block_elements;
  if (qi::interleaved_rows(type) > 0) {
    std::vector<float> values(elements);
    qi::dequantize_interleaved(type, bytes.data(), mixed, elements / mixed, values.data());
  } else {
    check_values(type, bytes, elements);
  }
  const qi::Buffer before = bytes;
  qi::swap_blocks(type, bytes.data(), bytes.size());
  qi::swap_blocks(type, bytes.data(), bytes.size());
  check(bytes == before);
  return 0;
}
