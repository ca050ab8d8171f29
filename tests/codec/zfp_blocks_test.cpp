#include "engine/codec/zfp_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <zfp.h>

#include "engine/codec/zfp_codec.h"
#include "engine/codec/zfp_transform.h"
#include "engine/io/error.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

std::uint64_t budget(int dims, double rate) {
  const double numbers = std::exp2(2 * dims);
  return static_cast<std::uint64_t>(std::max(9.0, std::floor(numbers * rate + 0.5)));
}

std::vector<float> decoded_by_zfp(int dims, double rate, std::uint64_t rows, std::uint64_t cols,
                                  std::vector<std::byte> coded) {
  zfp_stream* zfp = zfp_stream_open(nullptr);
  zfp_stream_set_rate(zfp, rate, zfp_type_float, static_cast<uint>(dims), zfp_false);
  bitstream* bits = stream_open(coded.data(), coded.size());
  zfp_stream_set_bit_stream(zfp, bits);
  const std::uint64_t size = std::uint64_t{1} << (2 * dims);
  std::vector<float> out;
  for (std::uint64_t row = 0; row < rows; ++row) {
    for (std::uint64_t left = cols; left > 0; left -= std::min(left, size)) {
      float block[256];
      if (dims == 1) zfp_decode_block_float_1(zfp, block);
      if (dims == 2) zfp_decode_block_float_2(zfp, block);
      if (dims == 3) zfp_decode_block_float_3(zfp, block);
      if (dims == 4) zfp_decode_block_float_4(zfp, block);
      out.insert(out.end(), block, block + std::min(left, size));
    }
  }
  stream_close(bits);
  zfp_stream_close(zfp);
  return out;
}

// libzfp's own decoder of the same stream is the truth, bit by bit.
void expect_same(int dims, double rate, std::uint64_t rows, std::uint64_t cols,
                 std::vector<std::byte> coded, const std::string& what) {
  const std::vector<float> expected = decoded_by_zfp(dims, rate, rows, cols, coded);
  std::vector<float> found(rows * cols, -1);
  ZfpBlocks ours(dims, budget(dims, rate), cols);
  // Only what holds the blocks: nothing behind it may be touched.
  coded.resize((rows * ours.row_bits() + 7) / 8);
  coded.shrink_to_fit();
  ours.decode(coded, 0, rows, found.data());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << what << ": " << dims << "-D rate " << rate << ", " << rows << "x" << cols << " at " << i;
  }
  const std::uint64_t first = rows / 3, count = rows - first - rows / 4;
  std::vector<float> some(count * cols);
  ours.decode(coded, first, count, some.data());
  EXPECT_EQ(std::memcmp(some.data(), expected.data() + first * cols, some.size() * 4), 0) << what;
}

std::vector<std::byte> coded_by_zfp(int dims, double rate, std::uint64_t rows, std::uint64_t cols,
                                    const std::vector<float>& values) {
  ZfpCodec codec({dims, true, false, ZfpMode::kRate, rate}, cols);
  std::vector<std::byte> coded;
  codec.encode(rows, values.data(), coded);
  return coded;
}

constexpr double kRates[] = {0.04, 0.6, 1, 2.25, 3.3, 4, 5.7, 8, 9.5, 12, 16, 21.1, 24, 31, 32};

TEST(ZfpBlocks, WeightsComeBackAsFromLibzfp) {
  for (int dims = 1; dims <= 4; ++dims) {
    for (const double rate : kRates) {
      if (rate < zfp_rates({dims}).low) continue;
      for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 5}, {9, 256}, {7, 300}, {5, 1030}}) {
        const auto r = static_cast<std::uint64_t>(rows), c = static_cast<std::uint64_t>(cols);
        const auto values = testing_support::trained_like(11, r, c);
        expect_same(dims, rate, r, c, coded_by_zfp(dims, rate, r, c, values), "weights");
      }
    }
  }
}

