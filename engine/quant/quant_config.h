// What the JSON files of a folder claim about its quantization: one flat record of the keys that
// schemes need, from wherever they stand. A key of the wrong type is ignored with a warning and
// never sizes anything: stored tensors are the judges, this is the hint.
// Pure function of the model; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

/// compressed-tensors: one entry of config_groups ("weights" arguments).
struct QuantGroup {
  std::uint64_t bits = 0;
  std::uint64_t group_size = 0;
  std::uint64_t block_rows = 0;
  std::uint64_t block_cols = 0;
  std::optional<bool> symmetric;
  bool is_float = false;
  bool act_order = false;  // actorder "group" (or its alias)
  std::string strategy;
  std::string format;  // the group's own, else the config's
};

struct QuantConfig {
  std::string method;  // quant_method in lower case; empty: none named
  std::string source;  // "config.json", "hf_quant_config.json", …; empty: no config at all
  std::string algo;    // ModelOpt's quant_algo, upper case
  std::string checkpoint_format;  // GPTQ
  std::string version;            // AWQ, lower case
  std::string format;             // compressed-tensors
  std::uint64_t bits = 0;         // 0: not given
  std::uint64_t group_size = 0;   // 0: not given or "-1", one group
  std::uint64_t block_rows = 0;   // fp8: weight_block_size
  std::uint64_t block_cols = 0;
  std::optional<bool> symmetric;
  std::optional<bool> act_order;  // desc_act and not static_groups
  bool per_module = false;        // settings differ between modules (dynamic, mixed precision)
  std::vector<QuantGroup> groups;
  std::vector<Warning> warnings;
};

/// Looks in config.json, then the tools' own files, then __metadata__; the first that names a
/// method or an algorithm wins.
QuantConfig read_quant_config(const Model& model);

}  // namespace qi
