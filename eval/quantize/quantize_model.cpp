#include "eval/quantize/quantize_model.h"

#include <array>
#include <cmath>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "engine/checkpoint/checkpoint_folder.h"
#include "engine/checkpoint/row_coder.h"
#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "engine/tensor/numbers.h"
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

class ModelQuantizer {
 public:
  ModelQuantizer(const QuantizeRequest& request, const QuantizeEvents& events)
      : request_(request),
        events_(events),
        model_(*request.model),
        plan_(make_quantize_plan(request)),
        folder_(request.output, plan_.identity, plan_.shards.size(), request.restart) {}

  QuantizeResult run() {
    for (const std::string& text : plan_.notes) note(text);
    for (std::uint64_t block = 0; block < plan_.blocks(); ++block) {
      result_.kept_blocks += folder_.has(block) ? 1 : 0;
    }
    if (result_.kept_blocks > 0) {
      note(fmt::format("{} of {} blocks are there from an earlier run", result_.kept_blocks,
                       plan_.blocks()));
    }
    if (!write_shards() || !finish()) {
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
          digests[weight.name] = std::move(quantized.digest);
          for (StoredPart& part : quantized.parts) tensors.push_back(shard_tensor(std::move(part)));
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
      tensors.push_back(
          {tensor.name, tensor.dtype, tensor.shape,
           source_of_file(model_.files[tensor.file], tensor.offset, tensor.size_bytes)});
    }
  }

  /// Everything but the shards, and the proof that they say what was meant.
  bool finish() {
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
};

}  // namespace

QuantizeResult quantize_model(const QuantizeRequest& request, const QuantizeEvents& events) {
  return ModelQuantizer(request, events).run();
}

}  // namespace qi
