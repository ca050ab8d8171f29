// How checkpoints store a quantized matrix: the tensors that the codes of one weight become in each
// layout that other programs load (GPTQ, AutoAWQ, compressed-tensors, SpQR's export, bitsandbytes).
// The other direction, tensors to numbers, is the readers' (engine/quant). Refuses nothing here:
// unfit() says what a layout cannot hold. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/quant/coded_matrix.h"
#include "engine/tensor/tensor.h"

namespace qi {

enum class Layout : std::uint8_t {
  kPacked,     // compressed-tensors pack-quantized: weight_packed, weight_scale, weight_shape
  kInt8,       // compressed-tensors int-quantized: weight I8, weight_scale
  kFloat8,     // compressed-tensors float-quantized: weight F8_E4M3, weight_scale
  kGptq,       // version 1: qweight, qzeros, scales, g_idx
  kAwq,        // "gemm": qweight, qzeros, scales
  kSpqr,       // dense_weights, row_offsets, col_vals, in_perm
  kLlmInt8,    // bitsandbytes: weight I8, SCB, weight_format
  kNf4,        // bitsandbytes: nibbles, absmax, quant_map, quant_state
  kNf4Nested,  // the same, absmax quantized once more
};

/// Whether the codes are integers on grids (CodedMatrix), not floats or entries of a map.
bool holds_grids(Layout layout);

/// A tensor to be stored.
struct PackedPart {
  std::string name;
  DType dtype = DType::kUnknown;
  Shape shape;
  std::vector<std::byte> bytes;  // little-endian
};

struct LayoutFormat {
  Layout layout = Layout::kPacked;
  int bits = 4;
  std::uint64_t group = 0;          // columns that share a scale; 0: the row
  DType scale_type = DType::kF16;   // of weight_scale and scales
  DType model_type = DType::kBF16;  // bitsandbytes' quant_state names it
};

/// Why a matrix of this shape cannot be stored so, "rows of 172 weights for groups of 128"; empty:
/// it can.
std::string unfit(const LayoutFormat& format, std::uint64_t rows, std::uint64_t cols);

/// A scale as the layout's type holds it.
float held_scale(const LayoutFormat& format, float scale);
/// Changes scales, zeros and outliers to what the layout can hold, so that the matrix is what a
/// reader of the tensors gets, bit for bit.
void hold(const LayoutFormat& format, CodedMatrix& matrix);

/// The tensors of the weight "M.weight" or "M", which hold() made ready. Needs holds_grids() and
/// that nothing is unfit().
std::vector<PackedPart> pack(const LayoutFormat& format, const std::string& weight,
                             const CodedMatrix& matrix);

/// F16, BF16 or F32: the type itself, or for any other F32, which holds its numbers best.
DType float_part_type(DType type);

/// "M" of "M.weight"; else the name itself.
std::string module_of(const std::string& weight);

/// A tensor that is filled number by number.
class PartWriter {
 public:
  PartWriter(std::string name, DType dtype, Shape shape);
  /// Number `index`, T being as wide as the tensor's numbers.
  template <typename T>
  T* at(std::uint64_t index) {
    return reinterpret_cast<T*>(part_.bytes.data()) + index;
  }
  template <typename T>
  const T* at(std::uint64_t index) const {
    return reinterpret_cast<const T*>(part_.bytes.data()) + index;
  }
  /// float32 as the tensor's own type: F32, F16 or BF16.
  void set_float(std::uint64_t index, float value);
  PackedPart take() { return std::move(part_); }

 private:
  PackedPart part_;
};

}  // namespace qi
