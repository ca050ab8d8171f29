// Opens GGUF files: one file, or the shards of a split model, as one Model.
// Headers only: no payload is read. Leaves Model::weights empty (build_weights makes them).
// Any thread; the Model is the caller's.
#pragma once

#include <string>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

/// `shard_paths` in order of their numbers; one path for an ordinary file. Metadata is the first
/// shard's; Tensor::file indexes Model::files in the same order.
/// Throws Error with the shard at fault: the README's error classes, and
/// kInconsistent when shards contradict each other (number, count, byte order, tensor count).
/// A single shard of a split model opens with a warning.
Model open_gguf(const std::vector<std::string>& shard_paths, const FileOpener& open = &File::open);

}  // namespace qi
