#include "eval/check/verify.h"

#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "tests/support/data.h"
#include "tests/support/open_path.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

using test::kData;
using test::open_path;

/// A folder with one quantized weight of 8x8 whose scales are `scale`.
void write_gptq(const test::TempDir& dir, float scale) {
  std::vector<Tensor> tensors;
  std::string payload;
  const auto add = [&](std::string name, DType dtype, Shape shape, const std::string& bytes) {
    Tensor tensor;
    tensor.name = std::move(name);
    tensor.dtype = dtype;
    tensor.shape = std::move(shape);
    tensor.offset = payload.size();
    tensor.size_bytes = bytes.size();
    tensors.push_back(tensor);
    payload += bytes;
  };
  std::string scales;
  for (int i = 0; i < 8; ++i) scales.append(reinterpret_cast<const char*>(&scale), sizeof(scale));
  add("l.qweight", DType::kI32, {1, 8}, std::string(32, '\x31'));
  add("l.qzeros", DType::kI32, {1, 1}, std::string(4, '\x77'));
  add("l.scales", DType::kF32, {1, 8}, scales);
  dir.write("model.safetensors", safetensors_header(tensors) + payload);
  dir.write("config.json",
            R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":8}})");
}

TEST(VerifyTest, SoundModelsHaveNoFaultsAndProgressStaysWithinTheirBytes) {
  for (const char* path : {"/models/wap", "/models/stories260K", "/checkpoints/gptq-4bit-actorder",
                           "/checkpoints/mxfp4-experts"}) {
    const Model model = open_path(kData + path);
    for (const Weight& weight : model.weights) {
      std::uint64_t bytes = 0;
      const auto faults =
          verify_weight(model, weight, nullptr, [&](std::uint64_t more) { bytes += more; });
      ASSERT_TRUE(faults.has_value());
      for (const Fault& fault : *faults) EXPECT_TRUE(fault.odd_only) << fault.message;
      EXPECT_LE(bytes, weight.size_bytes);
      if (weight.size_bytes > 1000) {
        EXPECT_GT(bytes, weight.size_bytes / 2) << weight.name;
      }
    }
  }
}

TEST(VerifyTest, NamesTheFaultOfAScale) {
  const test::TempDir dir;
  write_gptq(dir, std::numeric_limits<float>::quiet_NaN());
  const Model model = open_path(dir.path());
  ASSERT_THAT(model.weights, SizeIs(1));
  const auto faults = verify_weight(model, model.weights[0], nullptr);
  ASSERT_TRUE(faults.has_value());
  ASSERT_THAT(*faults, SizeIs(1));
  const Fault& fault = faults->front();
  EXPECT_EQ(fault.code, ErrorCode::kBadValue);
  EXPECT_EQ(fault.tensor, "l.weight");
  EXPECT_EQ(fault.part, "l.scales");
  EXPECT_EQ(fault.length, 4u);
  EXPECT_FALSE(fault.odd_only);
}

TEST(VerifyTest, WhatIsOddIsAWarning) {
  const test::TempDir dir;
  write_gptq(dir, 0);
  const Model model = open_path(dir.path());
  const auto faults = verify_weight(model, model.weights.at(0), nullptr);
  ASSERT_THAT(faults.value(), SizeIs(1));
  EXPECT_TRUE(faults->front().odd_only);
}

TEST(VerifyTest, NothingWhenCancelled) {
  const std::atomic<bool> cancel{true};
  for (const char* path : {"/models/wap", "/prototype-dirs/wap2-mixedprec-bf16-int8"}) {
    const Model model = open_path(kData + path);
    EXPECT_FALSE(verify_weight(model, model.weights.at(0), &cancel).has_value());
  }
}

TEST(VerifyTest, AFileThatChangedIsAnErrorOfTheRun) {
  const test::TempDir dir;
  write_gptq(dir, 1);
  const Model model = open_path(dir.path());
  dir.write("model.safetensors", "");
  try {
    verify_weight(model, model.weights.at(0), nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_FALSE(is_fault(error.code)) << describe(error);
  }
}

TEST(VerifyTest, SaysWhatHasNoChecksums) {
  EXPECT_THAT(unchecked_remark(Container::kGguf), IsEmpty());
  EXPECT_EQ(unchecked_remark(Container::kPrototype),
            "the format has no checksums: values are unchecked");
}

}  // namespace
}  // namespace qi
