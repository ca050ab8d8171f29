#include "eval/transformer/kv_cache.h"

#include <algorithm>
#include <cassert>

#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::size_t kHalfBytes = 2;

}  // namespace

KvCache::KvCache(const Architecture& architecture, std::size_t positions, KvType type,
                 KvLayers layers)
    : positions_(positions),
      width_(architecture.kv_heads * architecture.head_dim),
      head_dim_(architecture.head_dim),
      type_(type) {
  Slot slot;
  if (type == KvType::kF32) slot.floats.resize(positions * width_);
  if (type == KvType::kF16) slot.halves.resize(positions * width_ * kHalfBytes);
  const std::size_t slots = layers == KvLayers::kAll ? architecture.layers() : 1;
  keys_.assign(slots, slot);
  values_.assign(slots, slot);
}

void KvCache::store(std::size_t layer, std::size_t count, const float* keys, const float* values) {
  assert(size_ + count <= positions_);
  assert(size_ == 0 || keys_.size() > 1 || layer == 0);
  put(keys_[layer % keys_.size()], count, keys);
  put(values_[layer % keys_.size()], count, values);
}

void KvCache::put(Slot& slot, std::size_t count, const float* numbers) const {
  const std::size_t at = size_ * width_;
  if (type_ == KvType::kF32) {
    std::copy_n(numbers, count * width_, slot.floats.data() + at);
  } else {
    floats_to_f16(numbers, count * width_, slot.halves.data() + at * kHalfBytes);
  }
}

MatrixView KvCache::keys(std::size_t layer, std::size_t head, std::size_t first, std::size_t count,
                         std::vector<float>& scratch) const {
  return view(keys_[layer % keys_.size()], head, first, count, scratch);
}

MatrixView KvCache::values(std::size_t layer, std::size_t head, std::size_t first,
                           std::size_t count, std::vector<float>& scratch) const {
  return view(values_[layer % keys_.size()], head, first, count, scratch);
}

MatrixView KvCache::view(const Slot& slot, std::size_t head, std::size_t first, std::size_t count,
                         std::vector<float>& scratch) const {
  const std::size_t at = first * width_ + head * head_dim_;
  if (type_ == KvType::kF32) return {slot.floats.data() + at, count, head_dim_, width_};
  scratch.resize(count * head_dim_);
  for (std::size_t i = 0; i < count; ++i) {
    to_floats(DType::kF16, slot.halves.data() + (at + i * width_) * kHalfBytes, head_dim_, false,
              scratch.data() + i * head_dim_);
  }
  return {scratch.data(), count, head_dim_, head_dim_};
}

}  // namespace qi
