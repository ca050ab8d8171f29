#include "engine/codec/pair_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "engine/io/error.h"
#include "engine/tensor/numbers.h"
#include "tests/support/error_of.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

using testing_support::Random;
using Bytes = std::vector<std::byte>;

const DType kHighTypes[] = {DType::kBF16, DType::kF16};

float to_float(DType type, std::uint16_t word) {
  return type == DType::kBF16 ? bf16_to_float(word) : f16_to_float(word);
}
std::uint16_t to_word(DType type, float value) {
  return type == DType::kBF16 ? float_to_bf16(value) : float_to_f16(value);
}

struct Matrix {
  DType type;
  std::size_t rows;
  std::size_t cols;
  std::vector<std::uint16_t> high;
  std::vector<std::int8_t> q;
  std::vector<float> scales;

  PairBlock low() const { return {q.data(), scales.data(), rows, cols}; }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(high.data()); }
};

// LLM.int8() of every row; what is no number counts as 0.
void quantize(Matrix& m) {
  for (std::size_t r = 0; r < m.rows; ++r) {
    float largest = 0;
    for (std::size_t c = 0; c < m.cols; ++c) {
      const float w = std::fabs(to_float(m.type, m.high[r * m.cols + c]));
      if (std::isfinite(w)) largest = std::max(largest, w);
    }
    m.scales[r] = largest;
    for (std::size_t c = 0; c < m.cols; ++c) {
      const float scaled = to_float(m.type, m.high[r * m.cols + c]) * (127.0f / largest);
      const bool usable = scaled >= -127 && scaled <= 127;
      m.q[r * m.cols + c] = static_cast<std::int8_t>(std::nearbyint(usable ? scaled : 0));
    }
  }
}

// Normal rows, their scales spread over 2^±spread.
Matrix normal_matrix(Random& random, DType type, std::size_t rows, std::size_t cols,
                     double spread = 2) {
  Matrix m{type, rows, cols, {}, std::vector<std::int8_t>(rows * cols), std::vector<float>(rows)};
  for (std::size_t r = 0; r < rows; ++r) {
    const double sigma = std::exp2(spread * (2 * random.uniform() - 1));
    for (std::size_t c = 0; c < cols; ++c) {
      m.high.push_back(to_word(type, static_cast<float>(sigma * random.student8())));
    }
  }
  quantize(m);
  return m;
}

PairCost expect_round_trip(const Matrix& m, const std::string& what) {
  SCOPED_TRACE(what + " " + std::string(info(m.type).name) + " " + std::to_string(m.rows) + "x" +
               std::to_string(m.cols));
  const PairFormat& format = *pair_format(m.type);
  Bytes first;
  PairCost cost;
  for (const CodecPath path : codec_paths()) {
    PairEncoder encoder(format, path);
    const auto block = encoder.encode(m.low(), m.bytes());
    EXPECT_LE(block.size(), 2 * m.rows * m.cols + 1);
    if (path == CodecPath::kPortable) first.assign(block.begin(), block.end());
    EXPECT_TRUE(std::equal(block.begin(), block.end(), first.begin(), first.end()))
        << "bytes of path " << static_cast<int>(path);
    cost = encoder.cost();
  }
  for (const CodecPath path : codec_paths()) {
    PairDecoder decoder(format, path);
    const Bytes block = first;  // of its own size: a sanitizer sees a read past its end
    std::vector<std::uint16_t> out(m.high.size() + 1, 0x5555);
    decoder.decode(m.low(), block, reinterpret_cast<std::byte*>(out.data()));
    EXPECT_EQ(out.back(), 0x5555);
    out.pop_back();
    EXPECT_TRUE(out == m.high) << "weights of path " << static_cast<int>(path);
  }
  return cost;
}

TEST(PairCodecTest, RoundedRowsNeedNoEscapes) {
  Random random(1);
  for (const DType type : kHighTypes) {
    for (const std::size_t cols : {1, 2, 63, 64, 65, 127, 128, 200, 1024, 3001}) {
      const Matrix m = normal_matrix(random, type, 1 + random.next() % 9, cols);
      EXPECT_EQ(expect_round_trip(m, "normal").escapes, 0u);
    }
    const double range = type == DType::kBF16 ? 120 : 9;
    EXPECT_EQ(expect_round_trip(normal_matrix(random, type, 70, 512, range), "wide").escapes, 0u);
    expect_round_trip({type, 0, 64, {}, {}, {}}, "no rows");
    expect_round_trip({type, 3, 0, {}, {}, {1, 2, 3}}, "no columns");
  }
}

