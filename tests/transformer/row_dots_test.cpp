#include "eval/transformer/row_dots.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>
#include <hwy/highway.h>

#include "engine/quant/ggml_quantize.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> normal_numbers(std::size_t count, unsigned seed, float spread = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> out(count);
  for (float& value : out) value = normal(random);
  return out;
}

/// A matrix in stored form.
struct StoredMatrix {
  StoredMatrix(DType dtype, std::size_t row_count, std::size_t col_count)
      : type(dtype), rows(row_count), cols(col_count) {
    const auto values = normal_numbers(rows * cols, static_cast<unsigned>(rows + cols), 0.1f);
    bytes.resize(stored_bytes(type, rows * cols).value());
    if (type == DType::kF32) {
      std::memcpy(bytes.data(), values.data(), bytes.size());
    } else if (type == DType::kI8) {
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(static_cast<int>(values[i] * 400) & 255);
      }
      scales = normal_numbers(rows, 5);
    } else {
      quantize_blocks(type, values.data(), rows, cols, nullptr, bytes.data());
    }
  }
  StoredRows stored() const { return {bytes, scales}; }

  DType type;
  std::size_t rows, cols;
  std::vector<std::byte> bytes;
  std::vector<float> scales;
};

/// The least multiple of columns.
std::size_t unit(DType type) {
  return is_block(type) ? info(type).block_elements : 1;
}

/// Products of both ways must differ by little beside the sum of magnitudes, and the same
/// positions alone, or rows alone, must give the very numbers.
void compare(const StoredMatrix& w, std::size_t positions, bool q8) {
  const auto x = normal_numbers(positions * w.cols, 7, 3);
  Q8Vectors codes;
  if (q8) codes.set(x.data(), x.size(), q8_block(w.type, w.cols));
  const DotVectors vectors{x.data(), positions, w.cols, q8 ? &codes : nullptr};
  const std::size_t stride = w.rows + 3;
  std::vector<float> fast(positions * stride, -7), plain(fast);
  row_dots(w.type, w.stored(), w.rows, vectors, fast.data(), stride);
  row_dots_plain(w.type, w.stored(), w.rows, vectors, plain.data(), stride);
  for (std::size_t i = 0; i < fast.size(); ++i) {
    const double scale = w.type == DType::kI8 ? 40 : 0.1;
    ASSERT_NEAR(fast[i], plain[i], 4e-6 * scale * static_cast<double>(w.cols)) << i;
  }
  const std::size_t row_bytes = w.bytes.size() / w.rows;
  for (std::size_t p = 0; p < positions; ++p) {
    Q8Vectors alone;
    if (q8) alone.set(x.data() + p * w.cols, w.cols, q8_block(w.type, w.cols));
    const DotVectors one{x.data() + p * w.cols, 1, w.cols, q8 ? &alone : nullptr};
    const std::size_t r = p % w.rows;
    const auto row = std::span(w.bytes).subspan(r * row_bytes, row_bytes);
    const auto scale = std::span(w.scales).subspan(w.scales.empty() ? 0 : r);
    float y = 0;
    row_dots(w.type, {row, scale.first(scale.empty() ? 0 : 1)}, 1, one, &y, 1);
    ASSERT_EQ(y, fast[p * stride + r]) << p;
  }
}

void compare_all() {
  std::size_t types = 0;
  for (const DTypeInfo& row : all_dtypes()) {
    const DType type = row.type;
    if (!has_row_dots(type)) continue;
    ++types;
    SCOPED_TRACE(row.name);
    for (const std::size_t units : {1, 2, 3, 7, 8, 9, 16, 31, 67}) {
      const StoredMatrix w(type, 1 + units % 4, units * unit(type));
      for (const std::size_t positions : {1, 4, 7}) {
        SCOPED_TRACE(w.cols);
        compare(w, positions, false);
        if (q8_block(type, w.cols) > 0) compare(w, positions, true);
      }
    }
  }
  EXPECT_EQ(types, 15);
}

TEST(RowDots, EqualPlainLoops) {
  compare_all();
}

