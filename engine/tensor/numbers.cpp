#include "engine/tensor/numbers.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <limits>

#include "engine/tensor/numbers_simd.h"

namespace qi {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// 2^exponent for −149 … 127, exact.
constexpr float power_of_two(int exponent) {
  return exponent >= -126 ? std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23)
                          : std::bit_cast<float>(std::uint32_t{1} << (exponent + 149));
}

/// sign · 2^(e − bias) · 1.m, or sign · 2^(1 − bias) · 0.m when e is 0. Every such number of 8 bits
/// or fewer is exact in float32.
constexpr float decode(std::uint8_t code, int exponent_bits, int mantissa_bits, int bias) {
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  const int exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const bool negative = ((code >> (exponent_bits + mantissa_bits)) & 1) != 0;
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
  const int scale = std::max(exponent, 1) - bias - mantissa_bits;
  const float value = static_cast<float>(significand) * power_of_two(scale);
  return negative ? -value : value;
}

constexpr float decode_e4m3(std::uint8_t code) {
  return (code & 0x7F) == 0x7F ? (code & 0x80 ? -kNaN : kNaN) : decode(code, 4, 3, 7);
}
constexpr float decode_e5m2(std::uint8_t code) {
  // The upper byte of a binary16.
  return f16_to_float(static_cast<std::uint16_t>(code << 8));
}
constexpr float decode_e8m0(std::uint8_t code) {
  return code == 255 ? kNaN : power_of_two(code - 127);
}
constexpr float decode_e4m3fnuz(std::uint8_t code) {
  return code == 0x80 ? kNaN : decode(code, 4, 3, 8);
}
constexpr float decode_e5m2fnuz(std::uint8_t code) {
  return code == 0x80 ? kNaN : decode(code, 5, 2, 16);
}
constexpr float decode_e2m3(std::uint8_t code) {
  return decode(code & 63, 2, 3, 1);
}
constexpr float decode_e3m2(std::uint8_t code) {
  return decode(code & 63, 3, 2, 3);
}
constexpr float decode_e2m1(std::uint8_t code) {
  return decode(code & 15, 2, 1, 1);
}

using Table = std::array<float, 256>;

template <typename Decode>
constexpr Table make_table(Decode decode_one) {
  Table table{};
  for (int code = 0; code < 256; ++code) {
    table[static_cast<std::size_t>(code)] = decode_one(static_cast<std::uint8_t>(code));
  }
  return table;
}

constexpr Table kE4M3 = make_table(decode_e4m3);
constexpr Table kE5M2 = make_table(decode_e5m2);
constexpr Table kE8M0 = make_table(decode_e8m0);
constexpr Table kE4M3Fnuz = make_table(decode_e4m3fnuz);
constexpr Table kE5M2Fnuz = make_table(decode_e5m2fnuz);
constexpr Table kE2M3 = make_table(decode_e2m3);
constexpr Table kE3M2 = make_table(decode_e3m2);
constexpr Table kE2M1 = make_table(decode_e2m1);

template <typename T>
T load(const std::byte* in, bool swap) {
  std::array<std::byte, sizeof(T)> raw;
  std::memcpy(raw.data(), in, sizeof(T));
  if (swap) std::reverse(raw.begin(), raw.end());
  return std::bit_cast<T>(raw);
}

template <typename T>
void convert(const std::byte* in, std::uint64_t count, bool swap, float* out) {
  for (std::uint64_t i = 0; i < count; ++i) {
    out[i] = static_cast<float>(load<T>(in + i * sizeof(T), swap));
  }
}

void look_up(const Table& table, const std::byte* in, std::uint64_t count, float* out) {
  for (std::uint64_t i = 0; i < count; ++i) out[i] = table[std::to_integer<std::size_t>(in[i])];
}

void unpack_f6(const Table& table, const std::byte* in, std::uint64_t count, float* out) {
  for (std::uint64_t i = 0; i < count; i += 4) {
    const std::uint64_t left = std::min<std::uint64_t>(4, count - i);
    std::uint32_t word = 0;
    // A short last group needs only the bytes its numbers touch.
    for (std::uint64_t b = 0; b < (6 * left + 7) / 8; ++b) {
      word |= std::to_integer<std::uint32_t>(in[i / 4 * 3 + b]) << (8 * b);
    }
    for (std::uint64_t k = 0; k < left; ++k) out[i + k] = table[(word >> (6 * k)) & 63];
  }
}

void unpack_f4(const std::byte* in, std::uint64_t count, float* out) {
  for (std::uint64_t i = 0; i < count; ++i) {
    out[i] = kE2M1[(std::to_integer<std::size_t>(in[i / 2]) >> (4 * (i % 2))) & 15];
  }
}

/// Runs a kernel of native 16-bit numbers over numbers in the other byte order.
template <typename Kernel>
void swapped_halves(const std::byte* in, std::uint64_t count, float* out, Kernel kernel) {
  constexpr std::uint64_t kChunk = 1024;
  std::array<std::byte, 2 * kChunk> native;
  for (std::uint64_t i = 0; i < count; i += kChunk) {
    const std::uint64_t n = std::min(kChunk, count - i);
    for (std::uint64_t k = 0; k < n; ++k) {
      native[2 * k] = in[2 * (i + k) + 1];
      native[2 * k + 1] = in[2 * (i + k)];
    }
    kernel(native.data(), n, out + i);
  }
}

}  // namespace

