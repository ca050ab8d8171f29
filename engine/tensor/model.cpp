#include "engine/tensor/model.h"

#include <algorithm>
#include <array>

namespace qi {
namespace {

constexpr std::array<std::string_view, 19> kRoleNames = {
    "embed", "head",   "q",    "k",    "v",      "qkv",    "o",      "gate",  "up",   "gate_up",
    "down",  "router", "norm", "bias", "lora_a", "lora_b", "vision", "audio", "other"};
constexpr std::array<std::string_view, 29> kSchemeNames = {
    "none",    "llm_int8",  "nf4",    "fp4",   "gptq",    "awq",    "compressed-tensors",
    "fp8",     "fp8-block", "mxfp4",  "nvfp4", "ggml",    "spqr",   "qstore",
    "unknown", "hqq",       "aqlm",   "quip",  "vptq",    "exl2",   "exl3",
    "eetq",    "quanto",    "bitnet", "quark", "torchao", "marlin", "qqq",
    "bitblas"};
constexpr std::array<std::string_view, 4> kZeroPointNames = {"", "none", "int", "float"};
constexpr std::array<std::string_view, 4> kContainerNames = {"safetensors", "gguf",
                                                             "qstore-prototype", "qstore"};
constexpr std::array<std::string_view, 4> kKindNames = {"model", "adapter", "projector", "imatrix"};

}  // namespace

std::string_view role_name(Role role) {
  return kRoleNames[static_cast<std::size_t>(role)];
}
std::string_view scheme_name(Scheme scheme) {
  return kSchemeNames[static_cast<std::size_t>(scheme)];
}
std::string_view zero_point_name(ZeroPoint zero_point) {
  return kZeroPointNames[static_cast<std::size_t>(zero_point)];
}
std::string_view container_name(Container container) {
  return kContainerNames[static_cast<std::size_t>(container)];
}
std::string_view kind_name(ModelKind kind) {
  return kKindNames[static_cast<std::size_t>(kind)];
}

std::uint64_t Model::params() const {
  std::uint64_t sum = 0;
  for (const Weight& weight : weights) sum += weight.params;
  return sum;
}

std::uint64_t Model::size_bytes() const {
  std::uint64_t sum = 0;
  for (const Tensor& stored : tensors) sum += stored.size_bytes;
  return sum;
}

double Model::bits_per_weight() const {
  const std::uint64_t count = params();
  return count == 0 ? 0.0 : 8.0 * static_cast<double>(size_bytes()) / static_cast<double>(count);
}

const Weight* Model::find_weight(std::string_view weight_name) const {
  const auto it = std::find_if(weights.begin(), weights.end(),
                               [&](const Weight& weight) { return weight.name == weight_name; });
  return it == weights.end() ? nullptr : &*it;
}

std::string Model::path_beside(std::string_view file_name) const {
  const std::string& first = files.front()->path();
  const std::size_t slash = first.rfind('/');
  return (slash == std::string::npos ? "./" : first.substr(0, slash + 1)) + std::string(file_name);
}

std::optional<std::string> Model::text_beside(std::string_view file_name,
                                              std::uint64_t limit) const {
  return read_text_file(path_beside(file_name), limit, open_beside);
}

}  // namespace qi
