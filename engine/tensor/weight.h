// What a person means by a weight: one matrix (or stack of expert matrices) of the network, built
// from one or several stored tensors by its quantization scheme. Plain data, made once on opening.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/tensor.h"

namespace qi {

/// What a weight does in the network; the words of the role column.
enum class Role : std::uint8_t {
  kEmbed,
  kHead,
  kQ,
  kK,
  kV,
  kQkv,
  kO,
  kGate,
  kUp,
  kGateUp,
  kDown,
  kRouter,
  kNorm,
  kBias,
  kLoraA,
  kLoraB,
  kVision,
  kAudio,
  kOther,
};
std::string_view role_name(Role role);

/// Quantization schemes; the words of the scheme column.
enum class Scheme : std::uint8_t {
  kNone,
  kLlmInt8,
  kNF4,
  kFP4,
  kGptq,
  kAwq,
  kCompressedTensors,
  kFP8,
  kFP8Block,
  kMXFP4,
  kNVFP4,
  kGgml,
  kSpqr,
  kQstore,
  kUnknown,
  // recognised but not decoded
  kHqq,
  kAqlm,
  kQuip,
  kVptq,
  kExl2,
  kExl3,
  kEetq,
  kQuanto,
  kBitnet,
  kQuark,
  kTorchao,
  kMarlin,
  kQqq,
  kBitblas,
};
std::string_view scheme_name(Scheme scheme);

enum class ZeroPoint : std::uint8_t { kAbsent, kNone, kInt, kFloat };  // kAbsent: an empty cell
std::string_view zero_point_name(ZeroPoint zero_point);

/// What a stored tensor is to its weight.
enum class PartRole : std::uint8_t {
  kCodes,  // the numbers themselves: qweight, weight, weight_packed, _blocks, dense_weights
  kScales,
  kZeros,
  kGroupIndex,    // GPTQ g_idx
  kShape,         // weight_shape
  kSecondScales,  // nested_absmax, weight_scale_2, weight_global_scale
  kCodebook,      // quant_map
  kSecondCodebook,
  kState,        // bitsandbytes quant_state, weight_format
  kOutliers,     // SpQR col_vals
  kRowOffsets,   // SpQR
  kPermutation,  // SpQR in_perm
  kLowLevel,     // prototype directory: the int8 segment beside the 16-bit one
  kOther,
};

struct Part {
  std::uint32_t tensor = 0;  // index into Model::tensors
  PartRole role = PartRole::kCodes;
};

struct Weight {
  std::string name;    // "model.layers.0.self_attn.q_proj.weight"
  Shape shape;         // logical, outermost first
  std::string format;  // the scheme's own name of its variant: "pack-quantized", "v2", "nested"
  /// Why values cannot be read, empty when they can. The weight is listed all the same.
  std::string undecodable;
  std::vector<Part> parts;       // parts[0] holds the codes
  std::uint64_t params = 0;      // product of shape
  std::uint64_t size_bytes = 0;  // of all parts
  std::uint64_t group_size = 0;  // 0: per channel, per tensor or not grouped
  std::uint32_t block_rows = 0;  // block scales (fp8-block): rows and columns of a block
  std::uint32_t block_cols = 0;
  std::int32_t layer = -1;              // −1: in no layer
  std::int32_t expert = -1;             // −1: no separately stored expert
  DType scale_dtype = DType::kUnknown;  // kUnknown: no scale
  Role role = Role::kOther;
  Scheme scheme = Scheme::kNone;
  std::uint8_t bits = 0;  // of one code
  std::optional<bool> symmetric;
  ZeroPoint zero_point = ZeroPoint::kAbsent;
  bool act_order = false;
  /// Of a container with several precisions: index into Model::levels.
  std::uint32_t level = 0;
  /// Bytes that its parts take in the container, where the file is one.
  std::optional<std::uint64_t> container_bytes;

  double bits_per_weight() const {
    return params == 0 ? 0.0 : 8.0 * static_cast<double>(size_bytes) / static_cast<double>(params);
  }
  /// As a matrix: all dimensions but the last are rows (a vector or scalar has one row).
  std::uint64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  std::uint64_t rows() const { return shape.empty() ? 1 : (cols() == 0 ? 0 : params / cols()); }
};

}  // namespace qi
