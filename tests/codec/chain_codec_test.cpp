#include "engine/codec/chain_codec.h"

#include <cmath>
#include <cstring>
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
  std::fprintf(stderr, "n %zu: %.4f ideal %.4f escapes %llu\n", chain.numbers.size(), 8.0 * block.size() / count, encoder.ideal_bits() / count, (unsigned long long)chain_block_escapes(block));
  return 8 * static_cast<double>(block.size()) / count;
}

TEST(ChainCodec, SpendsWhatTheRoundingLeavesOpen) {
  Random random(1);
  // 17 codes of 8 bits lie in a step of 4 bits.
  EXPECT_LT(round_trip(codes_given_codes(random, 1 << 18, 0)), std::log2(17) * 1.005);
  for (const ChainKind kind : {ChainKind::kBF16, ChainKind::kF16}) {
    round_trip(floats_given_codes(random, kind, 1 << 18, 8, 0));
    round_trip(floats_given_codes(random, kind, 1 << 18, 4, 0));
  }
}

TEST(ChainCodec, SpendsMoreWhereTheLowerVersionIsNoRounding) {
  Random random(2);
  for (const double off : {0.01, 0.1, 0.5, 3.0, 100.0}) {
    round_trip(codes_given_codes(random, 1 << 18, off));
    for (const ChainKind kind : {ChainKind::kBF16, ChainKind::kF16}) {
      round_trip(floats_given_codes(random, kind, 1 << 18, 8, off));
      round_trip(floats_given_codes(random, kind, 1 << 18, 4, off));
    }
  }
}

}  // namespace
}  // namespace qi
