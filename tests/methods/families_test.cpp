// What every family keeps, whatever it is: strips give what the whole gives, sizes are those of the
// bytes made, clones agree, hostile numbers are refused by name.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include <gtest/gtest.h>

#include "engine/methods/method.h"
#include "engine/tensor/numbers.h"
#include "tests/support/error_of.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

struct Matrix {
  MatrixInfo info;
  std::vector<float> values;
  std::vector<std::byte> stored;

  MatrixRows rows(std::uint64_t first, std::uint64_t count) const {
    const std::uint64_t row = stored.size() / info.rows;
    return {first, count, std::span(values).subspan(first * info.cols, count * info.cols),
            std::span(stored).subspan(first * row, count * row)};
  }
};

Matrix of_values(std::vector<float> values, std::uint64_t rows, DType dtype) {
  const std::uint64_t count = values.size();
  Matrix matrix{{rows, count / rows, rows, dtype, {}}, {}, {}};
  matrix.stored.resize(*stored_bytes(dtype, count));
  if (dtype == DType::kBF16) floats_to_bf16(values.data(), count, matrix.stored.data());
  if (dtype == DType::kF16) floats_to_f16(values.data(), count, matrix.stored.data());
  if (dtype == DType::kF32) std::memcpy(matrix.stored.data(), values.data(), 4 * count);
  matrix.values.resize(count);
  to_floats(dtype, matrix.stored.data(), count, false, matrix.values.data());
  return matrix;
}

Matrix random_matrix(std::uint64_t rows, std::uint64_t cols, DType dtype = DType::kBF16) {
  return of_values(testing_support::trained_like(rows * 1000 + cols, rows, cols), rows, dtype);
}

/// What came of a matrix: bytes, and the decoded numbers as bytes of either kind.
struct Result {
  std::uint64_t bytes = 0;
  std::vector<std::byte> decoded;
  bool operator==(const Result&) const = default;
};

std::unique_ptr<MethodCoder> surveyed(const MethodFamily& family, const Params& params,
                                      const Matrix& matrix, std::uint64_t step) {
  auto coder = family.make(params, matrix.info);
  if (!coder->wants_survey()) return coder;
  for (std::uint64_t at = 0; at < matrix.info.rows; at += step) {
    coder->survey(matrix.rows(at, std::min(step, matrix.info.rows - at)));
  }
  coder->finish_survey();
  return coder;
}

/// Coded in strips of `units` of the smallest (0: whole), every other one by a clone.
Result result_of(const MethodFamily& family, const Params& params, const Matrix& matrix,
                 std::uint64_t units) {
  auto made = surveyed(family, params, matrix, units == 0 ? matrix.info.rows : units);
  const auto clone = made->clone();
  const std::uint64_t unit = units * made->strip_rows();  // 0: whole only
  const std::uint64_t step = unit == 0 ? matrix.info.rows : unit;
  const std::uint64_t row_bytes =
      made->lossless() ? matrix.stored.size() / matrix.info.rows : 4 * matrix.info.cols;
  Result result{made->shared_bytes(), std::vector<std::byte>(row_bytes * matrix.info.rows)};
  std::vector<std::byte> coded = {std::byte{1}};  // whatever it held
  for (std::uint64_t at = 0, n = 0; at < matrix.info.rows; at += step, ++n) {
    MethodCoder& coder = n % 2 == 0 ? *made : *clone;
    const std::uint64_t count = std::min(step, matrix.info.rows - at);
    coder.encode(matrix.rows(at, count), coded);
    result.bytes += coded.size();
    DecodedRows rows{at, count, {}, {}};
    std::vector<float> values(made->lossless() ? 0 : count * matrix.info.cols);
    const auto out = std::span(result.decoded).subspan(at * row_bytes, count * row_bytes);
    if (made->lossless()) {
      rows.stored = out;
    } else {
      rows.values = values;
    }
    (n % 2 == 0 ? *clone : *made).decode(coded, rows);
    if (!made->lossless()) std::memcpy(out.data(), values.data(), out.size());
  }
  return result;
}

/// Everything a family's grid can hold: all of these options are given at once to all families.
GridOptions wide_grid() {
  return {{"bits", {"2", "3", "4", "5", "6", "7", "8"}},
          {"group-sizes", {"1", "32", "100", "row", "tensor"}},
          {"symmetric", {}},
          {"asymmetric", {}},
          {"styles", {"minmax", "full", "restricted", "awq"}},
          {"types", {"all", "F16", "BF16"}},
          {"rates", {"3", "4.3", "16"}},
          {"precisions", {"12"}},
          {"tolerances", {"0.001"}},
          {"reversible", {}},
          {"dims", {"1", "2", "3", "4"}},
          {"layout", {"field", "block"}},
          {"promote", {"f32", "f64"}},
          {"outlier-threshold", {"off", "0.05", "1000"}},
          {"formats", {"e4m3", "e5m2"}},
          {"scales", {"tensor", "channel", "block128"}},
          {"block-sizes", {"64", "6", "128"}}};
}

