// One model as opened: its files, stored tensors, logical weights and metadata; headers only.
// Built by engine/format, then read-only and shared between threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/io/file.h"
#include "engine/tensor/metadata.h"
#include "engine/tensor/weight.h"

namespace qi {

enum class Container : std::uint8_t { kSafetensors, kGguf, kPrototype, kQstore };
std::string_view container_name(Container container);

enum class ModelKind : std::uint8_t { kModel, kAdapter, kProjector, kImatrix };
std::string_view kind_name(ModelKind kind);

struct Model;

/// One precision of a model in a container: a whole checkpoint of its own.
struct ModelLevel {
  std::string name;
  std::shared_ptr<const Model> model;
};

struct Model {
  std::string path;  // what was opened: a file or a directory, as given
  std::string name;  // the model column: the folder's or file's own name
  Container container = Container::kSafetensors;
  ModelKind kind = ModelKind::kModel;
  std::string architecture;  // "LlamaForCausalLM", "llama"; may be empty
  /// Adapters: rank and base model, from adapter_config.json or GGUF keys.
  std::optional<std::uint64_t> adapter_rank;
  std::string base_model;
  bool big_endian = false;  // GGUF payload byte order
  std::vector<std::shared_ptr<const File>> files;
  std::vector<Tensor> tensors;                   // as stored
  std::vector<Weight> weights;                   // in natural order: layers by number
  Metadata metadata;                             // GGUF keys, safetensors __metadata__
  std::shared_ptr<const nlohmann::json> config;  // config.json; never null (an empty object)
  /// Of a container, from high to low precision: files, tensors and weights are those of all
  /// levels, everything else is the first level's. Empty for all others.
  std::vector<ModelLevel> levels;
  std::vector<Warning> warnings;
  std::vector<std::string> notes;        // facts worth a line: other models beside this one
  FileOpener open_beside = &File::open;  // opens files of the folder that `files` are in

  std::uint64_t params() const;
  /// Bytes of all stored tensors.
  std::uint64_t size_bytes() const;
  double bits_per_weight() const;
  /// nullptr when there is no weight of that name.
  const Weight* find_weight(std::string_view weight_name) const;
  const Tensor& tensor(const Part& part) const { return tensors[part.tensor]; }
  const File& file(const Tensor& stored) const { return *files[stored.file]; }
  /// Of a container the level of highest precision, which has the files beside; else this model.
  const Model& first_level() const { return levels.empty() ? *this : *levels.front().model; }
  /// Path of a file in the folder of the first one, on the disk or in the container.
  std::string path_beside(std::string_view file_name) const;
  /// Its whole text; nothing when there is none. Throws as read_text_file().
  std::optional<std::string> text_beside(std::string_view file_name, std::uint64_t limit) const;
};

}  // namespace qi
