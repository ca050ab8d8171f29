#include "engine/format/qstore_plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <unordered_set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "engine/format/gguf_header.h"
#include "engine/format/gguf_layout.h"
#include "engine/format/hf_directory.h"
#include "engine/format/qstore_chain.h"
#include "engine/format/qstore_dedup.h"
#include "engine/format/qstore_grid_of.h"
#include "engine/format/safetensors.h"
#include "engine/quant/part_bytes.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestKernel = 16;  // a convolution's last axis

class Planner {
 public:
  Planner(const std::vector<PlanLevel>& levels, std::uint64_t block_weights)
      : levels_(levels), block_weights_(block_weights) {}

  QstorePlan plan() {
    grids_.resize(levels_.size());
    tensors_.resize(levels_.size());
    for (std::uint32_t i = 0; i < levels_.size(); ++i) {
      QstoreLevel& level = plan_.index.levels.emplace_back();
      level.name = plan_.keep(levels_[i].name);
      plan_.file_sources.emplace_back();
      if (levels_[i].source != nullptr) add_files(i);
      if (levels_[i].made) {
        add_made(i, *levels_[i].made);
      } else {
        find_grids(i);
      }
      check_names(level);
    }
    // From below: what a level's codes become decides what may stand on them.
    for (auto i = static_cast<std::uint32_t>(levels_.size()); i-- > 0;) chain_weights(i);
    order_streams();
    return std::move(plan_);
  }

 private:
  struct Cut {
    std::vector<Tensor> tensors;
    bool big_endian = false;
  };

  // ---- files ----

  void add_files(std::uint32_t number) {
    const PlanLevel& from = levels_[number];
    const Candidate& source = *from.source;
    QstoreLevel& level = plan_.index.levels[number];
    level.source =
        source.container == Container::kGguf ? QstoreSource::kGguf : QstoreSource::kSafetensors;
    std::map<std::string, QstoreFileRole, NameLess> names;  // within the folder
    std::string folder;
    std::vector<std::string> weights;
    for (const auto& file : from.model->files) weights.push_back(file->path());
    if (weights.empty()) {
      throw Error(ErrorCode::kMissing, "no files with weights", "one or more", from.path);
    }
    folder = fs::path(weights.front()).parent_path().string();
    if (folder.empty()) folder = ".";
    std::error_code ignored;
    level.single_file = !from.made && !fs::is_directory(from.path, ignored) && weights.size() == 1;
    if (fs::is_directory(from.path, ignored)) {
      const FolderFiles beside = regular_files(folder);
      for (const std::string& name : beside.names) {
        // A container in the model's folder was made of it: no container holds its predecessors.
        if (is_container(folder + "/" + name)) {
          ++containers_;
        } else {
          names[name] = QstoreFileRole::kBeside;
        }
      }
      links_ = beside.links;
    }
    for (const std::string& path : weights) {
      if (from.made)
        names.erase(own_name(path));
      else
        names[own_name(path)] = QstoreFileRole::kWeights;
    }
    if (from.made) names.erase("tensor_index.tsv");
    if (!source.index.empty()) names[own_name(source.index)] = QstoreFileRole::kShardIndex;
    for (const auto& [name, role] : names) {
      add_file(number, role, File::open(folder + "/" + name), name);
    }
  }

  static bool is_container(const std::string& path) {
    const auto file = File::open(path);
    std::array<std::byte, kQstoreMagicBytes> first;
    if (file->size() < first.size()) return false;
    file->read_at(0, first);
    return is_qstore_magic(first);
  }

  // Where the tensors of a file lie; of anything that is no sound file of ours, nowhere.
  static Cut cut(const std::shared_ptr<const File>& file, const std::string& name) {
    Cut found;
    try {
      std::vector<Warning> warnings;
      if (name.ends_with(".safetensors")) {
        found.tensors = read_safetensors(*file).tensors;
      } else if (name.ends_with(".gguf")) {
        GgufHeader header = read_gguf_header(file, warnings);
        found.tensors = place_gguf_tensors(header, 0, warnings);
        found.big_endian = header.big_endian;
      }
    } catch (const Error& error) {
      if (exit_status(error.code) != 2) throw;
      found = {};
    }
    std::sort(found.tensors.begin(), found.tensors.end(),
              [](const Tensor& a, const Tensor& b) { return a.offset < b.offset; });
    return found;
  }

