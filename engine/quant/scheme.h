// From stored tensors to logical weights: which quantization scheme a model uses, which tensors
// belong to one weight, and a reader for each. Schemes stand in one table
// in scheme.cpp; a new one is a file pair and a line there.
// Unknown is a value: tensors of a scheme that nobody knows are listed as they are stored, those of
// a known scheme that is not decoded as one weight with Weight::undecodable set.
// build_weights() changes the model it is given; readers only read it, one thread each.
#pragma once

#include <memory>

#include "engine/tensor/model.h"
#include "engine/tensor/weight_reader.h"

namespace qi {

/// Turns model.tensors, with model.config and model.metadata, into model.weights in natural order
/// (compare_names), and adds warnings where parts are missing or contradict each other or the
/// config. Every tensor ends up in exactly one weight. Reads of payload only what a true shape
/// needs: compressed-tensors' weight_shape and bitsandbytes' quant_state, a few bytes a weight,
/// and, where no config names a GPTQ version, some zero points of one weight. Faults inside those
/// bytes are warnings here and errors of open_scheme_reader().
void build_weights(Model& model);

/// A reader of `weight`, which must belong to `model`; both must outlive it. Throws kBadDtype when
/// the weight is undecodable, kBadSchema / kBadValue / kCorrupt naming file and byte for stored
/// parameters (shapes, states, indices) that cannot be right.
std::unique_ptr<WeightReader> open_scheme_reader(const Model& model, const Weight& weight);

}  // namespace qi
