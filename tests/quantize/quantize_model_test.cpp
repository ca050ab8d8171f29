#include "eval/quantize/quantize_model.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "eval/calibration/calibrated_model.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::read_file;
using test::TempDir;
using test::thrown_by;
using testing::HasSubstr;

const std::string kWap = QI_TEST_DATA "/models/wap";
const std::string kStories = QI_TEST_DATA "/models/stories260K";

Model open_folder(const std::string& path) {
  return open_model(find_models(path).models.front());
}

std::vector<float> values_of(const Model& model, const std::string& name) {
  const Weight& weight = *model.find_weight(name);
  std::vector<float> values(weight.params);
  open_reader(model, weight)->values({0, weight.rows(), 0, weight.cols()}, values.data());
  return values;
}

class QuantizeModelTest : public testing::Test {
 protected:
  QuantizeRequest request(const char* scheme, const Model& model) const {
    QuantizeRequest out;
    out.model = &model;
    out.scheme = find_quant_scheme(scheme);
    out.output = dir_ / "out";
    return out;
  }
  nlohmann::ordered_json config() const {
    return nlohmann::ordered_json::parse(read_file(dir_ / "out/config.json"));
  }

  TempDir dir_;
};

TEST_F(QuantizeModelTest, WritesTheFolderThatBitsandbytesWrote) {
  const Model model = open_folder(kWap);
  const QuantizeResult result = quantize_model(request("llm_int8", model), {});
  EXPECT_EQ(result.quantized, 28u);
  EXPECT_FALSE(fs::exists(dir_ / "out.partial"));
  const Model ours = open_folder(dir_ / "out");
  const Model theirs = open_folder(kWap + "/wap-int8");
  ASSERT_EQ(ours.tensors.size(), theirs.tensors.size());
  Buffer a, b;
  for (const Tensor& tensor : theirs.tensors) {
    const auto found = std::find_if(ours.tensors.begin(), ours.tensors.end(),
                                    [&](const Tensor& one) { return one.name == tensor.name; });
    ASSERT_NE(found, ours.tensors.end()) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype);
    EXPECT_EQ(found->shape, tensor.shape);
    const auto left = ours.file(*found).bytes(found->offset, found->size_bytes, a);
    const auto right = theirs.file(tensor).bytes(tensor.offset, tensor.size_bytes, b);
    EXPECT_TRUE(std::equal(left.begin(), left.end(), right.begin(), right.end())) << tensor.name;
  }
  EXPECT_TRUE(ours.warnings.empty());
}

TEST_F(QuantizeModelTest, KeepsTheConfigurationAndSaysWhatItDid) {
  const Model model = open_folder(kWap);
  quantize_model(request("FP8-W8A8", model), {});
  nlohmann::ordered_json written = config();
  const nlohmann::json q = written["quantization_config"];
  EXPECT_EQ(q["quant_method"], "compressed-tensors");
  EXPECT_EQ(q["format"], "float-quantized");
  EXPECT_EQ(q["ignore"], nlohmann::json({"lm_head"}));
  const nlohmann::json group = q["config_groups"]["group_0"];
  EXPECT_EQ(group["targets"], nlohmann::json({"Linear"}));
  EXPECT_EQ(group["weights"]["strategy"], "channel");
  EXPECT_EQ(group["input_activations"]["strategy"], "token");
  EXPECT_EQ(group["input_activations"]["dynamic"], true);
  written.erase("quantization_config");
  EXPECT_EQ(written, nlohmann::ordered_json::parse(read_file(kWap + "/config.json")));
  EXPECT_EQ(read_file(dir_ / "out/tokenizer.json"), read_file(kWap + "/tokenizer.json"));
  const Model out = open_folder(dir_ / "out");
  EXPECT_EQ(out.find_weight("model.layers.0.mlp.up_proj.weight")->scheme,
            Scheme::kCompressedTensors);
  EXPECT_EQ(values_of(out, "lm_head.weight"), values_of(model, "lm_head.weight"));
}

