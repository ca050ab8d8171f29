#include "eval/quantize/quantize_model.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "engine/checkpoint/checkpoint_folder.h"
#include "engine/checkpoint/row_coder.h"
#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "eval/calibration/calibrated_model.h"
#include "eval/quantize/kept_block.h"
#include "eval/quantize/quantize_plan.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxConfigText = 16'777'216;

// What loaders look for beside the weights.
constexpr std::array<std::string_view, 20> kSideFiles = {"generation_config.json",
                                                         "tokenizer.json",
                                                         "tokenizer_config.json",
                                                         "special_tokens_map.json",
                                                         "added_tokens.json",
                                                         "tokenizer.model",
                                                         "tokenizer.tiktoken",
                                                         "spiece.model",
                                                         "vocab.json",
                                                         "vocab.txt",
                                                         "merges.txt",
                                                         "chat_template.jinja",
                                                         "chat_template.json",
                                                         "processor_config.json",
                                                         "preprocessor_config.json",
                                                         "video_preprocessor_config.json",
                                                         "LICENSE",
                                                         "LICENSE.txt",
                                                         "NOTICE",
                                                         "USE_POLICY.md"};

template <typename Use>
void for_each_word(std::string_view text, char between, const Use& use) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(between), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// Of the codes without what stands beside them, and of all that is left as it is.
std::uint64_t about_bytes(const QuantizePlan& plan, const QuantScheme& scheme) {
  std::uint64_t bytes = plan.elements * static_cast<std::uint64_t>(scheme.bits) / 8;
  for (const auto& shard : plan.shards) {
    for (const PlannedWeight& planned : shard) {
      if (!planned.quantized) bytes += planned.weight->size_bytes;
    }
  }
  return bytes;
}

/// A shard as it is coded, with scales of their own size at the most, and one matrix of it as
/// numbers, as codes and packed.
std::uint64_t shard_memory(const QuantizePlan& plan, const QuantScheme& scheme) {
  std::uint64_t most = 0;
  for (const auto& shard : plan.shards) {
    std::uint64_t elements = 0, largest = 0;
    for (const PlannedWeight& planned : shard) {
      if (!planned.quantized) continue;
      elements += planned.weight->params;
      largest = std::max(largest, planned.weight->params);
    }
    most = std::max(most, 2 * elements * static_cast<std::uint64_t>(scheme.bits) / 8 +
                              3 * largest * sizeof(float));
  }
  return most;
}

class ModelQuantizer {
 public:
  ModelQuantizer(const QuantizeRequest& request, const QuantizeEvents& events)
      : request_(request),
        events_(events),
        model_(*request.model),
        plan_(make_quantize_plan(request)),
        folder_(request.output, plan_.identity, plan_.shards.size(), request.restart) {}

  QuantizeResult run() {
    for (std::uint64_t block = 0; block < plan_.blocks(); ++block) {
      result_.kept_blocks += folder_.has(block) ? 1 : 0;
    }
    if (result_.kept_blocks == 0) folder_.need(about_bytes(plan_, *request_.scheme));
    if (result_.kept_blocks > 0) {
      note(fmt::format("{} of {} blocks are there from an earlier run", result_.kept_blocks,
                       plan_.blocks()));
    }
    if (!(request_.method ? write_calibrated() : write_shards()) || !finish()) {
      result_.cancelled = true;
      return result_;
    }
    folder_.commit();
    return result_;
  }

 private:
  void note(const std::string& text) const {
    if (events_.on_note) events_.on_note(text);
  }

  void progress(std::string_view stage, std::uint64_t block, double done) const {
    if (events_.on_progress) events_.on_progress({stage, block, plan_.blocks(), done});
  }

  /// A method's: the walk through the model hands out matrix after matrix, and a block becomes a
  /// shard when it is whole.
  bool write_calibrated() {
    CalibratedEvents walk;
    walk.hold = [&](CodedMatrix& coded) { hold(plan_.format, coded); };
    walk.on_weight = [&](CalibratedMatrix&& matrix) { add_matrix(std::move(matrix)); };
    walk.on_changed = [&](const Weight& weight, std::span<const float> values) {
      changed_[weight.name].assign(values.begin(), values.end());
    };
    walk.on_block = [&](std::uint64_t block, std::uint64_t) { write_block(block); };
    walk.finished = [&](const Weight& weight) { return kept(weight); };
    walk.on_progress = [&](const CalibratedProgress& now) {
      progress("quantize", now.block, now.done);
    };
    if (!quantize_calibrated(model_, *request_.method, *request_.calibration, request_.workers,
                             walk)) {
      return false;
    }
    write_block(plan_.blocks());  // what stands outside of them
    return true;
  }

