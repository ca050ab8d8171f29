#include "engine/quant/float_codes.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "engine/quant/narrow_floats.h"
#include "engine/tensor/numbers.h"
#include "tests/support/vectors.h"

namespace qi {
namespace {

test::VectorTensors vectors(const std::string& name) {
  return test::read_vectors(QI_TEST_DATA "/vectors/" + name + ".safetensors");
}

TEST(NarrowFloats, AgreeWithTheVectors) {
  const auto v = vectors("narrow_floats");
  const auto x = v.at("x").as<float>();
  const auto e4m3 = v.at("expected.e4m3_sat").as<std::uint8_t>();
  const auto e5m2 = v.at("expected.e5m2_sat").as<std::uint8_t>();
  const auto e2m1 = v.at("expected.e2m1_sat").as<std::uint8_t>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      EXPECT_EQ(float_to_e4m3(x[i]) & 0x7F, 0x7F);
      EXPECT_GT(float_to_e5m2(x[i]) & 0x7F, 0x7C);
      continue;
    }
    EXPECT_EQ(float_to_e4m3(x[i]), e4m3[i]) << x[i];
    EXPECT_EQ(float_to_e5m2(x[i]), e5m2[i]) << x[i];
    EXPECT_EQ(float_to_e2m1(x[i]), e2m1[i]) << x[i];
  }
}

TEST(NarrowFloats, EveryCodeComesBack) {
  for (int code = 0; code < 256; ++code) {
    const auto c = static_cast<std::uint8_t>(code);
    if (std::isfinite(f8_e4m3_to_float(c))) {
      EXPECT_EQ(float_to_e4m3(f8_e4m3_to_float(c)), c);
    }
    if (std::isfinite(f8_e5m2_to_float(c))) {
      EXPECT_EQ(float_to_e5m2(f8_e5m2_to_float(c)), c);
    }
    EXPECT_EQ(float_to_e2m1(f4_e2m1_to_float(c & 15)), c & 15);
  }
}

TEST(FloatCodes, Int8AgreesWithTheVectors) {
  for (const char* name : {"llm_int8_00", "llm_int8_01"}) {
    const auto v = vectors(name);
    const auto w = v.at("W").as<float>();
    const auto scb = v.at("expected.scb").as<float>();
    const std::size_t cols = w.size() / scb.size();
    std::vector<std::int8_t> q(w.size());
    std::vector<float> values(w.size());
    for (std::size_t r = 0; r < scb.size(); ++r) {
      EXPECT_EQ(absmax(w.data() + r * cols, cols), scb[r]);
      int8_codes(scb[r], w.data() + r * cols, cols, q.data() + r * cols);
      int8_values(scb[r], q.data() + r * cols, cols, values.data() + r * cols);
    }
    EXPECT_EQ(q, v.at("expected.cb").as<std::int8_t>());
    EXPECT_EQ(values, v.at("expected.dequant").as<float>());
  }
}

TEST(FloatCodes, Fp8AgreesWithTheVectors) {
  for (const bool by_block : {false, true}) {
    const auto v = vectors(by_block ? "fp8_block_00" : "fp8_w8a8_00");
    const auto w = v.at("W").as<float>();
    const auto scales = v.at(by_block ? "expected.scale_inv" : "expected.w_scale").as<float>();
    const auto codes = v.at(by_block ? "expected.codes" : "expected.w_codes").as<std::uint8_t>();
    const auto values = v.at("expected.dequant").as<float>();
    const std::size_t cols = v.at("W").shape[1], rows = v.at("W").shape[0];
    const std::size_t high = by_block ? 32 : 1, wide = by_block ? 32 : cols;
    for (std::size_t b = 0; b < scales.size(); ++b) {
      const std::size_t row = b / (cols / wide) * high, col = b % (cols / wide) * wide;
      const std::size_t end = std::min(rows, row + high);
      float most = 0;
      for (std::size_t r = row; r < end; ++r) {
        most = std::max(most, absmax(w.data() + r * cols + col, wide));
      }
      const float scale = fp8_scale(DType::kF8E4M3, most);
      EXPECT_EQ(scale, scales[b]);
      for (std::size_t r = row; r < end; ++r) {
        std::vector<std::uint8_t> found(wide);
        std::vector<float> back(wide);
        fp8_codes(DType::kF8E4M3, scale, w.data() + r * cols + col, wide, found.data());
        fp8_values(DType::kF8E4M3, scale, found.data(), wide, back.data());
        for (std::size_t i = 0; i < wide; ++i) {
          EXPECT_EQ(found[i], codes[r * cols + col + i]);
          EXPECT_EQ(back[i], values[r * cols + col + i]);
        }
      }
    }
  }
}

std::uint8_t nibble(const std::vector<std::uint8_t>& packed, std::size_t i, bool high_first) {
  return packed[i / 2] >> ((i % 2 == 0) == high_first ? 4 : 0) & 15;
}

