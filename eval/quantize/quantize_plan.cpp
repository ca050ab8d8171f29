#include "eval/quantize/quantize_plan.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "engine/io/atomic_folder.h"
#include "engine/io/xxh3.h"
#include "eval/calibration/calibrated_model.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

/// A matrix that engines hold as a linear layer of a block.
bool is_linear(const Weight& weight) {
  switch (weight.role) {
    case Role::kQ:
    case Role::kK:
    case Role::kV:
    case Role::kQkv:
    case Role::kO:
    case Role::kGate:
    case Role::kUp:
    case Role::kGateUp:
    case Role::kDown:
      return weight.layer >= 0 && weight.shape.size() == 2 && weight.name.ends_with(".weight");
    default:
      return false;
  }
}

/// What loaders take for linear layers besides, unless they are told not to.
bool may_look_linear(const Weight& weight) {
  return weight.shape.size() == 2 && weight.name.ends_with(".weight") &&
         weight.role != Role::kEmbed && weight.role != Role::kNorm;
}

[[noreturn]] void refuse(std::string message, std::string expected, const std::string& file) {
  throw Error(ErrorCode::kUsage, std::move(message), std::move(expected), file);
}

void check_model(const QuantizeRequest& request) {
  const Model& model = *request.model;
  if (model.container != Container::kSafetensors) {
    refuse(fmt::format("a {} model for --to {}", container_name(model.container),
                       request.scheme->name),
           "a model in safetensors; GGUF files go to ggml types", model.path);
  }
  if (model.kind != ModelKind::kModel) {
    refuse(fmt::format("is of kind {}", kind_name(model.kind)), "a language model", model.path);
  }
  if (!request.scheme->family.empty() && request.selection) {
    refuse(fmt::format("--tensors with --to {}", request.scheme->name),
           "all linear layers: what is done to one depends on the others", {});
  }
  for (const Weight& weight : model.weights) {
    if (weight.scheme == Scheme::kNone) continue;
    refuse(fmt::format("{} is quantized already ({})", weight.name, scheme_name(weight.scheme)),
           "a model of floats", model.path);
  }
}

/// OUT may not appear inside the folder that is read.
void check_place(const QuantizeRequest& request) {
  check_output_folder(request.output);
  const fs::path source = fs::weakly_canonical(request.model->path);
  if (!fs::is_directory(source)) return;
  const fs::path place = fs::weakly_canonical(fs::absolute(request.output));
  const auto [end, unused] =
      std::mismatch(source.begin(), source.end(), place.begin(), place.end());
  if (end == source.end()) {
    refuse("lies inside the model that is read", "a folder elsewhere", request.output);
  }
}

std::string hash_text(const std::string& text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string identity_of(const QuantizeRequest& request, const QuantizePlan& plan) {
  const Model& model = *request.model;
  std::string source;
  for (const auto& file : model.files) {
    source += fmt::format("{} {}\n", file->size(), file->identity().mtime_ns);
  }
  for (const Tensor& tensor : model.tensors) {
    source += fmt::format("{} {} {}\n", tensor.name, tensor.offset, tensor.size_bytes);
  }
  std::string chosen;
  for (const std::string& name : plan.modules.quantized) chosen += name + "\n";
  return fmt::format("scheme={};method={};calibration={};model={};weights={}", request.scheme->name,
                     request.method ? request.method->params.text() : "",
                     request.calibration ? request.calibration->digest : "", hash_text(source),
                     hash_text(chosen));
}

class PlanMaker {
 public:
  explicit PlanMaker(const QuantizeRequest& request) : request_(request) {}

  QuantizePlan make() {
    const Model& model = *request_.model;
    plan_.format = layout_format(*request_.scheme, model_type());
    int layers = 0;
    bool has_head = false;
    for (const Weight& weight : model.weights) {
      layers = std::max(layers, weight.layer + 1);
      has_head = has_head || weight.role == Role::kHead;
    }
    plan_.shards.resize(static_cast<std::size_t>(layers) + 1);
    // Loaders make a head of their own from tied embeddings.
    if (!has_head) plan_.modules.left.push_back("lm_head");
    for (const Weight& weight : model.weights) add(weight);
    if (plan_.quantized == 0) {
      refuse("no matrix to quantize", "linear layers of blocks", model.path);
    }
    plan_.identity = identity_of(request_, plan_);
    return std::move(plan_);
  }

 private:
  DType model_type() const {
    for (const Weight& weight : request_.model->weights) {
      if (is_linear(weight)) return request_.model->tensor(weight.parts.front()).dtype;
    }
    return DType::kBF16;
  }

  void add(const Weight& weight) {
    const bool quantized = is_target(weight);
    const auto layer = static_cast<std::size_t>(weight.layer);
    plan_.shards[weight.layer < 0 ? plan_.blocks() : layer].push_back({&weight, quantized});
    if (quantized) {
      plan_.modules.quantized.push_back(module_of(weight.name));
      plan_.elements += weight.params;
      ++plan_.quantized;
      return;
    }
    plan_.modules.plain_weights.push_back(weight.name);
    if (may_look_linear(weight)) plan_.modules.left.push_back(module_of(weight.name));
  }

  bool is_target(const Weight& weight) {
    const bool calibrated = !request_.scheme->family.empty();
    if (!(calibrated ? is_block_linear(weight) : is_linear(weight))) return false;
    if (request_.selection && !request_.selection(weight)) return false;
    const std::string reason = unfit(plan_.format, weight.rows(), weight.cols());
    if (reason.empty()) return true;
    refuse(fmt::format("{} does not fit {}: {}", weight.name, request_.scheme->name, reason),
           "matrices that do", request_.model->path);
  }

  const QuantizeRequest& request_;
  QuantizePlan plan_;
};

}  // namespace

QuantizePlan make_quantize_plan(const QuantizeRequest& request) {
  check_place(request);
  check_model(request);
  return PlanMaker(request).make();
}

void check_quantize(const QuantizeRequest& request) {
  make_quantize_plan(request);
}

}  // namespace qi
