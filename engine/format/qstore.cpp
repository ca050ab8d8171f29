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
  source.whole_folder = !folder.level().single_file && !folder.level().computed;
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

using StreamsByName = std::unordered_map<std::string_view, const QstoreStream*>;

StreamsByName streams_of(const QstoreContainer& container, std::uint32_t level) {
  StreamsByName streams;
  for (const QstoreFile& file : container.index().levels[level].files) {
    if (file.role != QstoreFileRole::kWeights) continue;
    for (const QstoreSegment& segment : file.segments) {
      streams[segment.name] = &container.index().streams[segment.stream];
    }
  }
  return streams;
}

// What each weight takes in the container: its parts' streams.
void count_bytes(const QstoreContainer& container, std::uint32_t level, Model& model) {
  const StreamsByName streams = streams_of(container, level);
  for (Weight& weight : model.weights) {
    std::uint64_t sum = 0;
    for (const Part& part : weight.parts) {
      const auto found = streams.find(model.tensor(part).name);
      if (found != streams.end()) sum += found->second->stored_bytes();
    }
    weight.container_bytes = sum;
  }
}

const Weight* find_sorted(const Model& model, const std::string& name) {
  const auto found = std::lower_bound(
      model.weights.begin(), model.weights.end(), name,
      [](const Weight& a, const std::string& wanted) { return compare_names(a.name, wanted) < 0; });
  if (found != model.weights.end() && found->name == name) return &*found;
  return model.find_weight(name);
}

// Weights that are stored as what the int8 version below them leaves open say so.
void mark_pairs(const QstoreContainer& container, Model& all) {
  std::vector<StreamsByName> streams;
  for (std::uint32_t i = 0; i < all.levels.size(); ++i) streams.push_back(streams_of(container, i));
  for (Weight& weight : all.weights) {
    if (weight.scheme != Scheme::kNone || weight.level + 1 >= all.levels.size()) continue;
    const auto found = streams[weight.level].find(all.tensor(weight.parts.front()).name);
    if (found == streams[weight.level].end()) continue;
    if (found->second->method != QstoreMethod::kPair) continue;
    weight.scheme = Scheme::kQstore;
    weight.format = "residual";
  }
}

// The high version with the int8 codes below it: what the pair model looks at.
class PairedReader : public WeightReader {
 public:
  PairedReader(const Model& model, const Weight& weight, std::unique_ptr<WeightReader> high,
               std::unique_ptr<WeightReader> low)
      : WeightReader(model, weight), high_(std::move(high)), low_(std::move(low)) {}

  int code_bits() const override { return low_->code_bits(); }

 protected:
  void read_values(const Tile& tile, float* out) override { high_->values(tile, out); }
  void read_codes(const Tile& tile, std::uint16_t* out) override { low_->codes(tile, out); }

 private:
  std::unique_ptr<WeightReader> high_;
  std::unique_ptr<WeightReader> low_;
};

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
  const FileOpener open = [folder](const std::string& path, ErrorCode absent) {
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
  model.open_beside = open;
  count_bytes(*container, level, model);
  return model;
}

Model open_qstore(const std::string& path, bool first_level_only, const std::string& base) {
  const auto container = QstoreContainer::open(File::open(path), base);
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
  mark_pairs(*container, all);
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
  const auto reader_of = [&](std::size_t number, const Weight& own) {
    return open_scheme_reader(*model.levels[number].model, own);
  };
  const Weight* own = find_sorted(*model.levels[weight.level].model, weight.name);
  if (own == nullptr) {
    throw Error(ErrorCode::kMissing, "no such weight in its level", {}, model.path);
  }
  std::unique_ptr<WeightReader> reader = reader_of(weight.level, *own);
  if (weight.scheme != Scheme::kQstore) return reader;
  for (std::size_t low = weight.level + std::size_t{1}; low < model.levels.size(); ++low) {
    const Weight* below = find_sorted(*model.levels[low].model, weight.name);
    if (below == nullptr || below->scheme != Scheme::kLlmInt8) continue;
    return std::make_unique<PairedReader>(model, weight, std::move(reader), reader_of(low, *below));
  }
  return reader;
}

}  // namespace qi
