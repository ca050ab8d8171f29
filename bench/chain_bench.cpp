// How fast the chain codec is beside memcpy, and what it spends: 16 bits given 8, 16 given 4, and 8
// given 4, of a matrix like a trained one on symmetric grids of 128 weights; rounded, and moved by
// as much as quantizers move that pass errors on. The codec alone: what a weight's lower version is
// has been worked out before.
//   chain_bench [rounds]
// Rates count 16-bit weights, 2 bytes each, whatever is coded, as codec_bench does.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "engine/codec/chain_codec.h"
#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

constexpr std::uint64_t kRows = 1024;
constexpr std::uint64_t kCols = 4096;
constexpr std::size_t kBlock = std::size_t{1} << 18;
constexpr std::size_t kGroup = 128;

double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// The weights, and codes of fewer bits on grids of groups.
struct Codes {
  std::vector<float> codes;
  std::vector<float> scales;
  float middle;
};
Codes quantized(const std::vector<float>& w, int bits, double off) {
  testing_support::Random random(5);
  Codes out{std::vector<float>(w.size()), std::vector<float>(w.size()),
            static_cast<float>(1 << (bits - 1))};
  for (std::size_t g = 0; g < w.size(); g += kGroup) {
    float largest = 1e-30F;
    for (std::size_t i = g; i < g + kGroup; ++i) largest = std::max(largest, std::fabs(w[i]));
    const float scale = 2 * largest / (2 * out.middle - 1);
    for (std::size_t i = g; i < g + kGroup; ++i) {
      const auto moved = off == 0 ? 0.0F : static_cast<float>(off * random.normal());
      const float code = std::nearbyint(w[i] / scale + moved) + out.middle;
      out.codes[i] = std::min(std::max(code, 0.0F), 2 * out.middle - 1);
      out.scales[i] = scale;
    }
  }
  return out;
}

struct Chain {
  std::string name;
  ChainNumbers kind;
  std::vector<std::uint16_t> numbers;
  std::vector<float> center;
  std::vector<float> step;

  ChainGiven block(std::size_t at) const {
    return {center.data() + at, step.data() + at, std::min(kBlock, numbers.size() - at)};
  }
};

Chain floats_given(const std::string& name, const std::vector<float>& w, const Codes& low) {
  Chain chain{name, {ChainKind::kBF16, 0}, {}, {}, {}};
  for (std::size_t i = 0; i < w.size(); ++i) {
    chain.numbers.push_back(float_to_bf16(w[i]));
    chain.center.push_back((low.codes[i] - low.middle) * low.scales[i]);
    chain.step.push_back(low.scales[i]);
  }
  return chain;
}

Chain codes_given(const std::string& name, const Codes& high, const Codes& low) {
  Chain chain{name, {ChainKind::kCodes, 256}, {}, {}, {}};
  for (std::size_t i = 0; i < high.codes.size(); ++i) {
    const float value = (low.codes[i] - low.middle) * low.scales[i];
    chain.numbers.push_back(static_cast<std::uint16_t>(high.codes[i]));
    chain.center.push_back(value / high.scales[i] + high.middle);
    chain.step.push_back(low.scales[i] / high.scales[i]);
  }
  return chain;
}

class Bench {
 public:
  explicit Bench(int rounds) : rounds_(rounds) {}

  void copy(const Chain& chain) {
    std::vector<std::uint16_t> out(chain.numbers.size());
    copy_ = rate(chain, [&] {
      std::memcpy(out.data(), chain.numbers.data(), 2 * out.size());
      asm volatile("" : : "r"(out.data()) : "memory");
    });
    fmt::print("{:<34} {:>8.2f} GB/s\n", "memcpy", copy_);
  }

  void run(const Chain& chain, CodecPath path) {
    ChainEncoder encoder(path);
    ChainDecoder decoder(path);
    std::vector<std::vector<std::byte>> blocks;
    std::size_t bytes = 0;
    double ideal = 0;
    for (std::size_t at = 0; at < chain.numbers.size(); at += kBlock) {
      const auto block = encoder.encode(chain.kind, chain.block(at), chain.numbers.data() + at);
      blocks.emplace_back(block.begin(), block.end());
      bytes += block.size();
      ideal += encoder.ideal_bits();
    }
    std::vector<std::uint16_t> out(chain.numbers.size());
    const double encode = rate(chain, [&] {
      for (std::size_t at = 0; at < chain.numbers.size(); at += kBlock) {
        encoder.encode(chain.kind, chain.block(at), chain.numbers.data() + at);
      }
    });
    const double decode = rate(chain, [&] {
      for (std::size_t i = 0; i < blocks.size(); ++i) {
        decoder.decode(chain.kind, chain.block(i * kBlock), blocks[i], out.data() + i * kBlock);
      }
    });
    if (out != chain.numbers) {
      fmt::print("{}: other numbers\n", chain.name);
      std::exit(1);
    }
    const auto weights = static_cast<double>(chain.numbers.size());
    fmt::print(
        "{:<24}{:<10} {:>7.3f} b/w (entropy {:.3f})  encode {:.3f}  decode {:.3f} x memcpy\n",
        chain.name, name_of(path), 8 * static_cast<double>(bytes) / weights, ideal / weights,
        encode / copy_, decode / copy_);
  }

 private:
  // The median of some rounds.
  double rate(const Chain& chain, const std::function<void()>& work) const {
    std::vector<double> seconds;
    for (int i = 0; i < rounds_; ++i) {
      const double begin = now();
      work();
      seconds.push_back(now() - begin);
    }
    std::nth_element(seconds.begin(), seconds.begin() + rounds_ / 2, seconds.end());
    return 2e-9 * static_cast<double>(chain.numbers.size()) /
           seconds[static_cast<std::size_t>(rounds_ / 2)];
  }

  const int rounds_;
  double copy_ = 1;
};

int main_of(int argc, char** argv) {
  std::vector<float> w = testing_support::trained_like(1, kRows, kCols);
  for (float& value : w) value = bf16_to_float(float_to_bf16(value));
  Bench bench(argc > 1 ? std::max(1, std::atoi(argv[1])) : 5);
  bool first = true;
  for (const double off : {0.0, 0.5}) {
    const std::string how = off == 0 ? "" : ", moved";
    const Codes eight = quantized(w, 8, off);
    const Codes four = quantized(w, 4, off);
    for (const Chain& chain :
         {floats_given("16|8" + how, w, eight), floats_given("16|4" + how, w, four),
          codes_given("8|4" + how, eight, four)}) {
      if (first) bench.copy(chain);
      first = false;
      for (const CodecPath path : codec_paths()) bench.run(chain, path);
    }
  }
  return 0;
}

}  // namespace
}  // namespace qi

int main(int argc, char** argv) {
  return qi::main_of(argc, argv);
}