TEST_F(QuantizeModelTest, LeavesWhatIsNotSelectedOrDoesNotFit) {
  const Model model = open_folder(kStories);
  QuantizeRequest asked = request("INT8-W8A16-RTN", model);
  asked.selection = [](const Weight& weight) { return weight.role != Role::kDown; };
  const QuantizeResult result = quantize_model(asked, {});
  EXPECT_EQ(result.quantized, 30u);
  const nlohmann::json ignore = config()["quantization_config"]["ignore"];
  EXPECT_EQ(ignore.size(), 6u);  // the tied head, and a matrix of each layer
  EXPECT_EQ(ignore[1], "model.layers.0.mlp.down_proj");
}

TEST_F(QuantizeModelTest, GoesOnAtTheBlockWhereItStopped) {
  const Model model = open_folder(kWap);
  QuantizeRequest asked = request("nf4-nested", model);
  std::atomic<bool> cancel = false;
  asked.workers = Workers{1, &cancel};
  QuantizeEvents events;
  events.on_progress = [&](const QuantizeProgress& now) { cancel = now.block == 2; };
  EXPECT_TRUE(quantize_model(asked, events).cancelled);
  EXPECT_FALSE(fs::exists(dir_ / "out"));
  ASSERT_TRUE(fs::exists(dir_ / "out.partial/model-00002-of-00005.safetensors"));
  const auto before = fs::last_write_time(dir_ / "out.partial/model-00002-of-00005.safetensors");

  // Another scheme does not go on from there.
  cancel = false;
  QuantizeRequest other = request("nf4", model);
  EXPECT_THAT(thrown_by([&] { quantize_model(other, {}); }).message, HasSubstr("other options"));

  std::vector<std::string> notes;
  events = {};
  events.on_note = [&](const std::string& text) { notes.push_back(text); };
  const QuantizeResult result = quantize_model(asked, events);
  EXPECT_FALSE(result.cancelled);
  EXPECT_EQ(result.kept_blocks, 2u);
  EXPECT_THAT(notes, testing::Contains("2 of 4 blocks are there from an earlier run"));
  EXPECT_EQ(fs::last_write_time(dir_ / "out/model-00002-of-00005.safetensors"), before);
  EXPECT_FALSE(fs::exists(dir_ / "out/qinspect-progress.json"));

  // The same as in one go.
  asked.output = dir_ / "whole";
  quantize_model(asked, {});
  for (const auto& entry : fs::directory_iterator(dir_ / "whole")) {
    const std::string name = entry.path().filename();
    EXPECT_EQ(read_file(dir_ / ("out/" + name)), read_file(entry.path())) << name;
  }
}

TEST_F(QuantizeModelTest, RefusesPlacesAndModels) {
  const Model model = open_folder(kWap);
  QuantizeRequest asked = request("nf4", model);
  asked.output = kWap + "/inside";
  EXPECT_THAT(thrown_by([&] { quantize_model(asked, {}); }).message, HasSubstr("inside"));
  asked.output = dir_ / "full";
  dir_.write("full/file", "x");
  EXPECT_EQ(thrown_by([&] { quantize_model(asked, {}); }).code, ErrorCode::kUsage);
  asked.output = dir_ / "none/out";
  EXPECT_EQ(thrown_by([&] { quantize_model(asked, {}); }).code, ErrorCode::kIo);
  asked.output = dir_ / "out";
  dir_.write("out.partial/theirs", "x");
  EXPECT_THAT(thrown_by([&] { quantize_model(asked, {}); }).message, HasSubstr("interrupted run"));

  const Model quantized = open_folder(kWap + "/wap-int8");
  EXPECT_THAT(thrown_by([&] { check_quantize(request("nf4", quantized)); }).message,
              HasSubstr("quantized already (llm_int8)"));
  const Model gguf = open_folder(kStories + "/stories260K-F16.gguf");
  EXPECT_EQ(thrown_by([&] { check_quantize(request("nf4", gguf)); }).code, ErrorCode::kUsage);
  const Model stories = open_folder(kStories);  // rows of 64 and 172
  EXPECT_THAT(thrown_by([&] { check_quantize(request("INT4-W4A16", stories)); }).message,
              HasSubstr("does not fit INT4-W4A16"));
}