TEST(ZfpBlocks, SpecialNumbersComeBackAsFromLibzfp) {
  constexpr std::uint64_t kRows = 24, kCols = 512;
  testing_support::Random random(5);
  std::vector<float> values(kRows * kCols);
  for (std::uint64_t r = 0; r < kRows; ++r) {
    for (std::uint64_t c = 0; c < kCols; ++c) {
      float& x = values[r * kCols + c];
      const auto any = [&](float scale) { return static_cast<float>(random.student8()) * scale; };
      switch (r % 8) {
        case 0:
          x = 0;
          break;
        case 1:
          x = c % 97 == 3 ? any(1) : 0.0f;
          break;
        case 2:
          x = any(1e-38f);
          break;
        case 3:
          x = any(1e-44f);
          break;
        case 4:
          x = std::clamp(any(1e38f), -3e38f, 3e38f);
          break;
        case 5:
          x = c % 2 == 0 ? std::numeric_limits<float>::max() : -0.0f;
          break;
        case 6:
          x = 0.75f;
          break;
        default:
          x = std::ldexp(1.0f, static_cast<int>(c % 250) - 125) * (c % 3 == 0 ? -1.0f : 1.0f);
      }
    }
  }
  for (int dims = 1; dims <= 4; ++dims) {
    for (const double rate : kRates) {
      if (rate < zfp_rates({dims}).low) continue;
      expect_same(dims, rate, kRows, kCols, coded_by_zfp(dims, rate, kRows, kCols, values),
                  "special");
    }
  }
}

// No encoder made these: any bits are planes of something, with any exponent.
TEST(ZfpBlocks, AnyBitsGiveWhatLibzfpMakesOfThem) {
  testing_support::Random random(6);
  for (int dims = 1; dims <= 4; ++dims) {
    for (const double rate : kRates) {
      if (rate < zfp_rates({dims}).low) continue;
      for (const unsigned sparse : {0u, 1u, 3u}) {
        ZfpCodec codec({dims, true, false, ZfpMode::kRate, rate}, 260);
        std::vector<std::byte> coded(*codec.strip_bytes(13));
        for (std::byte& byte : coded) {
          std::uint64_t bits = random.next();
          for (unsigned i = 0; i < sparse; ++i) bits &= random.next();
          byte = static_cast<std::byte>(bits >> 13);
        }
        expect_same(dims, rate, 13, 260, coded, "bits");
      }
    }
  }
}

TEST(ZfpBlocks, ShortStreamsAreRefused) {
  ZfpBlocks blocks(4, 2048, 512);
  std::vector<std::byte> coded(3 * 512);
  std::vector<float> out(4 * 512);
  EXPECT_NO_THROW(blocks.decode(coded, 0, 3, out.data()));
  EXPECT_NO_THROW(blocks.decode(coded, 3, 0, out.data()));
  EXPECT_THROW(blocks.decode(coded, 0, 4, out.data()), Error);
  EXPECT_THROW(blocks.decode(coded, 3, 1, out.data()), Error);
  EXPECT_THROW(blocks.decode(coded, ~std::uint64_t{0}, 2, out.data()), Error);
  EXPECT_THROW(blocks.decode(std::span(coded).first(3 * 512 - 1), 2, 1, out.data()), Error);
}

void compare_with_plain_loop() {
  testing_support::Random random(7);
  const auto planes = std::make_unique<ZfpPlanes>();
  std::vector<float> found(kZfpBatchNumbers), expected(kZfpBatchNumbers);
  for (const unsigned used : {0u, 1u, 7u, 8u, 9u, 20u, 31u, 32u}) {
    std::memset(planes.get(), 0, sizeof(ZfpPlanes));
    for (unsigned plane = 0; plane < used; ++plane) {
      for (auto& lane : planes->planes[plane]) {
        for (std::uint8_t& byte : lane) byte = static_cast<std::uint8_t>(random.next() >> 20);
      }
    }
    for (auto& lanes : planes->scales) {
      for (float& scale : lanes) scale = static_cast<float>(random.student8());
    }
    for (int dims = 1; dims <= 4; ++dims) {
      zfp_floats(dims, *planes, used, found.data());
      zfp_floats_plain(dims, *planes, used, expected.data());
      EXPECT_EQ(std::memcmp(found.data(), expected.data(), 4 * kZfpBatchNumbers), 0)
          << dims << "-D, " << used << " planes";
    }
  }
}

TEST(ZfpBlocks, KernelsOfAllMachinesGiveWhatThePlainLoopGives) {
  const std::int64_t all = hwy::SupportedTargets();
  for (std::int64_t left = all; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    compare_with_plain_loop();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace
}  // namespace qi
