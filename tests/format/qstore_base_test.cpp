// Containers that hold the difference to another one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/tensor/numbers.h"
#include "tests/format/qstore_fixture.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/open_path.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::contents;
using test::decode;
using test::encode;
using test::open_container;
using test::safetensors_bytes;

using test::kData;
using test::open_path;

class QstoreBaseTest : public testing::Test {
 protected:
  test::TempDir dir_;
  const std::string out_ = dir_ / "out.qstore";
};

// A fine-tune: most numbers move by a few units in their last places, one tensor not at all.
TEST_F(QstoreBaseTest, StoresDifferencesToABase) {
  const std::string before = test::bf16_bytes(512 * 256, 1);
  std::string after = before;
  for (std::size_t i = 0; i < after.size(); i += 2) {
    after[i] = static_cast<char>(after[i] ^ (i / 2 % 5 == 0 ? 3 : 0));
  }
  const std::string same = test::bf16_bytes(256 * 256, 2);
  dir_.write("base/model.safetensors",
             safetensors_bytes({{"a.weight", DType::kBF16, {512, 256}, before},
                                {"b.weight", DType::kBF16, {256, 256}, same}}));
  dir_.write("tuned/model.safetensors",
             safetensors_bytes({{"b.weight", DType::kBF16, {256, 256}, same},
                                {"a.weight", DType::kBF16, {512, 256}, after}}));
  encode(dir_ / "base.qstore", {dir_ / "base"});
  EncodeOptions options;
  options.base = dir_ / "base.qstore";
  const EncodeResult result = encode(out_, {dir_ / "tuned"}, options);
  EXPECT_LT(result.container_bytes, after.size() / 8);
  decode(out_, "high", dir_ / "back");
  EXPECT_EQ(contents(dir_ / "back"), contents(dir_ / "tuned"));
  EXPECT_THAT(test::faults_of(*open_container(out_)), testing::IsEmpty());
  const Model model = open_path(out_);
  std::vector<float> values(model.weights[0].params);
  open_reader(model, model.weights[0])->values({0, 512, 0, 256}, values.data());
  std::uint16_t first = 0;
  std::memcpy(&first, after.data(), 2);
  EXPECT_EQ(values[0], bf16_to_float(first));

  // Elsewhere it is found where one says; another container in its place is refused.
  fs::create_directory(dir_ / "moved");
  fs::rename(dir_ / "base.qstore", dir_ / "moved/x.qstore");
  EXPECT_EQ(class_of([&] { decode(out_, "high", dir_ / "again"); }), "missing");
  const auto found = QstoreContainer::open(File::open(out_), dir_ / "moved/x.qstore");
  decode_levels(*found, {0}, false, dir_ / "again", {});
  EXPECT_EQ(contents(dir_ / "again"), contents(dir_ / "tuned"));
  encode(dir_ / "base.qstore", {dir_ / "tuned"});
  EXPECT_EQ(class_of([&] { decode(out_, "high", dir_ / "third"); }), "inconsistent");
  EXPECT_FALSE(fs::exists(dir_ / "third"));
  EXPECT_EQ(open_path(out_).weights.size(), 2U);  // headers need no base
}

TEST_F(QstoreBaseTest, NeedsNoBaseThatDoesNotHelp) {
  encode(dir_ / "base.qstore", {kData + "/models/wap"});
  EncodeOptions options;
  options.base = dir_ / "base.qstore";
  encode(out_, {kData + "/models/stories260K"}, options);
  EXPECT_FALSE(open_container(out_)->index().base);
}

}  // namespace
}  // namespace qi
