#include "engine/checkpoint/gguf_plan.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/open.h"
#include "engine/io/checked.h"
#include "engine/quant/ggml_mixture.h"
#include "engine/quant/ggml_quantize.h"
#include "engine/tensor/name_map.h"

namespace qi {
namespace {

// general.file_type: what llama.cpp calls the whole.
struct FileType {
  std::string_view to;
  std::uint32_t number;
};
constexpr std::array kFileTypes = {
    FileType{"F32", 0},     FileType{"F16", 1},     FileType{"Q4_0", 2},    FileType{"Q4_1", 3},
    FileType{"Q8_0", 7},    FileType{"Q5_0", 8},    FileType{"Q5_1", 9},    FileType{"Q2_K", 10},
    FileType{"Q3_K_S", 11}, FileType{"Q3_K_M", 12}, FileType{"Q3_K_L", 13}, FileType{"Q3_K", 11},
    FileType{"Q4_K_S", 14}, FileType{"Q4_K_M", 15}, FileType{"Q4_K", 14},   FileType{"Q5_K_S", 16},
    FileType{"Q5_K_M", 17}, FileType{"Q5_K", 16},   FileType{"Q6_K", 18},   FileType{"IQ2_XXS", 19},
    FileType{"IQ2_XS", 20}, FileType{"Q2_K_S", 21}, FileType{"IQ3_XS", 22}, FileType{"IQ3_XXS", 23},
    FileType{"IQ1_S", 24},  FileType{"IQ4_NL", 25}, FileType{"IQ3_S", 26},  FileType{"IQ3_M", 27},
    FileType{"IQ2_S", 28},  FileType{"IQ2_M", 29},  FileType{"IQ4_XS", 30}, FileType{"IQ1_M", 31},
    FileType{"BF16", 32},   FileType{"TQ1_0", 36},  FileType{"TQ2_0", 37},  FileType{"MXFP4", 38},
    FileType{"NVFP4", 39},
};

const FileType* file_type(std::string_view to) {
  const auto mixture = ggml_mixture_named(to);
  const auto type = dtype_from_name(to);
  const std::string_view name = mixture ? *mixture : type ? info(*type).name : std::string_view();
  const auto* found = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                   [&](const FileType& known) { return known.to == name; });
  return found == kFileTypes.end() ? nullptr : found;
}

[[noreturn]] void refuse_plan(ErrorCode code, std::string message, std::string expected,
                              const std::string& file) {
  throw Error(code, std::move(message), std::move(expected), file);
}

class GgufPlanMaker {
 public:
  GgufPlanMaker(const Model& model, const GgufOptions& options)
      : model_(model),
        options_(options),
        is_gguf_(model.container == Container::kGguf),
        to_(file_type(options.to)),
        mixture_(ggml_mixture_named(options.to)),
        rules_(mixture_model(model, options.importance != nullptr)) {
    if (to_ == nullptr) {
      refuse_plan(ErrorCode::kUsage, "--to " + options.to,
                  "F32, BF16, F16, a ggml type or a mixture such as Q4_K_M", {});
    }
  }

  GgufPlan make() {
    if (is_gguf_) {
      for (const Weight& weight : model_.weights) add(weight, weight.name, -1);
      copy_keys();
    } else {
      architecture_ = &gguf_architecture(model_);
      for (const Weight& weight : model_.weights) add_hugging_face(weight);
      finish_stacks();
      add_rotary_factors();
      add_model_keys(model_, *architecture_, plan_.keys);
      plan_.keys.u32("general.file_type", to_->number);
      plan_.keys.u32("general.quantization_version", 2);
      add_tokenizer_keys(model_, plan_.keys, plan_.notes);
    }
    add_importance_keys();
    if (plan_.tensors.empty()) {
      refuse_plan(ErrorCode::kUsage, "there is no weight", "a language model", model_.path);
    }
    place();
    note_fallbacks();
    return std::move(plan_);
  }

 private:
  void copy_keys() {
    for (const MetaEntry& entry : model_.metadata.entries()) {
      if (entry.key.starts_with("split.") || entry.key == "general.alignment" ||
          entry.key == "general.file_type" || entry.key == "general.quantization_version") {
        continue;
      }
      plan_.keys.copy(entry);
    }
    plan_.keys.u32("general.quantization_version", 2);
    plan_.keys.u32("general.file_type", to_->number);
  }

  void add_importance_keys() {
    if (options_.importance == nullptr) return;
    plan_.keys.text("quantize.imatrix.file", options_.importance_name);
    plan_.keys.i32("quantize.imatrix.entries_count",
                   static_cast<std::int32_t>(options_.importance->size()));
  }

