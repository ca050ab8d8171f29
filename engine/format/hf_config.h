// The JSON files beside a Hugging Face model: read, bounded, checked, merged into Model::config.
// Internal to engine/format. Refuses what is not strict JSON or not an object; a known field of the
// wrong type or range is removed with a warning. Any thread.
#pragma once

#include "engine/format/hf_directory.h"
#include "engine/tensor/model.h"

namespace qi {

/// Fills config, architecture, adapter_rank and base_model of `model` from the files in the
/// source's folder. For a lone file, one that cannot be read is a warning; a whole folder without
/// config.json and adapter_config.json gets one. Sets nothing else.
void read_configuration(const HuggingFaceSource& source, Model& model);

}  // namespace qi
