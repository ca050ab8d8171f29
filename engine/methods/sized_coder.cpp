#include "engine/methods/sized_coder.h"

#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {

void refuse_non_finite(const MatrixRows& rows, std::uint64_t cols) {
  constexpr std::uint32_t kExponent = 0x7F800000u;
  const std::span<const float> values = rows.values;
  std::uint32_t found = 0;  // without a jump in the loop, so that it is one of SIMD
  for (const float value : values) {
    found |= (std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent ? 1u : 0u;
  }
  if (found == 0) return;
  std::size_t at = 0;
  while (std::isfinite(values[at])) ++at;
  throw Error(
      ErrorCode::kBadValue,
      fmt::format("{} in row {}, column {}", std::isnan(values[at]) ? "a NaN" : "an infinity",
                  rows.first + at / cols, at % cols),
      "finite numbers");
}

void SizedCoder::encode(const MatrixRows& rows, std::vector<std::byte>& out) {
  refuse_non_finite(rows, cols_);
  out.resize(strip_bytes(rows.first, rows.count));
  encode_strip(rows.first, rows.count, rows.values.data(), out.data());
}

void SizedCoder::decode(std::span<const std::byte> coded, const DecodedRows& rows) {
  const std::uint64_t size = strip_bytes(rows.first, rows.count);
  if (coded.size() != size) {
    throw Error(ErrorCode::kCorrupt, fmt::format("a strip of {} bytes", coded.size()),
                fmt::format("{} bytes", size));
  }
  decode_strip(rows.first, rows.count, coded.data(), rows.values.data());
}

}  // namespace qi