  void add_hugging_face(const Weight& weight) {
    if (weight.role == Role::kVision || weight.role == Role::kAudio) {
      ++other_towers_;
      return;
    }
    if (weight.name.ends_with("rotary_emb.inv_freq")) return;  // llama.cpp computes it
    const std::optional<GgufName> name = gguf_name(weight.name);
    if (!name) {
      refuse_plan(ErrorCode::kUsage, fmt::format("{} has no name in a GGUF", weight.name),
                  "weights of a language model", model_.path);
    }
    add(weight, name->name, name->expert);
  }

  void add(const Weight& weight, const std::string& name, std::int64_t expert) {
    if (!weight.undecodable.empty()) {
      refuse_plan(ErrorCode::kBadDtype,
                  fmt::format("{} cannot be decoded: {}", weight.name, weight.undecodable),
                  "a scheme that is", model_.path);
    }
    if (expert >= 0) {
      stacks_[name][expert] = &weight;
      if (stacks_[name].size() > 1) return;
    }
    GgufTensorPlan tensor;
    tensor.name = name;
    tensor.shape = weight.shape;
    tensor.sources = {&weight};
    tensor.type = type_of(weight);
    if (!is_gguf_) set_conventions(weight, tensor);
    plan_.tensors.push_back(std::move(tensor));
  }

  void set_conventions(const Weight& weight, GgufTensorPlan& tensor) {
    const bool matrix_of_heads = weight.role == Role::kQ || weight.role == Role::kK;
    const bool is_bias =
        weight.name.ends_with("q_proj.bias") || weight.name.ends_with("k_proj.bias");
    if (architecture_->rotary_pairs && (matrix_of_heads || is_bias) && rules_.heads > 0) {
      const bool of_q = weight.name.find(".q_proj.") != std::string::npos;
      const auto heads =
          static_cast<std::uint64_t>(of_q || rules_.kv_heads == 0 ? rules_.heads : rules_.kv_heads);
      const std::uint64_t rows = is_bias ? weight.params : weight.rows();
      if (rows % heads != 0 || rows / heads % 2 != 0) {
        refuse_plan(ErrorCode::kBadShape, fmt::format("{} has {} rows", weight.name, rows),
                    fmt::format("{} heads of an even size", heads), model_.path);
      }
      tensor.head_rows = rows / heads;
    }
    if (architecture_->norm_plus_one && weight.role == Role::kNorm) tensor.added = 1;
  }

  /// Experts that were stored one by one, in the order of their numbers.
  void finish_stacks() {
    for (GgufTensorPlan& tensor : plan_.tensors) {
      const auto stack = stacks_.find(tensor.name);
      if (stack == stacks_.end()) continue;
      tensor.sources.clear();
      for (const auto& [number, weight] : stack->second) {
        const bool next = number == static_cast<std::int64_t>(tensor.sources.size());
        if (!next || weight->shape != tensor.shape) {
          refuse_plan(
              ErrorCode::kInconsistent, fmt::format("{} is expert {}", weight->name, number),
              fmt::format("expert {} of the same shape", tensor.sources.size()), model_.path);
        }
        tensor.sources.push_back(weight);
      }
      tensor.shape.insert(tensor.shape.begin(), tensor.sources.size());
    }
    if (other_towers_ > 0) {
      plan_.notes.push_back(
          fmt::format("{} weights of other towers are left out: a GGUF of the language model "
                      "has none",
                      other_towers_));
    }
  }

  void add_rotary_factors() {
    std::vector<float> factors = rotary_factors(model_);
    if (factors.empty()) return;
    GgufTensorPlan tensor;
    tensor.name = "rope_freqs.weight";
    tensor.shape = {factors.size()};
    tensor.values = std::move(factors);
    plan_.tensors.push_back(std::move(tensor));
  }

  /// What a weight is stored as when nothing quantizes it: its own float type, F32 for what is no
  /// matrix or norm, and for routers, which llama.cpp wants so.
  DType own_type(const Weight& weight) const {
    const DType stored = model_.tensor(weight.parts.front()).dtype;
    if (is_gguf_) return is_plain(stored) || ggml_quantizable(stored) ? stored : DType::kF32;
    const bool is_vector =
        weight.shape.size() < 2 || weight.role == Role::kNorm || weight.role == Role::kRouter;
    const bool is_half = stored == DType::kF16 || stored == DType::kBF16;
    return !is_vector && is_half ? stored : DType::kF32;
  }

