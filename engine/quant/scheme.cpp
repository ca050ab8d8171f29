#include "engine/quant/scheme.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "engine/quant/awq.h"
#include "engine/quant/bnb_4bit.h"
#include "engine/quant/compressed_tensors.h"
#include "engine/quant/ggml_scheme.h"
#include "engine/quant/gptq.h"
#include "engine/quant/grouping.h"
#include "engine/quant/named_only.h"
#include "engine/quant/plain.h"
#include "engine/quant/row_schemes.h"
#include "engine/quant/scaled.h"
#include "engine/quant/spqr.h"

namespace qi {
namespace {

using Build = bool (*)(Grouping&, std::uint32_t codes, std::string_view module);

/// A layout: the suffix of the tensor that holds its codes, and what makes a weight of it. Rows are
/// tried in this order; `module` is the name without the suffix.
struct Layout {
  std::string_view suffix;
  Build build;
};

/// Last of its suffix: nothing could be made of these codes.
bool report_incomplete(Grouping& grouping, std::uint32_t codes, std::string_view) {
  grouping.warn("no scales and zero points that fit: listed as stored", codes);
  return false;
}

constexpr std::array kLayouts = {
    Layout{".qweight", build_gptq},
    Layout{".qweight", build_awq},
    Layout{".qweight", report_incomplete},
    Layout{".weight_packed", build_packed},
    Layout{"_blocks", build_mxfp4},
    Layout{".blocks", build_mxfp4},
    Layout{".dense_weights", build_spqr},
    Layout{".weight", build_llm_int8},
    Layout{".weight", build_int_quantized},
    Layout{".weight", build_nvfp4},
    Layout{".weight", build_fp8},
    Layout{"", build_fp8},  // stacks of experts have no ".weight"
    Layout{"", build_bnb_4bit},
};

/// Who reads a scheme's weights.
struct Opener {
  Scheme scheme;
  std::unique_ptr<WeightReader> (*open)(const Model&, const Weight&);
};

constexpr std::array kOpeners = {
    Opener{Scheme::kNone, open_plain_reader},
    Opener{Scheme::kLlmInt8, open_llm_int8_reader},
    Opener{Scheme::kNF4, open_bnb_4bit_reader},
    Opener{Scheme::kFP4, open_bnb_4bit_reader},
    Opener{Scheme::kGptq, open_gptq_reader},
    Opener{Scheme::kAwq, open_awq_reader},
    Opener{Scheme::kCompressedTensors, open_packed_reader},
    Opener{Scheme::kFP8, open_scaled_reader},
    Opener{Scheme::kFP8Block, open_scaled_reader},
    Opener{Scheme::kMXFP4, open_scaled_reader},
    Opener{Scheme::kNVFP4, open_scaled_reader},
    Opener{Scheme::kGgml, open_ggml_weight_reader},
    Opener{Scheme::kSpqr, open_spqr_reader},
};

/// Which schemes a quant_method's tensors make.
struct Method {
  std::string_view name;
  Scheme scheme;
};

constexpr std::array kMethods = {
    Method{"gptq", Scheme::kGptq},
    Method{"gptq", Scheme::kMarlin},
    Method{"gptq", Scheme::kBitblas},
    Method{"gptq", Scheme::kQqq},
    Method{"awq", Scheme::kAwq},
    Method{"compressed-tensors", Scheme::kCompressedTensors},
    Method{"bitsandbytes", Scheme::kLlmInt8},
    Method{"bitsandbytes", Scheme::kNF4},
    Method{"bitsandbytes", Scheme::kFP4},
    Method{"fp8", Scheme::kFP8},
    Method{"fp8", Scheme::kFP8Block},
    Method{"fbgemm_fp8", Scheme::kFP8},
    Method{"modelopt", Scheme::kFP8},
    Method{"modelopt", Scheme::kFP8Block},
    Method{"modelopt", Scheme::kNVFP4},
    Method{"modelopt", Scheme::kUnknown},
    Method{"mxfp4", Scheme::kMXFP4},
    Method{"spqr", Scheme::kSpqr},
};

/// Config and tensors tell of different schemes: the tensors are right, the user should know.
void compare_with_config(const Grouping& grouping, Model& model) {
  const QuantConfig& config = grouping.config();
  const auto is_method = [&](const Method& row) { return row.name == config.method; };
  if (std::none_of(kMethods.begin(), kMethods.end(), is_method)) return;
  std::optional<Scheme> other;
  for (const Weight& weight : grouping.weights()) {
    const bool named = std::any_of(kMethods.begin(), kMethods.end(), [&](const Method& row) {
      return is_method(row) && row.scheme == weight.scheme;
    });
    if (named) return;
    if (weight.scheme != Scheme::kNone && weight.scheme != Scheme::kUnknown) other = weight.scheme;
  }
  model.warnings.push_back(
      {model.path, fmt::format("{} names quant_method {}, the tensors are {}", config.source,
                               config.method, other ? scheme_name(*other) : "not quantized")});
}

void build_one(Grouping& grouping, std::uint32_t index) {
  const std::string_view name = grouping.tensor(index).name;
  for (const Layout& layout : kLayouts) {
    if (!name.ends_with(layout.suffix)) continue;
    if (layout.build(grouping, index, name.substr(0, name.size() - layout.suffix.size()))) return;
  }
}

}  // namespace

void build_weights(Model& model) {
  Grouping grouping(model);
  if (model.container == Container::kGguf) {
    build_ggml_weights(grouping);
  } else {
    const auto count = static_cast<std::uint32_t>(model.tensors.size());
    for (std::uint32_t i = 0; i < count; ++i) {
      // A few configs name a scheme whose tensors look like another's.
      if (!grouping.used(i) && !build_named_only(grouping, i)) build_one(grouping, i);
    }
  }
  compare_with_config(grouping, model);
  grouping.finish();
}

std::unique_ptr<WeightReader> open_scheme_reader(const Model& model, const Weight& weight) {
  const Tensor& codes = model.tensor(weight.parts.front());
  const auto opener = std::find_if(kOpeners.begin(), kOpeners.end(),
                                   [&](const Opener& row) { return row.scheme == weight.scheme; });
  if (!weight.undecodable.empty() || opener == kOpeners.end()) {
    throw Error(ErrorCode::kBadDtype,
                fmt::format("{}: {}", weight.name,
                            weight.undecodable.empty() ? "not decoded" : weight.undecodable),
                {}, model.file(codes).path(), codes.offset);
  }
  return opener->open(model, weight);
}

}  // namespace qi
