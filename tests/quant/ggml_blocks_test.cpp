#include "engine/quant/ggml_blocks.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "engine/io/error.h"
#include "engine/io/file.h"
#include "tests/support/ggml_types.h"

namespace qi {
namespace {

using ::testing::ElementsAre;

Buffer random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Buffer bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

Buffer block_of(std::initializer_list<int> head, std::size_t size, int rest = 0) {
  Buffer block(size, static_cast<std::byte>(rest));
  std::size_t i = 0;
  for (int value : head) block[i++] = static_cast<std::byte>(value);
  return block;
}

bool same_float(float a, float b) {
  if (a != a && b != b) return true;  // a NaN's payload is the machine's business
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

// Random bytes make scales of every kind: NaN, infinite, subnormal, negative.
void compare_with_plain_loops() {
  for (DType type : test::ggml_decodable_types()) {
    if (interleaved_rows(type) > 0) continue;
    SCOPED_TRACE(info(type).name);
    const std::size_t size = info(type).block_bytes;
    const std::size_t elements = info(type).block_elements;
    int not_finite = 0;
    for (std::size_t blocks : {0, 1, 2, 3, 7, 65, 1001}) {
      // One byte in front: no address is aligned.
      const Buffer bytes = random_bytes(1 + blocks * size, static_cast<unsigned>(blocks));
      std::vector<float> fast(blocks * elements + 1, -7.0f);
      std::vector<float> plain(blocks * elements + 1, -7.0f);
      dequantize_blocks(type, bytes.data() + 1, blocks * elements, fast.data());
      dequantize_blocks_plain(type, bytes.data() + 1, blocks * elements, plain.data());
      for (std::size_t i = 0; i < fast.size(); ++i) {
        ASSERT_TRUE(same_float(fast[i], plain[i]))
            << i << " of " << blocks << ": " << fast[i] << " for " << plain[i];
        not_finite += std::isfinite(plain[i]) ? 0 : 1;
      }
      EXPECT_EQ(fast.back(), -7.0f);
    }
    EXPECT_EQ(not_finite > 0, type != DType::kNVFP4);  // UE4M3 has no infinity
  }
}

TEST(GgmlBlocks, KernelsEqualThePlainLoopsOnRandomBytes) {
  compare_with_plain_loops();
}

TEST(GgmlBlocks, SoDoTheKernelsOfOtherMachines) {
  const std::int64_t all = hwy::SupportedTargets();
  for (std::int64_t left = all; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    compare_with_plain_loops();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(GgmlBlocks, EveryScaleBitPatternOfTheCommonTypes) {
  for (DType type : {DType::kQ4_0, DType::kQ8_0, DType::kQ4K, DType::kQ6K}) {
    SCOPED_TRACE(info(type).name);
    const std::size_t scale_at = type == DType::kQ6K ? 208 : 0;
    Buffer block = random_bytes(info(type).block_bytes, 5);
    std::vector<float> fast(info(type).block_elements);
    std::vector<float> plain(fast.size());
    for (unsigned bits = 0; bits < 65536; bits += 7) {
      block[scale_at] = static_cast<std::byte>(bits & 255);
      block[scale_at + 1] = static_cast<std::byte>(bits >> 8);
      dequantize_blocks(type, block.data(), fast.size(), fast.data());
      dequantize_blocks_plain(type, block.data(), plain.size(), plain.data());
      for (std::size_t i = 0; i < fast.size(); ++i) {
        ASSERT_TRUE(same_float(fast[i], plain[i])) << bits;
      }
    }
  }
}

// Types that ggml's vectors do not cover, by hand from the formulas of ggml-common.h.
TEST(GgmlBlocks, Mxfp4HasHalfScalesDownToSubnormals) {
  Buffer block = block_of({127, 0x21, 0xF7}, 17);
  std::vector<float> y(32);
  dequantize_blocks(DType::kMXFP4, block.data(), 32, y.data());
  EXPECT_EQ(y[0], 0.5f);   // E2M1 code 1 = 0.5
  EXPECT_EQ(y[16], 1.0f);  // code 2
  EXPECT_EQ(y[1], 6.0f);   // code 7
  EXPECT_EQ(y[17], -6.0f);
  EXPECT_EQ(y[2], 0.0f);
  block[0] = std::byte{0};
  dequantize_blocks(DType::kMXFP4, block.data(), 32, y.data());
  EXPECT_EQ(y[0], 0x1p-128f);
  block[0] = std::byte{1};
  dequantize_blocks(DType::kMXFP4, block.data(), 32, y.data());
  EXPECT_EQ(y[0], 0x1p-127f);
  block[0] = std::byte{255};
  dequantize_blocks(DType::kMXFP4, block.data(), 32, y.data());
  EXPECT_EQ(y[0], 0x1p127f);
}

TEST(GgmlBlocks, Nvfp4ScalesGroupsOf16) {
  // 0x38 = 1.0; 0x7F and 0 mean zero; 0x01 = 2^-9; 0x7E = 448.
  Buffer block = block_of({0x38, 0x7F, 0x01, 0x7E}, 36, 0xA2);
  std::vector<float> y(64);
  dequantize_blocks(DType::kNVFP4, block.data(), 64, y.data());
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[8], -1.0f);
  EXPECT_EQ(y[16], 0.0f);
  EXPECT_EQ(y[32], 0x1p-9f);
  EXPECT_EQ(y[48], 448.0f);
  std::vector<std::uint16_t> codes(64);
  unpack_codes(DType::kNVFP4, block.data(), 64, codes.data());
  EXPECT_EQ(codes[0], 2);
  EXPECT_EQ(codes[8], 10);
}

TEST(GgmlBlocks, OneAndTwoBitTypes) {
  Buffer one = block_of({0x00, 0x3C, 0x05}, 18);  // d = 1
  std::vector<float> y(128);
  dequantize_blocks(DType::kQ1_0, one.data(), 128, y.data());
  EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + 4), ElementsAre(1.0f, -1.0f, 1.0f, -1.0f));
  EXPECT_EQ(y[127], -1.0f);
  Buffer two = block_of({0x00, 0x40, 0xE4}, 18);  // d = 2, codes 0 1 2 3
  dequantize_blocks(DType::kQ2_0, two.data(), 64, y.data());
  EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + 5),
              ElementsAre(-2.0f, 0.0f, 2.0f, 4.0f, -2.0f));
}

