#include "engine/codec/chain_codec.h"

#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "engine/codec/chain_runs.h"
#include "engine/io/error.h"
#include "engine/tensor/numbers.h"
#include "tests/support/error_of.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

using testing_support::Random;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kGroup = 128;

// A row of weights with a coarse version of it: groups of 128 on grids of their own.
struct Chain {
  ChainNumbers kind;
  std::vector<std::uint16_t> numbers;
  std::vector<float> center;
  std::vector<float> step;

  ChainGiven given() const { return {center.data(), step.data(), numbers.size()}; }
};

std::vector<float> trained(Random& random, std::size_t count) {
  std::vector<float> weights(count);
  for (float& w : weights) w = static_cast<float>(0.02 * random.student8());
  return weights;
}

// Symmetric grid of a group, and how far off in steps the quantizer lands (0: it rounds).
struct Grid {
  std::vector<std::uint16_t> codes;
  std::vector<float> scales;
};
Grid quantized(Random& random, const std::vector<float>& weights, int bits, double off) {
  Grid grid{std::vector<std::uint16_t>(weights.size()), std::vector<float>(weights.size())};
  const auto middle = static_cast<float>(1 << (bits - 1));
  for (std::size_t g = 0; g < weights.size(); g += kGroup) {
    const std::size_t end = std::min(weights.size(), g + kGroup);
    float largest = 1e-9F;
    for (std::size_t i = g; i < end; ++i) largest = std::max(largest, std::fabs(weights[i]));
    const float scale = f16_to_float(float_to_f16(2 * largest / (2 * middle - 1)));
    for (std::size_t i = g; i < end; ++i) {
      const auto moved = static_cast<float>(off * random.student8());
      const float code = std::nearbyint(weights[i] / scale + middle + moved);
      grid.codes[i] = static_cast<std::uint16_t>(std::min(std::max(code, 0.0F), 2 * middle - 1));
      grid.scales[i] = scale;
    }
  }
  return grid;
}

Chain floats_given_codes(Random& random, ChainKind kind, std::size_t count, int bits, double off) {
  Chain chain;
  chain.kind = {kind, 0};
  std::vector<float> weights = trained(random, count);
  for (float& w : weights) {
    chain.numbers.push_back(kind == ChainKind::kBF16 ? float_to_bf16(w) : float_to_f16(w));
    w = kind == ChainKind::kBF16 ? bf16_to_float(chain.numbers.back())
                                 : f16_to_float(chain.numbers.back());
  }
  const Grid grid = quantized(random, weights, bits, off);
  for (std::size_t i = 0; i < count; ++i) {
    const float code = static_cast<float>(grid.codes[i]) - static_cast<float>(1 << (bits - 1));
    chain.center.push_back(code * grid.scales[i]);
    chain.step.push_back(grid.scales[i]);
  }
  return chain;
}

Chain codes_given_codes(Random& random, std::size_t count, double off) {
  Chain chain;
  chain.kind = {ChainKind::kCodes, 256};
  const std::vector<float> weights = trained(random, count);
  const Grid high = quantized(random, weights, 8, 0);
  const Grid low = quantized(random, weights, 4, off);
  chain.numbers = high.codes;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = (static_cast<float>(low.codes[i]) - 8) * low.scales[i];
    chain.center.push_back(value / high.scales[i] + 128);
    chain.step.push_back(low.scales[i] / high.scales[i]);
  }
  return chain;
}

// The block's bits a number; every path gives the same block and the numbers back.
double round_trip(const Chain& chain) {
  ChainEncoder encoder;
  const auto coded = encoder.encode(chain.kind, chain.given(), chain.numbers.data());
  const Bytes block(coded.begin(), coded.end());
  for (const CodecPath path : codec_paths()) {
    SCOPED_TRACE(name_of(path));
    ChainEncoder other(path);
    const auto again = other.encode(chain.kind, chain.given(), chain.numbers.data());
    EXPECT_EQ(Bytes(again.begin(), again.end()), block);
    ChainDecoder decoder(path);
    std::vector<std::uint16_t> back(chain.numbers.size());
    decoder.decode(chain.kind, chain.given(), block, back.data());
    EXPECT_EQ(back, chain.numbers);
  }
  const auto count = static_cast<double>(std::max<std::size_t>(1, chain.numbers.size()));
  return 8 * static_cast<double>(block.size()) / count;
}

TEST(ChainCodec, SpendsWhatTheRoundingLeavesOpen) {
  Random random(1);
  // 17 codes of 8 bits lie in a step of 4 bits.
  EXPECT_LT(round_trip(codes_given_codes(random, 1 << 17, 0)), std::log2(17) * 1.005);
  // What the codes tell is what the numbers need no more: 7.54 and 3.4 bits.
  EXPECT_LT(round_trip(floats_given_codes(random, ChainKind::kBF16, 1 << 17, 8, 0)), 3.34);
  EXPECT_LT(round_trip(floats_given_codes(random, ChainKind::kBF16, 1 << 17, 4, 0)), 7.45);
  EXPECT_LT(round_trip(floats_given_codes(random, ChainKind::kF16, 1 << 17, 8, 0)), 6.34);
  EXPECT_LT(round_trip(floats_given_codes(random, ChainKind::kF16, 1 << 17, 4, 0)), 10.45);
}

