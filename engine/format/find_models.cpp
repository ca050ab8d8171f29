#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>

#include <fmt/format.h>

#include "engine/format/hf_directory.h"
#include "engine/format/magic.h"
#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "engine/io/reader.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxFolderDepth = 6;            // hub caches: models--x/snapshots/revision
constexpr std::size_t kMaxFolders = 20'000;   // looked into below one PATH
constexpr std::size_t kMaxModels = 10'000;    // offered by one PATH
constexpr std::uint32_t kMaxPeekedKeys = 64;  // general.type stands among the first
constexpr std::string_view kIndexEnding = ".safetensors.index.json";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

/// "name-00002-of-00003" before an ending: its prefix, number and count.
struct ShardName {
  std::string prefix;
  std::uint32_t number;
  std::uint32_t count;
};

std::optional<ShardName> shard_name(std::string_view name, std::string_view ending) {
  constexpr std::size_t kTail = 15;  // "-00001-of-00003"
  if (!name.ends_with(ending)) return std::nullopt;
  name.remove_suffix(ending.size());
  if (name.size() <= kTail) return std::nullopt;
  const std::string_view tail = name.substr(name.size() - kTail);
  const auto number = [&](std::size_t at) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    for (const char c : tail.substr(at, 5)) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + static_cast<std::uint32_t>(c - '0');
    }
    return value;
  };
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-") return std::nullopt;
  const auto part = number(1);
  const auto count = number(10);
  if (!part || !count) return std::nullopt;
  return ShardName{std::string(name.substr(0, name.size() - kTail)), *part, *count};
}

/// What a GGUF file says it is, from its first keys; a model when it does not say.
ModelKind gguf_kind(const std::string& path) {
  try {
    const auto file = File::open(path);
    Reader in(file);
    in.skip(4, "magic");
    auto version = in.number<std::uint32_t>("version");
    if ((version & 0xffff) == 0) in.set_big_endian(true);
    in.skip(8, "tensor count");
    const auto keys = in.number<std::uint64_t>("key count");
    const auto text = [&in](std::uint64_t most) {
      const auto length = in.number<std::uint64_t>("length");
      if (length > most) return std::string();
      const auto bytes = in.take(static_cast<std::size_t>(length), "text");
      return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    constexpr std::array<std::uint8_t, 13> kSizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(keys, kMaxPeekedKeys); ++i) {
      const std::string key = text(1024);
      const auto type = in.number<std::uint32_t>("type");
      if (key.empty() || type >= kSizes.size() || type == 9) break;
      if (type != 8) {
        in.skip(kSizes[type], "value");
        continue;
      }
      const std::string value = text(1 << 20);
      if (key != "general.type" && key != "general.architecture") continue;
      if (value == "adapter") return ModelKind::kAdapter;
      if (value == "mmproj" || value == "clip") return ModelKind::kProjector;
      if (value == "imatrix") return ModelKind::kImatrix;
      if (key == "general.type") break;
    }
  } catch (const Error&) {
    // Opening the file will say what is wrong with it.
  }
  return ModelKind::kModel;
}

/// The entries of one folder, sorted by what they are; names in natural order.
struct Folder {
  std::vector<std::string> safetensors;   // the model's, or candidates for it
  std::vector<std::string> consolidated;  // a second copy in another layout
  std::vector<std::string> adapters;
  std::vector<std::string> ggufs;
  std::vector<std::string> qstores;
  std::vector<std::string> indexes;
  std::vector<std::string> pickles;  // never opened; named when there is nothing else
  std::vector<std::string> folders;
  bool prototype = false;
};

Folder read_folder(const std::string& path) {
  Folder folder;
  std::error_code error;
  fs::directory_iterator it(path, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    // A link is what it leads to; one that leads nowhere is left to the reader to complain about.
    if (it->is_directory(ignored)) {
      if (name == "model.safetensors") folder.safetensors.push_back(name);  // refused on opening
      if (!name.starts_with('.')) folder.folders.push_back(name);
      continue;
    }
    const std::string low = lower(name);
    if (low.ends_with(".safetensors")) {
      if (low.starts_with("consolidated")) {
        folder.consolidated.push_back(name);
      } else if (low.starts_with("adapter_model")) {
        folder.adapters.push_back(name);
      } else {
        folder.safetensors.push_back(name);
      }
    } else if (low.ends_with(kIndexEnding)) {
      if (!low.starts_with("consolidated")) folder.indexes.push_back(name);
    } else if (low.ends_with(".gguf")) {
      folder.ggufs.push_back(name);
    } else if (low.ends_with(".qstore")) {
      folder.qstores.push_back(name);
    } else if (low.ends_with(".bin") || low.ends_with(".pt") || low.ends_with(".pth") ||
               low.ends_with(".ckpt")) {
      folder.pickles.push_back(name);
    }
    if (name == "tensor_index.tsv" || name == "all_quantized.bin") folder.prototype = true;
  }
  if (error) {
    throw Error(ErrorCode::kIo, fmt::format("cannot read folder: {}", error.message()), {}, path);
  }
  for (auto* names : {&folder.safetensors, &folder.consolidated, &folder.adapters, &folder.ggufs,
                      &folder.qstores, &folder.indexes, &folder.folders}) {
    std::sort(names->begin(), names->end(), NameLess());
  }
  return folder;
}