TEST(GgmlBlocks, CodesOfQ4_0) {
  Buffer block = block_of({0, 0x3C, 0x21, 0x43}, 18);
  std::vector<std::uint16_t> codes(32);
  unpack_codes(DType::kQ4_0, block.data(), 32, codes.data());
  EXPECT_EQ(codes[0], 1);
  EXPECT_EQ(codes[16], 2);
  EXPECT_EQ(codes[1], 3);
  EXPECT_EQ(codes[17], 4);
}

TEST(GgmlBlocks, CodesFitTheirBits) {
  for (DType type : test::ggml_decodable_types()) {
    const int bits = ggml_code_bits(type);
    if (bits == 0 || interleaved_rows(type) > 0) continue;
    SCOPED_TRACE(info(type).name);
    const std::size_t elements = 40u * info(type).block_elements;
    std::vector<std::uint16_t> codes(elements);
    unpack_codes(type, random_bytes(40u * info(type).block_bytes, 3).data(), elements,
                 codes.data());
    std::uint16_t most = 0;
    for (std::uint16_t code : codes) most = std::max(most, code);
    EXPECT_LT(most, 1 << bits);
    EXPECT_GE(most, type == DType::kTQ1_0 ? 2 : (1 << bits) - 1);
  }
}

TEST(GgmlBlocks, SwappingTwiceIsTheIdentityAndOnceIsNot) {
  for (DType type : test::ggml_decodable_types()) {
    SCOPED_TRACE(info(type).name);
    const std::size_t unit = info(type).block_bytes * std::max(1u, interleaved_rows(type));
    const Buffer original = random_bytes(3 * unit, 11);
    Buffer bytes = original;
    swap_blocks(type, bytes.data(), bytes.size());
    EXPECT_EQ(bytes == original, type == DType::kMXFP4 || type == DType::kNVFP4);
    swap_blocks(type, bytes.data(), bytes.size());
    EXPECT_EQ(bytes, original);
  }
}

TEST(GgmlBlocks, SwapTouchesTheScalesOnly) {
  Buffer block = block_of({1, 2, 3, 4, 5}, 18);
  swap_blocks(DType::kQ4_0, block.data(), block.size());
  EXPECT_EQ(block, block_of({2, 1, 3, 4, 5}, 18));
  Buffer floats = block_of({1, 2, 3, 4, 5, 6, 7, 8}, 8);
  swap_blocks(DType::kF32, floats.data(), floats.size());
  EXPECT_EQ(floats, block_of({4, 3, 2, 1, 8, 7, 6, 5}, 8));
}

TEST(GgmlBlocks, RefusesWhatHasNoValues) {
  std::vector<float> y(256);
  const Buffer bytes(300);
  for (DType type : {DType::kQ4_2, DType::kIQ4NL_8_8, DType::kZfpFork, DType::kUnknown, DType::kF32,
                     DType::kQ4_0_4_4}) {
    try {
      dequantize_blocks(type, bytes.data(), 32, y.data());
      ADD_FAILURE() << info(type).name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kBadDtype);
    }
  }
  EXPECT_THROW(dequantize_interleaved(DType::kQ4_0_4_4, bytes.data(), 3, 32, y.data()), Error);
  EXPECT_THROW(dequantize_interleaved(DType::kQ4_0, bytes.data(), 4, 32, y.data()), Error);
  std::vector<std::uint16_t> codes(256);
  EXPECT_THROW(unpack_codes(DType::kIQ2XXS, bytes.data(), 256, codes.data()), Error);
}

}  // namespace
}  // namespace qi