// ---- schemes with a method
// -----------------------------------------------------------------------

class CalibratedSchemeTest : public QuantizeModelTest,
                             public testing::WithParamInterface<const char*> {
 protected:
  static std::shared_ptr<const CalibrationText> text(const Model& model) {
    CalibrationOptions how;
    how.samples = 2;
    how.length = 64;
    return std::make_shared<const CalibrationText>(
        read_calibration(kWap + "/calib.txt", how, model));
  }
};

TEST_P(CalibratedSchemeTest, IsReadBackAndResumesToTheSameBytes) {
  const Model model = open_folder(kWap);
  QuantizeRequest asked = request(GetParam(), model);
  asked.calibration = text(model);
  asked.method = scheme_method(*asked.scheme, {});
  std::atomic<bool> cancel = false;
  asked.workers = Workers{0, &cancel};
  QuantizeEvents events;
  events.on_progress = [&](const QuantizeProgress& now) {
    cancel = now.stage == "quantize" && now.block == 2;
  };
  EXPECT_TRUE(quantize_model(asked, events).cancelled);
  cancel = false;
  EXPECT_GE(quantize_model(asked, {}).kept_blocks, 1u);
  asked.output = dir_ / "whole";
  const QuantizeResult result = quantize_model(asked, {});
  EXPECT_EQ(result.quantized, 28u);
  for (const auto& entry : fs::directory_iterator(dir_ / "whole")) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(read_file(dir_ / ("out/" + name)) == read_file(entry.path())) << name;
  }
  const Model out = open_folder(dir_ / "out");
  EXPECT_TRUE(out.warnings.empty()) << out.warnings.front().message;
  // Scales that moved into a matrix came out of the norm before it: their product stays.
  const auto before = [](const Model& of) {
    const std::vector<float> norm = values_of(of, "model.layers.2.post_attention_layernorm.weight");
    std::vector<float> row = values_of(of, "model.layers.2.mlp.gate_proj.weight");
    row.resize(norm.size());
    for (std::size_t i = 0; i < row.size(); ++i) row[i] *= norm[i];
    return row;
  };
  double square = 0, error = 0;
  const std::vector<float> a = before(model), b = before(out);
  for (std::size_t i = 0; i < a.size(); ++i) {
    square += a[i] * a[i];
    error += (a[i] - b[i]) * (a[i] - b[i]);
  }
  EXPECT_LT(std::sqrt(error / square), asked.scheme->bits == 8 ? 0.02 : 0.3);

  const std::string name = "model.layers.3.mlp.down_proj.weight";
  EXPECT_EQ(out.find_weight(name)->bits, asked.scheme->bits);
  EXPECT_EQ(out.find_weight(name)->group_size, asked.scheme->group);
}

INSTANTIATE_TEST_SUITE_P(Schemes, CalibratedSchemeTest,
                         testing::Values("INT8-W8A16", "INT8-W8A8", "INT4-W4A16", "INT4-W4A16-AWQ",
                                         "gptq", "spqr"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(SchemeMethod, TakesTheOptionsThatLeaveTheLayoutAlone) {
  const QuantScheme& scheme = *find_quant_scheme("int4-w4a16");
  EXPECT_THAT(scheme_method(scheme, {{"percdamp", {"0.1"}}}).params.text(),
              HasSubstr("percdamp=0.1"));
  EXPECT_THAT(thrown_by([&] {
                scheme_method(scheme, {{"bits", {"3"}}});
              }).message,
              HasSubstr("--bits with --to INT4-W4A16"));
  EXPECT_THAT(thrown_by([&] {
                scheme_method(scheme, {{"percdamp", {"1", "2"}}});
              }).message,
              HasSubstr("2 configurations"));
}

}  // namespace
}  // namespace qi