  void add_file(std::uint32_t number, QstoreFileRole role, std::shared_ptr<const File> file,
                const std::string& name) {
    QstoreFile entry;
    entry.name = plan_.keep(name);
    entry.role = role;
    entry.size_bytes = file->size();
    // Blobs of a hub cache have no ending: what the level is says what they hold.
    std::string kind = name;
    if (role == QstoreFileRole::kWeights) {
      kind = plan_.index.levels[number].source == QstoreSource::kGguf ? ".gguf" : ".safetensors";
    }
    const Cut found = cut(file, kind);
    std::vector<ByteSourcePtr> literals;
    std::uint64_t literal = 0;
    std::uint64_t at = 0;
    const auto put_literal = [&](std::uint64_t end) {
      if (end == at) return;
      literals.push_back(source_of_file(file, at, end - at));
      literal += end - at;
      at = end;
    };
    for (const Tensor& tensor : found.tensors) {
      if (tensor.size_bytes == 0) continue;
      put_literal(tensor.offset);
      const std::uint32_t stream = add_stream(
          number,
          shaped(source_of_file(file, tensor.offset, tensor.size_bytes), tensor, found.big_endian));
      entry.segments.push_back({literal, stream, plan_.keep(tensor.name)});
      if (role == QstoreFileRole::kWeights) tensors_[number].emplace(tensor.name, stream);
      literal = 0;
      at = tensor.offset + tensor.size_bytes;
    }
    put_literal(file->size());
    if (!literals.empty()) entry.literals = add_literals(number, std::move(literals));
    plan_.source_bytes += file->size();
    plan_.file_sources[number].push_back(source_of_file(file, 0, file->size()));
    plan_.index.levels[number].files.push_back(std::move(entry));
    plan_.files.push_back(std::move(file));
  }

  static PlannedStream shaped(ByteSourcePtr source, const Tensor& tensor, bool big_endian) {
    PlannedStream stream;
    stream.source = std::move(source);
    stream.dtype = tensor.dtype;
    stream.big_endian = big_endian;
    const auto elements = element_count(tensor.shape);
    const bool known = tensor.dtype != DType::kUnknown && elements && *elements != 0 &&
                       stored_bytes(tensor.dtype, *elements) == tensor.size_bytes;
    if (!known) {
      stream.dtype = DType::kUnknown;
      return stream;
    }
    stream.cols = tensor.shape.empty() ? 1 : tensor.shape.back();
    stream.rows = *elements / stream.cols;
    stream.class_cols = stream.cols;
    if (tensor.shape.size() > 2 && stream.cols <= kLargestKernel) {
      stream.class_cols = *elements / tensor.shape.front();
    }
    return stream;
  }

  std::uint32_t add_literals(std::uint32_t level, std::vector<ByteSourcePtr> parts) {
    PlannedStream stream;
    stream.source = parts.size() == 1 ? parts.front() : source_of_parts(std::move(parts));
    stream.literal = true;
    return add_stream(level, std::move(stream));
  }

  // The same bytes are stored once, in the lowest level that needs them.
  std::uint32_t add_stream(std::uint32_t level, PlannedStream stream) {
    if (const auto known = distinct_.find(*stream.source)) {
      QstoreStream& first = plan_.index.streams[*known];
      first.level = std::max(first.level, level);
      return *known;
    }
    const auto number = static_cast<std::uint32_t>(plan_.index.streams.size());
    distinct_.add(stream.source, number);
    QstoreStream& entry = plan_.index.streams.emplace_back();
    entry.level = level;
    entry.size_bytes = stream.source->size();
    entry.unit_bytes = unit_of(stream, block_weights_);
    plan_.streams.push_back(std::move(stream));
    return number;
  }

  static void check_names(const QstoreLevel& level) {
    std::unordered_set<std::string> taken;
    for (const QstoreFile& file : level.files) {
      if (!is_safe_file_name(file.name)) {
        throw Error(ErrorCode::kPath, fmt::format("file name \"{}\"", file.name),
                    "a single name of at most 255 bytes", std::string(file.name));
      }
      if (!taken.insert(folded_name(file.name)).second) {
        throw Error(ErrorCode::kDuplicate,
                    fmt::format("two files are called \"{}\" but for their case", file.name),
                    "names that can stand in any file system", std::string(file.name));
      }
    }
  }

  // ---- versions of a matrix ----

  std::optional<std::uint32_t> stream_of(std::uint32_t level, const std::string& tensor) const {
    const auto found = tensors_[level].find(tensor);
    if (found == tensors_[level].end()) return std::nullopt;
    return found->second;
  }

  void find_grids(std::uint32_t number) {
    const Model& model = *levels_[number].model;
    if (model.big_endian) return;
    for (const Weight& weight : model.weights) {
      const auto grid = grid_of(
          model, weight, [&](const std::string& tensor) { return stream_of(number, tensor); });
      if (grid) grids_[number].emplace(weight.name, *grid);
    }
  }

