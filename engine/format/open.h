// From a path to models: what can be opened there (README, "What PATH is"), one of them opened, and
// a reader for its weights. Reads directories, headers and indexes, never payload.
// Refuses nothing silently: what is not chosen is named in `others` and `notes`.
// Functions of any thread; the Model returned is read-only afterwards and may be shared.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/tensor/model.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// One model that can be opened.
struct Candidate {
  std::string path;  // a file, or the folder that holds `files`
  std::string name;  // the model column: the folder's or file's own name, without its ending
  Container container = Container::kSafetensors;
  std::vector<std::string> files = {};  // paths of the files with weights, in natural order
  /// A guess from names and the first metadata; Model::kind is the judge.
  ModelKind kind = ModelKind::kModel;
  /// The *.index.json that names the shards; empty without one.
  std::string index = {};
};

struct Catalog {
  std::vector<Candidate> models;   // what PATH means: --list covers all of these
  std::vector<Candidate> others;   // also there, for the picker; each is named in `notes`
  std::vector<std::string> notes;  // raw text, one fact a line
};

struct OpenOptions {
  std::optional<DType> prototype_dtype;  // for prototype directories whose name does not tell
  bool first_level_only = false;         // of containers: the highest precision alone
  std::string base = {};  // of containers that stand on another one: where it is, if not beside
};

/// What `path` (file or directory) is. Throws kIo when it is absent or unreadable, kMissing for a
/// directory without any weights, kBadMagic for a file of no known kind, kNotRegular.
Catalog find_models(const std::string& path);

/// Opens a candidate: headers, index and config only. `weights` come in natural order.
/// Throws the README's error classes, naming the file at fault.
Model open_model(const Candidate& candidate, const OpenOptions& options = {});

/// A reader of `weight`, which must belong to `model`; both must outlive it. One thread at a time.
/// Throws kBadDtype when its values cannot be decoded (Weight::undecodable says why).
std::unique_ptr<WeightReader> open_reader(const Model& model, const Weight& weight);

}  // namespace qi
