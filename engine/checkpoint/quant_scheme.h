// The table of checkpoint schemes, what --to of --quantize names besides ggml's types: which method
// makes the codes with which parameters, how they are stored, and what config.json says about it.
// Refuses nothing; finds nothing for other names. Constant data, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/checkpoint/layout.h"
#include "engine/quant/rtn.h"

namespace qi {

struct QuantScheme {
  std::string_view name;
  std::string_view summary;  // for --help
  Layout layout = Layout::kPacked;
  int bits = 8;
  std::uint64_t group = 0;  // 0: the row
  bool symmetric = true;
  RtnStyle style = RtnStyle::kFull;  // of grids that are rounded to without a method
  /// The calibrated method, and the options of its grid that make this scheme, "bits=4;symmetric";
  /// empty: rows are quantized as they are.
  std::string_view family = {};
  std::string_view options = {};
  std::string_view free_options = {};  // of its grid, those that a user may choose: "percdamp,mse"
  bool act_order = false;              // compressed-tensors: columns were coded in another order
  bool int8_activations = false;       // compressed-tensors: tokens are quantized at run time
};

std::span<const QuantScheme> quant_schemes();
/// Without regard to case; nullptr for no such name.
const QuantScheme* find_quant_scheme(std::string_view name);

/// How a model of `model_type` numbers is stored: weight_scale is of the model's type where engines
/// keep it so, scales of GPTQ and AWQ are F16, those beside 8-bit activations F32.
LayoutFormat layout_format(const QuantScheme& scheme, DType model_type);

/// What the configuration says of the matrices.
struct QuantizedModules {
  std::vector<std::string> quantized;  // modules, in the order of the model
  std::vector<std::string> left;       // linear layers that were left as they are
  /// Names and element counts of the parts of quantized ones (SpQR's "shapes").
  std::vector<std::pair<std::string, std::uint64_t>> part_sizes;
  std::vector<std::string> plain_weights;  // every other weight, by its whole name
};

/// config.json with the scheme's "quantization_config", all else as in `original` (empty: none).
std::string quantized_config(const QuantScheme& scheme, const std::string& original,
                             DType model_type, const QuantizedModules& modules);
/// The file of that object alone that older loaders look for beside it; nothing where there is
/// none.
std::optional<std::pair<std::string, std::string>> quantized_side_config(
    const QuantScheme& scheme, DType model_type, const QuantizedModules& modules);

}  // namespace qi