float f8_e4m3_to_float(std::uint8_t code) {
  return kE4M3[code];
}
float f8_e5m2_to_float(std::uint8_t code) {
  return kE5M2[code];
}
float f8_e8m0_to_float(std::uint8_t code) {
  return kE8M0[code];
}
float f8_e4m3fnuz_to_float(std::uint8_t code) {
  return kE4M3Fnuz[code];
}
float f8_e5m2fnuz_to_float(std::uint8_t code) {
  return kE5M2Fnuz[code];
}
float f6_e2m3_to_float(std::uint8_t code) {
  return kE2M3[code];
}
float f6_e3m2_to_float(std::uint8_t code) {
  return kE3M2[code];
}
float f4_e2m1_to_float(std::uint8_t code) {
  return kE2M1[code];
}

const float* float_table(DType type) {
  switch (type) {
    case DType::kF8E4M3:
      return kE4M3.data();
    case DType::kF8E5M2:
      return kE5M2.data();
    case DType::kF8E8M0:
      return kE8M0.data();
    case DType::kF8E4M3FNUZ:
      return kE4M3Fnuz.data();
    case DType::kF8E5M2FNUZ:
      return kE5M2Fnuz.data();
    case DType::kF6E2M3:
      return kE2M3.data();
    case DType::kF6E3M2:
      return kE3M2.data();
    case DType::kF4:
      return kE2M1.data();
    default:
      return nullptr;
  }
}

bool has_float_value(DType type) {
  return is_plain(type) && info(type).kind != NumberKind::kComplex;
}

void to_floats_plain(DType type, const std::byte* in, std::uint64_t count, bool swap, float* out) {
  switch (type) {
    case DType::kBool:
      for (std::uint64_t i = 0; i < count; ++i) out[i] = in[i] == std::byte{0} ? 0.0f : 1.0f;
      return;
    case DType::kU8:
      return convert<std::uint8_t>(in, count, swap, out);
    case DType::kI8:
      return convert<std::int8_t>(in, count, swap, out);
    case DType::kU16:
      return convert<std::uint16_t>(in, count, swap, out);
    case DType::kI16:
      return convert<std::int16_t>(in, count, swap, out);
    case DType::kU32:
      return convert<std::uint32_t>(in, count, swap, out);
    case DType::kI32:
      return convert<std::int32_t>(in, count, swap, out);
    case DType::kU64:
      return convert<std::uint64_t>(in, count, swap, out);
    case DType::kI64:
      return convert<std::int64_t>(in, count, swap, out);
    case DType::kF16:
      for (std::uint64_t i = 0; i < count; ++i) {
        out[i] = f16_to_float(load<std::uint16_t>(in + 2 * i, swap));
      }
      return;
    case DType::kBF16:
      for (std::uint64_t i = 0; i < count; ++i) {
        out[i] = bf16_to_float(load<std::uint16_t>(in + 2 * i, swap));
      }
      return;
    case DType::kF32:
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto bits = load<std::uint32_t>(in + 4 * i, swap);
        std::memcpy(out + i, &bits, sizeof(bits));
      }
      return;
    case DType::kF64:
      return convert<double>(in, count, swap, out);
    case DType::kF8E4M3:
      return look_up(kE4M3, in, count, out);
    case DType::kF8E5M2:
      return look_up(kE5M2, in, count, out);
    case DType::kF8E8M0:
      return look_up(kE8M0, in, count, out);
    case DType::kF8E4M3FNUZ:
      return look_up(kE4M3Fnuz, in, count, out);
    case DType::kF8E5M2FNUZ:
      return look_up(kE5M2Fnuz, in, count, out);
    case DType::kF6E2M3:
      return unpack_f6(kE2M3, in, count, out);
    case DType::kF6E3M2:
      return unpack_f6(kE3M2, in, count, out);
    case DType::kF4:
      return unpack_f4(in, count, out);
    default:
      assert(!"to_floats() needs has_float_value()");
  }
}

void to_floats(DType type, const std::byte* in, std::uint64_t count, bool swap, float* out) {
  switch (type) {
    case DType::kF16:
      return swap ? swapped_halves(in, count, out, simd::f16_to_floats)
                  : simd::f16_to_floats(in, count, out);
    case DType::kBF16:
      return swap ? swapped_halves(in, count, out, simd::bf16_to_floats)
                  : simd::bf16_to_floats(in, count, out);
    case DType::kF32:
      if (swap) break;
      if (count != 0) std::memcpy(out, in, count * sizeof(float));
      return;
    case DType::kI8:
      return simd::i8_to_floats(in, count, out);
    case DType::kU8:
      return simd::u8_to_floats(in, count, out);
    default:
      break;
  }
  to_floats_plain(type, in, count, swap, out);
}

void floats_to_f16(const float* in, std::uint64_t count, std::byte* out) {
  simd::floats_to_f16(in, count, out);
}
void floats_to_bf16(const float* in, std::uint64_t count, std::byte* out) {
  simd::floats_to_bf16(in, count, out);
}

}  // namespace qi
