// Opens a QStore container as a Model: each level is the checkpoint it was made from, its files
// decoded as they are read, so that every scheme's reader works on them. Reads header, index, and
// the blocks that hold the files' own headers. Any thread; readers belong to one each.
#pragma once

#include <memory>
#include <string>

#include "engine/format/qstore_container.h"
#include "engine/tensor/model.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// The model of all levels, or of the first alone. Throws what opening the container and its files
/// throws, naming the container where a block is at fault.
Model open_qstore(const std::string& path, bool first_level_only, const std::string& base = {});
/// One level as a model of its own.
Model open_qstore_level(const std::shared_ptr<const QstoreContainer>& container,
                        std::uint32_t level);

/// A reader of the weight in its level.
std::unique_ptr<WeightReader> open_qstore_reader(const Model& model, const Weight& weight);

}  // namespace qi