  DType type_of(const Weight& weight) {
    const DType own = own_type(weight);
    if (options_.selection && !options_.selection(weight)) return own;
    const MixtureChoice rule = ggml_mixture_type(mixture_.value_or("Q8_0"), rules_, weight);
    if (rule.type == DType::kUnknown) {
      return own == DType::kF32 || weight.shape.size() < 2 || mixture_ ? own : DType::kF32;
    }
    const DType asked =
        mixture_ ? rule.instead_of.value_or(rule.type) : *dtype_from_name(options_.to);
    const DType type = asked == DType::kF32 ? asked : ggml_fallback(asked, weight.cols());
    if (type != asked) ++fallbacks_[{asked, type, weight.cols()}];
    if (ggml_needs_importance(type) &&
        (options_.importance == nullptr || importance_of(weight).empty()) &&
        weight.role != Role::kEmbed && weight.role != Role::kHead) {
      refuse_plan(
          ErrorCode::kUsage,
          fmt::format("{} of {} without an importance matrix", info(type).name, weight.name),
          "--imatrix FILE that has this weight", model_.path);
    }
    return type;
  }

  std::span<const float> importance_of(const Weight& weight) const {
    return options_.importance->find(weight.name, weight.cols());
  }

  void place() {
    for (GgufTensorPlan& tensor : plan_.tensors) {
      const std::uint64_t elements = element_count(tensor.shape).value_or(UINT64_MAX);
      const auto bytes = stored_bytes(tensor.type, elements);
      if (!bytes || tensor.name.size() > 63 || tensor.shape.size() > 4) {
        refuse_plan(ErrorCode::kBadShape,
                    fmt::format("{} as {} of {}", tensor.name, info(tensor.type).name,
                                shape_text(tensor.shape)),
                    "a name of at most 63 bytes and 4 dimensions", model_.path);
      }
      tensor.offset = plan_.data_bytes;
      tensor.bytes = *bytes;
      plan_.data_bytes += ceil_div(*bytes, GgufPlan::kAlignment) * GgufPlan::kAlignment;
      plan_.elements += elements;
      if (options_.importance != nullptr && !tensor.sources.empty()) {
        const std::uint64_t matrices =
            tensor.shape.size() > 2 ? tensor.rows() / tensor.shape[tensor.shape.size() - 2] : 1;
        tensor.importance = options_.importance->find(tensor.name, tensor.cols(), matrices);
      }
    }
  }

  void note_fallbacks() {
    for (const auto& [fallback, count] : fallbacks_) {
      const auto [asked, type, cols] = fallback;
      plan_.notes.push_back(fmt::format("{} of {} in place of {}: rows of {} are no whole blocks",
                                        count, info(type).name, info(asked).name, cols));
    }
  }

  const Model& model_;
  const GgufOptions& options_;
  bool is_gguf_;
  const FileType* to_;
  std::optional<std::string_view> mixture_;
  MixtureModel rules_;
  const GgufArchitecture* architecture_ = nullptr;
  std::map<std::string, std::map<std::int64_t, const Weight*>> stacks_;
  std::map<std::tuple<DType, DType, std::uint64_t>, std::uint64_t> fallbacks_;
  std::uint64_t other_towers_ = 0;
  GgufPlan plan_;
};

template <typename T>
void append(std::string& out, T value) {
  std::array<char, sizeof(T)> raw;
  std::memcpy(raw.data(), &value, sizeof value);
  out.append(raw.data(), raw.size());
}

}  // namespace

std::uint64_t GgufTensorPlan::rows() const {
  return cols() == 0 ? 0 : element_count(shape).value_or(0) / cols();
}

std::string GgufPlan::header() const {
  constexpr std::uint32_t kVersion = 3;
  std::string out = "GGUF";
  append(out, kVersion);
  append<std::uint64_t>(out, tensors.size());
  append(out, keys.count());
  out += keys.bytes();
  for (const GgufTensorPlan& tensor : tensors) {
    append<std::uint64_t>(out, tensor.name.size());
    out += tensor.name;
    append(out, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) append(out, *dim);
    append(out, static_cast<std::uint32_t>(info(tensor.type).ggml_id));
    append(out, tensor.offset);
  }
  out.resize(ceil_div<std::uint64_t>(out.size(), kAlignment) * kAlignment, '\0');
  return out;
}

bool is_gguf_target(std::string_view to) {
  return file_type(to) != nullptr;
}

GgufPlan make_gguf_plan(const Model& model, const GgufOptions& options) {
  return GgufPlanMaker(model, options).make();
}

}  // namespace qi