TEST(FloatCodes, Mxfp4AndNvfp4AgreeWithTheVectors) {
  for (const bool nv : {false, true}) {
    const auto v = vectors(nv ? "nvfp4_00" : "mxfp4_00");
    const auto w = v.at("W").as<float>();
    const auto expected = v.at("expected.dequant").as<float>();
    const auto packed = v.at(nv ? "expected.packed" : "expected.blocks").as<std::uint8_t>();
    const auto scales =
        v.at(nv ? "expected.block_scale_codes" : "expected.scales").as<std::uint8_t>();
    const float tensor = nv ? nvfp4_tensor_scale(absmax(w.data(), w.size())) : 1;
    if (nv) {
      EXPECT_EQ(tensor, v.at("expected.tensor_scale").as<float>()[0]);
    }
    const std::size_t size = nv ? kNvfp4Block : kMxfp4Block;
    std::vector<std::uint8_t> codes(size);
    std::vector<float> values(size);
    for (std::size_t b = 0; b < scales.size(); ++b) {
      const float most = absmax(w.data() + b * size, size);
      const std::uint8_t code = nv ? nvfp4_scale(tensor, most) : mxfp4_scale(most);
      if (most != 0) {
        EXPECT_EQ(code, scales[b]);
      }
      const float scale = nv ? f8_e4m3_to_float(code) * tensor : f8_e8m0_to_float(code);
      fp4_codes(scale, w.data() + b * size, size, codes.data());
      fp4_values(scale, codes.data(), size, values.data());
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_EQ(codes[i], nibble(packed, b * size + i, false));
        EXPECT_EQ(values[i], expected[b * size + i]);
      }
    }
  }
}

TEST(FloatCodes, Nf4AgreesWithTheVectors) {
  for (const bool nested : {false, true}) {
    const auto v = vectors(nested ? "nf4_nested_00_b64" : "nf4_00_b128");
    const std::size_t size = nested ? 64 : 128;
    const auto w = v.at("W").as<float>();
    const auto packed = v.at("expected.packed").as<std::uint8_t>();
    const auto expected = v.at("expected.dequant").as<float>();
    std::vector<float> scales;
    for (std::size_t at = 0; at < w.size(); at += size) scales.push_back(absmax(&w[at], size));
    EXPECT_EQ(scales, v.at("expected.absmax").as<float>());
    std::vector<float> used = scales;
    if (nested) {
      const auto map = v.at("table.dynamic_map").as<float>();
      for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(dynamic_map()[i], map[i]) << i;
      const NestedScales second(scales);
      EXPECT_EQ(second.offset, v.at("expected.nested_offset").as<float>()[0]);
      EXPECT_EQ(second.absmax, v.at("expected.nested_absmax").as<float>());
      EXPECT_EQ(second.codes, v.at("expected.absmax_q").as<std::uint8_t>());
      EXPECT_EQ(NestedScales::bytes(36), 36u + 4 + 4);
      for (std::size_t b = 0; b < used.size(); ++b) used[b] = second.value(b);
    }
    std::vector<std::uint8_t> codes(size);
    std::vector<float> values(size);
    for (std::size_t b = 0; b < scales.size(); ++b) {
      nf4_codes(scales[b], w.data() + b * size, size, codes.data());
      nf4_values(used[b], codes.data(), size, values.data());
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_EQ(codes[i], nibble(packed, b * size + i, true));
        EXPECT_EQ(values[i], expected[b * size + i]);
      }
    }
  }
}

TEST(FloatCodes, ScalesThatAreNothingGiveZeros) {
  const std::vector<float> zeros(32, 0.0f), tiny(32, 1e-45f);
  std::vector<std::uint8_t> codes(32, 9);
  std::vector<std::int8_t> q(32, 9);
  std::vector<float> values(32, 1.0f);
  int8_codes(0, zeros.data(), 32, q.data());
  EXPECT_EQ(q, std::vector<std::int8_t>(32, 0));
  int8_codes(1e-45f, tiny.data(), 32, q.data());
  EXPECT_EQ(q, std::vector<std::int8_t>(32, 0));
  nf4_codes(0, zeros.data(), 32, codes.data());
  nf4_values(0, codes.data(), 32, values.data());
  EXPECT_EQ(values, zeros);
  EXPECT_EQ(nvfp4_scale(0, 0), 0);
  fp4_codes(0, zeros.data(), 32, codes.data());
  EXPECT_EQ(codes, std::vector<std::uint8_t>(32, 0));
  EXPECT_EQ(mxfp4_scale(0), 0);
  EXPECT_EQ(mxfp4_scale(1e-45f), 0);
  EXPECT_EQ(mxfp4_scale(3e38f), 252);
}

}  // namespace
}  // namespace qi