TEST(RowDots, SoDoThoseOfOtherMachines) {
  const std::int64_t all = hwy::SupportedTargets();
  for (std::int64_t left = all; left != 0; left &= left - 1) {
    SCOPED_TRACE(hwy::TargetName(left & -left));
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    compare_all();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST(RowDots, NumbersThatAreNotFiniteAreFound) {
  for (const DTypeInfo& row : all_dtypes()) {
    if (!has_row_dots(row.type)) continue;
    SCOPED_TRACE(row.name);
    for (const float bad : {kNan, kInf, -kInf}) {
      const StoredMatrix w(row.type, 1, is_block(row.type) ? 2 * unit(row.type) : 66);
      for (const std::size_t at : {std::size_t{0}, w.cols / 2, w.cols - 1}) {
        std::vector<float> x(w.cols, 1.0f);
        x[at] = bad;
        for (const bool q8 : {false, true}) {
          if (q8 && q8_block(row.type, w.cols) == 0) continue;
          Q8Vectors codes;
          if (q8) codes.set(x.data(), x.size(), q8_block(row.type, w.cols));
          float y = 0;
          row_dots(row.type, w.stored(), 1, {x.data(), 1, w.cols, q8 ? &codes : nullptr}, &y, 1);
          EXPECT_FALSE(std::isfinite(y)) << at;
        }
      }
    }
  }
  // Every half that a scale may be; a block may start anywhere.
  std::vector<std::byte> storage(19, std::byte{0x5A});
  const std::span<std::byte> block(storage.data() + 1, 18);
  const std::vector<float> x(32, 1.0f);
  for (unsigned bits = 0; bits < 65536; ++bits) {
    block[0] = static_cast<std::byte>(bits & 255);
    block[1] = static_cast<std::byte>(bits >> 8);
    float y = 0;
    row_dots(DType::kQ4_0, {block, {}}, 1, {x.data(), 1, 32}, &y, 1);
    const float scale = f16_to_float(static_cast<std::uint16_t>(bits));
    if (std::isfinite(scale)) {
      ASSERT_NEAR(y, 16 * (10 - 8 + 5 - 8) * scale, std::abs(scale) * 1e-5f) << bits;
    } else {
      ASSERT_FALSE(std::isfinite(y)) << bits;
    }
  }
}

TEST(Q8, EqualsThePlainLoopAndStaysWithinHalfAStep) {
  for (const std::size_t block : {std::size_t{32}, std::size_t{256}}) {
    const std::size_t count = 3 * block;
    for (const float spread : {0.0f, 1e-38f, 1e-3f, 1.0f, 1e30f}) {
      std::vector<float> x = normal_numbers(count, 3, spread);
      x[5] = -x[6];
      std::vector<std::int8_t> codes(count), plain_codes(count);
      std::vector<float> scales(count / 32), plain_scales(scales);
      std::vector<std::int16_t> sums(count / 16), plain_sums(sums);
      quantize_q8(x.data(), count, block, codes.data(), scales.data(), sums.data());
      quantize_q8_plain(x.data(), count, block, plain_codes.data(), plain_scales.data(),
                        plain_sums.data());
      EXPECT_EQ(codes, plain_codes);
      EXPECT_EQ(scales, plain_scales);
      EXPECT_EQ(sums, plain_sums);
      std::vector<float> rounded(count);
      round_to_q8(x.data(), count, block, rounded.data());
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_LE(std::abs(codes[i]), 127);
        ASSERT_EQ(rounded[i], scales[i / 32] * static_cast<float>(codes[i]));
        ASSERT_LE(std::abs(rounded[i] - x[i]), 0.501f * scales[i / 32] + 4e-37f);
      }
    }
    for (const float bad : {kNan, kInf, -kInf}) {
      std::vector<float> x(2 * block, 1.0f), scales(2 * block / 32);
      std::vector<std::int16_t> sums(2 * block / 16);
      x[block + 1] = bad;
      std::vector<std::int8_t> codes(x.size());
      for (const auto& quantize : {quantize_q8, quantize_q8_plain}) {
        quantize(x.data(), x.size(), block, codes.data(), scales.data(), sums.data());
        EXPECT_EQ(scales.front(), 1.0f / 127);
        EXPECT_TRUE(std::isnan(scales.back()));
        EXPECT_EQ(sums.back(), 0);
        EXPECT_EQ(codes.back(), 0);
      }
    }
  }
}

}  // namespace
}  // namespace qi