std::vector<std::string> paths_of(const std::string& folder,
                                  const std::vector<std::string>& names) {
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(folder + "/" + name);
  return paths;
}

/// Files that lie side by side are one model unless they give a tensor name twice.
bool share_names(const std::vector<std::string>& paths) {
  std::unordered_set<std::string> names;
  for (const std::string& path : paths) {
    try {
      const auto file = File::open(path);
      for (const Tensor& tensor : read_safetensors(*file).tensors) {
        if (!names.insert(tensor.name).second) return true;
      }
    } catch (const Error&) {
      continue;  // opening it will say what is wrong
    }
  }
  return false;
}

class Finder {
 public:
  Catalog find(const std::string& path) {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) {
      const int reason = errno;
      throw Error(reason == ELOOP ? ErrorCode::kNotRegular : ErrorCode::kIo,
                  fmt::format("cannot open: {}", std::strerror(reason)), {}, path);
    }
    if (!S_ISDIR(st.st_mode)) {
      catalog_.models.push_back(file_candidate(path));
      return std::move(catalog_);
    }
    std::string folder = path;
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    look_into(folder, 0);
    if (catalog_.models.empty()) {
      catalog_.models = std::move(catalog_.others);
      catalog_.others.clear();
    }
    if (catalog_.models.empty()) {
      throw Error(ErrorCode::kMissing,
                  pickle_.empty() ? "no model in this folder"
                                  : fmt::format("no model in this folder, but {}: a Python pickle, "
                                                "which is never opened",
                                                pickle_),
                  "*.safetensors, *.gguf, *.qstore or tensor_index.tsv", path);
    }
    tell_apart(folder);
    for (const Candidate& other : catalog_.others) {
      std::string_view where = other.files.empty() ? other.path : other.files.front();
      if (where.starts_with(folder) && where.size() > folder.size() + 1) {
        where.remove_prefix(folder.size() + 1);
      }
      catalog_.notes.push_back(fmt::format(
          "also here: {} ({}{})", where, container_name(other.container),
          other.kind == ModelKind::kModel ? std::string()
                                          : fmt::format(", {}", kind_name(other.kind))));
    }
    return std::move(catalog_);
  }

 private:
  void add(std::vector<Candidate>& list, Candidate candidate) {
    if (catalog_.models.size() + catalog_.others.size() < kMaxModels) {
      list.push_back(std::move(candidate));
    }
  }

  /// Adds what `path` holds; sub-folders only when that is nothing.
  void look_into(const std::string& path, int depth) {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) return;
    if (!visited_.insert({st.st_dev, st.st_ino}).second || visited_.size() > kMaxFolders) return;
    Folder folder;
    try {
      folder = read_folder(path);
    } catch (const Error& error) {
      if (depth == 0) throw;
      catalog_.notes.push_back(describe(error));
      return;
    }
    if (add_folder(path, folder)) return;
    if (pickle_.empty() && !folder.pickles.empty()) pickle_ = folder.pickles.front();
    if (depth >= kMaxFolderDepth) return;
    for (const std::string& name : folder.folders) look_into(path + "/" + name, depth + 1);
  }

  /// The models of one folder, in the README's order, "What PATH is"; false without any.
  bool add_folder(const std::string& path, const Folder& folder) {
    const std::size_t before = catalog_.models.size() + catalog_.others.size();
    const bool has_own = add_own_model(path, folder);
    auto& rest = has_own ? catalog_.others : catalog_.models;
    add_ggufs(path, folder, rest);
    for (const std::string& name : folder.qstores) {
      const std::string file = path + "/" + name;
      add(rest, {.path = file,
                 .name = own_name(file, ".qstore"),
                 .container = Container::kQstore,
                 .files = {file}});
    }
    // Adapters and second copies are the folder's model only when there is no other, and only then
    // bear its name.
    const auto name_for = [&](std::string_view what) {
      const bool alone = catalog_.models.size() + catalog_.others.size() == before;
      return alone ? own_name(path) : fmt::format("{}/{}", own_name(path), what);
    };
    for (const std::string& name : folder.adapters) {
      add(catalog_.others, {.path = path,
                            .name = name_for(own_name(name, ".safetensors")),
                            .container = Container::kSafetensors,
                            .files = {path + "/" + name},
                            .kind = ModelKind::kAdapter});
    }
    if (!folder.consolidated.empty()) {
      add(catalog_.others, {.path = path,
                            .name = name_for("consolidated"),
                            .container = Container::kSafetensors,
                            .files = paths_of(path, folder.consolidated)});
    }
    return catalog_.models.size() + catalog_.others.size() > before;
  }

  bool add_own_model(const std::string& path, const Folder& folder) {
    Candidate model{.path = path, .name = own_name(path)};
    if (folder.prototype) {
      model.container = Container::kPrototype;
      model.files = paths_of(path, {"all_quantized.bin", "all_original.bin"});
      add(catalog_.models, std::move(model));
      return true;
    }
    if (!folder.indexes.empty()) {
      const bool usual = std::binary_search(folder.indexes.begin(), folder.indexes.end(),
                                            "model.safetensors.index.json", NameLess());
      model.index = path + "/" + (usual ? "model.safetensors.index.json" : folder.indexes.front());
      model.files = paths_of(path, folder.safetensors);
      add(catalog_.models, std::move(model));
      return true;
    }
    if (folder.safetensors.empty()) return false;
    const auto& names = folder.safetensors;
    if (std::find(names.begin(), names.end(), "model.safetensors") != names.end()) {
      model.files = {path + "/model.safetensors"};
      add(catalog_.models, std::move(model));
      for (const std::string& name : names) {
        if (name != "model.safetensors") add(catalog_.others, lone_file(path + "/" + name));
      }
      return true;
    }
    model.files = paths_of(path, names);
    const bool shards = std::all_of(names.begin(), names.end(), [](const std::string& name) {
      return shard_name(name, ".safetensors").has_value();
    });
    if (names.size() > 1 && !shards && share_names(model.files)) {
      for (const std::string& file : model.files) add(catalog_.models, lone_file(file));
    } else {
      add(catalog_.models, std::move(model));
    }
    return true;
  }

  static Candidate lone_file(const std::string& file) {
    return {.path = file,
            .name = own_name(file, ".safetensors"),
            .container = Container::kSafetensors,
            .files = {file}};
  }

  static std::string part_name(const std::string& folder, const std::string& prefix,
                               std::uint32_t number, std::uint32_t count) {
    return fmt::format("{}/{}-{:05}-of-{:05}.gguf", folder, prefix, number, count);
  }

  /// Puts the parts that a split model lacks among those found (in order), so that opening says
  /// which are missing. A lone part is opened as what it is.
  static void name_missing_parts(const std::string& folder, const std::string& prefix,
                                 std::uint32_t count, std::vector<std::string>& files) {
    if (files.size() < 2) return;
    for (std::uint32_t i = 1; i <= count; ++i) {
      const std::string name = part_name(folder, prefix, i, count);
      if (i > files.size() || files[i - 1] != name) files.insert(files.begin() + (i - 1), name);
    }
  }

  void add_ggufs(const std::string& path, const Folder& folder, std::vector<Candidate>& rest) {
    std::map<std::pair<std::string, std::uint32_t>, std::size_t> splits;
    std::vector<Candidate> found;
    for (const std::string& name : folder.ggufs) {
      const std::string file = path + "/" + name;
      if (const auto part = shard_name(name, ".gguf")) {
        const auto [it, fresh] = splits.insert({{part->prefix, part->count}, found.size()});
        if (!fresh) {
          found[it->second].files.push_back(file);
          continue;
        }
        found.push_back({.path = path,
                         .name = part->prefix,
                         .container = Container::kGguf,
                         .files = {file},
                         .kind = gguf_kind(file)});
      } else {
        found.push_back({.path = file,
                         .name = own_name(file, ".gguf"),
                         .container = Container::kGguf,
                         .files = {file},
                         .kind = gguf_kind(file)});
      }
    }
    for (const auto& [split, index] : splits) {
      name_missing_parts(path, split.first, split.second, found[index].files);
    }
    for (Candidate& candidate : found) {
      const bool model = candidate.kind == ModelKind::kModel;
      add(model ? rest : catalog_.others, std::move(candidate));
    }
  }

  Candidate file_candidate(const std::string& path) {
    const std::string name = own_name(path);
    const std::string low = lower(name);
    const fs::path parent = fs::path(path).parent_path();
    const std::string folder = parent.empty() ? "." : parent.string();
    if (low.ends_with(kIndexEnding)) {
      return {.path = folder, .name = own_name(folder), .index = path};
    }
    if (name == "tensor_index.tsv" || name == "all_quantized.bin" || name == "all_original.bin") {
      return {.path = folder, .name = own_name(folder), .container = Container::kPrototype};
    }
    if (low.ends_with(".qstore")) {
      return {.path = path,
              .name = own_name(path, ".qstore"),
              .container = Container::kQstore,
              .files = {path}};
    }
    if (low.ends_with(".gguf")) return gguf_file(path, folder);
    if (low.ends_with(".safetensors")) {
      Candidate candidate = lone_file(path);
      if (low.starts_with("adapter_model")) candidate.kind = ModelKind::kAdapter;
      return candidate;
    }
    return by_content(path);
  }

  /// Blobs of a hub cache have no ending: the first bytes tell.
  static Candidate by_content(const std::string& path) {
    const auto file = File::open(path);
    const std::string_view likely = likely_format(*file);
    if (likely == "a GGUF file") {
      return {.path = path,
              .name = own_name(path),
              .container = Container::kGguf,
              .files = {path},
              .kind = gguf_kind(path)};
    }
    if (likely == "a safetensors file") return lone_file(path);
    if (likely == "a QStore container") {
      return {
          .path = path, .name = own_name(path), .container = Container::kQstore, .files = {path}};
    }
    throw Error(
        ErrorCode::kBadMagic,
        likely.empty() ? "not a model file" : fmt::format("not a model file, but {}", likely),
        ".safetensors, .gguf, .qstore, or a folder with one", path, 0);
  }

  static Candidate gguf_file(const std::string& path, const std::string& folder) {
    Candidate candidate{.path = path,
                        .name = own_name(path, ".gguf"),
                        .container = Container::kGguf,
                        .files = {path},
                        .kind = gguf_kind(path)};
    const auto part = shard_name(own_name(path), ".gguf");
    if (!part) return candidate;
    // Any part of a split model stands for all of it.
    std::vector<std::string> parts;
    for (std::uint32_t i = 1; i <= part->count; ++i) {
      const std::string other = part_name(folder, part->prefix, i, part->count);
      struct stat st {};
      if (::stat(other.c_str(), &st) != 0) return candidate;  // a lone part is opened as such
      parts.push_back(other);
    }
    if (parts.size() > 1) {
      candidate.files = std::move(parts);
      candidate.name = part->prefix;
    }
    return candidate;
  }

  /// Gives models of the same name names that say where they lie.
  void tell_apart(const std::string& root) {
    std::map<std::string, int> uses;
    const auto each = [&](auto&& visit) {
      for (Candidate& candidate : catalog_.models) visit(candidate);
      for (Candidate& candidate : catalog_.others) visit(candidate);
    };
    // A hub cache calls its folders by revision: "models--org--name/snapshots/<revision>".
    each([&](Candidate& candidate) {
      const std::size_t at = candidate.path.find("models--");
      const std::size_t snapshots = candidate.path.find("/snapshots/");
      if (at == std::string::npos || snapshots == std::string::npos || snapshots < at) return;
      if (candidate.container != Container::kSafetensors) return;
      const std::string repository = candidate.path.substr(at, snapshots - at);
      candidate.name = repository.substr(repository.rfind("--") + 2);
    });
    each([&](Candidate& candidate) { ++uses[candidate.name]; });
    each([&](Candidate& candidate) {
      if (uses[candidate.name] < 2) return;
      std::string_view where = candidate.path;
      if (!where.starts_with(root) || where.size() <= root.size() + 1) {
        if (!candidate.files.empty()) where = candidate.files.front();
      }
      if (where.starts_with(root) && where.size() > root.size() + 1) {
        candidate.name = std::string(where.substr(root.size() + 1));
      }
    });
  }

  Catalog catalog_;
  std::set<std::pair<dev_t, ino_t>> visited_;
  std::string pickle_;
};

}  // namespace

Catalog find_models(const std::string& path) {
  return Finder().find(path);
}

}  // namespace qi