  // Matrices of a level, each with the nearest version below it that it can stand on.
  void chain_weights(std::uint32_t number) {
    for (const auto& [weight, grid] : grids_[number]) {
      QstoreChain chain;
      chain.own = grid;
      chain_weight(number, weight, grid.codes, chain);
    }
    if (levels_[number].made) {
      for (const MadeTensor& made : levels_[number].made->tensors) {
        if (made.tensor.shape.size() == 2) chain_floats(number, made.tensor.name, made.tensor);
      }
      return;
    }
    const Model& model = *levels_[number].model;
    for (const Weight& weight : model.weights) {
      const Tensor& tensor = model.tensor(weight.parts.front());
      const bool matrix = weight.scheme == Scheme::kNone && weight.shape.size() == 2 &&
                          weight.shape == tensor.shape && weight.params != 0;
      if (matrix && !model.big_endian) chain_floats(number, weight.name, tensor);
    }
  }

  void chain_floats(std::uint32_t number, const std::string& weight, const Tensor& tensor) {
    const auto stream = stream_of(number, tensor.name);
    if (!stream || (tensor.dtype != DType::kBF16 && tensor.dtype != DType::kF16)) return;
    QstoreChain chain;
    chain.is_f16 = tensor.dtype == DType::kF16;
    chain_weight(number, weight, *stream, chain);
  }

  void chain_weight(std::uint32_t number, const std::string& weight, std::uint32_t stream,
                    QstoreChain& chain) {
    if (plan_.index.streams[stream].method != QstoreMethod::kRaw) return;  // shared, and wishes so
    for (std::uint32_t low = number + 1; low < levels_.size(); ++low) {
      const auto grid = grids_[low].find(weight);
      if (grid == grids_[low].end()) continue;
      chain.low = grid->second;
      if (try_pair(stream, chain) || try_chain(stream, chain)) break;
    }
  }

  // LLM.int8() of 16-bit numbers has a codec of its own.
  bool try_pair(std::uint32_t number, const QstoreChain& chain) {
    const QstoreGrid& low = chain.low;
    if (chain.own || low.scales_as != GridScales::kAbsmax) return false;
    QstoreStream& high = plan_.index.streams[number];
    const QstoreStream& codes = plan_.index.streams[low.codes];
    const QstoreStream& scales = plan_.index.streams[low.scales];
    const bool fits = codes.level >= high.level && scales.level >= high.level &&
                      2 * codes.size_bytes == high.size_bytes &&
                      2 * codes.unit_bytes == high.unit_bytes &&
                      high.unit_bytes % (2 * low.cols) == 0 && scales.size_bytes == 4 * low.rows &&
                      low.cols <= UINT32_MAX && codes.method != QstoreMethod::kPair;
    if (!fits) return false;
    high.method = QstoreMethod::kPair;  // a wish: the writer measures whether it pays
    high.pairing = {chain.is_f16, low.cols, low.codes, low.scales};
    return true;
  }

  bool try_chain(std::uint32_t number, const QstoreChain& chain) {
    QstoreStream& high = plan_.index.streams[number];
    const auto own = chain.own ? grid_sizes(*chain.own) : GridSizes{.line = 2 * chain.low.cols};
    if (!own || plan_.index.streams[chain.low.codes].level <= high.level) return false;
    // Words of four or eight codes: as many weights a block as elsewhere.
    const std::uint64_t weights =
        std::max<std::uint64_t>(1, chain.low.rows * chain.low.cols /
                                       std::max<std::uint64_t>(1, high.size_bytes / own->line));
    const std::uint64_t lines = std::max<std::uint64_t>(1, block_weights_ / weights);
    const std::uint64_t unit =
        own->line * std::min({lines, std::max<std::uint64_t>(1, kQstoreMaxBlock / own->line),
                              high.size_bytes / own->line});
    const auto size_of = [&](std::uint32_t stream) {
      return plan_.index.streams[stream].size_bytes;
    };
    if (unit == 0 || own->line > kQstoreMaxBlock ||
        !chain_fits(chain, high.size_bytes, unit, size_of)) {
      return false;
    }
    high.method = QstoreMethod::kChain;  // a wish, too
    high.unit_bytes = unit;
    high.chain = chain;
    return true;
  }

  // ---- checkpoints that are made ----

  void add_made(std::uint32_t number, const MadeLevel& made) {
    QstoreLevel& level = plan_.index.levels[number];
    level.source = QstoreSource::kSafetensors;
    level.computed = true;
    std::vector<Tensor> tensors;
    std::vector<PlannedStream> streams;
    for (const MadeTensor& from : made.tensors) {
      tensors.push_back(from.tensor);
      streams.push_back(shaped(from.source, from.tensor, false));
    }
    const std::string header = safetensors_header(tensors, {{{"format", "pt"}}});
    add_made_file(number, "model.safetensors", header, tensors, std::move(streams));
    for (const MadeLevel::Layer& layer : made.layers) {
      const Tensor& codes = tensors[layer.codes];
      const auto codes_stream = stream_of(number, codes.name);
      const auto scales_stream = stream_of(number, tensors[layer.scales].name);
      if (!codes_stream || !scales_stream || codes.shape.size() != 2) continue;
      grids_[number].emplace(
          layer.weight, int8_grid(codes.shape[0], codes.shape[1], *codes_stream, *scales_stream));
    }
    if (levels_[number].source == nullptr) add_made_config(number);
  }