std::vector<Params> all_params(const MethodFamily& family) {
  GridOptions grid = wide_grid();
  std::vector<Params> all = family.expand(grid);
  grid["nested"] = {};  // instead of, not besides
  for (const Params& params : family.expand(grid)) {
    if (std::find(all.begin(), all.end(), params) == all.end()) all.push_back(params);
  }
  return all;
}

struct Shape2 {
  std::uint64_t rows;
  std::uint64_t cols;
};

class Families : public ::testing::TestWithParam<const MethodFamily*> {};

INSTANTIATE_TEST_SUITE_P(All, Families, ::testing::ValuesIn([] {
                           std::vector<const MethodFamily*> all;
                           for (const MethodFamily& family : uncalibrated_families())
                             all.push_back(&family);
                           return all;
                         }()),
                         [](const auto& tested) { return std::string(tested.param->name); });

TEST_P(Families, GridsAreCanonicalAndLabelsTellThemApart) {
  const MethodFamily& family = *GetParam();
  EXPECT_EQ(find_family(family.name), &family);
  EXPECT_FALSE(family.description.empty());
  EXPECT_FALSE(family.expand({}).empty());
  const auto list = all_params(family);
  std::set<std::string> texts, labels;
  for (const Params& params : list) {
    EXPECT_EQ(Params::parse(params.text()), params);
    EXPECT_TRUE(texts.insert(params.text()).second) << params.text();
    EXPECT_TRUE(labels.insert(config_label({std::string(family.name), params})).second)
        << params.text();
  }
  const MatrixInfo matrix{8, 256, 8, DType::kBF16, {}};
  Params odd = list.front();
  odd.set("no-such-thing", "1");
  EXPECT_EQ(test::class_of([&] { family.unfit(odd, matrix); }), "usage");
  EXPECT_EQ(test::class_of([&] { family.make(odd, matrix); }), "usage");
}

TEST_P(Families, StripsGiveWhatTheWholeGivesAndSizesAreThoseOfTheBytes) {
  const MethodFamily& family = *GetParam();
  for (const Shape2& shape : {Shape2{1, 1}, Shape2{1, 300}, Shape2{37, 1}, Shape2{5, 256},
                              Shape2{70, 96}, Shape2{131, 129}}) {
    const Matrix matrix = random_matrix(shape.rows, shape.cols);
    for (const Params& params : all_params(family)) {
      SCOPED_TRACE(params.text() + " " + std::to_string(shape.rows) + "x" +
                   std::to_string(shape.cols));
      if (!family.unfit(params, matrix.info).empty()) {
        EXPECT_NE(test::class_of([&] { family.make(params, matrix.info); }), "none");
        continue;
      }
      const Result whole = result_of(family, params, matrix, 0);
      for (const std::uint64_t units : {1, 2, 3}) {
        const Result strips = result_of(family, params, matrix, units);
        EXPECT_EQ(strips.bytes, whole.bytes);
        EXPECT_TRUE(strips.decoded == whole.decoded);
      }
      const auto predicted = family.predict(params, matrix.info);
      if (predicted) {
        EXPECT_EQ(*predicted, whole.bytes);
      }
      if (family.make(params, matrix.info)->lossless()) {
        EXPECT_TRUE(whole.decoded == matrix.stored);
      }
    }
  }
}

// Scales belong to a matrix of a stack, never to two of them.
TEST_P(Families, MatricesOfAStackAreCodedAsIfAlone) {
  const MethodFamily& family = *GetParam();
  const std::string_view name = family.name;
  if (name != "rtn" && name != "fp8" && name != "mxfp4" && name != "nvfp4") return;
  Matrix stack = random_matrix(3 * 140, 48);
  for (std::size_t i = 140 * 48; i < stack.values.size(); ++i) stack.values[i] *= 3;
  stack.info.matrix_rows = 140;
  for (const Params& params : all_params(family)) {
    SCOPED_TRACE(params.text());
    Result parts;
    for (std::uint64_t m = 0; m < 3; ++m) {
      const MatrixRows rows = stack.rows(m * 140, 140);
      Matrix one{{140, 48, 140, DType::kBF16, {}},
                 {rows.values.begin(), rows.values.end()},
                 {rows.stored.begin(), rows.stored.end()}};
      const Result result = result_of(family, params, one, 0);
      parts.bytes += result.bytes;
      parts.decoded.insert(parts.decoded.end(), result.decoded.begin(), result.decoded.end());
    }
    // 3 zero points of a few bits share their bytes.
    const Result whole = result_of(family, params, stack, 1);
    EXPECT_LE(whole.bytes, parts.bytes);
    EXPECT_GE(whole.bytes + 3, parts.bytes);
    EXPECT_TRUE(whole.decoded == parts.decoded);
    EXPECT_EQ(family.predict(params, stack.info), whole.bytes);
  }
}

