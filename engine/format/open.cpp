#include "engine/format/open.h"

#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf.h"
#include "engine/format/hf_directory.h"
#include "engine/format/prototype.h"
#include "engine/format/qstore.h"
#include "engine/quant/scheme.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

Model open_safetensors(const Candidate& candidate) {
  HuggingFaceSource source;
  source.files = candidate.files;
  source.index = candidate.index;
  std::error_code ignored;
  source.whole_folder =
      !candidate.index.empty() || std::filesystem::is_directory(candidate.path, ignored);
  if (source.whole_folder) {
    source.folder = candidate.path;
  } else {
    source.folder = std::filesystem::path(candidate.path).parent_path().string();
    if (source.folder.empty()) source.folder = ".";
  }
  Model model = open_hugging_face(source);
  model.path = candidate.path;
  if (candidate.kind == ModelKind::kAdapter) {
    model.kind = ModelKind::kAdapter;
  } else {
    // A folder may hold a model and, beside it, adapters made from it: those facts are theirs.
    model.adapter_rank.reset();
    model.base_model.clear();
  }
  build_weights(model);
  return model;
}

}  // namespace

Model open_model(const Candidate& candidate, const OpenOptions& options) {
  Model model;
  switch (candidate.container) {
    case Container::kSafetensors:
      model = open_safetensors(candidate);
      break;
    case Container::kGguf:
      model = open_gguf(candidate.files);
      model.path = candidate.path;
      build_weights(model);
      break;
    case Container::kPrototype:
      model = open_prototype(candidate.path, options.prototype_dtype);
      break;
    case Container::kQstore:
      model = open_qstore(candidate.path, options.first_level_only, options.base);
      break;
  }
  model.path = candidate.path;
  model.name = candidate.name;
  if (model.config == nullptr) {
    model.config = std::make_shared<const nlohmann::json>(nlohmann::json::object());
  }
  return model;
}

std::unique_ptr<WeightReader> open_reader(const Model& model, const Weight& weight) {
  switch (model.container) {
    case Container::kPrototype:
      return open_prototype_reader(model, weight);
    case Container::kQstore:
      return open_qstore_reader(model, weight);
    default:
      return open_scheme_reader(model, weight);
  }
}

}  // namespace qi
