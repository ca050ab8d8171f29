#include "engine/format/imatrix.h"

#include <bit>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kCases = QI_TEST_DATA "/malformed/files/imatrix/";

TEST(Imatrix, ReadsWhatLlamaImatrixWrote) {
  const ImportanceMatrix matrix = ImportanceMatrix::read(QI_TEST_DATA "/wide-imatrix.dat");
  EXPECT_EQ(matrix.size(), 35u);
  EXPECT_THAT(matrix.digest(), SizeIs(16));
  EXPECT_THAT(matrix.warnings(), IsEmpty());
  const auto down = matrix.find("blk.4.ffn_down.weight", 256);
  ASSERT_THAT(down, SizeIs(256));
  // The first number of the file, 0x40d3b550, over its 24 calls.
  EXPECT_EQ(down[0], std::bit_cast<float>(0x40d3b550u) / 24.0f);
  // one weight, two names
  EXPECT_EQ(matrix.find("model.layers.4.mlp.down_proj.weight", 256).data(), down.data());
  EXPECT_THAT(matrix.find("blk.4.ffn_down.weight", 512), IsEmpty());
  EXPECT_THAT(matrix.find("blk.9.ffn_down.weight", 256), IsEmpty());
}

TEST(Imatrix, RecordsAndTensorsGiveMeanSquares) {
  const ImportanceMatrix records = ImportanceMatrix::read(kCases + "im_ok_dat.dat");
  EXPECT_THAT(records.find("blk.0.attn_q.weight", 4),
              ElementsAre(1.0f / 8, 2.0f / 8, 0.5f / 8, 4.0f / 8));
  const ImportanceMatrix tensors = ImportanceMatrix::read(kCases + "im_ok_gguf.gguf");
  EXPECT_EQ(tensors.size(), 1u);
  EXPECT_NE(records.digest(), tensors.digest());
}

TEST(Imatrix, MatricesOfAStackAreFoundTogetherAndAlone) {
  test::TempDir folder;
  const std::string path = folder.path() + "/experts.dat", name = "blk.0.ffn_up_exps.weight";
  std::ofstream out(path, std::ios::binary);
  const auto number = [&](auto value) {
    out.write(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  number(std::int32_t{1});
  number(static_cast<std::int32_t>(name.size()));
  out << name;
  number(std::int32_t{2});
  number(std::int32_t{6});
  for (int i = 0; i < 6; ++i) number(static_cast<float>(2 * i));
  out.close();
  const ImportanceMatrix matrix = ImportanceMatrix::read(path);
  EXPECT_THAT(matrix.warnings(), SizeIs(1));  // no trailer
  EXPECT_THAT(matrix.find(name, 3, 2), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(matrix.find("model.layers.0.mlp.experts.1.up_proj.weight", 3), ElementsAre(3, 4, 5));
  EXPECT_THAT(matrix.find("model.layers.0.mlp.experts.2.up_proj.weight", 3), IsEmpty());
  EXPECT_THAT(matrix.find(name, 2, 2), IsEmpty());
}

TEST(Imatrix, ErrorsNameTheFileAndThePlace) {
  for (const auto& [file, code] : {std::pair{"im_dat_empty.dat", ErrorCode::kTruncated},
                                   {"im_dat_neg_entries.dat", ErrorCode::kBadValue},
                                   {"im_dat_name_huge.dat", ErrorCode::kTruncated},
                                   {"im_dat_nval_neg.dat", ErrorCode::kBadValue},
                                   {"im_dat_nval_wrap.dat", ErrorCode::kTruncated},
                                   {"im_dat_values_cut.dat", ErrorCode::kTruncated},
                                   {"im_dat_trailer_len_neg.dat", ErrorCode::kBadValue},
                                   {"im_dat_nan.dat", ErrorCode::kBadValue},
                                   {"im_gguf_chunk_type.gguf", ErrorCode::kBadSchema}}) {
    try {
      ImportanceMatrix::read(kCases + file);
      ADD_FAILURE() << file << " was read";
    } catch (const Error& error) {
      EXPECT_EQ(error.code, code) << file << ": " << describe(error);
      EXPECT_THAT(error.file, HasSubstr(file));
    }
  }
}

}  // namespace
}  // namespace qi
