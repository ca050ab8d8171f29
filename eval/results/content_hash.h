// What a weight is, whatever it is called and wherever it is stored: a digest of its bytes, type
// and shape. Reads in blocks, so memory stays bounded. Refuses files that cannot be read. Any
// thread.
#pragma once

#include <atomic>
#include <string>

#include "engine/tensor/model.h"

namespace qi {

/// Changes whenever what is hashed does; part of the key of kept hashes.
inline constexpr int kContentHashVersion = 1;

/// 32 hex digits of XXH3-128 over dtype, shape and the stored bytes of all parts; of quantized
/// weights also over what their codes mean. Empty when `*cancel` became true. Throws kChanged, kIo,
/// kTruncated.
std::string content_hash(const Model& model, const Weight& weight,
                         const std::atomic<bool>* cancel = nullptr);

}  // namespace qi