  void add_matrix(CalibratedMatrix&& matrix) {
    const std::string& name = matrix.weight.name;
    if (!matrix.errors.note.empty()) note(fmt::format("{}: {}", name, matrix.errors.note));
    QuantizedWeight quantized = quantize_coded(plan_.format, name, matrix.coded, request_.workers);
    if (events_.on_weight) {
      QuantizedFacts facts = facts_of(name, matrix.coded);
      facts.snr_db = matrix.errors.weight.snr_db;
      facts.output_error = matrix.errors.output_error;
      facts.seconds = matrix.errors.seconds;
      facts.note = matrix.errors.note;
      facts.input_square = column_means(matrix.columns.diagonal);
      facts.column_error = column_means(matrix.columns.error);
      tell(std::move(facts), matrix.weight, quantized);
    }
    digests_[name] = std::move(quantized.digest);
    for (PackedPart& part : quantized.parts) tensors_.push_back(shard_tensor(std::move(part)));
    if (!matrix.column_scales.empty() || !matrix.row_scales.empty()) {
      scales_[name] = {std::move(matrix.column_scales), std::move(matrix.row_scales)};
    }
  }

  void tell(QuantizedFacts facts, const Weight& weight, const QuantizedWeight& quantized) const {
    facts.bytes_in = weight.size_bytes;
    for (const PackedPart& part : quantized.parts) facts.bytes_out += part.bytes.size();
    events_.on_weight(facts);
  }

  void write_block(std::uint64_t block) {
    if (!folder_.has(block) && !request_.workers.cancelled()) {
      for (const PlannedWeight& planned : plan_.shards[block]) {
        if (!planned.quantized) add_plain(*planned.weight, tensors_);
      }
      if (!scales_.empty()) write_scales(folder_.path() + "/" + scales_name(block), scales_);
      folder_.write(block, std::move(tensors_), digests_);
    }
    tensors_.clear();
    digests_.clear();
    scales_.clear();
    changed_.clear();
    kept_.reset();
  }

  static std::string scales_name(std::uint64_t block) {
    return fmt::format("qinspect-scales-{:05}.safetensors", block + 1);
  }

  std::unique_ptr<WeightReader> kept(const Weight& weight) {
    const auto block = static_cast<std::uint64_t>(weight.layer);
    if (!folder_.has(block)) return nullptr;
    if (!kept_ || kept_->first != block) {
      kept_.emplace(block, std::make_unique<KeptBlock>(folder_.shard_path(block),
                                                       folder_.path() + "/" + scales_name(block)));
    }
    return kept_->second->open(model_, weight);
  }

  bool write_shards() {
    std::uint64_t done = 0;
    for (std::uint64_t block = 0; block < plan_.shards.size(); ++block) {
      std::vector<ShardTensor> tensors;
      WeightDigests digests;
      const bool kept = folder_.has(block);
      for (const PlannedWeight& planned : plan_.shards[block]) {
        const Weight& weight = *planned.weight;
        if (planned.quantized) done += weight.params;
        if (kept) continue;
        if (planned.quantized) {
          QuantizedWeight quantized =
              quantize_rows(*request_.scheme, plan_.format, model_, weight, request_.workers);
          if (quantized.parts.empty()) return false;
          if (events_.on_weight) {
            QuantizedFacts facts;
            facts.weight = weight.name;
            facts.rows = weight.rows();
            facts.cols = weight.cols();
            tell(std::move(facts), weight, quantized);
          }
          digests[weight.name] = std::move(quantized.digest);
          for (PackedPart& part : quantized.parts) tensors.push_back(shard_tensor(std::move(part)));
          progress("quantize", block, fraction(done));
        } else {
          add_plain(weight, tensors);
        }
        model_.file(model_.tensor(weight.parts.front())).check_unchanged();
      }
      if (!kept) folder_.write(block, std::move(tensors), digests);
    }
    return true;
  }

  double fraction(std::uint64_t done) const {
    return static_cast<double>(done) / static_cast<double>(plan_.elements);
  }

  void add_plain(const Weight& weight, std::vector<ShardTensor>& tensors) const {
    for (const Part& part : weight.parts) {
      const Tensor& tensor = model_.tensor(part);
      if (const auto changed = changed_.find(weight.name); changed != changed_.end()) {
        PartWriter numbers(tensor.name, float_part_type(tensor.dtype), tensor.shape);
        for (std::size_t i = 0; i < changed->second.size(); ++i) {
          numbers.set_float(i, changed->second[i]);
        }
        tensors.push_back(shard_tensor(numbers.take()));
        continue;
      }
      tensors.push_back(
          {tensor.name, tensor.dtype, tensor.shape,
           source_of_file(model_.files[tensor.file], tensor.offset, tensor.size_bytes)});
    }
  }

  /// Everything but the shards, and the proof that they say what was meant.
  bool finish() {
    for (std::uint64_t block = 0; block < plan_.blocks(); ++block) {
      folder_.remove(scales_name(block));
    }
    folder_.write_index();
    write_configuration();
    copy_side_files();
    return verify();
  }

