#include "engine/tensor/numbers.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/vectors.h"

namespace qi {
namespace {

using Bytes = std::vector<std::byte>;

std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

template <typename T>
T at(const Bytes& bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}
template <typename T>
T at(const test::VectorTensor& tensor, std::size_t index) {
  return at<T>(tensor.bytes, index);
}

bool same_number(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

TEST(Numbers, AgreeWithTheNarrowFloatVectors) {
  const auto v =
      test::read_vectors(std::string(QI_TEST_DATA) + "/vectors/narrow_floats.safetensors");
  for (int code = 0; code < 256; ++code) {
    const auto c = static_cast<std::uint8_t>(code);
    const auto i = static_cast<std::size_t>(code);
    EXPECT_TRUE(same_number(f8_e4m3_to_float(c), at<float>(v.at("table.e4m3"), i))) << code;
    EXPECT_TRUE(same_number(f8_e5m2_to_float(c), at<float>(v.at("table.e5m2"), i))) << code;
    EXPECT_TRUE(same_number(f8_e8m0_to_float(c), at<double>(v.at("table.e8m0"), i))) << code;
    EXPECT_TRUE(same_number(f4_e2m1_to_float(c), at<float>(v.at("table.e2m1"), i % 16))) << code;
  }
  const Bytes& x = v.at("x").bytes;
  for (std::size_t i = 0; i < x.size() / 4; ++i) {
    const float value = at<float>(x, i);
    const auto f16 = at<std::uint16_t>(v.at("expected.f16"), i);
    const auto bf16 = at<std::uint16_t>(v.at("expected.bf16_bits"), i);
    if (std::isnan(value)) {
      EXPECT_GT(float_to_f16(value) & 0x7FFF, 0x7C00) << i;
      EXPECT_GT(float_to_bf16(value) & 0x7FFF, 0x7F80) << i;
    } else {
      EXPECT_EQ(float_to_f16(value), f16) << value;
      EXPECT_EQ(float_to_bf16(value), bf16) << value;
    }
  }
}

TEST(Numbers, EveryHalfComesBackFromFloat) {
  for (std::uint32_t code = 0; code < 65536; ++code) {
    const auto half = static_cast<std::uint16_t>(code);
    const float f16 = f16_to_float(half);
    const float bf16 = bf16_to_float(half);
    if (std::isnan(f16)) {
      EXPECT_EQ(float_to_f16(f16), half | 0x200);
    } else {
      ASSERT_EQ(float_to_f16(f16), half);
    }
    if (std::isnan(bf16)) {
      EXPECT_EQ(float_to_bf16(bf16), half | 0x40);
    } else {
      ASSERT_EQ(float_to_bf16(bf16), half);
    }
  }
}

TEST(Numbers, F16RoundsToNearestEven) {
  // Between neighbours a < b: the middle goes to the even one, everything else to the nearer.
  for (std::uint16_t half = 0; half < 0x7BFF; ++half) {
    const float a = f16_to_float(half);
    const float b = f16_to_float(static_cast<std::uint16_t>(half + 1));
    const float middle = a + (b - a) / 2;
    const auto next = static_cast<std::uint16_t>(half + 1);
    ASSERT_EQ(float_to_f16(middle), half % 2 == 0 ? half : next);
    ASSERT_EQ(float_to_f16(std::nextafter(middle, 0.0f)), half);
    ASSERT_EQ(float_to_f16(std::nextafter(middle, 1e9f)), next);
    ASSERT_EQ(float_to_f16(-middle), 0x8000 | (half % 2 == 0 ? half : next));
  }
  EXPECT_EQ(float_to_f16(65519.996f), 0x7BFF);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_f16(1e30f), 0x7C00);
  EXPECT_EQ(float_to_f16(0x1p-25f), 0);
  EXPECT_EQ(float_to_f16(1e-45f), 0);
}

TEST(Numbers, NansKeepSignAndBecomeQuiet) {
  const float signalling = std::bit_cast<float>(0xFF812345u);
  EXPECT_EQ(float_to_bf16(signalling), 0xFFC1);
  EXPECT_EQ(float_to_f16(signalling), 0xFE00 | ((0x812345u >> 13) & 0x3FF));
  EXPECT_EQ(bits_of(f16_to_float(0xFC01)), 0xFF802000u);
}

TEST(Numbers, NarrowFloatsOfTheOtherKinds) {
  EXPECT_EQ(f8_e4m3fnuz_to_float(0x7F), 240.0f);
  EXPECT_EQ(f8_e4m3fnuz_to_float(0x01), 0x1p-10f);
  EXPECT_TRUE(std::isnan(f8_e4m3fnuz_to_float(0x80)));
  EXPECT_EQ(f8_e5m2fnuz_to_float(0x7F), 57344.0f);
  EXPECT_EQ(f8_e5m2fnuz_to_float(0x01), 0x1p-17f);
  EXPECT_TRUE(std::isnan(f8_e5m2fnuz_to_float(0x80)));
  EXPECT_EQ(f6_e2m3_to_float(0x1F), 7.5f);
  EXPECT_EQ(f6_e2m3_to_float(0x01), 0.125f);
  EXPECT_EQ(f6_e2m3_to_float(0x3F), -7.5f);
  EXPECT_EQ(f6_e3m2_to_float(0x1F), 28.0f);
  EXPECT_EQ(f6_e3m2_to_float(0x01), 0.0625f);
  EXPECT_EQ(bits_of(f4_e2m1_to_float(8)), 0x80000000u);
  EXPECT_EQ(bits_of(f8_e8m0_to_float(0)), 0x00400000u);
}

TEST(Numbers, PackedFloatsStartLow) {
  const Bytes f4 = {std::byte{0x21}, std::byte{0xF7}};
  std::vector<float> out(4);
  to_floats(DType::kF4, f4.data(), 4, false, out.data());
  EXPECT_EQ(out, (std::vector<float>{0.5f, 1.0f, 6.0f, -6.0f}));
  // Codes 1, 2, 3, 63 as a little-endian bit stream; the fifth and sixth need only two bytes.
  const std::uint32_t word = 1u | 2u << 6 | 3u << 12 | 63u << 18;
  Bytes f6(5);
  std::memcpy(f6.data(), &word, 3);
  const std::uint32_t tail = 8u | 31u << 6;
  std::memcpy(f6.data() + 3, &tail, 2);
  out.resize(6);
  to_floats(DType::kF6E2M3, f6.data(), 6, false, out.data());
  EXPECT_EQ(out, (std::vector<float>{0.125f, 0.25f, 0.375f, -7.5f, 1.0f, 7.5f}));
}

TEST(Numbers, IntegersRoundToNearest) {
  const std::int64_t big = (std::int64_t{1} << 24) + 1;
  Bytes raw(8);
  std::memcpy(raw.data(), &big, 8);
  float out = 0;
  to_floats(DType::kI64, raw.data(), 1, false, &out);
  EXPECT_EQ(out, 16777216.0f);
  const std::uint64_t all = ~std::uint64_t{0};
  std::memcpy(raw.data(), &all, 8);
  to_floats(DType::kU64, raw.data(), 1, false, &out);
  EXPECT_EQ(out, 0x1p64f);
  to_floats(DType::kI64, raw.data(), 1, false, &out);
  EXPECT_EQ(out, -1.0f);
  const double huge = 1e300;
  std::memcpy(raw.data(), &huge, 8);
  to_floats(DType::kF64, raw.data(), 1, false, &out);
  EXPECT_EQ(out, INFINITY);
}

class BulkConversion : public testing::TestWithParam<DType> {};

// Odd sizes, odd addresses, both byte orders and all special values, against the plain loop.
TEST_P(BulkConversion, EqualsThePlainLoop) {
  const DType type = GetParam();
  std::mt19937 random(static_cast<unsigned>(type));
  for (const std::uint64_t wanted : {0, 1, 3, 7, 15, 16, 17, 33, 63, 65, 1024, 1031, 4099}) {
    const std::uint64_t unit = info(type).block_elements;
    const std::uint64_t count = (wanted + unit - 1) / unit * unit;
    Bytes raw(*stored_bytes(type, count) + 1);
    for (auto& byte : raw) byte = static_cast<std::byte>(random());
    if (info(type).block_bytes >= 2 && raw.size() > 32) {
      for (std::size_t k = 0; k < 16; ++k) {
        // Zeros, ones, infinities, NaNs and subnormals at the ends of both byte orders.
        raw[1 + 2 * k] = static_cast<std::byte>(k & 1 ? 0x7C : 0x00);
        raw[2 + 2 * k] = static_cast<std::byte>(k & 2 ? 0xFF : k & 4 ? 0x7C : 0x80);
      }
    }
    for (const bool swap : {false, true}) {
      std::vector<float> fast(count + 1, 42.0f);
      std::vector<float> plain(count + 1, 42.0f);
      to_floats(type, raw.data() + 1, count, swap, fast.data());
      to_floats_plain(type, raw.data() + 1, count, swap, plain.data());
      for (std::uint64_t i = 0; i <= count; ++i) {
        ASSERT_EQ(bits_of(fast[i]), bits_of(plain[i]))
            << info(type).name << " " << i << "/" << count;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllTypes, BulkConversion,
    testing::Values(DType::kBool, DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kU32,
                    DType::kI32, DType::kU64, DType::kI64, DType::kF16, DType::kBF16, DType::kF32,
                    DType::kF64, DType::kF8E4M3, DType::kF8E5M2, DType::kF8E8M0, DType::kF8E4M3FNUZ,
                    DType::kF8E5M2FNUZ, DType::kF6E2M3, DType::kF6E3M2, DType::kF4),
    [](const auto& tested) { return std::string(qi::info(tested.param).name); });

TEST(Numbers, EveryHalfConvertsInBulk) {
  Bytes raw(2 * 65536);
  for (std::uint32_t code = 0; code < 65536; ++code) {
    const auto half = static_cast<std::uint16_t>(code);
    std::memcpy(raw.data() + 2 * code, &half, 2);
  }
  std::vector<float> out(65536);
  to_floats(DType::kF16, raw.data(), 65536, false, out.data());
  for (std::uint32_t code = 0; code < 65536; ++code) {
    ASSERT_EQ(bits_of(out[code]), bits_of(f16_to_float(static_cast<std::uint16_t>(code))));
  }
}

TEST(Numbers, NarrowingInBulkEqualsOneByOne) {
  std::mt19937 random(7);
  std::vector<float> values;
  for (const std::uint32_t special :
       {0u,          0x80000000u, 0x7F800000u, 0xFF800000u, 0x7FC00000u, 0x7F800001u,
        0xFFFFFFFFu, 1u,          0x007FFFFFu, 0x33000000u, 0x33000001u, 0x387FFFFFu,
        0x38800000u, 0x477FEFFFu, 0x477FF000u, 0x477FFFFFu, 0x7F7FFFFFu, 0x3F800000u,
        0x3F801000u, 0x3F803000u, 0x3F808000u}) {
    values.push_back(std::bit_cast<float>(special));
  }
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  }
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{13}, values.size()}) {
    Bytes f16(2 * count + 2, std::byte{0xAB});
    Bytes bf16(2 * count + 2, std::byte{0xAB});
    floats_to_f16(values.data(), count, f16.data());
    floats_to_bf16(values.data(), count, bf16.data());
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(at<std::uint16_t>(f16, i), float_to_f16(values[i])) << bits_of(values[i]);
      ASSERT_EQ(at<std::uint16_t>(bf16, i), float_to_bf16(values[i])) << bits_of(values[i]);
    }
    EXPECT_EQ(at<std::uint16_t>(f16, count), 0xABAB);
    EXPECT_EQ(at<std::uint16_t>(bf16, count), 0xABAB);
  }
}

TEST(Numbers, WhatHasNoFloatValueSaysSo) {
  EXPECT_FALSE(has_float_value(DType::kC64));
  EXPECT_FALSE(has_float_value(DType::kQ4_0));
  EXPECT_FALSE(has_float_value(DType::kUnknown));
  EXPECT_TRUE(has_float_value(DType::kF6E3M2));
  EXPECT_EQ(float_table(DType::kF16), nullptr);
}

}  // namespace
}  // namespace qi
