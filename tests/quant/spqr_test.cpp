#include <random>

#include "engine/quant/check.h"
#include "engine/tensor/numbers.h"
#include "tests/quant/model_fixture.h"

namespace qi {
namespace {

using test::all_values;
using test::ModelWriter;

/// A random layer packed by the document's rules, with its values in logical order.
struct Spqr {
  static constexpr std::uint64_t kRows = 40, kCols = 38;  // ragged tiles on both sides
  std::uint64_t row_tiles = 3, column_tiles = 3;
  std::vector<std::uint64_t> words;
  std::vector<std::int32_t> offsets;
  std::vector<std::uint32_t> outliers;
  std::vector<std::uint16_t> permutation;
  std::vector<float> values;

  explicit Spqr(bool by_tile) : words(9 * 16), values(48 * kCols) {
    std::mt19937 random(11);
    std::vector<float> stored(48 * kCols);  // processing order
    for (std::uint64_t t = 0; t < 9; ++t) {
      std::uint64_t v = 0;
      float stats[4];
      for (unsigned k = 0; k < 4; ++k) {
        const std::uint16_t half = float_to_f16(static_cast<float>(random() % 64 + 1) / 32);
        stats[k] = f16_to_float(half);
        v |= static_cast<std::uint64_t>(half) << (16 * k);
      }
      for (std::uint64_t k = 0; k < 16; ++k) {
        const unsigned sq = random() % 8, zq = random() % 8;
        std::uint64_t word = sq | zq << 3 | ((v >> (8 * (k / 2))) & 0xFF) << 54;
        const float s = stats[0] * (static_cast<float>(sq) - stats[2]);
        const float z = stats[1] * (static_cast<float>(zq) - stats[3]);
        for (std::uint64_t l = 0; l < 16; ++l) {
          const std::uint64_t col = t % 3 * 16 + l;
          if (col >= kCols) continue;
          const unsigned q = random() % 8;
          word |= static_cast<std::uint64_t>(q) << (6 + 3 * l);
          stored[(t / 3 * 16 + k) * kCols + col] = s * (static_cast<float>(q) - z);
        }
        words[t * 16 + k] = word;
      }
    }
    const std::uint64_t ranges = by_tile ? 3 : kRows;
    for (std::uint64_t r = 0; r < ranges; ++r) {
      offsets.push_back(static_cast<std::int32_t>(outliers.size()));
      for (unsigned j = 0; j < (by_tile ? 32u : r % 3); ++j) {
        const std::uint16_t value = float_to_f16(static_cast<float>(random() % 9) - 4);
        const std::uint64_t col = random() % kCols;
        outliers.push_back(
            static_cast<std::uint32_t>(col | static_cast<std::uint64_t>(value) << 16));
        const std::uint64_t row = by_tile ? r * 16 + j % 16 : r;
        stored[row * kCols + col] += f16_to_float(value);
      }
    }
    offsets.push_back(static_cast<std::int32_t>(outliers.size()));
    for (std::uint64_t c = 0; c < kCols; ++c) permutation.push_back(static_cast<std::uint16_t>(c));
    std::shuffle(permutation.begin(), permutation.end(), random);
    for (std::uint64_t r = 0; r < 48; ++r) {
      for (std::uint64_t c = 0; c < kCols; ++c) {
        values[r * kCols + permutation[c]] = stored[r * kCols + c];
      }
    }
  }

  Model build(ModelWriter& writer) const {
    return writer.add("l.dense_weights", DType::kI64, {words.size()}, words)
        .add("l.row_offsets", DType::kI32, {offsets.size()}, offsets)
        .add("l.col_vals", DType::kI32, {outliers.size()}, outliers)
        .add("l.in_perm", DType::kI32, {permutation.size() / 2}, permutation)
        .build();
  }
};

TEST(SpqrReader, ReadsBothSparseForms) {
  for (const bool by_tile : {false, true}) {
    const Spqr layer(by_tile);
    ModelWriter writer;
    const Model model = layer.build(writer);
    ASSERT_EQ(model.weights.size(), 1u);
    const Weight& weight = model.weights[0];
    EXPECT_EQ(weight.format, by_tile ? "ptcsr" : "csr");
    // PTCSR only knows whole tiles of rows.
    EXPECT_EQ(weight.shape, (Shape{by_tile ? 48 : Spqr::kRows, Spqr::kCols}));
    for (const std::uint64_t elements : {10000u, 100u, 5u}) {
      const std::vector<float> got = all_values(model, weight, elements);
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], layer.values[i]) << i;
    }
    EXPECT_TRUE(check_weight(model, weight).empty());
  }
}

TEST(SpqrReader, HostilePayloadIsAnErrorWithItsByte) {
  struct Hurt {
    std::function<void(Spqr&)> what;
    std::size_t tensor;
    std::uint64_t offset;
    ErrorCode code;
  };
  const std::vector<Hurt> hurts = {
      {[](Spqr& s) { s.offsets[3] = -1; }, 1, 8, ErrorCode::kCorrupt},
      {[](Spqr& s) { s.offsets[3] = 1 << 30; }, 1, 8, ErrorCode::kCorrupt},
      {[](Spqr& s) { s.offsets.back() += 1; }, 1, 156, ErrorCode::kCorrupt},
      {[](Spqr& s) { s.outliers[0] |= 0xFFFF; }, 2, 0, ErrorCode::kBadValue},
      {[](Spqr& s) { s.permutation[4] = 38; }, 3, 8, ErrorCode::kBadValue},
      {[](Spqr& s) { s.permutation[4] = s.permutation[3]; }, 3, 8, ErrorCode::kBadValue},
  };
  for (const Hurt& hurt : hurts) {
    Spqr layer(false);
    hurt.what(layer);
    ModelWriter writer;
    const Model model = layer.build(writer);
    ASSERT_EQ(model.weights.size(), 1u);
    try {
      all_values(model, model.weights[0]);
      ADD_FAILURE() << hurt.tensor << " " << hurt.offset;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, hurt.code);
      EXPECT_EQ(error.offset, model.tensors[hurt.tensor].offset + hurt.offset);
    }
    const auto faults = check_weight(model, model.weights[0]);
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0].code, hurt.code);
    EXPECT_EQ(faults[0].part, model.tensors[hurt.tensor].name);
  }
}

TEST(SpqrReader, ShapesThatDoNotFitAreListedAsStored) {
  Spqr layer(false);
  layer.words.pop_back();
  ModelWriter writer;
  const Model model = layer.build(writer);
  EXPECT_EQ(model.weights.size(), 4u);
  EXPECT_EQ(model.warnings.size(), 1u);
}

}  // namespace
}  // namespace qi
