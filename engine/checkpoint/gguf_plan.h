// Which tensors a GGUF of a model has, in which types, and which weights their rows come from.
// Internal to the writer. Plain data once made, any thread; the model must outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/checkpoint/gguf_keys.h"
#include "engine/checkpoint/gguf_writer.h"

namespace qi {

struct GgufTensorPlan {
  std::string name;
  Shape shape;  // outermost first
  DType type = DType::kF32;
  std::uint64_t offset = 0;  // in the data section
  std::uint64_t bytes = 0;
  /// One, or the matrices of a stack in their order; none: `values`.
  std::vector<const Weight*> sources;
  std::vector<float> values;
  /// Rows of a head whose halves are to be interleaved (q, k of llama); 0: as they are.
  std::uint64_t head_rows = 0;
  float added = 0;                    // to every number (Gemma's norms)
  std::span<const float> importance;  // [columns of all matrices] or none

  std::uint64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  std::uint64_t rows() const;
};

struct GgufPlan {
  static constexpr std::uint64_t kAlignment = 32;
  GgufKeys keys;
  std::vector<GgufTensorPlan> tensors;
  std::uint64_t data_bytes = 0;
  std::uint64_t elements = 0;
  std::vector<std::string> notes;

  /// Magic, counts, keys, tensor records and padding: what stands before the data.
  std::string header() const;
};

/// Throws as write_gguf() before it writes.
GgufPlan make_gguf_plan(const Model& model, const GgufOptions& options);

}  // namespace qi
