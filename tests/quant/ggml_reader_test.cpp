#include "engine/quant/ggml_reader.h"

#include <algorithm>
#include <bit>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/gguf.h"
#include "engine/quant/ggml_blocks.h"
#include "tests/support/ggml_types.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/memory_file.h"

namespace qi {
namespace {

constexpr std::uint64_t kStackCols = 768;
constexpr std::uint64_t kStackRows = 8;
constexpr std::uint64_t kMatrices = 2;

Weight weight_of(const Model& model, std::uint32_t tensor) {
  Weight weight;
  weight.name = model.tensors[tensor].name;
  weight.shape = model.tensors[tensor].shape;
  weight.params = element_count(weight.shape).value();
  weight.parts = {{tensor, PartRole::kCodes}};
  return weight;
}

class GgmlReaderTest : public ::testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    const DTypeInfo& row = info(GetParam());
    Buffer blocks(kStackCols * kStackRows * kMatrices / row.block_elements * row.block_bytes);
    std::mt19937 random(7);
    for (std::byte& byte : blocks) byte = static_cast<std::byte>(random() & 0x5F);  // no NaN
    values_.resize(kStackCols * kStackRows * kMatrices);
    if (interleaved_rows(GetParam()) > 0) {
      dequantize_interleaved(GetParam(), blocks.data(), kStackRows * kMatrices, kStackCols,
                             values_.data());
    } else {
      dequantize_blocks_plain(GetParam(), blocks.data(), values_.size(), values_.data());
      if (ggml_code_bits(GetParam()) > 0) {
        codes_.resize(values_.size());
        unpack_codes(GetParam(), blocks.data(), values_.size(), codes_.data());
      }
    }
    little_ = open(blocks, false, little_file_);
    swap_blocks(GetParam(), blocks.data(), blocks.size());
    big_ = open(blocks, true, big_file_);
  }

  Model open(const Buffer& blocks, bool big, test::MemoryFile& file) {
    const std::string payload(reinterpret_cast<const char*>(blocks.data()), blocks.size());
    test::GgufBuilder builder(3, big);
    builder.tensor("first", {8}, 0, std::string(32, 'x'));
    builder.tensor("w", {kStackCols, kStackRows, kMatrices},
                   static_cast<std::uint32_t>(info(GetParam()).ggml_id), payload);
    return open_gguf({file.set(builder.build())});
  }

  test::MemoryFile little_file_, big_file_;
  Model little_, big_;
  std::vector<float> values_;
  std::vector<std::uint16_t> codes_;
};

const std::vector<Tile> kTiles = {
    {0, kStackRows* kMatrices, 0, kStackCols},
    {3, 1, 0, kStackCols},
    {2, 9, 0, kStackCols},
    {0, 16, 0, 1},
    {0, 16, kStackCols - 1, 1},
    {5, 3, 31, 2},
    {1, 7, 100, 500},
    {15, 1, 255, 2},
    {4, 8, 256, 256},
    {7, 2, 33, kStackCols - 33},
    {0, 1, 5, 7},
    {3, 0, 0, kStackCols},
};

TEST_P(GgmlReaderTest, AnyTileOfEitherByteOrder) {
  for (const Model* model : {&little_, &big_}) {
    const Weight weight = weight_of(*model, 1);
    const auto reader = open_ggml_reader(*model, weight);
    for (const Tile& tile : kTiles) {
      std::vector<float> out(tile.rows * tile.cols + 1, -9.0f);
      reader->values(tile, out.data());
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        for (std::uint64_t c = 0; c < tile.cols; ++c) {
          const float expected = values_[(tile.row + r) * kStackCols + tile.col + c];
          ASSERT_EQ(std::bit_cast<std::uint32_t>(out[r * tile.cols + c]),
                    std::bit_cast<std::uint32_t>(expected))
              << model->big_endian << " tile " << tile.row << "," << tile.col << " at " << r << ","
              << c;
        }
      }
      EXPECT_EQ(out.back(), -9.0f);
    }
  }
}

TEST_P(GgmlReaderTest, CodesOfAnyTile) {
  for (const Model* model : {&little_, &big_}) {
    const Weight weight = weight_of(*model, 1);
    const auto reader = open_ggml_reader(*model, weight);
    EXPECT_EQ(reader->code_bits(), ggml_code_bits(GetParam()));
    if (reader->code_bits() == 0) return;
    for (const Tile& tile : kTiles) {
      std::vector<std::uint16_t> out(tile.rows * tile.cols);
      reader->codes(tile, out.data());
      if (codes_.empty()) {  // interleaved: (code − 8) · d must give the value back
        std::vector<float> values(out.size());
        reader->values(tile, values.data());
        for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(values[i] == 0, out[i] == 8);
        continue;
      }
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        ASSERT_TRUE(std::equal(
            out.begin() + static_cast<std::ptrdiff_t>(r * tile.cols),
            out.begin() + static_cast<std::ptrdiff_t>((r + 1) * tile.cols),
            codes_.begin() + static_cast<std::ptrdiff_t>((tile.row + r) * kStackCols + tile.col)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GgmlReaderTest,
                         ::testing::ValuesIn(test::ggml_decodable_types()),
                         [](const auto& one) { return std::string(qi::info(one.param).name); });

TEST(GgmlReader, RefusesWhatItCannotDecodeWithTheTypeAndThePlace) {
  test::MemoryFile file;
  const std::string data(1 << 14, '\1');
  const Model model = open_gguf({file.set(test::GgufBuilder()
                                              .tensor("unknown", {64, 4}, 142, data)
                                              .tensor("removed", {64, 4}, 4, data)
                                              .tensor("no layout", {64, 8}, 36, std::string(288, 0))
                                              .tensor("two rows", {64, 2}, 31, std::string(72, 0))
                                              .tensor("stack", {64, 2, 2}, 31, std::string(144, 0))
                                              .tensor("plain", {64}, 0, std::string(256, 0))
                                              .build())});
  const char* reasons[] = {
      "type 142 is unknown",       "Q4_2 has no known layout",  "IQ4_NL_4_4 has no known layout",
      "multiple of 4 rows, not 2", "multiple of 4 rows, not 2", "F32 is not a block type"};
  for (std::uint32_t i = 0; i < 6; ++i) {
    const Weight weight = weight_of(model, i);
    try {
      open_ggml_reader(model, weight);
      ADD_FAILURE() << weight.name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kBadDtype);
      EXPECT_THAT(error.message, ::testing::HasSubstr(reasons[i]));
      EXPECT_EQ(error.offset, model.tensors[i].offset);
    }
  }
}

TEST(GgmlReader, ReadsWithoutAMapping) {
  test::MemoryFile file;
  set_mapping_disabled_for_testing(true);
  const Model model = open_gguf(
      {file.set(test::GgufBuilder().tensor("w", {64, 4}, 8, std::string(8 * 34, '\2')).build())});
  const Weight weight = weight_of(model, 0);
  std::vector<float> values(256);
  open_ggml_reader(model, weight)->values({0, 4, 0, 64}, values.data());
  set_mapping_disabled_for_testing(false);
  EXPECT_EQ(values[0], values[255]);
  EXPECT_GT(values[0], 0.0f);
}

}  // namespace
}  // namespace qi
