// Which weights of a checkpoint stand on grids that a container's chains understand, and where
// their streams are. Internal to the container's writer. Refuses nothing: a weight that is laid
// out otherwise has no grid. Pure functions, any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/format/qstore_format.h"
#include "engine/tensor/model.h"

namespace qi {

/// The stream of a tensor, if there is one.
using StreamOfTensor = std::function<std::optional<std::uint32_t>(const std::string& tensor)>;

std::optional<QstoreGrid> grid_of(const Model& model, const Weight& weight,
                                  const StreamOfTensor& stream_of);
/// Of LLM.int8(): bytes and F32 row maxima.
QstoreGrid int8_grid(std::uint64_t rows, std::uint64_t cols, std::uint32_t codes,
                     std::uint32_t scales);

}  // namespace qi
