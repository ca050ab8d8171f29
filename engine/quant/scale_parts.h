// What recognisers of row-by-row schemes share: taking scales and zero points whose shapes fit, and
// the config's word about them. Used while grouping, one thread.
#pragma once

#include <optional>

#include "engine/quant/grouping.h"
#include "engine/quant/scaled.h"

namespace qi {

/// The warning for parts whose shapes contradict each other.
inline constexpr const char* kOddScales =
    "scales do not fit the shape of the codes: listed as stored";

/// Floats of whole bytes: what a scale may be stored as.
bool is_scale(const Tensor& tensor);

/// The shape with its last dimension times `factor`; nothing when that does not fit 64 bits.
std::optional<Shape> widened(Shape shape, std::uint64_t factor);

/// The config's group for codes of that width, or nullptr.
const QuantGroup* config_group(const QuantConfig& config, std::uint64_t bits, bool is_float_code);

/// What the config (or its group, when there is one) says about blocks.
BlockHint config_hint(const QuantConfig& config, const QuantGroup* group);

/// Adds scales that must fit weight.shape and describes them; false, with a warning, if they do
/// not.
bool add_scales(Grouping& grouping, Weight& weight, std::uint32_t scales, BlockHint hint);

/// Adds zero points that are plain numbers of the scales' shape, or packed along the rows; false,
/// with a warning, if they are neither.
bool add_zeros(Grouping& grouping, Weight& weight, std::uint32_t zeros, std::uint32_t scales);

/// No zero point: a code of 0 means 0.
void set_symmetric(Weight& weight);

/// Whether the config promises quantized weights, so that codes without scales deserve a word.
bool config_expects_scales(const QuantConfig& config);

}  // namespace qi
