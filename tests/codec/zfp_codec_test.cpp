#include "engine/codec/zfp_codec.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>

#include <gtest/gtest.h>
#include <zfp.h>

#include "tests/support/trained_like.h"

namespace qi {
namespace {

// The whole array as anyone would hand it to zfp: missing rows filled beforehand.
std::vector<std::byte> by_zfp(const ZfpSetting& setting, std::uint64_t rows, std::uint64_t cols,
                              const std::vector<float>& values) {
  std::vector<float> filled = values;
  const std::uint64_t step = setting.dims < 3 ? 1 : setting.dims == 3 ? 4 : 16;
  for (; rows % step != 0; ++rows) {
    filled.insert(filled.end(), values.end() - static_cast<std::ptrdiff_t>(cols), values.end());
  }
  zfp_field* field = setting.dims == 1   ? zfp_field_1d(filled.data(), zfp_type_float, rows * cols)
                     : setting.dims == 2 ? zfp_field_2d(filled.data(), zfp_type_float, cols, rows)
                     : setting.dims == 3
                         ? zfp_field_3d(filled.data(), zfp_type_float, cols, 4, rows / 4)
                         : zfp_field_4d(filled.data(), zfp_type_float, cols, 4, 4, rows / 16);
  zfp_stream* zfp = zfp_stream_open(nullptr);
  if (setting.mode == ZfpMode::kRate) {
    zfp_stream_set_rate(zfp, setting.value, zfp_type_float, static_cast<uint>(setting.dims),
                        zfp_false);
  } else if (setting.mode == ZfpMode::kPrecision) {
    zfp_stream_set_precision(zfp, static_cast<uint>(setting.value));
  } else if (setting.mode == ZfpMode::kTolerance) {
    zfp_stream_set_accuracy(zfp, setting.value);
  } else {
    zfp_stream_set_reversible(zfp);
  }
  std::vector<std::byte> out(zfp_stream_maximum_size(zfp, field));
  bitstream* bits = stream_open(out.data(), out.size());
  zfp_stream_set_bit_stream(zfp, bits);
  out.resize(zfp_compress(zfp, field));
  stream_close(bits);
  zfp_stream_close(zfp);
  zfp_field_free(field);
  return out;
}

TEST(ZfpCodec, StripsPutTogetherAreTheStreamOfTheWholeArray) {
  for (int dims = 1; dims <= 4; ++dims) {
    for (const double rate : {2.3, 4.0, 7.9, 16.0, 32.0}) {
      for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 4}, {130, 33}, {257, 64}, {40, 130}}) {
        const ZfpSetting setting{dims, false, false, ZfpMode::kRate, rate};
        const auto r = static_cast<std::uint64_t>(rows), c = static_cast<std::uint64_t>(cols);
        const auto values = testing_support::trained_like(7, r, c);
        ZfpCodec codec(setting, c);
        const auto whole = by_zfp(setting, r, c, values);
        ASSERT_EQ(codec.strip_bytes(r), whole.size()) << dims << " " << rate;
        std::vector<std::byte> all, strip;
        const std::uint64_t step = codec.strip_rows();
        ASSERT_NE(step, 0u);
        for (std::uint64_t at = 0; at < r; at += step) {
          codec.encode(std::min(step, r - at), values.data() + at * c, strip);
          all.insert(all.end(), strip.begin(), strip.end());
        }
        EXPECT_TRUE(all == whole) << dims << " " << rate << " " << rows << "x" << cols;
      }
    }
  }
}

TEST(ZfpCodec, OtherModesGiveWhatZfpGives) {
  const auto values = testing_support::trained_like(8, 50, 37);
  for (int dims = 1; dims <= 4; ++dims) {
    for (const auto& [mode, value] : {std::pair{ZfpMode::kPrecision, 11.0},
                                      {ZfpMode::kTolerance, 1e-3},
                                      {ZfpMode::kReversible, 0.0}}) {
      const ZfpSetting setting{dims, false, false, mode, value};
      ZfpCodec codec(setting, 37);
      EXPECT_EQ(codec.strip_rows(), 0u);
      EXPECT_EQ(codec.strip_bytes(50), std::nullopt);
      std::vector<std::byte> out;
      codec.encode(50, values.data(), out);
      EXPECT_TRUE(out == by_zfp(setting, 50, 37, values)) << dims;
      std::vector<float> back(values.size());
      codec.decode(out, 50, back.data());
      for (std::size_t i = 0; i < back.size(); ++i) {
        ASSERT_NEAR(back[i], values[i],
                    mode == ZfpMode::kReversible  ? 0
                    : mode == ZfpMode::kTolerance ? 1e-3
                                                  : 0.01);
      }
    }
  }
}

TEST(ZfpCodec, ReversibleKeepsEveryBit) {
  std::vector<float> values = testing_support::trained_like(9, 32, 64);
  values[3] = std::numeric_limits<float>::quiet_NaN();
  values[500] = -std::numeric_limits<float>::infinity();
  values[900] = -0.0f;
  values[1000] = std::numeric_limits<float>::denorm_min();
  values[1001] = std::numeric_limits<float>::max();
  for (int dims = 1; dims <= 4; ++dims) {
    for (const bool by_block : {false, true}) {
      for (const bool as_double : {false, true}) {
        ZfpCodec codec({dims, by_block, as_double, ZfpMode::kReversible, 0}, 64);
        std::vector<std::byte> out;
        codec.encode(32, values.data(), out);
        std::vector<float> back(values.size());
        codec.decode(out, 32, back.data());
        EXPECT_EQ(std::memcmp(back.data(), values.data(), 4 * values.size()), 0) << dims;
      }
    }
  }
}

// A block of a row knows nothing of other rows or blocks: each alone gives the same numbers.
TEST(ZfpCodec, BlocksAreCodedAlone) {
  const std::uint64_t cols = 300;
  const auto values = testing_support::trained_like(10, 3, cols);
  for (int dims = 1; dims <= 4; ++dims) {
    const ZfpSetting setting{dims, true, false, ZfpMode::kRate, 6};
    ZfpCodec codec(setting, cols);
    std::vector<std::byte> out;
    codec.encode(3, values.data(), out);
    std::vector<float> back(values.size());
    codec.decode(out, 3, back.data());
    const std::uint64_t size = setting.block_numbers();
    for (std::uint64_t r = 0; r < 3; ++r) {
      for (std::uint64_t at = 0; at < cols; at += size) {
        const std::uint64_t count = std::min(size, cols - at);
        ZfpCodec alone(setting, count);
        alone.encode(1, values.data() + r * cols + at, out);
        std::vector<float> block(count);
        alone.decode(out, 1, block.data());
        EXPECT_TRUE(std::equal(block.begin(), block.end(),
                               back.begin() + static_cast<std::ptrdiff_t>(r * cols + at)));
      }
    }
    // 300 = 75·4 = 18·16 + 12 = 4·64 + 44 = 256 + 44
    const std::uint64_t blocks = dims == 1 ? 75 : dims == 2 ? 19 : dims == 3 ? 5 : 2;
    EXPECT_EQ(codec.strip_bytes(codec.strip_rows()), codec.strip_rows() * blocks * 6 * size / 8);
  }
}

}  // namespace
}  // namespace qi