// Bits of the pair model for the residual layer.
double model_bits(const Matrix& m) {
  double bits = 0;
  for (std::size_t r = 0; r < m.rows; ++r) {
    const PairRow row(*pair_format(m.type), m.scales[r]);
    std::array<std::uint32_t, 128> counts{};
    std::uint64_t zero_bits = 0;
    for (std::size_t i = r * m.cols; i < (r + 1) * m.cols; ++i) {
      ++counts[static_cast<std::size_t>(std::abs(m.q[i]))];
      if (m.q[i] == 0) zero_bits += row.zero_bits(m.high[i]);
    }
    bits += row.row_bits(row.digit_bits(counts), zero_bits, m.cols);
  }
  return bits;
}

TEST(PairCodecTest, ResidualBitsAreThoseOfTheModel) {
  const std::vector<float> drawn = testing_support::trained_like(3, 64, 4096);
  for (const DType type : kHighTypes) {
    Matrix m{type, 64, 4096, {}, std::vector<std::int8_t>(drawn.size()), std::vector<float>(64)};
    for (const float w : drawn) m.high.push_back(to_word(type, w));
    quantize(m);
    PairEncoder encoder(*pair_format(type));
    const auto bits = 8.0 * static_cast<double>(encoder.encode(m.low(), m.bytes()).size());
    const auto weights = static_cast<double>(drawn.size());
    EXPECT_GT(bits, model_bits(m));
    EXPECT_LT(bits / weights, model_bits(m) / weights + 0.02);
    EXPECT_EQ(encoder.cost().escapes, 0u);
    EXPECT_EQ(encoder.cost().stored_rows, 0u);
  }
}

TEST(PairCodecTest, LowVersionsThatAreNotTheRounding) {
  Random random(4);
  for (const DType type : kHighTypes) {
    Matrix m = normal_matrix(random, type, 20, 640);
    for (auto& q : m.q) q = static_cast<std::int8_t>(std::min(127, q + (random.next() % 100 == 0)));
    EXPECT_GT(expect_round_trip(m, "one in a hundred a step off").escapes, 50u);
    for (auto& q : m.q) {
      q = static_cast<std::int8_t>(
          std::clamp(q + static_cast<int>(random.next() % 3) - 1, -128, 127));
    }
    expect_round_trip(m, "two in three a step off");
    for (auto& q : m.q) q = -128;
    expect_round_trip(m, "all -128");
    for (auto& q : m.q) q = 0;
    expect_round_trip(m, "all q zero");
    for (auto& q : m.q) q = static_cast<std::int8_t>(random.next());
    expect_round_trip(m, "random q");
  }
}

// bf16 weights quantized from their fp16 cast: nearly all fit.
TEST(PairCodecTest, QOfAnotherCastCostsEscapesOnly) {
  Random random(5);
  Matrix m = normal_matrix(random, DType::kBF16, 16, 2048, 0);
  const std::vector<std::uint16_t> exact = m.high;
  for (auto& w : m.high) w = float_to_bf16(f16_to_float(float_to_f16(bf16_to_float(w))));
  quantize(m);
  m.high = exact;
  const PairCost cost = expect_round_trip(m, "cast");
  EXPECT_EQ(cost.stored_rows, 0u);
}

TEST(PairCodecTest, SpecialValuesAndScales) {
  Random random(6);
  for (const DType type : kHighTypes) {
    const std::uint16_t infinity = type == DType::kBF16 ? 0x7f80 : 0x7c00;
    const std::uint16_t special[] = {infinity,
                                     static_cast<std::uint16_t>(infinity | 0x8000),
                                     static_cast<std::uint16_t>(infinity | 1),
                                     0xffff,
                                     0x8000,
                                     0,
                                     1,
                                     0x8001};
    Matrix m = normal_matrix(random, type, 40, 333);
    for (std::size_t i = 0; i < m.high.size(); i += 1 + random.next() % 150) {
      m.high[i] = special[random.next() % 8];
    }
    expect_round_trip(m, "special values, q of before");
    quantize(m);
    expect_round_trip(m, "special values");
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const float scales[] = {0, -0.0f, -1, kNaN, kInfinity, 1e-44f, 3e38f, 1e-30f, 1e30f, 65504};
    for (std::size_t r = 0; r < m.rows; ++r) {
      if (r % 2 == 0) m.scales[r] = scales[r / 2 % 10];
    }
    expect_round_trip(m, "special scales");
    for (auto& w : m.high) w = static_cast<std::uint16_t>(random.next());
    for (auto& q : m.q) q = static_cast<std::int8_t>(random.next());
    for (auto& s : m.scales) s = std::bit_cast<float>(static_cast<std::uint32_t>(random.next()));
    expect_round_trip(m, "everything random");
    std::fill(m.high.begin(), m.high.end(), std::uint16_t{0x8000});
    std::fill(m.q.begin(), m.q.end(), std::int8_t{0});
    std::fill(m.scales.begin(), m.scales.end(), 1.0f);
    expect_round_trip(m, "all -0");
    std::fill(m.scales.begin(), m.scales.end(), 0.0f);
    EXPECT_EQ(expect_round_trip(m, "scale 0").stored_rows, 0u);  // one raw block
  }
}