TEST(Int8Family, OutlierColumnsComeBackAsTheyWere) {
  std::vector<float> values = testing_support::trained_like(5, 6, 100);
  values[2 * 100 + 7] = 9;
  values[4 * 100 + 50] = -6;
  const Matrix matrix = of_values(values, 6, DType::kBF16);
  const MethodFamily& family = *find_family("int8");
  const auto result = result_of(family, Params::parse("outlier-threshold=6"), matrix, 1);
  EXPECT_EQ(result.bytes, 2 * 4 + 6 * (4 + 98 + 2 * 2));
  for (std::uint64_t r = 0; r < 6; ++r) {
    float most = 0;
    for (std::uint64_t c = 0; c < 100; ++c) {
      if (c != 7 && c != 50) most = std::max(most, std::abs(matrix.values[r * 100 + c]));
    }
    for (std::uint64_t c = 0; c < 100; ++c) {
      float back = 0;
      std::memcpy(&back, result.decoded.data() + 4 * (r * 100 + c), 4);
      const float step = c == 7 || c == 50 ? 0 : most / 254 * 1.001f;
      EXPECT_NEAR(back, matrix.values[r * 100 + c], step);
    }
  }
}

TEST_P(Families, ZerosAndExtremesComeBackAsNumbers) {
  const MethodFamily& family = *GetParam();
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const float size : {0.0f, -0.0f, tiny, 1e-38f, 1e-6f, 60000.0f}) {
    std::vector<float> values(12 * 256, 0.0f);
    for (std::size_t i = 256; i < values.size(); ++i) {
      values[i] = size * static_cast<float>(static_cast<int>(i % 7) - 3) / 3;
    }
    const Matrix matrix = of_values(values, 12, DType::kF32);
    for (const Params& params : all_params(family)) {
      if (!family.unfit(params, matrix.info).empty()) continue;
      const Result result = result_of(family, params, matrix, 1);
      if (family.make(params, matrix.info)->lossless()) {
        EXPECT_TRUE(result.decoded == matrix.stored);
        continue;
      }
      for (std::size_t i = 0; i < values.size(); ++i) {
        float back = 0;
        std::memcpy(&back, result.decoded.data() + 4 * i, 4);
        ASSERT_TRUE(std::isfinite(back) && std::abs(back) <= 4 * std::abs(size) + 1e-5f)
            << params.text() << " " << size << " " << i << " " << back;
        if (i < 256) {
          ASSERT_LE(std::abs(back), std::abs(size) + 1e-5f) << params.text();
        }
      }
    }
  }
}

TEST_P(Families, NumbersThatAreNoneAreRefusedByPlace) {
  const MethodFamily& family = *GetParam();
  for (const float odd :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(12 * 256, 0.5f);
    values[7 * 256 + 11] = odd;
    const Matrix matrix = of_values(values, 12, DType::kF32);
    for (const Params& params : all_params(family)) {
      if (!family.unfit(params, matrix.info).empty()) continue;
      if (family.make(params, matrix.info)->lossless()) {
        EXPECT_TRUE(result_of(family, params, matrix, 1).decoded == matrix.stored);
        continue;
      }
      if (params.get("mode") == "reversible") {  // takes any bits
        const Result result = result_of(family, params, matrix, 0);
        EXPECT_EQ(std::memcmp(result.decoded.data(), matrix.values.data(), 4 * values.size()), 0);
        continue;
      }
      const auto error = test::error_of([&] { result_of(family, params, matrix, 1); });
      ASSERT_TRUE(error) << params.text();
      EXPECT_EQ(error->code, ErrorCode::kBadValue);
      EXPECT_NE(error->message.find("row 7, column 11"), std::string::npos) << error->message;
    }
  }
}

TEST_P(Families, CodedStripsOfAnotherSizeAreRefused) {
  const MethodFamily& family = *GetParam();
  const Matrix matrix = random_matrix(12, 256);
  for (const Params& params : all_params(family)) {
    if (!family.unfit(params, matrix.info).empty()) continue;
    const auto coder = surveyed(family, params, matrix, 12);
    std::vector<std::byte> coded;
    coder->encode(matrix.rows(0, 12), coded);
    std::vector<float> values(12 * 256);
    std::vector<std::byte> stored(matrix.stored.size());
    for (const std::size_t size : {std::size_t{0}, coded.size() - 1, coded.size() + 1}) {
      std::vector<std::byte> odd = coded;
      odd.resize(size);
      EXPECT_EQ(test::class_of([&] {
                  coder->decode(odd, {0, 12, values, stored});
                }),
                "corrupt")
          << params.text();
    }
  }
}

}  // namespace
}  // namespace qi
