// Bits per weight of every method on every bundled model, compared with bench/ratios.csv, so that a
// change of ratio shows in the diff. QI_RECORD_RATIOS=1 writes the file anew.
//
// store … pair: the tensors alone (methods.h), in bits for each weight; file_…: a whole container
// of the files with weights, index included; file_pair: with int8 made of it, both precisions;
// file_chain: with 8 and 4 bits in groups of 128, all three. Empty: there are no 16-bit matrices.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "engine/codec/methods.h"
#include "tests/format/qstore_fixture.h"
#include "tests/support/data.h"
#include "tests/support/quantized_checkpoint.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

using test::kData;
const std::string kRecorded = kData + "/../../bench/ratios.csv";

constexpr const char* kModels[] = {
    "wap",
    "wap/wap-int8",
    "wap/wap-fp16-int8",
    "stories260K",
    "stories260K/stories260K-F16.gguf",
    "stories260K/stories260K-F32.gguf",
    "stories260K/quantized/pad192-Q8_0.gguf",
    "stories260K/quantized/pad192-Q4_K_M.gguf",
};

std::string bits(std::uint64_t bytes, std::uint64_t params) {
  return fmt::format("{:.3f}", 8.0 * static_cast<double>(bytes) / static_cast<double>(params));
}

// What a method makes of all tensors; of those it knows nothing about, what planes do.
std::string method_bits(const Model& model, CodecMethod method, bool ratio, std::uint64_t params) {
  std::uint64_t sum = 0;
  bool any = false;
  for (const Tensor& tensor : model.tensors) {
    Buffer scratch;
    const auto bytes = model.files[tensor.file]->bytes(
        tensor.offset, static_cast<std::size_t>(tensor.size_bytes), scratch);
    MethodInput input{bytes, tensor.dtype, 0};
    if (tensor.shape.size() > 1) input.cols = static_cast<std::size_t>(tensor.shape.back());
    auto size = method_bytes(method, input, ratio);
    any = any || size.has_value();
    if (!size) size = method_bytes(CodecMethod::kPlanes, input, ratio);
    sum += *size;
  }
  return any ? bits(sum, params) : std::string();
}

std::string row_of(const std::string& name) {
  const std::string path = kData + "/models/" + name;
  const Model model = open_model(find_models(path).models.at(0));
  std::uint64_t params = 0;
  for (const Weight& weight : model.weights) params += weight.params;
  std::string row = fmt::format("{},{}", name, params);
  const auto add = [&row](const std::string& cell) { row.append(1, ',').append(cell); };
  for (const MethodInfo& method : codec_methods()) {
    add(method_bits(model, method.method, false, params));
    if (method.method == CodecMethod::kPlanes) {
      add(method_bits(model, method.method, true, params));
    }
  }
  // Files with weights alone: a tokenizer says nothing about codecs.
  test::TempDir dir;
  std::string source = path;
  if (fs::is_directory(path)) {
    source = dir / "model";
    fs::create_directories(source);
    for (const auto& entry : fs::directory_iterator(path)) {
      const std::string file = entry.path().filename().string();
      if (file.ends_with(".safetensors") || file.ends_with("index.json") ||
          (file == "config.json" && name != "wap")) {
        fs::copy_file(entry.path(), source + "/" + file);
      }
    }
  }
  EncodeOptions options;
  for (const PlaneEffort effort : {PlaneEffort::kFast, PlaneEffort::kRatio}) {
    options.effort = effort;
    add(bits(test::encode(dir / "m.qstore", {source}, options).container_bytes, params));
  }
  std::string pair;
  try {
    pair = bits(test::encode(dir / "m.qstore", {source, "int8"}).container_bytes, params);
  } catch (const Error& error) {
    EXPECT_EQ(error.code, ErrorCode::kUsage);  // no 16-bit matrices
  }
  add(pair);
  std::string chain;
  if (name == "wap") {
    const auto lower = [&](int bits) {
      const std::string folder = fmt::format("{}/w{}", dir.path(), bits);
      test::write_quantized(source, folder, {test::CodeLayout::kGptq, bits});
      return folder;
    };
    const std::vector<std::string> levels = {source, lower(8), lower(4)};
    chain = bits(test::encode(dir / "m.qstore", levels).container_bytes, params);
  }
  add(chain);
  row.append(1, '\n');
  return row;
}

TEST(RatiosTest, AreThoseRecorded) {
  std::string found =
      "model,params,store,lz4,zstd,huffman,planes_fast,planes_ratio,pair,file_fast,file_ratio,"
      "file_pair,file_chain\n";
  for (const char* model : kModels) found += row_of(model);
  if (std::getenv("QI_RECORD_RATIOS") != nullptr) {
    std::ofstream(kRecorded) << found;
    return;
  }
  EXPECT_EQ(found, test::read_file(kRecorded)) << "record it with QI_RECORD_RATIOS=1";
}

}  // namespace
}  // namespace qi
