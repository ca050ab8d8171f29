// What a container made of one weight: for each of its tensors how it is stored, in how many bytes,
// with how many escapes, and whether every block is what its checksum says. Reads the stored bytes
// and decodes nothing. Refuses nothing: damage is one of the facts. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/format/qstore_container.h"
#include "engine/tensor/model.h"

namespace qi {

/// How one tensor of a weight is stored.
struct StoredPart {
  std::string tensor;  // raw
  PartRole role = PartRole::kCodes;
  std::string_view method;         // method_name()
  bool on_base = false;            // as the difference to another container's tensor
  std::uint64_t size_bytes = 0;    // of the tensor
  std::uint64_t stored_bytes = 0;  // of its blocks
  std::uint64_t blocks = 0;
  std::uint64_t raw_blocks = 0;  // that did not shrink
  std::uint64_t escapes = 0;     // elements that their code does not hold
  std::uint64_t damaged = 0;     // blocks whose checksum is wrong or that cannot be read
  std::optional<std::uint64_t> first_damaged;
  bool operator==(const StoredPart&) const = default;
};

/// The container a model was opened from, opened once more; nullptr for every other model. Throws
/// as QstoreContainer::open().
std::shared_ptr<const QstoreContainer> container_of(const Model& model);

/// Facts of every tensor of `weight` of the model that was opened from `container`; what was found
/// so far when cancelled. Throws kIo and kChanged alone.
std::vector<StoredPart> stored_parts(const QstoreContainer& container, const Model& model,
                                     const Weight& weight,
                                     const std::atomic<bool>* cancel = nullptr);

}  // namespace qi
