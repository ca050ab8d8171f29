// The JSON files beside a Hugging Face model: read, bounded, checked, merged into Model::config.
// Internal to engine/format. Refuses what is not strict JSON or not an object; a known field of the
// wrong type or range is removed with a warning. Any thread.
#pragma once

#include <string>

#include "engine/tensor/model.h"

namespace qi {

/// Fills config, architecture, adapter_rank and base_model of `model` from the files in `folder`.
/// With `lenient`, a file that cannot be read is a warning. Sets nothing else.
/// `expect_config`: warns when there is neither a config.json nor an adapter_config.json.
void read_configuration(const std::string& folder, bool lenient, bool expect_config, Model& model);

}  // namespace qi