TEST(ChainCodec, SpendsMoreWhereTheLowerVersionIsNoRounding) {
  Random random(2);
  double last = 0;
  for (const double off : {0.01, 0.1, 0.5, 3.0, 100.0}) {
    SCOPED_TRACE(off);
    const double bits = round_trip(codes_given_codes(random, 1 << 15, off));
    EXPECT_GT(bits, last - 0.5);
    EXPECT_LT(bits, 9);
    last = bits;
    for (const ChainKind kind : {ChainKind::kBF16, ChainKind::kF16}) {
      round_trip(floats_given_codes(random, kind, 1 << 15, 8, off));
      round_trip(floats_given_codes(random, kind, 1 << 15, 4, off));
    }
  }
}

// Every length of the last run, and blocks of nothing.
TEST(ChainCodec, TakesAnyCount) {
  Random random(3);
  for (std::size_t count = 0; count < 400; count += count < 10 ? 1 : 13) {
    round_trip(codes_given_codes(random, count, 0.2));
    round_trip(floats_given_codes(random, ChainKind::kBF16, count, 4, 0));
  }
}

// Zeros, infinities, NaN, subnormal numbers; steps and centers that are no grid.
Chain special_chain(Random& random, ChainNumbers kind, std::size_t count) {
  constexpr float kOdd[] = {0.0F,     -0.0F,     1e-45F, -1e-38F, 0x1p-100F, 0x1p100F, 0x1p101F,
                            6e-8F,    65504.F,   1e30F,  -3e38F,  1.0F,      0.01F,    -0.02F,
                            INFINITY, -INFINITY, NAN,    255.4F,  17.0F,     0.5F};
  Chain chain;
  chain.kind = kind;
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = static_cast<std::uint16_t>(random.next());
    const std::uint16_t odd[] = {0,      0x8000, 0x7F80, 0xFF80, 0x7FC0,
                                 0x7C00, 0xFC01, 1,      0x8001, word};
    chain.numbers.push_back(kind.kind == ChainKind::kCodes
                                ? static_cast<std::uint16_t>(word % kind.codes)
                                : odd[random.next() % std::size(odd)]);
    chain.center.push_back(kOdd[random.next() % std::size(kOdd)]);
    chain.step.push_back(kOdd[random.next() % std::size(kOdd)]);
  }
  return chain;
}

const ChainNumbers kKinds[] = {{ChainKind::kBF16, 0},
                               {ChainKind::kF16, 0},
                               {ChainKind::kCodes, 256},
                               {ChainKind::kCodes, 16},
                               {ChainKind::kCodes, 4}};

TEST(ChainCodec, SpecialNumbersAndGrids) {
  Random random(4);
  for (const ChainNumbers& kind : kKinds) {
    for (const std::size_t count : {1U, 64U, 193U, 3000U}) {
      round_trip(special_chain(random, kind, count));
    }
  }
}

TEST(ChainCodec, VectorsAreThePlainLoops) {
  Random random(5);
  for (const ChainNumbers& kind : kKinds) {
    for (int round = 0; round < 300; ++round) {
      const bool special = round % 2 == 0;
      Chain chain = special ? special_chain(random, kind, kChainRun)
                            : codes_given_codes(random, kChainRun, 0);
      if (!special && kind.kind != ChainKind::kCodes) {
        const double spread = std::exp2(40 * (random.uniform() - 0.5));
        for (float& x : chain.center) x = static_cast<float>((x - 128) * spread);
        for (float& x : chain.step) x = static_cast<float>(x * spread);
      }
      ChainRun fast;
      fast.load(chain.given(), 0);
      ChainRun slow = fast;
      find_cells(kind, fast);
      plain::find_cells(kind, slow);
      ASSERT_EQ(fast.first, slow.first);
      ASSERT_EQ(fast.count, slow.count);
      ASSERT_EQ(fast.base, slow.base);
      ASSERT_EQ(fast.of_class, slow.of_class);
      PairEntries entries{};
      PairEntries others{};
      ASSERT_EQ(set_entries(fast, entries), plain::set_entries(slow, others));
      ASSERT_EQ(std::memcmp(entries.data(), others.data(), sizeof entries), 0);
      std::array<std::uint16_t, kChainRun> digits;
      for (auto& digit : digits) digit = static_cast<std::uint16_t>(random.next() % 240);
      std::array<std::uint16_t, kChainRun> numbers;
      std::array<std::uint16_t, kChainRun> expected;
      set_numbers(kind, fast, digits, numbers);
      plain::set_numbers(kind, slow, digits, expected);
      ASSERT_EQ(numbers, expected);
    }
  }
}

TEST(ChainCodec, DamagedBlocksAreRefusedOrGiveNumbers) {
  Random random(6);
  for (const double off : {0.0, 0.5}) {
    const Chain chain = floats_given_codes(random, ChainKind::kBF16, 2000, 4, off);
    ChainEncoder encoder;
    const auto coded = encoder.encode(chain.kind, chain.given(), chain.numbers.data());
    const Bytes block(coded.begin(), coded.end());
    ChainDecoder decoder;
    std::vector<std::uint16_t> out(chain.numbers.size());
    const auto verdict = [&](const Bytes& bytes) {
      return test::class_of([&] { decoder.decode(chain.kind, chain.given(), bytes, out.data()); });
    };
    for (std::size_t cut = 0; cut < block.size(); cut += 1 + cut / 40) {
      EXPECT_EQ(verdict(Bytes(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(cut))),
                "corrupt");
    }
    for (int round = 0; round < 3000; ++round) {
      Bytes bytes = block;
      const std::size_t head = random.next() % 2 == 0 ? bytes.size() : 200;
      bytes[random.next() % head] ^= static_cast<std::byte>(1 + random.next() % 255);
      const std::string found = verdict(bytes);
      EXPECT_TRUE(found == "corrupt" || found == "none") << found;
    }
  }
}

}  // namespace
}  // namespace qi
