#include "engine/quant/rtn.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "engine/quant/packed_codes.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

const std::string kRtnVectors = QI_TEST_DATA "/vectors/";

RtnFormat format_of(const nlohmann::json& options) {
  RtnFormat format;
  const std::string style = options["style"];
  format.style = style == "minmax"       ? RtnStyle::kMinmax
                 : style == "full"       ? RtnStyle::kFull
                 : style == "restricted" ? RtnStyle::kRestricted
                                         : RtnStyle::kAwq;
  format.bits = options["bits"];
  format.symmetric = options["sym"];
  return format;
}

TEST(Rtn, AgreesWithTheVectors) {
  for (int n = 0; n < 7; ++n) {
    const std::string name = kRtnVectors + "rtn_0" + std::to_string(n);
    SCOPED_TRACE(name);
    const auto facts = test::read_json(name + ".json");
    const auto tensors = test::read_vectors(name + ".safetensors");
    const RtnFormat format = format_of(facts["options"]);
    const auto w = tensors.at("W").as<float>();
    const auto q = tensors.at("expected.q").as<std::int32_t>();
    const auto scales = tensors.at("expected.scale").as<float>();
    const auto zeros = tensors.at("expected.zero").as<float>();
    const auto expected = tensors.at("expected.dequant").as<float>();
    const std::size_t groups = scales.size();  // the last of a row is as long as the others here
    const std::size_t size = w.size() / groups;
    std::vector<std::uint8_t> codes(size);
    std::vector<float> values(size);
    for (std::size_t g = 0; g < groups; ++g) {
      const float* in = w.data() + g * size;
      const RtnGrid grid = rtn_grid(format, rtn_range(in, size));
      EXPECT_EQ(grid.scale, scales[g]);
      EXPECT_EQ(static_cast<float>(grid.zero + format.lowest()), zeros[g]);
      rtn_codes(format, grid, in, size, codes.data());
      rtn_values(grid, codes.data(), size, values.data());
      for (std::size_t i = 0; i < size; ++i) {
        ASSERT_EQ(codes[i] + format.lowest(), q[g * size + i]) << g << " " << i;
        ASSERT_EQ(values[i], expected[g * size + i]) << g << " " << i;
      }
    }
  }
}

// Formulas of the styles with the standard library's rounding, one number at a time.
int plain_code(const RtnFormat& format, const RtnGrid& grid, float w) {
  const int half = 1 << (format.bits - 1), top = 2 * half - 1;
  const float q = w / grid.scale;
  if (format.style == RtnStyle::kFull) {
    const float sum = q + static_cast<float>(grid.zero - half);
    const float low = static_cast<float>(-half), high = static_cast<float>(half - 1);
    return static_cast<int>(std::nearbyint(std::clamp(sum, low, high))) + half;
  }
  const double code = static_cast<double>(std::nearbyint(q)) + grid.zero;
  const int bottom = format.style == RtnStyle::kRestricted ? 1 : 0;
  return static_cast<int>(std::clamp<double>(code, bottom, top));
}

TEST(Rtn, KernelsGiveWhatTheFormulasGiveForAnyFiniteNumbers) {
  std::mt19937 random(11);
  for (const RtnStyle style :
       {RtnStyle::kMinmax, RtnStyle::kFull, RtnStyle::kRestricted, RtnStyle::kAwq}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (const bool symmetric : {false, true}) {
        const RtnFormat format{style, bits, symmetric || style == RtnStyle::kRestricted};
        for (const float size : {0.0f, 1e-45f, 1e-40f, 1e-6f, 1.0f, 1e30f, 3e38f}) {
          for (const std::size_t count : {1, 2, 15, 16, 17, 129}) {
            std::vector<float> in(count);
            std::uniform_real_distribution<float> some(random() % 3 == 0 ? 0.25f : -1, 1);
            for (float& x : in) x = some(random) * size;
            in[0] = -0.0f;
            const RtnRange range = rtn_range(in.data(), count);
            EXPECT_EQ(range.low, *std::min_element(in.begin(), in.end()));
            EXPECT_EQ(range.high, *std::max_element(in.begin(), in.end()));
            const RtnGrid grid = rtn_grid(format, range);
            EXPECT_GT(grid.scale, 0);
            EXPECT_GE(grid.zero, 0);
            EXPECT_LT(grid.zero, 1 << bits);
            std::vector<std::uint8_t> codes(count);
            rtn_codes(format, grid, in.data(), count, codes.data());
            for (std::size_t i = 0; i < count; ++i) {
              ASSERT_EQ(codes[i], plain_code(format, grid, in[i])) << in[i] << " " << grid.scale;
            }
          }
        }
      }
    }
  }
}

TEST(Rtn, PackedCodesComeBackAndNothingIsWrittenBehindThem) {
  std::mt19937 random(3);
  for (int bits = 1; bits <= 8; ++bits) {
    for (std::uint64_t count = 0; count < 40; ++count) {
      std::vector<std::uint8_t> codes(count), back(count + 1, 0xAB);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() % (1u << bits));
      const std::uint64_t size = packed_bytes(bits, count);
      EXPECT_EQ(size, (count * static_cast<std::uint64_t>(bits) + 7) / 8);
      std::vector<std::byte> packed(size + 1, std::byte{0xCD});
      pack_codes(bits, codes.data(), count, packed.data());
      EXPECT_EQ(packed.back(), std::byte{0xCD});
      unpack_codes(bits, packed.data(), count, back.data());
      EXPECT_EQ(back.back(), 0xAB);
      back.pop_back();
      EXPECT_EQ(back, codes);
    }
  }
}

}  // namespace
}  // namespace qi