// Every path's entries are PairRow's.
TEST(PairCodecTest, EntriesAreThoseOfTheModel) {
  Random random(7);
  for (const DType type : kHighTypes) {
    const PairFormat& format = *pair_format(type);
    for (int round = 0; round < 3000; ++round) {
      const auto exponent = static_cast<int>(random.next() % 203) - 101;
      auto scale = static_cast<float>(std::ldexp(1 + random.uniform(), exponent));
      if (round % 2 == 0) scale = to_float(type, to_word(type, scale));
      const PairRow row(format, scale);
      if (!row.usable()) continue;
      PairEntries wanted;
      fill_pair_entries(format, row, wanted);
      for (const CodecPath path : codec_paths()) {
        PairEntries found;
        pair_kernels(path).entries(format, row, found);
        ASSERT_EQ(std::memcmp(wanted.data(), found.data(), sizeof(wanted)), 0) << scale;
      }
    }
  }
}

// ⌊v/K⌋ in floats at every step of every quotient, as both paths compute it.
TEST(PairCodecTest, QuotientsAreExact) {
  for (std::uint32_t k = 1; k <= 2040; ++k) {
    const float reciprocal = reciprocal_above(k);
    for (std::uint32_t v = k; v <= kPairStart; v += k) {
      const auto divide = [&](std::uint32_t n) {
        return static_cast<std::uint32_t>(static_cast<float>(n) * reciprocal);
      };
      ASSERT_EQ(divide(v - 1), v / k - 1) << v << " / " << k;
      ASSERT_EQ(divide(v), v / k) << v << " / " << k;
    }
  }
}

TEST(PairCodecTest, DamagedBlocksAreRefusedOrGiveNumbers) {
  Random random(8);
  for (const DType type : kHighTypes) {
    Matrix m = normal_matrix(random, type, 9, 200);
    for (std::size_t i = 0; i < m.high.size(); i += 97) m.high[i] ^= 0x8000;
    m.scales[3] = 0;
    const PairFormat& format = *pair_format(type);
    PairEncoder encoder(format);
    const auto coded = encoder.encode(m.low(), m.bytes());
    const Bytes block(coded.begin(), coded.end());
    ASSERT_EQ(block[0], std::byte{1});
    const auto survives = [&](const Bytes& damaged) {
      for (const CodecPath path : codec_paths()) {
        Bytes out(2 * m.high.size());
        const auto error =
            test::error_of([&] { PairDecoder(format, path).decode(m.low(), damaged, out.data()); });
        if (error) {
          EXPECT_EQ(error->code, ErrorCode::kCorrupt);
        }
      }
    };
    for (std::size_t i = 0; i < block.size(); ++i) {
      Bytes damaged = block;
      damaged[i] ^= static_cast<std::byte>(1 + random.next() % 255);
      survives(damaged);
      const Bytes cut(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(i));
      Bytes out(2 * m.high.size());
      EXPECT_EQ(test::class_of([&] { PairDecoder(format).decode(m.low(), cut, out.data()); }),
                "corrupt");
    }
    for (int round = 0; round < 300; ++round) {
      Bytes damaged = block;
      for (std::size_t i = 16; i < damaged.size(); ++i) {
        if (random.next() % 20 == 0) damaged[i] = static_cast<std::byte>(random.next());
      }
      survives(damaged);
      // A block that is whole, but for other low versions.
      Matrix other = m;
      for (auto& q : other.q) q = static_cast<std::int8_t>(random.next());
      Bytes out(2 * m.high.size());
      test::class_of([&] { PairDecoder(format).decode(other.low(), block, out.data()); });
    }
  }
}

}  // namespace
}  // namespace qi
