// ggml's own quantizers (tests/data/ggml-vectors) are the judge: the same bytes for the types with
// a fixed rule, and no more than their squared error for the types that are searched for.
#include "engine/quant/ggml_quantize.h"

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf.h"
#include "engine/io/error.h"
#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_grid_search.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

const std::string kVectors = QI_TEST_DATA "/ggml-vectors/";
constexpr std::uint64_t kRows = 40, kCols = 512, kRandomRows = 28;

Buffer payload(const std::string& file, std::string_view name) {
  const Model model = open_gguf({kVectors + file});
  for (const Tensor& tensor : model.tensors) {
    if (tensor.name != name) continue;
    Buffer bytes(tensor.size_bytes);
    model.file(tensor).read_at(tensor.offset, bytes);
    return bytes;
  }
  ADD_FAILURE() << file << " has no " << name;
  return {};
}

std::vector<float> floats(const Buffer& bytes) {
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), values.size() * 4);
  return values;
}

std::vector<DType> quantizable() {
  std::vector<DType> types;
  for (const DTypeInfo& row : all_dtypes()) {
    if (ggml_quantizable(row.type)) types.push_back(row.type);
  }
  return types;
}

Buffer quantized(DType type, const std::vector<float>& x, std::uint64_t cols,
                 const float* importance = nullptr) {
  Buffer out(*stored_bytes(type, x.size()));
  quantize_blocks(type, x.data(), x.size() / cols, cols, importance, out.data());
  return out;
}

std::vector<float> values_of(DType type, const Buffer& blocks, std::size_t count) {
  std::vector<float> values(count);
  if (is_plain(type)) {
    to_floats(type, blocks.data(), count, false, values.data());
  } else {
    dequantize_blocks(type, blocks.data(), count, values.data());
  }
  return values;
}

// Mean over the random rows of w · (y − x)², the weights scaled to a mean of 1.
double weighted_mse(const std::vector<float>& x, const std::vector<float>& y,
                    const std::vector<float>& w) {
  double sum = 0, weights = 0;
  for (std::size_t i = 0; i < kRandomRows * kCols; ++i) {
    const double e = static_cast<double>(y[i]) - x[i];
    const double weight = w.empty() ? 1.0 : w[i % kCols];
    sum += weight * e * e;
    weights += weight;
  }
  return sum / weights;
}

class GgmlQuantize : public ::testing::Test {
 protected:
  const std::vector<float> x_ = floats(payload("source.gguf", "x"));
  const std::vector<float> importance_ = floats(payload("source.gguf", "imatrix"));
};

TEST_F(GgmlQuantize, FixedRulesGiveTheBytesOfGgml) {
  for (const auto& [type, file] : {std::pair{DType::kF16, "f16.gguf"},
                                   {DType::kBF16, "bf16.gguf"},
                                   {DType::kQ4_0, "q4_0.gguf"},
                                   {DType::kQ4_1, "q4_1.gguf"},
                                   {DType::kQ5_0, "q5_0.gguf"},
                                   {DType::kQ5_1, "q5_1.gguf"},
                                   {DType::kQ8_0, "q8_0.gguf"},
                                   {DType::kTQ1_0, "tq1_0.gguf"},
                                   {DType::kTQ2_0, "tq2_0.gguf"}}) {
    SCOPED_TRACE(file);
    const Buffer expected = payload(file, "w");
    const Buffer actual = quantized(type, x_, kCols);
    ASSERT_EQ(actual.size(), expected.size());
    const std::size_t row = actual.size() / kRows;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_EQ(actual[i], expected[i]) << "row " << i / row << " byte " << i % row;
    }
  }
}

TEST_F(GgmlQuantize, SearchesLeaveNoMoreErrorThanGgml) {
  std::ifstream in(kVectors + "index.json");
  const nlohmann::json index = nlohmann::json::parse(in);
  int checked = 0;
  for (const nlohmann::json& entry : index["entries"]) {
    const std::optional<DType> type = dtype_from_name(entry["type"].get<std::string>());
    if (!type || !ggml_quantizable(*type) || entry["gauss_rows_mse"].is_null()) continue;
    const bool weighted = entry["imatrix"].get<bool>();
    SCOPED_TRACE(entry["type"].get<std::string>() + (weighted ? " with importance" : ""));
    const Buffer blocks = quantized(*type, x_, kCols, weighted ? importance_.data() : nullptr);
    const std::vector<float> y = values_of(*type, blocks, x_.size());
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_TRUE(std::isfinite(y[i])) << "row " << i / kCols;
    }
    const double ours = weighted_mse(x_, y, weighted ? importance_ : std::vector<float>{});
    const double theirs =
        entry[weighted ? "gauss_rows_weighted_mse" : "gauss_rows_mse"].get<double>();
    EXPECT_LE(ours, theirs * (weighted ? 1.02 : 1.01)) << ours / theirs;
    ++checked;
  }
  EXPECT_EQ(checked, 38);
}