  void write_configuration() {
    QuantizedModules modules = plan_.modules;
    for (std::uint64_t i = 0; i < plan_.shards.size(); ++i) {
      for (const Tensor& tensor : read_safetensors(*File::open(folder_.shard_path(i))).tensors) {
        result_.bytes += tensor.size_bytes;
        if (model_.find_weight(tensor.name) != nullptr) continue;
        modules.part_sizes.emplace_back(tensor.name, element_count(tensor.shape).value_or(0));
      }
    }
    const std::string original =
        model_.text_beside("config.json", kMaxConfigText).value_or(std::string());
    const QuantScheme& scheme = *request_.scheme;
    folder_.write_text("config.json",
                       quantized_config(scheme, original, plan_.format.model_type, modules));
    if (const auto side = quantized_side_config(scheme, plan_.format.model_type, modules)) {
      folder_.write_text(side->first, side->second);
    }
  }

  void copy_side_files() {
    for (const std::string_view name : kSideFiles) {
      std::shared_ptr<const File> file;
      try {
        file = model_.open_beside(model_.path_beside(name), ErrorCode::kMissing);
      } catch (const Error& error) {
        if (error.code != ErrorCode::kMissing) throw;
        continue;
      }
      folder_.copy(name, *file);
    }
  }

  bool verify() {
    const Catalog catalog = find_models(folder_.path());
    const Model written = open_model(catalog.models.front());
    const WeightDigests digests = folder_.digests();
    std::uint64_t done = 0;
    for (const Weight& weight : model_.weights) {
      const Weight* found = written.find_weight(weight.name);
      const auto digest = digests.find(weight.name);
      bool same = found != nullptr && found->shape == weight.shape &&
                  (found->scheme != Scheme::kNone) == (digest != digests.end());
      if (same && digest != digests.end()) {
        const std::string read = values_digest(written, *found, request_.workers);
        if (read.empty()) return false;
        same = read == digest->second;
        progress("verify", 0, fraction(done += weight.params));
      }
      if (!same) {
        throw Error(ErrorCode::kIo, fmt::format("{} reads back differently", weight.name), {},
                    folder_.path());
      }
      result_.bytes_in += weight.size_bytes;
    }
    result_.quantized = digests.size();
    result_.left = plan_.modules.left.size();
    return true;
  }

  const QuantizeRequest& request_;
  const QuantizeEvents& events_;
  const Model& model_;
  QuantizePlan plan_;
  CheckpointFolder folder_;
  QuantizeResult result_;

  // Of the block that the walk is at.
  std::vector<ShardTensor> tensors_;
  WeightDigests digests_;
  BlockScales scales_;
  std::map<std::string, std::vector<float>, std::less<>> changed_;
  std::optional<std::pair<std::uint64_t, std::unique_ptr<KeptBlock>>> kept_;
};

}  // namespace

MethodConfig scheme_method(const QuantScheme& scheme, const GridOptions& options) {
  const MethodFamily* family = find_family(scheme.family);
  GridOptions grid;
  for_each_word(scheme.options, ';', [&](std::string_view option) {
    const std::size_t equal = std::min(option.find('='), option.size());
    std::vector<std::string>& values = grid[std::string(option.substr(0, equal))];
    if (equal < option.size()) values.emplace_back(option.substr(equal + 1));
  });
  for (const auto& [name, values] : options) {
    bool is_free = false;
    for_each_word(scheme.free_options, ',',
                  [&](std::string_view word) { is_free |= word == name; });
    if (!is_free) {
      throw Error(ErrorCode::kUsage, fmt::format("--{} with --to {}", name, scheme.name),
                  scheme.free_options.empty() ? "no such option"
                                              : fmt::format("one of {}", scheme.free_options));
    }
    grid[name] = values;
  }
  const std::vector<Params> expanded = family->expand(grid);
  if (expanded.size() != 1) {
    throw Error(ErrorCode::kUsage,
                fmt::format("{} configurations for one checkpoint", expanded.size()),
                "one value for each option");
  }
  return {std::string(scheme.family), expanded.front()};
}

QuantizeForecast forecast_quantize(const QuantizeRequest& request) {
  constexpr std::uint64_t kFixedBytes = std::uint64_t{64} << 20;
  const QuantizePlan plan = make_quantize_plan(request);
  QuantizeForecast ahead;
  ahead.quantized = plan.quantized;
  ahead.bytes_in = request.model->size_bytes();
  ahead.bytes = about_bytes(plan, *request.scheme);
  ahead.memory = kFixedBytes + shard_memory(plan, *request.scheme);
  if (request.method) {
    const CalibrationText& text = *request.calibration;
    ahead.memory += calibrated_memory(read_architecture(*request.model), *request.method,
                                      text.tokens.size(), text.length);
  }
  return ahead;
}

QuantizeResult quantize_model(const QuantizeRequest& request, const QuantizeEvents& events) {
  return ModelQuantizer(request, events).run();
}

}  // namespace qi
