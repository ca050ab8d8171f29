#include "engine/format/qstore.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/gguf.h"
#include "engine/format/hf_directory.h"
#include "engine/quant/scheme.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

// Paths as the readers of files see them: "CONTAINER/LEVEL/NAME".
class LevelFolder {
 public:
  LevelFolder(std::shared_ptr<const QstoreContainer> container, std::uint32_t level)
      : container_(std::move(container)), level_(level) {}

  const QstoreLevel& level() const { return container_->index().levels[level_]; }
  std::string path() const { return fmt::format("{}/{}", container_->file().path(), level().name); }
  std::vector<std::string> paths(QstoreFileRole role) const {
    std::vector<std::string> found;
    for (const QstoreFile& file : level().files) {
      if (file.role == role) found.push_back(fmt::format("{}/{}", path(), file.name));
    }
    return found;
  }
  std::shared_ptr<const File> open(const std::string& wanted, ErrorCode absent) const {
    const std::string folder = path() + "/";
    for (std::uint32_t i = 0; i < level().files.size(); ++i) {
      if (wanted == folder + std::string(level().files[i].name)) {
        return container_->open_file(level_, i);
      }
    }
    throw Error(absent, "cannot open: no such file in the container", {}, wanted);
  }

 private:
  std::shared_ptr<const QstoreContainer> container_;
  std::uint32_t level_;
};

Model open_safetensors_level(const LevelFolder& folder, const FileOpener& open) {
  HuggingFaceSource source;
  source.folder = folder.path();
  source.files = folder.paths(QstoreFileRole::kWeights);
  const std::vector<std::string> indexes = folder.paths(QstoreFileRole::kShardIndex);
  if (!indexes.empty()) source.index = indexes.front();
  source.whole_folder = !folder.level().single_file;
  source.open = open;
  Model model = open_hugging_face(source);
  const bool adapter = std::any_of(source.files.begin(), source.files.end(), [](const auto& path) {
    return own_name(path).starts_with("adapter_model");
  });
  if (adapter) {
    model.kind = ModelKind::kAdapter;
  } else {
    model.adapter_rank.reset();
    model.base_model.clear();
  }
  return model;
}

// What each weight takes in the container: its parts' streams.
void count_bytes(const QstoreContainer& container, std::uint32_t level, Model& model) {
  std::unordered_map<std::string_view, std::uint64_t> stored;
  for (const QstoreFile& file : container.index().levels[level].files) {
    if (file.role != QstoreFileRole::kWeights) continue;
    for (const QstoreSegment& segment : file.segments) {
      stored[segment.name] = container.index().streams[segment.stream].stored_bytes();
    }
  }
  for (Weight& weight : model.weights) {
    std::uint64_t sum = 0;
    for (const Part& part : weight.parts) {
      const auto found = stored.find(model.tensor(part).name);
      if (found != stored.end()) sum += found->second;
    }
    weight.container_bytes = sum;
  }
}

void append_level(Model& all, const Model& level, std::uint32_t number) {
  const auto first_file = static_cast<std::uint32_t>(all.files.size());
  const auto first_tensor = static_cast<std::uint32_t>(all.tensors.size());
  all.files.insert(all.files.end(), level.files.begin(), level.files.end());
  for (Tensor tensor : level.tensors) {
    tensor.file += first_file;
    all.tensors.push_back(std::move(tensor));
  }
  for (Weight weight : level.weights) {
    for (Part& part : weight.parts) part.tensor += first_tensor;
    weight.level = number;
    all.weights.push_back(std::move(weight));
  }
  all.warnings.insert(all.warnings.end(), level.warnings.begin(), level.warnings.end());
  all.notes.insert(all.notes.end(), level.notes.begin(), level.notes.end());
}

}  // namespace

Model open_qstore_level(const std::shared_ptr<const QstoreContainer>& container,
                        std::uint32_t level) {
  const LevelFolder folder(container, level);
  const FileOpener open = [&](const std::string& path, ErrorCode absent) {
    return folder.open(path, absent);
  };
  Model model;
  const std::vector<std::string> weights = folder.paths(QstoreFileRole::kWeights);
  switch (folder.level().source) {
    case QstoreSource::kSafetensors:
      model = open_safetensors_level(folder, open);
      break;
    case QstoreSource::kGguf:
      if (weights.empty()) {
        throw Error(ErrorCode::kMissing, "a level without files with weights", "one or more",
                    folder.path());
      }
      model = open_gguf(weights, open);
      break;
    case QstoreSource::kFiles:
      model.notes.push_back(
          fmt::format("level {} holds files without weights", folder.level().name));
      break;
  }
  build_weights(model);
  if (model.config == nullptr) {
    model.config = std::make_shared<const nlohmann::json>(nlohmann::json::object());
  }
  model.path = folder.path();
  model.name = folder.level().name;
  count_bytes(*container, level, model);
  return model;
}

Model open_qstore(const std::string& path, bool first_level_only) {
  const auto container = QstoreContainer::open(File::open(path));
  const std::size_t levels = first_level_only ? 1 : container->index().levels.size();
  Model all;
  for (std::uint32_t i = 0; i < levels; ++i) {
    auto level = std::make_shared<Model>(open_qstore_level(container, i));
    if (i == 0) {
      all.kind = level->kind;
      all.architecture = level->architecture;
      all.adapter_rank = level->adapter_rank;
      all.base_model = level->base_model;
      all.big_endian = level->big_endian;
      all.metadata = level->metadata;
      all.config = level->config;
    }
    append_level(all, *level, i);
    all.levels.push_back({std::string(container->index().levels[i].name), std::move(level)});
  }
  // One below the other, so that the levels of a weight stand together.
  if (levels > 1) {
    std::stable_sort(all.weights.begin(), all.weights.end(), [](const Weight& a, const Weight& b) {
      return compare_names(a.name, b.name) < 0;
    });
  }
  all.container = Container::kQstore;
  return all;
}

std::unique_ptr<WeightReader> open_qstore_reader(const Model& model, const Weight& weight) {
  const Model& level = *model.levels[weight.level].model;
  auto found = std::lower_bound(
      level.weights.begin(), level.weights.end(), weight.name,
      [](const Weight& a, const std::string& name) { return compare_names(a.name, name) < 0; });
  // Weights of one name, should there be any, stand in the same order as in the whole model.
  const Weight* own = found != level.weights.end() && found->name == weight.name
                          ? &*found
                          : level.find_weight(weight.name);
  if (own == nullptr)
    throw Error(ErrorCode::kMissing, "no such weight in its level", {}, level.path);
  return open_scheme_reader(level, *own);
}

}  // namespace qi
