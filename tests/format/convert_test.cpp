#include "engine/format/convert.h"

#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "engine/tensor/numbers.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/open_path.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
using test::TempDir;

using test::kData;
using test::open_path;

std::vector<float> values_of(const Model& model, const Weight& weight) {
  std::vector<float> values(weight.params);
  open_reader(model, weight)->values({0, weight.rows(), 0, weight.cols()}, values.data());
  return values;
}

std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), 4 * values.size());
  return bits;
}

std::size_t files_in(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

class ConvertTest : public testing::Test {
 protected:
  TempDir dir_;
  const std::string out_ = dir_ / "out.safetensors";
};

TEST_F(ConvertTest, KeepsEveryValueOfAnyFormat) {
  for (const char* source :
       {"/models/stories260K/model.safetensors", "/models/stories260K/stories260K-F16.gguf",
        "/models/stories260K/quantized/pad192-Q4_K_M.gguf", "/models/wap",
        "/prototype-dirs/wap2-mixedprec-fp16-int8"}) {
    const Model model = open_path(kData + source);
    ConvertOptions options;
    options.output.overwrite = true;
    const ConvertResult result = convert_model(model, out_, options);
    EXPECT_EQ(result.weights, model.weights.size()) << source;
    EXPECT_EQ(result.bytes, std::filesystem::file_size(out_));
    const Model written = open_path(out_);
    ASSERT_EQ(written.weights.size(), model.weights.size());
    for (const Weight& weight : model.weights) {
      const Weight* other = written.find_weight(weight.name);
      ASSERT_NE(other, nullptr) << weight.name;
      EXPECT_EQ(other->shape, weight.shape);
      EXPECT_EQ(bits_of(values_of(written, *other)), bits_of(values_of(model, weight)))
          << source << " " << weight.name;
    }
    EXPECT_EQ(written.metadata.text("format"), "pt");
  }
}

TEST_F(ConvertTest, RoundsToTheNearest16Bits) {
  const Model model = open_path(kData + "/models/stories260K/model.safetensors");
  for (const DType type : {DType::kBF16, DType::kF16}) {
    ConvertOptions options;
    options.type = type;
    options.output.overwrite = true;
    convert_model(model, out_, options);
    const Model written = open_path(out_);
    for (const Weight& weight : model.weights) {
      const Weight* other = written.find_weight(weight.name);
      ASSERT_NE(other, nullptr);
      EXPECT_EQ(written.tensor(other->parts[0]).dtype, type);
      std::vector<float> expected = values_of(model, weight);
      for (float& value : expected) {
        value = type == DType::kBF16 ? bf16_to_float(float_to_bf16(value))
                                     : f16_to_float(float_to_f16(value));
      }
      EXPECT_EQ(bits_of(values_of(written, *other)), bits_of(expected)) << weight.name;
    }
  }
}

TEST_F(ConvertTest, WritesTheSelectionAndReportsProgress) {
  const Model model = open_path(kData + "/models/wap");
  ConvertOptions options;
  options.selection = [](const Weight& weight) { return weight.role == Role::kNorm; };
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    EXPECT_GT(done, last);
    last = done;
    total = all;
  };
  const ConvertResult result = convert_model(model, out_, options);
  EXPECT_GT(result.weights, 0u);
  EXPECT_LT(result.weights, model.weights.size());
  EXPECT_EQ(last, total);
  EXPECT_EQ(open_path(out_).params(), total);
}

TEST_F(ConvertTest, CancelledLeavesNothing) {
  const Model model = open_path(kData + "/models/wap");
  std::atomic<bool> cancel{false};
  ConvertOptions options;
  options.cancel = &cancel;
  options.progress = [&](std::uint64_t, std::uint64_t) { cancel = true; };
  EXPECT_TRUE(convert_model(model, out_, options).cancelled);
  EXPECT_EQ(files_in(dir_.path()), 0u);
}

TEST_F(ConvertTest, RefusesBeforeWriting) {
  const Model model = open_path(kData + "/models/stories260K/model.safetensors");
  const auto converting = [&](const Model& source, const std::string& path,
                              ConvertOptions options) {
    return [&source, path, options] { convert_model(source, path, options); };
  };
  ConvertOptions block;
  block.type = DType::kQ4_0;
  EXPECT_EQ(class_of(converting(model, out_, block)), "usage");
  ConvertOptions none;
  none.selection = [](const Weight&) { return false; };
  EXPECT_EQ(class_of(converting(model, out_, none)), "usage");
  Model undecodable = open_path(kData + "/models/stories260K/model.safetensors");
  undecodable.weights[3].undecodable = "of a scheme that is not decoded";
  const auto error = test::error_of(converting(undecodable, out_, {}));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, ErrorCode::kBadDtype);
  EXPECT_THAT(error->message, testing::HasSubstr(undecodable.weights[3].name));
  undecodable.weights[3].undecodable.clear();
  undecodable.weights[3].name = undecodable.weights[2].name;
  EXPECT_EQ(class_of(converting(undecodable, out_, {})), "duplicate");
  EXPECT_EQ(files_in(dir_.path()), 0u);
}

TEST_F(ConvertTest, NeverWritesOverItsSource) {
  const std::string source = dir_ / "model.safetensors";
  std::filesystem::copy(kData + "/models/stories260K/model.safetensors", source);
  const std::string before = test::read_file(source);
  const Model model = open_path(source);
  ConvertOptions options;
  options.output.overwrite = true;
  EXPECT_EQ(class_of([&] { convert_model(model, source, options); }), "usage");
  EXPECT_EQ(test::read_file(source), before);
}

TEST_F(ConvertTest, ASourceThatChangesIsAnError) {
  const std::string source = dir_ / "model.safetensors";
  std::filesystem::copy(kData + "/models/stories260K/model.safetensors", source);
  const Model model = open_path(source);
  bool touched = false;
  ConvertOptions options;
  options.progress = [&](std::uint64_t, std::uint64_t) {
    if (!std::exchange(touched, true)) std::filesystem::resize_file(source, 100'000);
  };
  EXPECT_EQ(class_of([&] { convert_model(model, out_, options); }), "changed");
  EXPECT_EQ(files_in(dir_.path()), 1u);
}

}  // namespace
}  // namespace qi
