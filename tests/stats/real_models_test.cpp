// The analysis of bundled models, of every container: what must agree does.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/format/open.h"
#include "engine/stats/statistics.h"
#include "tests/support/data.h"

namespace qi {
namespace {

using test::kData;

Model opened(const std::string& path) {
  const Catalog catalog = find_models(kData + "/" + path);
  return open_model(catalog.models.at(0));
}

Statistics analysed(const Model& model, const std::string& name) {
  const Weight* weight = model.find_weight(name);
  if (weight == nullptr) throw Error(ErrorCode::kMissing, name);
  return analyse(model, *weight, [&] { return open_reader(model, *weight); });
}

TEST(RealModels, EveryWeightOfTheTrainedModelHasItsColumns) {
  const Model model = opened("models/wap");
  for (const Weight& weight : model.weights) {
    std::uint64_t progress = 0;
    AnalyseOptions options;
    options.threads = 1;
    options.progress = [&](std::uint64_t bytes) { progress += bytes; };
    const Statistics s = analyse(
        model, weight, [&] { return open_reader(model, weight); }, options);
    EXPECT_EQ(progress, weight.size_bytes);
    EXPECT_EQ(s.nan, 0) << weight.name;
    EXPECT_GT(*s.std, 0);
    EXPECT_LE(*s.h_exponent + *s.h_mantissa + *s.h_sign + 1e-9, 16);
    EXPECT_LE(*s.h_symbol, *s.h_exponent + *s.h_mantissa + *s.h_sign + 1e-9);
    EXPECT_LE(*s.h_symbol, *s.h_bytes + 1e-9);
    EXPECT_EQ(s.h_int8.has_value(), weight.shape.size() == 2);
    if (weight.shape.size() != 2) continue;
    EXPECT_GT(*s.ratio_pair, 2.0) << weight.name;
    EXPECT_LT(*s.ratio_pair, 2.7) << weight.name;
  }
}

TEST(RealModels, ComputedInt8AgreesWithTheStoredOne) {
  const Model high = opened("models/wap");
  const Model low = opened("models/wap/wap-int8");
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.weight", "model.layers.3.mlp.down_proj.weight"}) {
    const Statistics computed = analysed(high, name);
    const Statistics stored = analysed(low, name);
    // The stored one was made from an fp16 cast; a few codes in 100,000 differ.
    EXPECT_NEAR(*computed.h_int8, *stored.h_int8, 2e-4) << name;
    EXPECT_EQ(stored.h_int8, stored.h_symbol);
    EXPECT_NEAR(*computed.std, *stored.std, 1e-4 * *computed.std + 1e-6);
    EXPECT_FALSE(stored.h_residual.has_value());
  }
}

TEST(RealModels, APrototypeDirectorySaysWhatItsSourceSays) {
  const Model prototype = opened("prototype-dirs/wap2-mixedprec-bf16-int8");
  const Model source = opened("models/wap");
  for (const Weight& weight : prototype.weights) {
    const Statistics a = analysed(prototype, weight.name);
    const Statistics b = analysed(source, weight.name);
    EXPECT_EQ(a.min, b.min);
    EXPECT_EQ(a.mean, b.mean);
    EXPECT_EQ(a.std, b.std);
    EXPECT_EQ(a.h_symbol, b.h_symbol);
    EXPECT_EQ(a.h_exponent, b.h_exponent);
    EXPECT_EQ(a.ratio_planes, b.ratio_planes);
    EXPECT_NEAR(*a.h_int8, *b.h_int8, 1e-3);
    // The stored codes come from an fp16 cast: tiny weights may miss their interval.
    EXPECT_NEAR(*a.h_residual, *b.h_residual, 0.3);
    EXPECT_NE(a.h_bytes, b.h_bytes);  // of the compressed segments
    EXPECT_EQ(a.values, b.values);
  }
}

TEST(RealModels, AGgufSaysWhatTheSafetensorsFileSays) {
  const Model gguf = opened("models/stories260K/stories260K-F32.gguf");
  for (const Weight& weight : gguf.weights) {
    const Statistics s = analysed(gguf, weight.name);
    EXPECT_EQ(s.nan, 0);
    EXPECT_TRUE(s.h_exponent.has_value());
    EXPECT_TRUE(s.h_bytes.has_value());
    EXPECT_EQ(s.h_int8.has_value(), weight.shape.size() == 2);
  }
}

TEST(RealModels, EverySchemeAndBlockTypeCanBeAnalysed) {
  std::vector<std::string> paths;
  for (const char* folder : {"checkpoints", "models/stories260K/quantized"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kData + "/" + folder)) {
      const bool model = entry.is_directory() || entry.path().extension() == ".gguf";
      if (model) paths.push_back(std::string(folder) + "/" + entry.path().filename().string());
    }
  }
  ASSERT_GE(paths.size(), 19u);
  for (const std::string& path : paths) {
    const Model model = opened(path);
    std::size_t quantized = 0;
    for (const Weight& weight : model.weights) {
      if (!weight.undecodable.empty() || weight.params == 0) continue;
      SCOPED_TRACE(path + " " + weight.name);
      const Statistics s = analysed(model, weight.name);
      EXPECT_TRUE(s.zeros && s.h_bytes && s.ratio_zstd && s.ratio_lz4);
      EXPECT_LE(*s.h_bytes, weight.bits_per_weight() + 1e-9);
      if (weight.scheme == Scheme::kNone || !s.h_symbol) continue;
      ++quantized;
      EXPECT_LE(*s.h_symbol, 16);
      EXPECT_GT(*s.ratio_planes, 0.99);
      EXPECT_EQ(s.h_int8.has_value(), weight.scheme == Scheme::kLlmInt8);
      EXPECT_FALSE(s.h_residual.has_value());
    }
    if (path.find("F32") == std::string::npos) {
      EXPECT_GT(quantized, 0u) << path;
    }
  }
}

}  // namespace
}  // namespace qi