// What a codec must take: numbers of every size, blocks of one value, signs and zeros.
std::vector<float> hard_rows(std::uint64_t cols) {
  std::vector<float> x;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  const auto row = [&](auto&& value) {
    for (std::uint64_t i = 0; i < cols; ++i) x.push_back(value(i));
  };
  row([&](std::uint64_t) { return normal(random); });
  row([&](std::uint64_t) { return normal(random) * 1e-30f; });
  row([&](std::uint64_t) { return normal(random) * 1e-42f; });
  row([&](std::uint64_t) { return normal(random) * 1e7f; });
  row([&](std::uint64_t i) { return i % 2 == 0 ? 3.4e38f : -3.4e38f; });
  row([&](std::uint64_t) { return 0.0f; });
  row([&](std::uint64_t) { return -0.0f; });
  row([&](std::uint64_t) { return -5.0f; });
  row([&](std::uint64_t i) { return i % 256 == 77 ? 1.0f : 0.0f; });
  row([&](std::uint64_t i) { return i % 32 == 0 ? 1e4f : normal(random) * 1e-4f; });
  return x;
}

TEST(GgmlQuantizeBlocks, FiniteNumbersComeBackFinite) {
  constexpr std::uint64_t kWide = 768;
  const std::vector<float> x = hard_rows(kWide);
  std::vector<float> importance(kWide);
  std::mt19937 random(8);
  for (float& w : importance)
    w = random() % 3 == 0 ? 0.0f : std::ldexp(1.0f, int(random() % 40) - 20);
  std::fill_n(importance.begin(), 256, 0.0f);
  for (DType type : quantizable()) {
    if (is_plain(type)) continue;  // rounds to infinity, as it should
    for (const float* w : std::array<const float*, 2>{nullptr, importance.data()}) {
      SCOPED_TRACE(info(type).name);
      const std::vector<float> y = values_of(type, quantized(type, x, kWide, w), x.size());
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_TRUE(std::isfinite(y[i])) << "row " << i / kWide << ": " << x[i];
      }
    }
  }
}

TEST(GgmlQuantizeBlocks, ARowIsTheSameAloneAndAmongOthers) {
  constexpr std::uint64_t kWide = 512;
  const std::vector<float> x = hard_rows(kWide);
  for (DType type : quantizable()) {
    SCOPED_TRACE(info(type).name);
    const Buffer all = quantized(type, x, kWide);
    const std::size_t row_bytes = all.size() / (x.size() / kWide);
    for (std::size_t row = 0; row < x.size() / kWide; ++row) {
      const std::vector<float> one(x.begin() + static_cast<std::ptrdiff_t>(row * kWide),
                                   x.begin() + static_cast<std::ptrdiff_t>((row + 1) * kWide));
      const Buffer alone = quantized(type, one, kWide);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                             all.begin() + static_cast<std::ptrdiff_t>(row * row_bytes)));
    }
  }
}

TEST(GgmlQuantizeBlocks, RefusesWhatItCannotWrite) {
  std::vector<float> x(256);
  Buffer out(1024);
  EXPECT_THROW(quantize_blocks(DType::kQ8K, x.data(), 1, 256, nullptr, out.data()), Error);
  EXPECT_THROW(quantize_blocks(DType::kQ4K, x.data(), 1, 128, nullptr, out.data()), Error);
  EXPECT_THROW(quantize_blocks(DType::kQ4_0, x.data(), 1, 33, nullptr, out.data()), Error);
  quantize_blocks(DType::kQ4_0, x.data(), 0, 32, nullptr, out.data());
}

TEST(GgmlQuantizeBlocks, SearchesOfCodebooksEqualPlainLoops) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  for (const std::size_t dim : {4u, 8u}) {
    for (const std::size_t points : {16u, 256u, 2048u}) {
      ggml::Codebook book;
      book.dim = dim;
      book.points = points;
      for (std::size_t i = 0; i < dim * points; ++i) {
        // few levels: many points are equally near
        book.levels.push_back(static_cast<float>(static_cast<int>(random() % 3)));
        book.squares.push_back(book.levels.back() * book.levels.back());
      }
      std::vector<float> xw(dim), w(dim), a(points), b(points), plain_a(points), plain_b(points);
      for (int trial = 0; trial < 20; ++trial) {
        for (std::size_t j = 0; j < dim; ++j) {
          w[j] = std::abs(normal(random));
          xw[j] = w[j] * normal(random);
        }
        ggml::grid_products(book, xw.data(), w.data(), a.data(), b.data());
        ggml::grid_products_plain(book, xw.data(), w.data(), plain_a.data(), plain_b.data());
        EXPECT_EQ(a, plain_a);
        EXPECT_EQ(b, plain_b);
        const ggml::Scales scales = {0.1f, 0.5f, 1.0f, 0.1f + std::abs(normal(random))};
        EXPECT_EQ(ggml::grid_nearest(a.data(), b.data(), points, scales),
                  ggml::grid_nearest_plain(a.data(), b.data(), points, scales));
      }
    }
  }
}

}  // namespace
}  // namespace qi