  static ByteSourcePtr text_source(const std::string& text) {
    const auto bytes = std::as_bytes(std::span(text));
    return source_of_memory({bytes.begin(), bytes.end()});
  }

  void add_made_file(std::uint32_t number, const std::string& name, const std::string& header,
                     const std::vector<Tensor>& tensors, std::vector<PlannedStream> streams) {
    QstoreFile entry;
    entry.name = plan_.keep(name);
    entry.role = tensors.empty() ? QstoreFileRole::kBeside : QstoreFileRole::kWeights;
    entry.size_bytes = header.size();
    std::vector<ByteSourcePtr> whole = {text_source(header)};
    std::uint64_t literal = header.size();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].size_bytes == 0) continue;
      whole.push_back(streams[i].source);
      entry.size_bytes += tensors[i].size_bytes;
      const std::uint32_t stream = add_stream(number, std::move(streams[i]));
      entry.segments.push_back({literal, stream, plan_.keep(tensors[i].name)});
      tensors_[number].emplace(tensors[i].name, stream);
      literal = 0;
    }
    entry.literals = add_literals(number, {whole.front()});
    plan_.source_bytes += entry.size_bytes;
    plan_.file_sources[number].push_back(source_of_parts(std::move(whole)));
    plan_.index.levels[number].files.push_back(std::move(entry));
  }

  // What loads the checkpoint must know how it is quantized.
  void add_made_config(std::uint32_t number) {
    for (const QstoreFile& file : plan_.index.levels[0].files) {
      if (file.name != "config.json" || !file.literals || !file.segments.empty()) continue;
      const ByteSource& source = *plan_.streams[*file.literals].source;
      Buffer scratch;
      const auto bytes = source.bytes(0, static_cast<std::size_t>(source.size()), scratch);
      auto config = nlohmann::ordered_json::parse(
          reinterpret_cast<const char*>(bytes.data()),
          reinterpret_cast<const char*>(bytes.data() + bytes.size()), nullptr, false);
      if (!config.is_object()) return;
      config["quantization_config"] = {{"load_in_8bit", true}, {"quant_method", "bitsandbytes"}};
      add_made_file(number, "config.json", config.dump(2) + "\n", {}, {});
      return;
    }
  }

  // ---- order ----

  // The lowest level first: whoever wants only that one reads the front of the file.
  void order_streams() {
    const std::size_t count = plan_.index.streams.size();
    std::vector<std::uint32_t> order(count);
    for (std::uint32_t i = 0; i < count; ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return plan_.index.streams[a].level > plan_.index.streams[b].level;
    });
    std::vector<std::uint32_t> place(count);
    std::vector<QstoreStream> streams;
    std::vector<PlannedStream> planned;
    for (std::uint32_t i = 0; i < count; ++i) {
      place[order[i]] = i;
      streams.push_back(std::move(plan_.index.streams[order[i]]));
      planned.push_back(std::move(plan_.streams[order[i]]));
    }
    for (QstoreStream& stream : streams) {
      for_each_reference(stream, [&](std::uint32_t& number) { number = place[number]; });
    }
    for (QstoreLevel& level : plan_.index.levels) {
      for (QstoreFile& file : level.files) {
        if (file.literals) file.literals = place[*file.literals];
        for (QstoreSegment& segment : file.segments) segment.stream = place[segment.stream];
      }
    }
    plan_.index.streams = std::move(streams);
    plan_.streams = std::move(planned);
    if (links_ != 0) {
      plan_.notes.push_back(fmt::format("links beside the weights are left out: {}", links_));
    }
    if (containers_ != 0) {
      plan_.notes.push_back(
          fmt::format("containers beside the weights are left out: {}", containers_));
    }
  }

  const std::vector<PlanLevel>& levels_;
  std::uint64_t block_weights_;
  QstorePlan plan_;
  DistinctBytes distinct_;
  std::vector<std::unordered_map<std::string, std::uint32_t>> tensors_;  // of weights, by level
  std::vector<std::map<std::string, QstoreGrid>> grids_;                 // by weight's name
  std::uint64_t links_ = 0;
  std::uint64_t containers_ = 0;
};

}  // namespace

std::string_view QstorePlan::keep(std::string name) {
  return names.emplace_back(std::move(name));
}

QstorePlan plan_container(const std::vector<PlanLevel>& levels, std::uint64_t block_weights) {
  return Planner(levels, block_weights).plan();
}

}  // namespace qi
