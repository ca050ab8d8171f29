// Weights stored as plain numbers: integers, floats down to 4 bits, booleans; either byte order.
// Refuses complex numbers and unknown types. A reader belongs to one thread.
#pragma once

#include <memory>

#include "engine/tensor/weight_reader.h"

namespace qi {

/// Why values of a stored tensor cannot be read as they stand ("C64: …"); empty when they can.
std::string plain_obstacle(const Tensor& tensor);

/// Reader of a weight that is one plain tensor. codes() are its bits for types of up to 16 bits,
/// stored() its bytes, swapped to little-endian where the file is big-endian.
std::unique_ptr<WeightReader> open_plain_reader(const Model& model, const Weight& weight);

}  // namespace qi
