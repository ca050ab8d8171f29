#include "eval/results/content_hash.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "engine/io/xxh3.h"

namespace qi {
namespace {

constexpr std::uint64_t kBlock = 1 << 20;

/// Everything but the bytes that the values hang on. A single plain tensor is told by its dtype and
/// shape: the same numbers in another format are the same weight.
std::string meaning(const Model& model, const Weight& weight) {
  std::string text = fmt::format("{};{}", shape_text(weight.shape), model.big_endian ? "be" : "le");
  const bool told_by_dtype = weight.scheme == Scheme::kNone || weight.scheme == Scheme::kGgml;
  if (weight.parts.size() > 1 || !told_by_dtype) {
    text += fmt::format(";{};{};{};{};{};{};{};{}", scheme_name(weight.scheme), weight.format,
                        weight.bits, weight.group_size, weight.block_rows, weight.block_cols,
                        zero_point_name(weight.zero_point), weight.act_order);
  }
  for (const Part& part : weight.parts) {
    const Tensor& tensor = model.tensor(part);
    text +=
        fmt::format("|{};{};{};{}", static_cast<int>(part.role), dtype_name(tensor),
                    weight.parts.size() == 1 ? "" : shape_text(tensor.shape), tensor.size_bytes);
  }
  return text;
}

}  // namespace

std::string content_hash(const Model& model, const Weight& weight,
                         const std::atomic<bool>* cancel) {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  const std::unique_ptr<XXH3_state_t, Free> state(XXH3_createState());
  if (state == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  const std::string head = meaning(model, weight);
  XXH3_128bits_update(state.get(), head.data(), head.size() + 1);
  Buffer scratch;
  for (const Part& part : weight.parts) {
    const Tensor& tensor = model.tensor(part);
    const File& file = model.file(tensor);
    for (std::uint64_t at = 0; at < tensor.size_bytes; at += kBlock) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return {};
      const std::span<const std::byte> bytes =
          file.bytes(tensor.offset + at, std::min(kBlock, tensor.size_bytes - at), scratch);
      XXH3_128bits_update(state.get(), bytes.data(), bytes.size());
    }
    file.check();
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace qi
