// What llama-quantize writes a weight as when it is told "Q4_K_M": the rules by which its
// whole-model types mix block types over roles and layers (llama.cpp b3901). Owns the names of the
// mixtures and the fallback for rows that are not whole blocks. Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "engine/tensor/dtype.h"
#include "engine/tensor/weight.h"

namespace qi {

struct Model;

/// Every name of a whole-model type, mixtures and those of one type ("Q4_0", "Q4_K_M").
std::span<const std::string_view> ggml_mixtures();
/// The name as the table spells it, found without regard to case; nothing for no such name.
std::optional<std::string_view> ggml_mixture_named(std::string_view name);

/// What the rules ask of the model.
struct MixtureModel {
  int layers = 0;
  int heads = 0;     // 0: not known
  int kv_heads = 0;  // 0: as many as heads
  int experts = 0;
  bool tied = false;  // no head of its own: the embeddings are it
  bool importance = false;
};

/// From config.json or GGUF keys.
MixtureModel mixture_model(const Model& model, bool importance);

struct MixtureChoice {
  DType type = DType::kUnknown;  // kUnknown: left as it is
  /// The rule's own type, where rows are not whole blocks of it and `type` is another.
  std::optional<DType> instead_of;
};

/// Norms, biases, routers, vectors and other towers' weights are left as they are. `mixture` is one
/// of ggml_mixtures().
MixtureChoice ggml_mixture_type(std::string_view mixture, const MixtureModel& model,
                                const Weight& weight);

/// The type llama-quantize falls back to where `cols` is no multiple of `type`'s block (b3901's,
/// and F16 where it stops: the rule of later versions); `type` itself where it is.
DType ggml_fallback(DType type, std::uint64_t cols);

}  // namespace qi
